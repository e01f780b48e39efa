"""Isolated Linux sandboxes for AI agents, on machines that you own: the client of Pinfold.

```python
from pinfold import Client

with Client.local() as client, client.sandboxes.create() as sandbox:
    print(sandbox.run("echo hello from $(uname -n)").stdout)
```

`Client` and `AsyncClient` offer the same; the async names begin with `Async`. Requests that are safe
to repeat are repeated, a few times, with jitter: reads, changes that are idempotent by nature, and
creates and starts, which carry an idempotency key. Streams of output come back from their last
record after a dropped connection. Every exception is a `PinfoldError`; what the server refuses is an
`ApiError` with `code`, `status`, `request_id` and `details`.
"""

from pinfold import errors, types
from pinfold._async.access import AsyncAudit, AsyncKeys, AsyncProjects, AsyncUsageReports
from pinfold._async.builds import AsyncBuildEvents, AsyncBuilds
from pinfold._async.client import AsyncClient
from pinfold._async.code import AsyncCode, AsyncCodeEvents, AsyncSandboxCode
from pinfold._async.commands import AsyncCommand, AsyncCommands
from pinfold._async.files import AsyncFiles
from pinfold._async.images import AsyncImages, AsyncTemplates
from pinfold._async.network_policies import AsyncNetworkPolicies
from pinfold._async.objects import AsyncObjects
from pinfold._async.pipelines import AsyncPipelineEvents, AsyncPipelines
from pinfold._async.previews import AsyncPreviews, AsyncSandboxPreviews
from pinfold._async.pty import AsyncPty
from pinfold._async.sandboxes import AsyncSandbox, AsyncSandboxes
from pinfold._async.secrets import AsyncSecrets
from pinfold._async.ssh_keys import AsyncSandboxSshKeys
from pinfold._async.streams import AsyncByteStream, AsyncPages, AsyncRecordStream, AsyncWatch
from pinfold._core.pty import PtyEvent, PtyExit, PtyOutput, PtyPosition, PtyTruncated
from pinfold._core.quota import KEEP
from pinfold._core.untar import Unpacked
from pinfold._sync.access import Audit, Keys, Projects, UsageReports
from pinfold._sync.builds import BuildEvents, Builds
from pinfold._sync.client import Client
from pinfold._sync.code import Code, CodeEvents, SandboxCode
from pinfold._sync.commands import Command, Commands
from pinfold._sync.files import Files
from pinfold._sync.images import Images, Templates
from pinfold._sync.network_policies import NetworkPolicies
from pinfold._sync.objects import Objects
from pinfold._sync.pipelines import PipelineEvents, Pipelines
from pinfold._sync.previews import Previews, SandboxPreviews
from pinfold._sync.pty import Pty
from pinfold._sync.sandboxes import Sandbox, Sandboxes
from pinfold._sync.secrets import Secrets
from pinfold._sync.ssh_keys import SandboxSshKeys
from pinfold._sync.streams import ByteStream, Pages, RecordStream, Watch
from pinfold._version import __version__
from pinfold.errors import ApiError, CommandFailedError, PinfoldError
from pinfold.types import CancelMode, Credential, End, Output, RunResult, Truncated, WindowSize

__all__ = [
    "KEEP",
    "ApiError",
    "AsyncAudit",
    "AsyncByteStream",
    "AsyncClient",
    "AsyncCode",
    "AsyncCodeEvents",
    "AsyncCommand",
    "AsyncCommands",
    "AsyncFiles",
    "AsyncImages",
    "AsyncKeys",
    "AsyncNetworkPolicies",
    "AsyncObjects",
    "AsyncPages",
    "AsyncBuildEvents",
    "AsyncBuilds",
    "AsyncPipelineEvents",
    "AsyncPipelines",
    "AsyncPreviews",
    "AsyncProjects",
    "AsyncPty",
    "AsyncRecordStream",
    "AsyncSandbox",
    "AsyncSandboxCode",
    "AsyncSandboxPreviews",
    "AsyncSandboxSshKeys",
    "AsyncSandboxes",
    "AsyncSecrets",
    "AsyncTemplates",
    "AsyncUsageReports",
    "AsyncWatch",
    "Audit",
    "ByteStream",
    "CancelMode",
    "Client",
    "Code",
    "CodeEvents",
    "Command",
    "CommandFailedError",
    "Commands",
    "Credential",
    "End",
    "Files",
    "Images",
    "Keys",
    "NetworkPolicies",
    "Objects",
    "Output",
    "Pages",
    "PinfoldError",
    "BuildEvents",
    "Builds",
    "PipelineEvents",
    "Pipelines",
    "Previews",
    "Projects",
    "Pty",
    "PtyEvent",
    "PtyExit",
    "PtyOutput",
    "PtyPosition",
    "PtyTruncated",
    "RecordStream",
    "RunResult",
    "Sandbox",
    "SandboxCode",
    "SandboxPreviews",
    "SandboxSshKeys",
    "Sandboxes",
    "Secrets",
    "Templates",
    "Truncated",
    "Unpacked",
    "UsageReports",
    "Watch",
    "WindowSize",
    "__version__",
    "errors",
    "types",
]
