//! What every case begins with, and ready-made things to store.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::image::{ImageConfig, ImageSource};
use pinfold_model::resources::{NetworkMode, Resources};
use pinfold_model::sandbox::IdleAction;
use pinfold_model::{
    Command, CommandId, CommandSpec, CommandState, Credential, Digest, Image, ImageId, Key, KeyId,
    KeyKind, Program, Project, ProjectId, Purpose, Quota, Role, Sandbox, SandboxId, SandboxSpec,
    SandboxState, Time,
};
use pinfold_store::{Home, PageRequest, Store};

use crate::place::Place;

/// A fresh store with its default project and one shared image.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) store: Store,
    pub(crate) home: Home,
    pub(crate) image: ImageId,
}

/// Microseconds after a fixed instant.
pub(crate) fn at(us: i64) -> Time {
    Time::from_microsecond(1_700_000_000_000_000 + us).expect("within jiff's range")
}

pub(crate) fn seconds(s: i64) -> Time {
    at(s * 1_000_000)
}

impl World {
    pub(crate) async fn begin(place: Place) -> Self {
        place.create().await;
        let store = place.open().await;
        let home = store.projects().bootstrap(at(0)).await.expect("bootstrap");
        let image = image(None, &[]);
        store
            .images()
            .insert(&image)
            .await
            .expect("the shared image");
        Self {
            place,
            store,
            home,
            image: image.id,
        }
    }

    pub(crate) fn project(&self) -> ProjectId {
        self.home.project.id.clone()
    }

    /// Another project of the same org.
    pub(crate) async fn other_project(&self) -> Project {
        let project = Project {
            id: ProjectId::generate(),
            org: self.home.org.id.clone(),
            name: "other".into(),
            quota: Quota::default(),
            created_at: at(1),
        };
        self.store
            .projects()
            .insert(&project)
            .await
            .expect("a new name");
        project
    }

    /// A sandbox of the default project that is not stored yet.
    pub(crate) fn sandbox(&self) -> Sandbox {
        sandbox(self.project(), self.image.clone())
    }

    pub(crate) async fn stored_sandbox(&self) -> Sandbox {
        let sandbox = self.sandbox();
        self.insert(&sandbox).await;
        sandbox
    }

    pub(crate) async fn insert(&self, sandbox: &Sandbox) {
        let inserted = self.store.sandboxes().insert(sandbox, None).await;
        inserted.expect("the sandbox is recorded");
    }

    pub(crate) async fn stored_command(&self, sandbox: &Sandbox) -> Command {
        let command = command(sandbox);
        let inserted = self.store.commands().insert(&command, None).await;
        inserted.expect("the command is recorded");
        command
    }

    pub(crate) fn key(&self) -> Key {
        Key {
            id: KeyId::generate(),
            org: self.home.org.id.clone(),
            project: self.project(),
            name: "ci".into(),
            kind: KeyKind::Agent,
            role: Role::Member,
            scopes: pinfold_model::Scopes::All,
            prefix: "pf_12345".into(),
            suffix: "wxyz".into(),
            quota: Quota {
                live_sandboxes: Some(3),
                ..Quota::UNBOUNDED
            },
            created_at: at(5),
            expires_at: Some(at(500)),
            revoked_at: None,
            last_used_at: None,
        }
    }
}

pub(crate) fn sandbox(project: ProjectId, image: ImageId) -> Sandbox {
    Sandbox {
        id: SandboxId::generate(),
        project,
        key: None,
        spec: SandboxSpec {
            name: Some("büro \"1\"".into()),
            image,
            image_name: "host:latest".into(),
            template_version: None,
            template: None,
            forked_from: None,
            resources: Resources::default(),
            network: NetworkMode::Open,
            network_policy: pinfold_model::NetworkPolicy::default(),
            network_policy_id: None,
            env: BTreeMap::from([("A".into(), "line\nbreak".into())]),
            workdir: "/workspace".into(),
            user: "root".into(),
            hostname: "box".into(),
            metadata: BTreeMap::new(),
            ttl: Some(Duration::from_millis(1500)),
            idle_timeout: None,
            idle_action: IdleAction::Stop,
            mounts: vec![],
            credentials: vec![
                Credential::new("token", "*.example.com:8443", None, None).expect("valid"),
            ],
            more: pinfold_model::sandbox::SandboxExtras::default(),
        },
        state: SandboxState::Creating,
        reason: None,
        failure: None,
        created_at: at(10),
        running_since: None,
        ttl: Some(Duration::from_millis(1500)),
        expires_at: Some(at(1_500_010)),
        last_active_at: at(10),
        running_commands: 0,
        ended_at: None,
    }
}

pub(crate) fn command(sandbox: &Sandbox) -> Command {
    Command {
        id: CommandId::generate(),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        purpose: Purpose::Command,
        spec: CommandSpec::new(Program::Argv(vec!["echo".into(), "häß".into()])),
        state: CommandState::Queued,
        cancel: None,
        created_at: at(20),
        started_at: None,
        ended_at: None,
        last_seq: None,
        truncated: false,
    }
}

pub(crate) fn image(project: Option<ProjectId>, names: &[&str]) -> Image {
    let names = names.iter().map(|name| name.parse().expect("a good name"));
    Image {
        id: ImageId::generate(),
        project,
        source: ImageSource::OciLayout,
        layers: vec![Digest::from_sha256([1; 32]), Digest::from_sha256([2; 32])],
        config: ImageConfig {
            cmd: vec!["bash".into()],
            ..ImageConfig::default()
        },
        size_bytes: 12_345,
        names: names.collect(),
        created_at: at(3),
    }
}

/// A page that holds all of a small list.
pub(crate) fn all() -> PageRequest {
    PageRequest::new(500, None)
}
