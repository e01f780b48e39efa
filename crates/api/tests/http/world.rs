//! A server with two projects; the first has a sandbox, a command, an image and a template.

mod records;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use pinfold_api::{ApiConfig, router};
use pinfold_engine::{
    CreateKey, CreateNetworkPolicy, CreateObject, Databases, Engine, EngineConfig, MasterKey,
    Parts, PullImage, PullPolicy, SecretsKey, SystemClock,
};
use pinfold_images::LayerStore;
use pinfold_model::isolation::Level;
use pinfold_model::usage::Gauge;
use pinfold_model::{
    BuildId, CodeContextId, Command, CommandId, Ctx, ImageId, Isolation, KeyKind, NetworkPolicyId,
    ObjectId, PreviewId, Project, ProjectId, PullId, Purpose, Role, RunId, SandboxId, SecretValue,
    SshKeyId,
};
use pinfold_runtime::driver::{BootError, BootSpec, Driver, DriverError, Remains};
use pinfold_runtime::guest::Guest;
use pinfold_runtime::journal::Journals;
use pinfold_store::{Blobs, Store};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use records::{code_context, command, ended_build, ended_run, failed_with_ways_in, image, sandbox};

/// A machine that can boot nothing and has nothing.
struct NoMachine;

#[async_trait]
impl Driver for NoMachine {
    fn isolation(&self) -> Isolation {
        Isolation {
            level: Level::Namespace,
            enforced: Vec::new(),
            weaker: vec!["nothing boots in this test".to_owned()],
        }
    }

    async fn boot(&self, _: &BootSpec) -> Result<Guest, BootError> {
        Err(BootError::Unsupported(
            "nothing boots in this test".to_owned(),
        ))
    }

    async fn attach(&self, _: &SandboxId) -> Result<Option<Guest>, DriverError> {
        Ok(None)
    }

    async fn survey(&self) -> Result<Vec<Remains>, DriverError> {
        Ok(Vec::new())
    }

    async fn freeze(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn thaw(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn stop(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    fn check_copy(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn snapshots(&self) -> Result<Vec<ImageId>, DriverError> {
        Ok(Vec::new())
    }

    async fn destroy(&self, _: &SandboxId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn gauge(&self, _: &SandboxId) -> Result<Gauge, DriverError> {
        Ok(Gauge::default())
    }

    fn cpu_used_us(&self, _: &SandboxId) -> Option<u64> {
        None
    }

    async fn settle(&self) {}
}

/// An image of a registry that is not there.
pub(crate) const NOWHERE: &str = "127.0.0.1:9/nowhere:1";

pub(crate) struct World {
    router: Router,
    pub(crate) sandbox: SandboxId,
    pub(crate) command: CommandId,
    pub(crate) context: CodeContextId,
    pub(crate) run: CommandId,
    pub(crate) pipeline_run: RunId,
    pub(crate) build: BuildId,
    pub(crate) image: ImageId,
    pub(crate) preview: PreviewId,
    pub(crate) ssh_key: SshKeyId,
    pub(crate) network_policy: NetworkPolicyId,
    pub(crate) object: ObjectId,
    pub(crate) pull: PullId,
    pub(crate) project: ProjectId,
    /// An admin of the org.
    pub(crate) admin: String,
    /// A member of the project that owns everything here.
    pub(crate) owner: String,
    /// A member of the other project.
    pub(crate) stranger: String,
    _dir: TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn code(&self) -> String {
        let json = self.json();
        json["error"]["code"]
            .as_str()
            .expect("an error's code")
            .to_owned()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let store = Store::in_memory().await.expect("a store");
        let engine = engine(dir.path(), &store).await;
        let system = Ctx::new(engine.system_principal());
        let (own, other) = (
            project(&engine, &system, "own").await,
            project(&engine, &system, "other").await,
        );
        let image = image(&own.id);
        store.images().insert(&image).await.expect("recorded");
        let sandbox = sandbox(&own.id, &image.id);
        let (preview, ssh_key) = failed_with_ways_in(&store, &sandbox).await;
        let context = code_context(&sandbox);
        let contexts = store.code_contexts();
        contexts.insert(&context, None).await.expect("recorded");
        let run = Command {
            purpose: Purpose::CodeRun(context.id.clone()),
            ..command(&sandbox)
        };
        store.commands().insert(&run, None).await.expect("recorded");
        let command = command(&sandbox);
        store
            .commands()
            .insert(&command, None)
            .await
            .expect("recorded");
        let pipeline_run = ended_run(&store, &own, &sandbox).await;
        let build = ended_build(&store, &own).await;
        engine.start().await.expect("the engine starts");
        let owner = key(&engine, &system, Role::Member, &own.id).await;
        let object = uploading(&engine, &owner).await;
        let pull = pulling(&engine, &owner).await;
        secret(&engine, &owner).await;
        let network_policy = network_policy(&engine, &owner).await;
        let config = ApiConfig::new(dir.path().to_owned(), Arc::new(|| "pinfold_up 1\n".into()));
        Self {
            admin: key(&engine, &system, Role::Admin, &own.id).await,
            owner,
            stranger: key(&engine, &system, Role::Member, &other.id).await,
            router: router(engine, config),
            sandbox: sandbox.id,
            command: command.id,
            context: context.id,
            run: run.id,
            pipeline_run,
            build,
            image: image.id,
            preview,
            ssh_key,
            network_policy,
            object,
            pull,
            project: own.id,
            _dir: dir,
        }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// One request; `body` as JSON where it is not null.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = Request::builder().method(method).uri(target);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            json => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
        };
        self.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_vec(),
        }
    }
}

async fn engine(dir: &Path, store: &Store) -> Engine {
    let parts = Parts {
        store: store.clone(),
        driver: Arc::new(NoMachine),
        layers: LayerStore::open(&dir.join("layers")).expect("layers"),
        journals: Journals::open(&dir.join("journals")).expect("journals"),
        blobs: Blobs::directory(&dir.join("objects")).expect("objects"),
        databases: Databases::open(&dir.join("axons")).expect("databases"),
        clock: Arc::new(SystemClock),
    };
    let config = EngineConfig {
        pull: PullPolicy::Missing,
        secrets_key: SecretsKey::Given(MasterKey::generate()),
        ..EngineConfig::default()
    };
    Engine::open(config, parts).await.expect("an engine")
}

/// A pull that finds no registry; remembered all the same.
async fn pulling(engine: &Engine, secret: &str) -> PullId {
    let ctx = Ctx::new(engine.authenticate(secret).await.expect("a good key"));
    let pull = engine.start_pull(&ctx, PullImage::new(NOWHERE)).await;
    pull.expect("a pull").id
}

/// The value of the owner's secret `private`.
pub(crate) const SECRET_VALUE: &str = "hunter2-hunter2";

async fn secret(engine: &Engine, key: &str) {
    let ctx = Ctx::new(engine.authenticate(key).await.expect("a good key"));
    let value = SecretValue::new(SECRET_VALUE.to_owned()).expect("valid");
    let put = engine.put_secret(&ctx, "private", value).await;
    put.expect("a secret");
}

async fn network_policy(engine: &Engine, key: &str) -> NetworkPolicyId {
    let ctx = Ctx::new(engine.authenticate(key).await.expect("a good key"));
    let request = CreateNetworkPolicy {
        name: "private".to_owned(),
        ..CreateNetworkPolicy::default()
    };
    let made = engine.create_network_policy(&ctx, request, None).await;
    made.expect("a policy").value.id
}

async fn uploading(engine: &Engine, secret: &str) -> ObjectId {
    let ctx = Ctx::new(engine.authenticate(secret).await.expect("a good key"));
    let request = CreateObject {
        name: Some("seen".to_owned()),
        ..CreateObject::default()
    };
    let begun = engine.begin_object(&ctx, request, None).await;
    begun.expect("an object").value.id
}

async fn project(engine: &Engine, ctx: &Ctx, name: &str) -> Project {
    let quota = pinfold_engine::QuotaChange::default();
    engine
        .create_project(ctx, name, quota)
        .await
        .expect("a project")
}

async fn key(engine: &Engine, ctx: &Ctx, role: Role, project: &ProjectId) -> String {
    let request = CreateKey {
        name: role.as_str().to_owned(),
        role,
        kind: KeyKind::User,
        project: Some(project.clone()),
        expires: None,
        scopes: pinfold_model::Scopes::All,
        quota: Default::default(),
    };
    engine.create_key(ctx, request).await.expect("a key").secret
}
