"""Upstream's Python interface over a Pinfold server.

Code written for the vendor's SDK changes its import line only::

    from pinfold.upstream import Upstream

    with Upstream(api_key="sk-...", base_url="http://127.0.0.1:7070/upstream") as client:
        with client.sandbox(image="python:3.12", vcpu=2, memory_mib=512) as sb:
            result = sb.exec(["python", "-c", "print('hello')"])
            print(result.stdout)

:class:`Upstream` is the sync client, :class:`AsyncUpstream` its twin on asyncio. Every error is an
:class:`UpstreamError`.
"""

from ._async.client import AsyncUpstream
from ._errors import AuthError, QuotaError, SandboxError, TimeoutError, UpstreamError
from ._sync.client import Upstream
from ._sync.sandbox import Sandbox
from ._sync.stream import StreamingExecResult
from ._types import ExecResult, RunResult, Usage

__all__ = [
    "AsyncUpstream",
    "AuthError",
    "ExecResult",
    "QuotaError",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "StreamingExecResult",
    "TimeoutError",
    "Upstream",
    "UpstreamError",
    "Usage",
]
