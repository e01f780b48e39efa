//! The one error type that use cases answer with.
//!
//! A [`Code`] is stable and public; every code has a page in `docs/errors/`. The message is written
//! for the caller and says what to do. The private context is for logs and can reach no client: it
//! has no public accessor that renders it beside the message.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; facades map kinds to their protocol's status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Conflict,
    FailedPrecondition,
    Gone,
    TooLarge,
    QuotaExceeded,
    RateLimited,
    Unsupported,
    Timeout,
    Unavailable,
    Internal,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal => $kind:ident,)*) => {
        /// Stable, public error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Code::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

codes! {
    /// A field, parameter or header does not have the documented form.
    InvalidArgument = "invalid_argument" => InvalidArgument,
    /// No credentials, or ones that are unknown, revoked or expired.
    Unauthenticated = "unauthenticated" => Unauthenticated,
    /// The caller is known and may not do this.
    PermissionDenied = "permission_denied" => PermissionDenied,
    /// No such route.
    RouteNotFound = "route_not_found" => NotFound,
    /// The route exists, but not with that HTTP method.
    MethodNotAllowed = "method_not_allowed" => Unsupported,
    /// The body is not of the media type that the route reads.
    UnsupportedMediaType = "unsupported_media_type" => InvalidArgument,
    /// The wanted part of a file lies outside of it.
    RangeNotSatisfiable = "range_not_satisfiable" => InvalidArgument,
    SandboxNotFound = "sandbox_not_found" => NotFound,
    CommandNotFound = "command_not_found" => NotFound,
    CodeContextNotFound = "code_context_not_found" => NotFound,
    SessionNotFound = "session_not_found" => NotFound,
    ImageNotFound = "image_not_found" => NotFound,
    TemplateNotFound = "template_not_found" => NotFound,
    SecretNotFound = "secret_not_found" => NotFound,
    NetworkPolicyNotFound = "network_policy_not_found" => NotFound,
    AxonNotFound = "axon_not_found" => NotFound,
    /// The axon has been deleted, with its events and its database.
    AxonDeleted = "axon_deleted" => Gone,
    /// SQL that came to nothing: it is wrong, not allowed here, or wants more than there is for it.
    SqlFailed = "sql_failed" => InvalidArgument,
    GatewayNotFound = "gateway_not_found" => NotFound,
    BuildNotFound = "build_not_found" => NotFound,
    /// The server has not the key that secrets are sealed under.
    SecretsLocked = "secrets_locked" => Unavailable,
    ObjectNotFound = "object_not_found" => NotFound,
    ProjectNotFound = "project_not_found" => NotFound,
    KeyNotFound = "key_not_found" => NotFound,
    PreviewNotFound = "preview_not_found" => NotFound,
    SshKeyNotFound = "ssh_key_not_found" => NotFound,
    FileNotFound = "file_not_found" => NotFound,
    RunNotFound = "run_not_found" => NotFound,
    UserNotFound = "user_not_found" => InvalidArgument,
    /// The same idempotency key came with another payload.
    IdempotencyConflict = "idempotency_conflict" => Conflict,
    AlreadyExists = "already_exists" => Conflict,
    FileExists = "file_exists" => Conflict,
    DirectoryNotEmpty = "directory_not_empty" => Conflict,
    /// Something else refers to it.
    InUse = "in_use" => Conflict,
    /// The sandbox is not in a state that allows this.
    SandboxNotRunning = "sandbox_not_running" => FailedPrecondition,
    /// The sandbox has been destroyed.
    SandboxGone = "sandbox_gone" => Gone,
    SandboxFailed = "sandbox_failed" => FailedPrecondition,
    /// The object has been deleted, or was kept as long as its owner asked for.
    ObjectGone = "object_gone" => Gone,
    /// The object's content has not been uploaded, or its upload is not completed.
    ObjectNotSealed = "object_not_sealed" => FailedPrecondition,
    /// The object is sealed: its content never changes again.
    ObjectSealed = "object_sealed" => FailedPrecondition,
    /// A signed URL that this server did not make, or that is for something else.
    LinkInvalid = "link_invalid" => PermissionDenied,
    /// A signed URL whose time is over.
    LinkExpired = "link_expired" => PermissionDenied,
    /// The command has ended.
    CommandEnded = "command_ended" => FailedPrecondition,
    /// The command was started without an open stdin.
    StdinNotOpen = "stdin_not_open" => FailedPrecondition,
    NotAFile = "not_a_file" => FailedPrecondition,
    NotADirectory = "not_a_directory" => FailedPrecondition,
    /// The sandbox's own disk is full.
    DiskFull = "disk_full" => FailedPrecondition,
    /// The output of the command is no longer kept.
    OutputGone = "output_gone" => Gone,
    /// A file is larger than what one answer or request may hold.
    FileTooLarge = "file_too_large" => TooLarge,
    /// The directory that something was to be put into does not exist.
    ParentNotFound = "parent_not_found" => NotFound,
    /// The path leads out of the directory that the request is confined to.
    PathOutside = "path_outside" => InvalidArgument,
    /// The user the operation runs as may not touch that file.
    FileAccessDenied = "file_access_denied" => PermissionDenied,
    /// Nothing in the sandbox listens on that port.
    PortNotListening = "port_not_listening" => FailedPrecondition,
    /// The preview was revoked, has expired, or its sandbox has ended.
    PreviewGone = "preview_gone" => Gone,
    /// The preview stands, and nothing inside answers behind it.
    PreviewUnavailable = "preview_unavailable" => Unavailable,
    BodyTooLarge = "body_too_large" => TooLarge,
    QuotaExceeded = "quota_exceeded" => QuotaExceeded,
    RateLimited = "rate_limited" => RateLimited,
    /// Pinfold does not have this, or this host cannot provide it.
    Unsupported = "unsupported" => Unsupported,
    /// No interpreter for the language: Pinfold knows none, or the sandbox's image lacks it.
    UnsupportedCodeLanguage = "unsupported_code_language" => InvalidArgument,
    /// An archive or image that is malformed or hostile.
    InvalidImage = "invalid_image" => InvalidArgument,
    /// An image could not be pulled: its registry cannot be reached, or failed.
    ImagePullFailed = "image_pull_failed" => Unavailable,
    Timeout = "timeout" => Timeout,
    /// The guest did not answer; the operation may or may not have happened.
    GuestUnavailable = "guest_unavailable" => Unavailable,
    /// Too busy or shutting down; try again.
    Unavailable = "unavailable" => Unavailable,
    Internal = "internal" => Internal,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as a use case answers it. Small on the stack: the rest lives in a box.
#[derive(Debug)]
pub struct Error(Box<Body>);

#[derive(Debug)]
struct Body {
    code: Code,
    message: String,
    details: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Body {
            code,
            message: message.into(),
            details: Map::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// A field of the request is wrong; `field` is its public name.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message).detail("field", field)
    }

    /// Something of ours broke; the cause goes to the log and never to the client.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "internal error; the server's log has it under this request id",
        )
        .because(source)
    }

    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(key.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Attaches the private cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind()
    }

    /// Public text, safe to show to any caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Public, structured details.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    #[must_use]
    pub fn retry_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_snake_case() {
        let texts: HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{text}"
            );
        }
    }

    #[test]
    fn the_private_cause_is_not_in_the_public_text() {
        let error = Error::internal(std::io::Error::other("secret-path"));
        assert!(!error.to_string().contains("secret-path"));
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("secret-path")
        );
    }
}
