//! What an earlier server has left in the store: a sandbox that failed, and what it had.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_model::build::{BuildCache, BuildFailure, BuildFault, BuildSpec, BuildState};
use pinfold_model::pipeline::{OnFailure, RunSpec, RunState, Step, StepState};
use pinfold_model::sandbox::{EndReason, IdleAction};
use pinfold_model::{
    Build, BuildId, CodeContext, CodeContextId, CodeLanguage, Command, CommandId, CommandSpec,
    CommandState, Credential, ExitStatus, Image, ImageConfig, ImageId, ImageSource, NetworkMode,
    NetworkPolicy, Preview, PreviewAccess, PreviewId, Program, Project, ProjectId, Purpose,
    Resources, RunId, Sandbox, SandboxId, SandboxSpec, SandboxState, SecretEnv, Slug, SshKey,
    SshKeyId, Time,
};
use pinfold_store::{BuildBounds, KeptPreview, NewRun, Store, Transition};

pub(super) fn image(project: &ProjectId) -> Image {
    Image {
        id: ImageId::generate(),
        project: Some(project.clone()),
        source: ImageSource::Tar,
        layers: Vec::new(),
        config: ImageConfig::default(),
        size_bytes: 0,
        names: Vec::new(),
        created_at: now(),
    }
}

fn now() -> Time {
    Time::from_microsecond(Time::now().as_microsecond()).expect("a time")
}

/// A sandbox that has failed: it is still there, and nothing of it runs.
pub(super) fn sandbox(project: &ProjectId, image: &ImageId) -> Sandbox {
    let spec = SandboxSpec {
        name: Some("seen".to_owned()),
        image: image.clone(),
        image_name: "base".to_owned(),
        template_version: None,
        template: None,
        forked_from: None,
        resources: Resources::default(),
        network: NetworkMode::None,
        network_policy: NetworkPolicy::default(),
        network_policy_id: None,
        env: BTreeMap::from([("TOKEN".to_owned(), "hidden-value".to_owned())]),
        workdir: "/root".to_owned(),
        user: "root".to_owned(),
        hostname: "seen".to_owned(),
        metadata: BTreeMap::from([("team".to_owned(), "a b".to_owned())]),
        ttl: None,
        idle_timeout: None,
        idle_action: IdleAction::Destroy,
        mounts: Vec::new(),
        credentials: vec![
            Credential::new("private", "api.example.com", None, None).expect("valid"),
        ],
        more: pinfold_model::sandbox::SandboxExtras::default(),
    };
    Sandbox {
        id: SandboxId::generate(),
        project: project.clone(),
        key: None,
        spec,
        state: SandboxState::Failed,
        reason: Some(EndReason::BootFailed),
        failure: Some("nothing boots in this test".to_owned()),
        created_at: now(),
        running_since: None,
        ttl: None,
        expires_at: None,
        last_active_at: now(),
        running_commands: 0,
        ended_at: Some(now()),
    }
}

/// Records the sandbox as it ended, with a preview and a key for SSH from when it lived.
pub(super) async fn failed_with_ways_in(store: &Store, ended: &Sandbox) -> (PreviewId, SshKeyId) {
    let alive = Sandbox {
        state: SandboxState::Stopped,
        reason: None,
        failure: None,
        ended_at: None,
        ..ended.clone()
    };
    let sandboxes = store.sandboxes();
    sandboxes.insert(&alive, None).await.expect("recorded");
    let preview = Preview {
        id: PreviewId::generate(),
        slug: Slug::from_random([7; 20]),
        sandbox: ended.id.clone(),
        project: ended.project.clone(),
        port: 8080,
        access: PreviewAccess::Authenticated,
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        sandbox_ended_at: None,
    };
    let kept = KeptPreview {
        preview,
        token_hash: None,
    };
    let inserted = store.previews().insert(&kept, 1).await;
    inserted.expect("recorded");
    let key = SshKey {
        id: SshKeyId::generate(),
        sandbox: ended.id.clone(),
        project: ended.project.clone(),
        public_key: "ssh-ed25519 AAAA".to_owned(),
        fingerprint: "SHA256:x".to_owned(),
        created_at: now(),
        expires_at: None,
        created_by: None,
    };
    let inserted = store.ssh_keys().insert(&key, 1).await;
    inserted.expect("recorded");
    let change = Transition {
        reason: ended.reason,
        failure: ended.failure.clone(),
        ..Transition::new(ended.state, ended.ended_at.expect("it has ended"))
    };
    let states = SandboxState::ALL;
    let changed = sandboxes.transition(&ended.id, &states, &change).await;
    changed.expect("recorded").expect("it was there");
    (kept.preview.id, key.id)
}

/// A run whose only step failed in that sandbox.
pub(super) async fn ended_run(store: &Store, project: &Project, sandbox: &Sandbox) -> RunId {
    let steps = ["one", "two"].map(|name| Step {
        name: name.to_owned(),
        script: "false".to_owned(),
        timeout: Some(Duration::from_secs(5)),
        on_failure: OnFailure::Stop,
    });
    let new = NewRun {
        org: project.org.clone(),
        project: project.id.clone(),
        sandbox: sandbox.id.clone(),
        spec: RunSpec {
            steps: steps.to_vec(),
            timeout: Duration::from_secs(60),
            sandbox: sandbox.spec.clone(),
            key: None,
        },
        created_at: now(),
    };
    let runs = store.pipeline_runs();
    let inserted = runs.insert(&new, None).await.expect("recorded");
    let mut run = inserted.into_inner();
    run.state = RunState::Failed;
    run.steps[0].state = StepState::Failed;
    run.steps[0].exit_code = Some(1);
    run.steps[1].state = StepState::Skipped;
    run.started_at = Some(now());
    run.ended_at = Some(now());
    runs.save(&run).await.expect("recorded");
    run.id
}

pub(super) fn code_context(sandbox: &Sandbox) -> CodeContext {
    CodeContext {
        id: CodeContextId::generate(),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        language: CodeLanguage::Python,
        cwd: "/".to_owned(),
        asked_cwd: None,
        timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(3600),
        is_default: true,
        generation: 1,
        interpreter: None,
        created_at: now(),
        last_used_at: now(),
        expires_at: now() + Duration::from_secs(3600),
    }
}

pub(super) fn command(sandbox: &Sandbox) -> Command {
    let program = Program::Argv(vec!["true".to_owned()]);
    Command {
        id: CommandId::generate(),
        sandbox: sandbox.id.clone(),
        project: sandbox.project.clone(),
        purpose: Purpose::Command,
        spec: CommandSpec::new(program),
        state: CommandState::Exited(ExitStatus::Code(3)),
        cancel: None,
        created_at: now(),
        started_at: Some(now()),
        ended_at: Some(now()),
        last_seq: Some(1),
        truncated: false,
    }
}

pub(super) async fn ended_build(store: &Store, project: &Project) -> BuildId {
    let mut build = Build {
        id: BuildId::generate(),
        org: project.org.clone(),
        project: project.id.clone(),
        spec: BuildSpec {
            name: "built:1".parse().expect("a name"),
            dockerfile: "FROM scratch".to_owned(),
            context: None,
            target: None,
            args: BTreeMap::new(),
            secrets: SecretEnv::default(),
            setup: Vec::new(),
            setup_secrets: Default::default(),
            setup_anew_from: None,
            setup_user: None,
            files: BTreeMap::new(),
            home: None,
            labels: BTreeMap::new(),
            cache: BuildCache::Use,
            resources: Resources::default(),
            network: NetworkMode::None,
            network_policy: NetworkPolicy::default(),
            timeout: Duration::from_secs(60),
            key: None,
        },
        state: BuildState::Queued,
        steps: Vec::new(),
        warnings: Vec::new(),
        sandboxes: Vec::new(),
        image: None,
        failure: None,
        cancel: false,
        created_at: now(),
        started_at: None,
        ended_at: None,
    };
    let builds = store.builds();
    let bounds = BuildBounds::default();
    builds.insert(&build, None, bounds).await.expect("recorded");
    build.state = BuildState::Failed;
    build.failure = Some(BuildFailure::new(BuildFault::BaseImage, "none"));
    build.ended_at = Some(now());
    builds.save(&build).await.expect("recorded");
    build.id
}
