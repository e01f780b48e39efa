//! The vendor's requests and resources as they stand on the wire. Unknown fields of requests are
//! ignored; `null` is as good as nothing. One module for each kind of thing.

mod account;
mod axon;
mod blueprint;
mod devbox;
mod execution;
mod gateway;
mod log;
mod network_policy;
mod object;
mod secret;
mod snapshot;
mod tunnel;
mod usage;

use serde::{Deserialize, Serialize};

pub(super) use account::{Account, Billing, CreateKey, CreatedKey, Scope};
pub(super) use axon::{
    Axon, AxonEvent, AxonEvents, Axons, CreateAxon, ListAxonEvents, ListAxons, Publish, Published,
    SqlBatch, SqlBatchResult, SqlColumn, SqlMeta, SqlResult, SqlStatement, SqlStep, SqlStepError,
    Subscribe, UpdateAxon,
};
pub(super) use blueprint::{
    Blueprint, BlueprintLog, BlueprintLogs, BlueprintParameters, BlueprintPreview, Blueprints,
    CreateBlueprint, ListBlueprints, SaidOfBlueprint,
};
pub(super) use devbox::{
    CodeMount, CreateDevbox, Devbox, Devboxes, Kept, LaunchParameters, Lifecycle, ListDevboxes,
    Mount, Transition, UpdateDevbox, UserParameters, WaitForStatus,
};
pub(super) use execution::{
    Execute, Execution, ExecutionQuery, FilePath, Offset, SendStdIn, SentStdIn, SyncExecution,
    Update, WriteFile,
};
pub(super) use gateway::{
    AuthMechanism, BoundGateway, BoundMcp, Config, Configs, CreateMcpToken, CustomHeader,
    GatewayToken, ListConfigs, McpToken, PutConfig, WantedGateway, WantedMcp, WantedMcps,
};
pub(super) use log::{Log, Logs, LogsQuery};
pub(super) use network_policy::{
    AllowedCidr, Egress, ListNetworkPolicies, NetworkPolicies, NetworkPolicy, PortRule,
    PutNetworkPolicy,
};
pub(super) use object::{
    CreateObject, DownloadUrl, DownloadUrlQuery, ListObjects, Object, Objects,
};

pub(super) use secret::{CreateSecret, ListSecrets, Secret, SecretValue, Secrets};
pub(super) use snapshot::{DescribeSnapshot, ListSnapshots, Snapshot, SnapshotStatus, Snapshots};
pub(super) use tunnel::{
    CreateTunnel, EnableTunnel, PortTunnel, PtyControl, PtyControlled, PtySession, PtySize,
    PtyTunnel, RemoveTunnel, Tunnel,
};
pub(super) use usage::Usage;

/// The answer where there is nothing to say: clients want an object.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

/// A body whose fields do not matter.
#[derive(Debug, Deserialize)]
pub(super) struct Anything {}

/// Holds a secret, so nothing prints it.
#[derive(Serialize)]
pub(super) struct SshKey {
    pub(super) id: String,
    pub(super) ssh_private_key: String,
    pub(super) ssh_user: String,
    /// Where to connect to.
    pub(super) url: String,
}
