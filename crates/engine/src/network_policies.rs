//! Use cases of network policies with a name, which sandboxes follow also when they change.
//!
//! ```text
//! change: the row --> each live sandbox that follows it: its owner reads the row, records the rules, obeys
//!                      ^ birth of an owner, reconciler
//! ```
//! A sandbox keeps the rules that it obeys in its own specification, so everything that obeys rules knows
//! nothing of this. An owner reads the row itself, so of two changes at once the later one is what stays;
//! and it reads it at its birth, so a crash between the row and the sandboxes is made good at the start.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use pinfold_model::{
    Code, Ctx, Error, NamedPolicy, NetworkMode, NetworkPolicy, NetworkPolicyId, ProjectId, Result,
    limits,
};
use pinfold_store::{Inserted, Page, PageRequest};
use serde::Serialize;

use crate::engine::Shared;
use crate::live::Change;
use crate::usecase::Note;
use crate::{Accepted, Engine, Origin};

/// Attempts at one change: another one is needed only where somebody else changes the same policy at
/// the same moment.
const ATTEMPTS: usize = 8;

/// A policy to make.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateNetworkPolicy {
    pub name: String,
    pub description: Option<String>,
    pub rules: NetworkPolicy,
    /// What a facade keeps with it for itself.
    pub annotations: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a policy of the caller's project. The same idempotency key with the same request answers
    /// with the same policy; with another request it is a conflict.
    pub async fn create_network_policy(
        &self,
        ctx: &Ctx,
        request: CreateNetworkPolicy,
        idempotency: Option<&str>,
    ) -> Result<Accepted<NamedPolicy>> {
        let note = Note::new("network_policy.create");
        self.audited(ctx, &note, async {
            let claim = self.claim(ctx, "network_policy.create", idempotency, &request)?;
            let now = self.now();
            let policy = NamedPolicy {
                id: NetworkPolicyId::generate(),
                project: ctx.principal.project.clone(),
                name: request.name,
                description: request.description,
                rules: request.rules,
                annotations: request.annotations,
                version: 1,
                created_at: now,
                updated_at: now,
                created_by: ctx.principal.key.clone(),
            };
            policy.validate()?;
            let policies = self.store().network_policies();
            let max = limits::NETWORK_POLICIES_MAX;
            let (value, origin) = match policies.insert(&policy, max, claim.as_ref()).await? {
                Inserted::New(policy) => (policy, Origin::New),
                Inserted::Replay(policy) => (policy, Origin::Replay),
            };
            note.about(value.id.as_str());
            note.fact("name", value.name.as_str());
            note.fact("replay", origin == Origin::Replay);
            Ok(Accepted { value, origin })
        })
        .await
    }

    pub async fn get_network_policy(&self, ctx: &Ctx, id: &NetworkPolicyId) -> Result<NamedPolicy> {
        self.timed(
            ctx,
            "network_policy.get",
            policy(self.shared(), &ctx.principal.project, id),
        )
        .await
    }

    /// Newest first, of the caller's project.
    pub async fn list_network_policies(
        &self,
        ctx: &Ctx,
        page: &PageRequest,
    ) -> Result<Page<NamedPolicy>> {
        self.timed(ctx, "network_policy.list", async {
            let project = &ctx.principal.project;
            Ok(self.store().network_policies().list(project, page).await?)
        })
        .await
    }

    /// Changes what callers choose of a policy: `change` gets it as it is, perhaps several times. When
    /// this returns, every live sandbox that follows the policy obeys the new rules; connections that
    /// are not allowed any more are cut. After an error they still may, and will in a while.
    pub async fn change_network_policy(
        &self,
        ctx: &Ctx,
        id: &NetworkPolicyId,
        change: impl Fn(&mut NamedPolicy) -> Result<()> + Send + Sync + 'static,
    ) -> Result<NamedPolicy> {
        let (engine, ctx, id) = (self.clone(), ctx.clone(), id.clone());
        // To its end, and onto the trail, even if the caller goes away.
        self.detached(async move { engine.change_policy(&ctx, &id, change).await })
            .await
    }

    async fn change_policy(
        &self,
        ctx: &Ctx,
        id: &NetworkPolicyId,
        change: impl Fn(&mut NamedPolicy) -> Result<()> + Send + Sync,
    ) -> Result<NamedPolicy> {
        let note = Note::new("network_policy.change");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let changed = changed(self.shared(), &ctx.principal.project, id, change).await?;
            followed(self.shared(), &changed).await?;
            note.fact("version", changed.version);
            Ok(changed)
        })
        .await
    }

    /// Deletes a policy for good.
    ///
    /// # Errors
    /// `in_use` while a live sandbox follows it.
    pub async fn delete_network_policy(&self, ctx: &Ctx, id: &NetworkPolicyId) -> Result<()> {
        let note = Note::new("network_policy.delete");
        note.about(id.as_str());
        self.audited(ctx, &note, async {
            let project = &ctx.principal.project;
            Ok(self.store().network_policies().delete(project, id).await?)
        })
        .await
    }

    /// The policy that a request names by its id, or by its name where no other has that.
    pub(crate) async fn policy_named(
        &self,
        project: &ProjectId,
        named: Option<&str>,
    ) -> Result<Option<NamedPolicy>> {
        let Some(named) = named else {
            return Ok(None);
        };
        if let Ok(id) = named.parse() {
            return policy(self.shared(), project, &id).await.map(Some);
        }
        let mut found = self
            .store()
            .network_policies()
            .by_name(project, named)
            .await?;
        match found.len() {
            0 | 1 => found
                .pop()
                .map(Some)
                .ok_or_else(|| not_found(&format!("{named:?}"))),
            _ => Err(Error::invalid(
                "network_policy_id",
                format!("several network policies are called {named:?}: name one by its id"),
            )),
        }
    }
}

/// A policy is named instead of rules, and only in the mode that obeys some.
pub(crate) fn check_named_alone(
    named: Option<&str>,
    network: Option<NetworkMode>,
    rules: Option<&NetworkPolicy>,
) -> Result<()> {
    let other_mode = network.is_some_and(|mode| mode != NetworkMode::Policy);
    if named.is_some() && (other_mode || rules.is_some()) {
        return Err(Error::invalid(
            "network_policy_id",
            "a network policy by name or id goes neither with network_policy nor with a network \
             other than \"policy\"",
        ));
    }
    Ok(())
}

/// Brings every live sandbox to the policy that it follows, where something kept it from it.
pub(crate) async fn reconcile(shared: &Shared) -> Result<()> {
    let mut rules: HashMap<NetworkPolicyId, NetworkPolicy> = HashMap::new();
    for live in shared.registry.sandboxes() {
        let sandbox = live.view().sandbox;
        let Some(id) = &sandbox.spec.network_policy_id else {
            continue;
        };
        if !rules.contains_key(id) {
            let policies = shared.store.network_policies();
            // Nobody follows it any more but one that is ending.
            let Some(policy) = policies.get(&sandbox.project, id).await? else {
                continue;
            };
            rules.insert(id.clone(), policy.rules);
        }
        if rules[id] != sandbox.spec.network_policy
            && let Some(Err(error)) = live.change(Change::FollowPolicy).await
        {
            tracing::error!(sandbox = %live.id(), %error, "it does not obey its network policy");
        }
    }
    Ok(())
}

async fn changed(
    shared: &Shared,
    project: &ProjectId,
    id: &NetworkPolicyId,
    change: impl Fn(&mut NamedPolicy) -> Result<()>,
) -> Result<NamedPolicy> {
    for _ in 0..ATTEMPTS {
        let mut wanted = policy(shared, project, id).await?;
        change(&mut wanted)?;
        wanted.validate()?;
        let policies = shared.store.network_policies();
        if let Some(changed) = policies.change(&wanted, shared.clock.now()).await? {
            return Ok(changed);
        }
    }
    Err(Error::new(
        Code::Unavailable,
        "others are changing this network policy at the same time; try again",
    ))
}

async fn followed(shared: &Shared, policy: &NamedPolicy) -> Result<()> {
    let mut followers = shared.registry.sandboxes_of(&policy.project);
    followers.retain(|live| {
        let sandbox = live.view().sandbox;
        sandbox.spec.network_policy_id.as_ref() == Some(&policy.id)
    });
    let asked = followers
        .iter()
        .map(|live| live.change(Change::FollowPolicy));
    // None of those that ended meanwhile has anything left to obey.
    let obeyed: Result<Vec<_>> = join_all(asked).await.into_iter().flatten().collect();
    obeyed.map(drop)
}

async fn policy(shared: &Shared, project: &ProjectId, id: &NetworkPolicyId) -> Result<NamedPolicy> {
    let found = shared.store.network_policies().get(project, id).await?;
    found.ok_or_else(|| not_found(id.as_str()))
}

fn not_found(named: &str) -> Error {
    Error::new(
        Code::NetworkPolicyNotFound,
        format!("no network policy {named} in this project"),
    )
}
