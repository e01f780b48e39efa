//! Gateways of sandboxes: those that one is made with, what they have to do with its network, and tokens for
//! one that runs.

use std::collections::BTreeMap;

use pinfold_model::gateway::{GatewayBinding, SecretRef};
use pinfold_model::network::Rule;
use pinfold_model::{
    Code, Ctx, Error, Gateway, GatewayKind, Level, NetworkMode, NetworkPolicy, Resource, Result,
    Sandbox, SandboxId, SandboxSpec, limits,
};
use serde::Serialize;

use super::GatewayToken;
use super::token::{Claims, TokenKey};
use crate::Engine;
use crate::engine::Shared;
use crate::live::Change;
use crate::usecase::Note;

/// All that a sandbox without rules reaches whose network is open: nothing over IPv6.
const EVERYTHING: [&str; 2] = ["*", "0.0.0.0/0"];

/// A gateway that a new sandbox is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WantedGateway {
    pub kind: GatewayKind,
    /// Its id, or its name: then the newest of that name.
    pub gateway: String,
    /// The name or id of the secret that goes with its calls.
    pub secret: String,
    pub token_variable: String,
    pub url_variable: String,
}

impl Engine {
    /// Puts gateways into a specification that is about to be recorded. A network of the modes `none`
    /// and `open` becomes rules that say the same, and where no policy with a name decides they allow the
    /// gateways.
    pub(crate) async fn bind_gateways(
        &self,
        ctx: &Ctx,
        wanted: &[WantedGateway],
        spec: &mut SandboxSpec,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        ctx.require(Resource::Secrets, Level::Read)?;
        if wanted.len() > limits::GATEWAYS_OF_SANDBOX_MAX {
            let max = limits::GATEWAYS_OF_SANDBOX_MAX;
            let text = format!("a sandbox may have at most {max} gateways");
            return Err(Error::invalid("gateways", text));
        }
        let project = &ctx.principal.project;
        for one in wanted {
            let gateway = self.gateway_named(project, one.kind, &one.gateway).await?;
            spec.more.gateways.push(GatewayBinding {
                kind: one.kind,
                gateway: gateway.id,
                secret: self.secret_named(project, &one.secret).await?,
                token_variable: one.token_variable.clone(),
                url_variable: one.url_variable.clone(),
            });
        }
        if spec.network == NetworkMode::Open {
            spec.network_policy.allow = EVERYTHING
                .into_iter()
                .map(str::parse)
                .collect::<Result<_>>()?;
        }
        spec.network = NetworkMode::Policy;
        if spec.network_policy_id.is_none() {
            for one in wanted {
                allow(&mut spec.network_policy, one.kind)?;
            }
        }
        Ok(())
    }

    /// A token for a gateway and a secret, of use inside that sandbox alone. Where the sandbox follows no
    /// policy with a name, its rules allow the gateway from now on.
    ///
    /// # Errors
    /// `invalid_argument` for a sandbox whose network is open: it has no gate, and getting one would cut
    /// its connections.
    pub async fn create_gateway_token(
        &self,
        ctx: &Ctx,
        id: &SandboxId,
        kind: GatewayKind,
        gateway: &str,
        secret: &str,
    ) -> Result<GatewayToken> {
        let note = Note::new("sandbox.gateway_token");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            ctx.require(Resource::Secrets, Level::Read)?;
            let live = self.need_live(ctx, id).await?;
            let sandbox = live.sandbox();
            let project = &ctx.principal.project;
            if sandbox.project != *project {
                // Its calls are made with its own project's secrets.
                return Err(crate::access::no_sandbox(id));
            }
            let gateway = self.gateway_named(project, kind, gateway).await?;
            let secret = self.secret_named(project, secret).await?;
            sandbox.state.require_running()?;
            self.let_to(ctx, &sandbox, kind).await?;
            note.fact("gateway", gateway.id.as_str());
            note.fact("secret", secret.name.as_str());
            let key = &self.shared().token_key;
            Ok(GatewayToken {
                token: token(key, &sandbox.id, &gateway, secret),
                sandbox: sandbox.id,
                gateway,
            })
        })
        .await
    }

    async fn let_to(&self, ctx: &Ctx, sandbox: &Sandbox, kind: GatewayKind) -> Result<()> {
        if let_to(&sandbox.spec, kind)?.is_none() {
            return Ok(());
        }
        let (id, before) = (&sandbox.id, sandbox.spec.network);
        let (changes, after) = (before != NetworkMode::Policy, NetworkMode::Policy);
        if changes {
            self.write_resolver(ctx, id, after).await?;
        }
        let change = Change::AllowGateway(kind);
        let changed = self.changed(ctx, "sandbox.network.set", id, change).await;
        if changed.is_err() && changes {
            let _ = self.write_resolver(ctx, id, before).await;
        }
        changed.map(drop)
    }
}

/// The rules that let a sandbox to gateways of a kind, where it needs others than it has: one that follows
/// a policy with a name has what that says.
pub(crate) fn let_to(spec: &SandboxSpec, kind: GatewayKind) -> Result<Option<NetworkPolicy>> {
    if spec.network == NetworkMode::Open {
        return Err(Error::new(
            Code::InvalidArgument,
            "the sandbox has an open network, in which there are no gateways; make it with gateways \
             or with a network policy",
        ));
    }
    let mut rules = spec.network_policy.clone();
    allow(&mut rules, kind)?;
    let is_so = spec.network == NetworkMode::Policy && rules == spec.network_policy;
    if is_so || spec.network_policy_id.is_some() {
        return Ok(None);
    }
    rules.validate()?;
    Ok(Some(rules))
}

/// The variables of each command of a sandbox with gateways.
pub(crate) fn gateway_env(shared: &Shared, sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for one in &sandbox.spec.more.gateways {
        let claims = Claims::new(one.gateway.clone(), one.secret.name.clone());
        let token = shared.token_key.seal(&sandbox.id, &claims);
        env.insert(one.token_variable.clone(), token);
        env.insert(one.url_variable.clone(), one.kind.url().to_owned());
    }
    env
}

fn token(key: &TokenKey, sandbox: &SandboxId, gateway: &Gateway, secret: SecretRef) -> String {
    key.seal(sandbox, &Claims::new(gateway.id.clone(), secret.name))
}

/// Lets rules allow the gateways of that kind, unless they do.
fn allow(rules: &mut NetworkPolicy, kind: GatewayKind) -> Result<()> {
    let rule: Rule = kind.host().parse()?;
    let every: Rule = "*".parse()?;
    if !rules.allow.contains(&rule) && !rules.allow.contains(&every) {
        rules.allow.push(rule);
    }
    Ok(())
}
