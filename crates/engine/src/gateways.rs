//! Use cases of gateways: places outside that sandboxes call with a token, and that see a secret instead.
//!
//! ```text
//! sandbox --token--> its gate (egress) --> here: whose token, which gateway, which secret --> endpoint
//! ```
//! A token names a gateway and a secret and is good in one sandbox; nothing of it is recorded. What the gateway
//! is, and the secret's value, is looked up with each call, so a change is in force with the next one.
//!
//! Who may write a gateway decides where secrets go, so gateways are under the scope of secrets.

mod bind;
mod changes;
mod token;

use pinfold_model::gateway::{
    Auth, CustomHeader, Endpoint, GatewaySpec, HeaderValueSource, SecretRef, ToolPattern,
};
use pinfold_model::{
    Code, Ctx, Error, Gateway, GatewayId, GatewayKind, ProjectId, Result, SandboxId, Secret,
    SecretId, limits,
};
use pinfold_store::{Inserted, Page, PageRequest};
use serde::Serialize;

use crate::engine::Shared;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

pub use bind::WantedGateway;
pub(crate) use bind::{gateway_env, let_to};
pub(crate) use changes::Changes;
pub(crate) use token::TokenKey;

/// Attempts at one change: another one is needed only where somebody else changes the same gateway at
/// the same moment.
const ATTEMPTS: usize = 8;

/// A gateway to make, or what an existing one is to be.
#[derive(Debug, Clone, Serialize)]
pub struct PutGateway {
    pub name: String,
    pub description: Option<String>,
    pub endpoint: Endpoint,
    pub auth: Auth,
    pub headers: Vec<PutHeader>,
    /// `Some` makes it one of an MCP server.
    pub tools: Option<Vec<ToolPattern>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PutHeader {
    pub name: String,
    pub value: PutValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PutValue {
    Text(String),
    /// The name or id of a secret.
    Secret(String),
}

impl PutGateway {
    fn of(gateway: &Gateway) -> Self {
        let spec = gateway.spec.clone();
        let headers = spec.headers.into_iter().map(|header| PutHeader {
            name: header.name,
            value: match header.value {
                HeaderValueSource::Text(text) => PutValue::Text(text),
                HeaderValueSource::Secret(secret) => PutValue::Secret(secret.name),
            },
        });
        Self {
            name: gateway.name.clone(),
            description: gateway.description.clone(),
            endpoint: spec.endpoint,
            auth: spec.auth,
            headers: headers.collect(),
            tools: spec.tools,
        }
    }
}

/// A token for a sandbox that runs.
#[derive(Clone)]
pub struct GatewayToken {
    /// For this sandbox alone, and of use inside it only.
    pub token: String,
    pub sandbox: SandboxId,
    pub gateway: Gateway,
}

impl std::fmt::Debug for GatewayToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayToken").finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes a gateway of the caller's project. The same idempotency key with the same request answers
    /// with the same gateway; with another request it is a conflict.
    pub async fn create_gateway(
        &self,
        ctx: &Ctx,
        request: PutGateway,
        idempotency: Option<&str>,
    ) -> Result<Accepted<Gateway>> {
        let note = Note::new("gateway.create");
        self.audited(ctx, &note, async {
            let claim = self.claim(ctx, "gateway.create", idempotency, &request)?;
            let now = self.now();
            let project = &ctx.principal.project;
            let gateway = Gateway {
                id: GatewayId::generate(),
                project: project.clone(),
                name: request.name,
                description: request.description,
                spec: GatewaySpec {
                    endpoint: request.endpoint,
                    auth: request.auth,
                    headers: self.headers(project, request.headers).await?,
                    tools: request.tools,
                },
                version: 1,
                created_at: now,
                updated_at: now,
                created_by: ctx.principal.key.clone(),
            };
            gateway.validate()?;
            let gateways = self.store().gateways();
            let max = limits::GATEWAYS_MAX;
            let (value, origin) = match gateways.insert(&gateway, max, claim.as_ref()).await? {
                Inserted::New(gateway) => (gateway, Origin::New),
                Inserted::Replay(gateway) => (gateway, Origin::Replay),
            };
            note.about(value.id.as_str());
            note.fact("name", value.name.as_str());
            note.fact("endpoint", value.spec.endpoint.to_string());
            note.fact("replay", origin == Origin::Replay);
            Ok(Accepted { value, origin })
        })
        .await
    }

    pub async fn get_gateway(
        &self,
        ctx: &Ctx,
        kind: GatewayKind,
        id: &GatewayId,
    ) -> Result<Gateway> {
        let project = &ctx.principal.project;
        self.timed(
            ctx,
            "gateway.get",
            gateway(self.shared(), project, kind, id),
        )
        .await
    }

    /// Newest first, of the caller's project and one kind.
    pub async fn list_gateways(
        &self,
        ctx: &Ctx,
        kind: GatewayKind,
        page: &PageRequest,
    ) -> Result<Page<Gateway>> {
        self.timed(ctx, "gateway.list", async {
            let project = &ctx.principal.project;
            Ok(self.store().gateways().list(project, kind, page).await?)
        })
        .await
    }

    /// Changes what callers choose of a gateway: `change` gets it as it is, perhaps several times. The
    /// next call of every sandbox is made as it is then, and calls under way that would be others end.
    pub async fn change_gateway(
        &self,
        ctx: &Ctx,
        kind: GatewayKind,
        id: &GatewayId,
        change: impl Fn(PutGateway) -> Result<PutGateway> + Send + Sync,
    ) -> Result<Gateway> {
        let note = Note::new("gateway.change");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let project = &ctx.principal.project;
            for _ in 0..ATTEMPTS {
                let before = gateway(self.shared(), project, kind, id).await?;
                let as_it_was = PutGateway::of(&before);
                let put = change(as_it_was.clone())?;
                let wanted = Gateway {
                    name: put.name,
                    description: put.description,
                    spec: GatewaySpec {
                        endpoint: put.endpoint,
                        auth: put.auth,
                        // A secret that has gone does not keep the rest from being changed.
                        headers: match put.headers == as_it_was.headers {
                            true => before.spec.headers,
                            false => self.headers(project, put.headers).await?,
                        },
                        tools: put.tools,
                    },
                    ..before
                };
                if wanted.kind() != kind {
                    return Err(Error::internal("a gateway stays of its kind"));
                }
                wanted.validate()?;
                let gateways = self.store().gateways();
                let changed = gateways.change(&wanted, self.now()).await;
                // Also after an error: it may have been done all the same.
                self.shared().gateway_changes.tell(project);
                if let Some(changed) = changed? {
                    note.fact("version", changed.version);
                    note.fact("endpoint", changed.spec.endpoint.to_string());
                    return Ok(changed);
                }
            }
            Err(Error::new(
                Code::Unavailable,
                "others are changing this gateway at the same time; try again",
            ))
        })
        .await
    }

    /// Deletes a gateway for good. Calls of sandboxes that have it are refused from now on, and those under
    /// way end.
    pub async fn delete_gateway(
        &self,
        ctx: &Ctx,
        kind: GatewayKind,
        id: &GatewayId,
    ) -> Result<Gateway> {
        let note = Note::new("gateway.delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let project = &ctx.principal.project;
            let deleted = gateway(self.shared(), project, kind, id).await?;
            let done = self.store().gateways().delete(project, id).await;
            // Also after an error: it may have been done all the same.
            self.shared().gateway_changes.tell(project);
            done?;
            Ok(deleted)
        })
        .await
    }

    /// The gateway that a request names by its id, or the newest of that name.
    async fn gateway_named(
        &self,
        project: &ProjectId,
        kind: GatewayKind,
        named: &str,
    ) -> Result<Gateway> {
        if let Ok(id) = named.parse() {
            return gateway(self.shared(), project, kind, &id).await;
        }
        let found = self.store().gateways().newest(project, kind, named).await?;
        found.ok_or_else(|| not_found(named))
    }

    /// The secret of that name, or else of that id.
    pub(crate) async fn secret_named(&self, project: &ProjectId, named: &str) -> Result<SecretRef> {
        let secrets = self.store().secrets();
        let found = match secrets.get(project, named).await? {
            Some(secret) => Some(secret),
            None => match named.parse::<SecretId>() {
                Ok(id) => secrets.by_id(project, &id).await?,
                Err(_) => None,
            },
        };
        let Some(Secret { id, name, .. }) = found else {
            let text = format!("no secret {named:?} in this project");
            return Err(Error::new(Code::SecretNotFound, text));
        };
        Ok(SecretRef { id, name })
    }

    async fn headers(
        &self,
        project: &ProjectId,
        headers: Vec<PutHeader>,
    ) -> Result<Vec<CustomHeader>> {
        if headers.len() > limits::GATEWAY_HEADERS_MAX {
            let max = limits::GATEWAY_HEADERS_MAX;
            let text = format!("a gateway adds at most {max} headers");
            return Err(Error::invalid("custom_headers", text));
        }
        let mut all = Vec::new();
        for PutHeader { name, value } in headers {
            let value = match value {
                PutValue::Text(text) => HeaderValueSource::Text(text),
                PutValue::Secret(named) => {
                    HeaderValueSource::Secret(self.secret_named(project, &named).await?)
                }
            };
            all.push(CustomHeader { name, value });
        }
        Ok(all)
    }
}

async fn gateway(
    shared: &Shared,
    project: &ProjectId,
    kind: GatewayKind,
    id: &GatewayId,
) -> Result<Gateway> {
    let found = shared.store.gateways().get(project, id).await?;
    let found = found.filter(|gateway| gateway.kind() == kind);
    found.ok_or_else(|| not_found(id.as_str()))
}

fn not_found(named: &str) -> Error {
    Error::new(
        Code::GatewayNotFound,
        format!("no gateway {named:?} in this project"),
    )
}
