//! A server with previews, a sandbox, and the application in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pinfold_api::{ApiConfig, router};
use pinfold_engine::{
    CreateKey, Databases, Drain, Engine, EngineConfig, Parts, QuotaChange, SystemClock,
};
use pinfold_http::{Addresses, ServeLimits, serve};
use pinfold_images::LayerStore;
use pinfold_model::{Ctx, KeyKind, Role};
use pinfold_preview::{Limits, serve_with_previews};
use pinfold_runtime::journal::Journals;
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver};
use pinfold_sdk::{
    Client, CreatePreview, CreateSandbox, CreatedPreview, PreviewAccess, StartCommand, Upload,
    WriteOptions,
};
use pinfold_store::{Blobs, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "a-key-for-tests-of-24-or-more";
pub(crate) const DOMAIN: &str = "preview.test";
pub(crate) const PORT: u16 = 8000;
/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// How long the application may take to answer, where a test does not say otherwise.
const HEAD: Duration = Duration::from_secs(100);

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) sandbox: String,
    stop: CancellationToken,
    served: JoinHandle<usize>,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_head_timeout(HEAD).await
    }

    /// With an application that may take that long for its head.
    pub(crate) async fn with_head_timeout(head: Duration) -> Self {
        let dir = TempDir::new().expect("a directory");
        let engine = engine(&dir).await;
        engine.bootstrap_key(Some(KEY)).await.expect("a key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let config = ApiConfig::new(dir.path().to_owned(), Arc::new(String::new));
        let addresses = Addresses {
            preview_domain: Some(DOMAIN.parse().expect("a domain")),
            ..Addresses::default()
        };
        let limits = Limits {
            head,
            ..Limits::default()
        };
        let api = router(engine.clone(), config);
        let routes =
            serve_with_previews(engine.clone(), addresses, limits, axum::Router::new(), api);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(serve(listener, routes, stopped, ServeLimits::default()));
        let client = Client::new(&format!("http://{address}"), KEY).expect("a URL");
        let wanted = CreateSandbox {
            memory_mib: Some(512),
            ..CreateSandbox::default()
        };
        let sandbox = client.sandboxes().create(&wanted).await;
        Self {
            engine,
            client,
            address,
            sandbox: sandbox.expect("a running sandbox").id,
            stop,
            served,
            _dir: dir,
        }
    }

    /// The same with the application at [`PORT`].
    pub(crate) async fn with_application() -> Self {
        let world = Self::new().await;
        world.start_application().await;
        world
    }

    /// Returns when it listens.
    pub(crate) async fn start_application(&self) {
        let files = self.client.files(&self.sandbox);
        let script = Upload::bytes(include_str!("application.py"));
        let options = WriteOptions::default();
        let written = files.write("/tmp/application.py", script, &options).await;
        written.expect("written");
        self.start(&format!("exec python3 /tmp/application.py {PORT}"))
            .await;
        let line = format!(
            "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {PORT}))' \
             2>/dev/null; do sleep 0.05; done"
        );
        let request = shell(&line);
        let run = self.client.commands().run(&self.sandbox, &request).await;
        assert_eq!(run.expect("it listens").command.exit_code, Some(0));
    }

    pub(crate) async fn start(&self, line: &str) {
        let started = self
            .client
            .commands()
            .start(&self.sandbox, &shell(line))
            .await;
        started.expect("started");
    }

    pub(crate) async fn preview(&self, access: PreviewAccess) -> CreatedPreview {
        self.preview_of(PORT, access).await
    }

    pub(crate) async fn preview_of(&self, port: u16, access: PreviewAccess) -> CreatedPreview {
        let request = CreatePreview {
            port: port.into(),
            access: Some(access),
            expires_in_ms: None,
        };
        let created = self.client.previews().create(&self.sandbox, &request).await;
        created.expect("a preview")
    }

    /// A key of another project.
    pub(crate) async fn stranger(&self) -> String {
        let system = Ctx::new(self.engine.system_principal());
        let quota = QuotaChange::default();
        let project = self.engine.create_project(&system, "other", quota).await;
        let request = CreateKey {
            name: "stranger".into(),
            role: Role::Member,
            kind: KeyKind::Agent,
            project: Some(project.expect("a project").id),
            expires: None,
            scopes: pinfold_model::Scopes::All,
            quota,
        };
        let key = self.engine.create_key(&system, request).await;
        key.expect("a key").secret
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        let _ = self.served.await;
        self.engine.shutdown(Drain::DestroySandboxes).await;
    }
}

async fn engine(dir: &TempDir) -> Engine {
    let name = dir.path().file_name().expect("a name").to_string_lossy();
    let config = Config {
        directory: dir.path().join("sandboxes"),
        machine_directory: PathBuf::from("/run/pinfold"),
        instance: name.replace(|c: char| !c.is_ascii_alphanumeric(), ""),
        disks: Disks::Memory,
    };
    let parts = Parts {
        store: Store::in_memory().await.expect("a store"),
        driver: Arc::new(NamespaceDriver::open(config).expect("a driver")),
        layers: LayerStore::open(&dir.path().join("layers")).expect("layers"),
        journals: Journals::open(&dir.path().join("journals")).expect("journals"),
        blobs: Blobs::directory(&dir.path().join("objects")).expect("objects"),
        databases: Databases::open(&dir.path().join("axons")).expect("databases"),
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::open(EngineConfig::default(), parts).await;
    let engine = engine.expect("an engine");
    engine.start().await.expect("started");
    engine
}

pub(crate) fn shell(line: &str) -> StartCommand {
    StartCommand {
        shell: Some(line.to_owned()),
        ..StartCommand::default()
    }
}

/// Runs a case with its deadline.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("done in time")
}

/// Waits until `condition` holds; the deadline of the case bounds it.
pub(crate) async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
