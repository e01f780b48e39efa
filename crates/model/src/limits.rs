//! Bounds that every surface shares. Each is stated in the public docs.

use std::time::Duration;

/// Snapshots that a project keeps at once.
pub const SNAPSHOTS_MAX: u64 = 200;
/// What is said about one of them.
pub const SNAPSHOT_MESSAGE_MAX_CHARS: usize = 1000;
/// Names of things: templates, keys, projects.
pub const NAME_MAX_CHARS: usize = 100;
pub const METADATA_MAX_KEYS: usize = 64;
pub const METADATA_KEY_MAX_CHARS: usize = 128;
pub const METADATA_VALUE_MAX_CHARS: usize = 4096;
pub const ENV_MAX_VARS: usize = 1024;
/// `NAME=value`: what the kernel takes as one text of a process (`MAX_ARG_STRLEN`), less the NUL behind it.
pub const ENV_VAR_MAX_BYTES: usize = (128 << 10) - 1;
/// Argument list plus environment of one command, in bytes (Linux itself allows about 2 MiB).
pub const COMMAND_MAX_BYTES: usize = 1 << 20;
/// What stdin may begin with. As much as a pipe holds for an ordinary user (pipe(7)).
pub const STDIN_DATA_MAX_BYTES: usize = 1 << 20;
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Files that are collected behind one command.
pub const COLLECT_FILES_MAX: usize = 100;
/// Rules of a sandbox's network that allow, and as many that deny.
pub const NETWORK_RULES_MAX: usize = 256;
/// Steps of each kind in the setup of a sandbox, and the contents of its files together.
pub const SETUP_STEPS_MAX: usize = 100;
pub const SETUP_FILES_MAX_BYTES: usize = 1 << 20;
/// What commands of a sandbox may take together before it is suspended or stopped.
pub const FAREWELL_MAX: Duration = Duration::from_secs(60);
/// What a facade keeps with a sandbox.
pub const ANNOTATIONS_MAX_BYTES: usize = 64 << 10;
pub const PATH_MAX_BYTES: usize = 4095;
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
pub const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Of a build, from its submission to its end.
pub const BUILD_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// What a build gets that names no timeout.
pub const BUILD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);
/// Commands that run after a Dockerfile.
pub const BUILD_SETUP_MAX: usize = 200;
/// Text files that a build is given beside its context, and bytes of all of them.
pub const BUILD_FILES_MAX: usize = 1000;
pub const BUILD_FILES_MAX_BYTES: usize = 1 << 20;
/// Builds of one project that have not ended, and images that builds made which it keeps.
pub const BUILDS_UNENDED_MAX: u64 = 100;
pub const BUILT_IMAGES_MAX: u64 = 1000;
/// What steps of builds left that a project keeps for later ones, and for how long unused.
pub const BUILD_STEPS_KEPT_MAX: usize = 500;
pub const BUILD_STEPS_KEPT_FOR: Duration = Duration::from_secs(14 * 24 * 3600);
/// Steps of one pipeline.
pub const PIPELINE_STEPS_MAX: usize = 1000;
/// Of a run of a pipeline and of each step; also what a run gets that names none.
pub const PIPELINE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Output kept per command when neither the caller nor the operator says otherwise.
pub const JOURNAL_DEFAULT_CAP_BYTES: u64 = 64 << 20;
pub const OBJECT_NAME_MAX_CHARS: usize = 512;
/// One object. Storage in parts allows 10,000 of them, so this bounds the size of a part as well.
pub const OBJECT_MAX_BYTES: u64 = 100 << 30;
/// All objects of one project together, unless an admin sets another bound.
pub const OBJECT_QUOTA_DEFAULT_BYTES: u64 = 100 << 30;
/// The longest an object may be kept when its end is set at all.
pub const OBJECT_RETENTION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// An object whose upload is not completed by then is deleted.
pub const OBJECT_UPLOAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a signed URL is valid: by default, and at most.
pub const LINK_DEFAULT: Duration = Duration::from_secs(3600);
pub const LINK_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Named network policies of one project.
pub const NETWORK_POLICIES_MAX: u32 = 1000;
/// Axons of one project that are not deleted, and of those that are, how many it can still read about.
pub const AXONS_MAX: u32 = 1000;
pub const AXONS_DELETED_KEPT: u32 = 5000;
/// Events of one axon, and bytes of them all.
pub const AXON_EVENTS_MAX: u64 = 100_000;
pub const AXON_EVENTS_MAX_BYTES: u64 = 128 << 20;
/// The same of all axons of one project, and of the databases of all of them.
pub const AXON_EVENTS_OF_PROJECT_MAX_BYTES: u64 = 4 << 30;
pub const AXON_DATABASES_OF_PROJECT_MAX_BYTES: u64 = 4 << 30;
pub const AXON_PAYLOAD_MAX_BYTES: usize = 256 << 10;
/// The source of an event, and its type.
pub const AXON_LABEL_MAX_CHARS: usize = 255;
/// Who follow one axon at once.
pub const AXON_READERS_MAX: usize = 100;
/// Events that a reader holds at once.
pub const AXON_READ_AHEAD: u32 = 16;
/// What people say about a thing beside its name.
pub const DESCRIPTION_MAX_CHARS: usize = 1000;
/// Secrets of one project.
pub const SECRETS_MAX: u32 = 1000;
pub const SECRET_VALUE_MAX_BYTES: usize = 32 << 10;
/// Gateways of one project, of both kinds together.
pub const GATEWAYS_MAX: u32 = 1000;
/// Gateways that one sandbox is made with.
pub const GATEWAYS_OF_SANDBOX_MAX: usize = 32;
/// Headers that a gateway adds beside the secret.
pub const GATEWAY_HEADERS_MAX: usize = 8;
pub const GATEWAY_HEADER_MAX_BYTES: usize = 4096;
/// Patterns of tools of one MCP gateway.
pub const TOOL_PATTERNS_MAX: usize = 256;
/// Credentials of one sandbox.
pub const CREDENTIALS_MAX: usize = 32;
/// Terminals with a name that one sandbox has.
pub const NAMED_TERMINALS_MAX: usize = 64;
/// Keys that open one sandbox over SSH.
pub const SSH_KEYS_MAX: u32 = 32;
/// A public key as its owner gives it, with its comment.
pub const SSH_PUBLIC_KEY_MAX_BYTES: usize = 4096;
/// How long a key for SSH opens its sandbox where that has an end at all.
pub const SSH_KEY_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
pub const PAGE_DEFAULT: u32 = 50;
pub const PAGE_MAX: u32 = 500;
/// Runs of pipelines in one page, also when the caller names no number: each is read with all of its
/// scripts, up to 1 MiB.
pub const RUN_PAGE_MAX: u32 = 50;
/// Source of one run of code.
pub const CODE_MAX_BYTES: usize = 256 << 10;
pub const CODE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
pub const CODE_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// How long a code context is kept unused.
pub const CODE_IDLE_DEFAULT: Duration = Duration::from_secs(4 * 3600);
pub const CODE_IDLE_MIN: Duration = Duration::from_secs(60);
pub const CODE_IDLE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Code contexts of one sandbox at once.
pub const CODE_CONTEXTS_MAX: u32 = 32;
/// Runs of one context that wait or run at once.
pub const CODE_QUEUE_MAX: usize = 64;
