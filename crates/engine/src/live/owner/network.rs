//! What the sandbox is linked to.

use std::sync::Arc;

use pinfold_egress::{Added, Credentials, Egress};
use pinfold_model::{Error, GatewayKind, NetworkMode, NetworkPolicy, NetworkPolicyId, Result};
use pinfold_runtime::driver::{GATE_NETWORK, GATE_PREFIX, Gate};

use super::Owner;
use super::gateway::Calls;
use super::trust::Bound;
use crate::errors::driver_error;
use crate::gateways::let_to;

impl Owner {
    /// Links what runs as that mode says, under the policy that is recorded.
    pub(super) async fn link(&self, mode: NetworkMode) -> Result<()> {
        if mode != NetworkMode::Policy {
            // While the sandbox can still be told that its connections broke.
            self.close_gate().await;
        }
        let linked = self.shared.driver.set_network(self.live.id(), mode).await;
        match linked.map_err(driver_error)? {
            Some(gate) => self.serve(gate),
            None => Ok(()),
        }
    }

    /// What an earlier engine has left, as it is recorded now. Where that fails nothing comes out.
    pub(super) async fn link_again(&self) {
        let mode = self.live.view().sandbox.spec.network;
        if let Err(error) = self.link(mode).await {
            tracing::error!(sandbox = %self.live.id(), %error, "not linked to its network");
        }
    }

    /// As its rules are now, not as they were when somebody looked: who closed its network meanwhile has
    /// the last word.
    pub(super) async fn allow_gateway(&mut self, kind: GatewayKind) -> Result<()> {
        let spec = self.live.view().sandbox.spec.clone();
        match let_to(&spec, kind)? {
            Some(rules) => self.set_network(NetworkMode::Policy, rules, None).await,
            None => Ok(()),
        }
    }

    /// The new rules hold when this returns, for connections that stand as well. One that stops or
    /// is suspended can change its rules; changing the mode takes one that runs.
    pub(super) async fn set_network(
        &mut self,
        mode: NetworkMode,
        policy: NetworkPolicy,
        follows: Option<NetworkPolicyId>,
    ) -> Result<()> {
        let before = self.live.view().sandbox.spec.clone();
        let old_mode = before.network;
        if mode != old_mode {
            self.state().require_running()?;
        }
        self.record_network(mode, policy.clone(), follows).await?;
        if mode == old_mode {
            return match self.live.egress() {
                Some(egress) => {
                    egress.set_policy(policy);
                    Ok(())
                }
                // It could not be linked when it was found, and may be now.
                None if mode == NetworkMode::Policy && self.guest().is_some() => {
                    self.link(mode).await
                }
                None => Ok(()),
            };
        }
        if let Err(error) = self.link(mode).await {
            let (policy, follows) = (before.network_policy, before.network_policy_id);
            self.record_network(old_mode, policy, follows).await?;
            self.link(old_mode).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Takes over the rules of the policy that it follows, if it follows one and has others.
    pub(super) async fn follow_policy(&mut self) -> Result<()> {
        let sandbox = self.live.view().sandbox;
        let Some(id) = &sandbox.spec.network_policy_id else {
            return Ok(());
        };
        let policies = self.shared.store.network_policies();
        match policies.get(&sandbox.project, id).await? {
            Some(policy) if policy.rules != sandbox.spec.network_policy => {
                let follows = Some(policy.id);
                self.set_network(NetworkMode::Policy, policy.rules, follows)
                    .await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn record_network(
        &self,
        mode: NetworkMode,
        policy: NetworkPolicy,
        follows: Option<NetworkPolicyId>,
    ) -> Result<()> {
        let mut sandbox = self.live.view().sandbox.as_ref().clone();
        sandbox.spec.network = mode;
        sandbox.spec.network_policy = policy;
        sandbox.spec.network_policy_id = follows;
        let sandboxes = self.shared.store.sandboxes();
        sandboxes.set_spec(self.live.id(), &sandbox.spec).await?;
        self.live
            .view
            .send_modify(|view| view.sandbox = Arc::new(sandbox));
        Ok(())
    }

    fn serve(&self, gate: Gate) -> Result<()> {
        let egress = match self.live.egress() {
            Some(egress) => egress,
            None => {
                let egress = self.new_egress()?;
                self.live.egress.get_or_init(|| egress)
            }
        };
        egress.set_policy(self.live.view().sandbox.spec.network_policy.clone());
        egress.serve(gate.tcp, gate.udp).map_err(Error::internal)
    }

    fn new_egress(&self) -> Result<Egress> {
        let outside = self.shared.outside()?.clone();
        let network = (GATE_NETWORK, GATE_PREFIX);
        let nothing = NetworkPolicy::default();
        let sandbox = self.live.view().sandbox;
        let bound = (!sandbox.spec.credentials.is_empty()).then(|| {
            let bound = Bound {
                shared: Arc::downgrade(&self.shared),
                project: sandbox.project.clone(),
                credentials: sandbox.spec.credentials.clone(),
            };
            Box::new(bound) as Box<dyn Credentials>
        });
        // Also where it was made with none: it may get a token later.
        let calls = Calls {
            shared: Arc::downgrade(&self.shared),
            project: sandbox.project.clone(),
            sandbox: sandbox.id.clone(),
        };
        let added = Added {
            authority: self.shared.authority()?,
            credentials: bound,
            gateways: Some(Box::new(calls)),
        };
        Ok(Egress::adding(outside, network, nothing, added))
    }

    pub(super) async fn close_gate(&self) {
        if let Some(egress) = self.live.egress() {
            egress.close().await;
        }
    }
}
