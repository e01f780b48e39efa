//! What tools take. The comments of fields are what models read.

use std::collections::BTreeMap;

use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateSandbox {
    /// What to boot from, such as "python:3.12"; leave out for the server's default. Not together
    /// with template.
    pub(crate) image: Option<String>,
    /// A named recipe of the server, such as "python".
    pub(crate) template: Option<String>,
    /// Id of a sandbox: the new one begins with what that has on its disk now, and with its settings.
    /// Not together with image or template.
    pub(crate) fork_of: Option<String>,
    /// A name for people.
    pub(crate) name: Option<String>,
    /// Memory in MiB: 32 or more; 1024 when left out.
    pub(crate) memory_mib: Option<u32>,
    /// CPUs, such as 0.5 or 2; 1 when left out.
    pub(crate) vcpu: Option<f64>,
    /// What the sandbox may write, in MiB: 16 or more; 4096 when left out.
    pub(crate) disk_mib: Option<u32>,
    /// true: the sandbox may reach the internet. It cannot when left out.
    pub(crate) internet: Option<bool>,
    /// Environment of every command.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Minutes until the sandbox is destroyed by itself: 60 when left out, at most 43200.
    #[schemars(range(min = 1, max = 43200))]
    pub(crate) ttl_minutes: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// next_cursor of the page before; leave out for the first page.
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// Id of the sandbox, as create_sandbox answered it: sbx_...
    pub(crate) sandbox_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extend {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// Minutes from now until it is destroyed by itself, at most 43200.
    #[schemars(range(min = 1, max = 43200))]
    pub(crate) ttl_minutes: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// What to call the image, such as "with-deps:1"; it has an id only when left out.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// A shell line, such as "cd /workspace && make test 2>&1 | tail -50".
    pub(crate) command: String,
    /// Where it begins; the sandbox's working directory when left out.
    pub(crate) cwd: Option<String>,
    /// Added to the environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Who runs it: a name or `uid[:gid]`; the sandbox's user when left out.
    pub(crate) user: Option<String>,
    /// Given to its stdin, which is empty when left out. At most 1 MiB.
    pub(crate) stdin: Option<String>,
    /// Seconds after which it is killed: 600 when left out, at most 3000.
    #[schemars(range(min = 1, max = 3000))]
    pub(crate) timeout_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// A shell line, such as "python3 -m http.server 8000".
    pub(crate) command: String,
    /// Where it begins; the sandbox's working directory when left out.
    pub(crate) cwd: Option<String>,
    /// Added to the environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Who runs it: a name or `uid[:gid]`; the sandbox's user when left out.
    pub(crate) user: Option<String>,
    /// Given to its stdin, which is empty when left out. At most 1 MiB.
    pub(crate) stdin: Option<String>,
    /// Seconds after which it is killed; as long as its sandbox lives when left out.
    #[schemars(range(min = 1, max = 604800))]
    pub(crate) timeout_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadOutput {
    /// Id of the command: cmd_...
    pub(crate) command_id: String,
    /// Where to go on, as an earlier answer said; the beginning when left out.
    pub(crate) position: Option<String>,
    /// Seconds to wait for the command's end before reading: 0 when left out, at most 50.
    #[schemars(range(max = 50))]
    pub(crate) wait_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    /// Id of the command: cmd_...
    pub(crate) command_id: String,
    /// true: KILL instead of TERM.
    pub(crate) force: Option<bool>,
}

/// How a file's content is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    Text,
    Base64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// Path in the sandbox, such as "/workspace/main.py". Relative ones begin at its working
    /// directory.
    pub(crate) path: String,
    /// Byte to begin at: 0 when left out.
    pub(crate) offset: Option<u64>,
    /// Bytes to read: as many as an answer holds (65536) when left out.
    #[schemars(range(min = 1, max = 65536))]
    pub(crate) length: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// Path in the sandbox; missing directories above it are made. Relative ones begin at its
    /// working directory.
    pub(crate) path: String,
    /// The whole content, at most 2 MiB; what the file held before is replaced.
    pub(crate) content: String,
    /// "text" when left out; "base64" for bytes that are no text.
    pub(crate) encoding: Option<Encoding>,
    /// true: the file may be executed.
    pub(crate) executable: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDirectory {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// A directory in the sandbox; its working directory when left out.
    pub(crate) path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    Python,
    Javascript,
    Typescript,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunCode {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// The code, at most 256 KiB. The value of its last expression is part of the answer.
    pub(crate) code: String,
    /// "python" when left out; "javascript" and "typescript" need node in the image.
    pub(crate) language: Option<Language>,
    /// The interpreter, as an earlier answer named it; that of the language when left out.
    pub(crate) context_id: Option<String>,
    /// Seconds until it is interrupted: 60 when left out, at most 600.
    #[schemars(range(min = 1, max = 600))]
    pub(crate) timeout_seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestartCode {
    /// The interpreter, as run_code named it: cctx_...
    pub(crate) context_id: String,
}

/// Who may use an exposed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    Authenticated,
    Token,
    Public,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExposePort {
    /// Id of the sandbox: sbx_...
    pub(crate) sandbox_id: String,
    /// The port on which something in the sandbox listens or will listen.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: u16,
    /// "authenticated" (holders of an API key of the project and of the link; when left out), "token"
    /// (also whoever has the token that is answered), or "public" (whoever knows the address).
    pub(crate) access: Option<Access>,
    /// Minutes until the address stops working; as long as its sandbox lives when left out.
    #[schemars(range(min = 1, max = 527040))]
    pub(crate) expires_minutes: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClosePort {
    /// Id of the address, as expose_port answered it: prv_...
    pub(crate) preview_id: String,
}
