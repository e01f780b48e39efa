//! A place of a test's own, and the lives that engines lead in it.
//!
//! A life has a tokio runtime of its own. Ending that runtime without a word is, for everything in
//! it, what `kill -9` is for a process: each task stops wherever it happens to wait.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinfold_engine::{
    Clock, CreateSandbox, Databases, Drain, Engine, EngineConfig, PageRequest, Parts, RunOptions,
    RunOutput, SandboxFilter, SystemClock, Wait,
};
use pinfold_images::LayerStore;
use pinfold_model::{
    Command, CommandId, CommandSpec, Ctx, Program, Result, Sandbox, SandboxId, SandboxState,
};
use pinfold_runtime::driver::{Driver, clear};
use pinfold_runtime::journal::Journals;
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver};
use pinfold_store::{Blobs, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Place {
    temp: TempDir,
    disks: Disks,
}

/// One engine from its start to its end or crash.
pub(crate) struct Life {
    runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) ctx: Ctx,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with_disks(Disks::Memory)
    }

    /// Where stopped sandboxes keep their disks.
    pub(crate) fn with_kept_disks() -> Self {
        Self::with_disks(Disks::Pool {
            size_bytes: 256 << 20,
        })
    }

    fn with_disks(disks: Disks) -> Self {
        Self {
            temp: tempfile::tempdir().expect("temporary directory"),
            disks,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.path().join("sandboxes")
    }

    /// Where the content of objects is kept.
    pub(crate) fn objects(&self) -> PathBuf {
        self.path().join("objects")
    }

    /// Takes the database away, once the threads of lives that crashed have let go of it: what they
    /// still write would be mixed into the next one's files.
    pub(crate) fn forget_records(&self) {
        let name = self.path().join("pinfold.db");
        let name = name.to_str().expect("UTF-8");
        let is_open = || {
            let open = std::fs::read_dir("/proc/self/fd").expect("open files");
            open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
                .any(|path| path.to_string_lossy().starts_with(name))
        };
        let begun = Instant::now();
        while is_open() {
            assert!(begun.elapsed() < DEADLINE, "the database stays open");
            std::thread::sleep(Duration::from_millis(5));
        }
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{name}{end}"));
        }
    }

    /// Writes into the records behind the engine's back.
    pub(crate) fn record(&self, sql: &str) {
        let records = rusqlite::Connection::open(self.path().join("pinfold.db")).expect("records");
        records.busy_timeout(DEADLINE).expect("a time");
        records.execute_batch(sql).expect("legal");
    }

    /// Where the databases of axons are kept.
    pub(crate) fn databases(&self) -> PathBuf {
        self.path().join("axons")
    }

    pub(crate) fn live(&self) -> Life {
        self.live_with(EngineConfig::default(), Arc::new(SystemClock))
    }

    pub(crate) fn live_with(&self, config: EngineConfig, clock: Arc<dyn Clock>) -> Life {
        // The first life of a test sets it; shown where a test fails.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let (engine, driver) = runtime.block_on(async {
            Databases::bound_memory().expect("before the store is opened");
            let driver = self.driver();
            let parts = Parts {
                store: Store::open_sqlite(&self.path().join("pinfold.db"))
                    .await
                    .expect("store"),
                driver: Arc::clone(&driver),
                layers: LayerStore::open(&self.path().join("images")).expect("layers"),
                journals: Journals::open(&self.path().join("journals")).expect("journals"),
                blobs: Blobs::directory(&self.objects()).expect("objects"),
                databases: Databases::open(&self.databases()).expect("databases"),
                clock,
            };
            let engine = Engine::open(config, parts).await.expect("open");
            engine.start().await.expect("start");
            (engine, driver)
        });
        let ctx = Ctx::new(engine.system_principal());
        Life {
            runtime,
            engine,
            driver,
            ctx,
        }
    }

    /// Another implementation has to pass as well.
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(NamespaceDriver::open(self.driver_config()).expect("driver"))
    }

    fn driver_config(&self) -> Config {
        let name = self
            .path()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        Config {
            directory: self.sandboxes(),
            machine_directory: PathBuf::from("/run/pinfold"),
            instance: name.replace(|c: char| !c.is_ascii_alphanumeric(), ""),
            disks: self.disks,
        }
    }

    /// Looks from outside: no directory or mount of a sandbox is left.
    pub(crate) fn assert_no_sandbox_is_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.sandboxes())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .filter(|name| !name.to_string_lossy().starts_with('.'))
            .collect();
        assert!(left.is_empty(), "directories: {left:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let own = self.path().to_str().expect("a text");
        assert!(!mounts.contains(own), "mounts: {mounts}");
    }
}

/// A case of one life in a place of its own; nothing is left behind it.
pub(crate) fn one_life(place: Place, case: impl AsyncFnOnce(&Place, &Life)) {
    let life = place.live();
    life.run(case(&place, &life));
    life.clean_up(&place);
}

/// Whatever a test that failed or crashed its engine has left ends with its place.
impl Drop for Place {
    fn drop(&mut self) {
        if !self.sandboxes().exists() {
            return;
        }
        let runtime = Runtime::new().expect("runtime");
        let cleared = runtime.block_on(async {
            let driver = NamespaceDriver::open(self.driver_config())?;
            clear(&driver).await
        });
        if let Err(error) = cleared {
            eprintln!("{}: left behind: {error}", self.path().display());
        }
    }
}

impl Life {
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, work)
                .await
                .expect("done before the deadline")
        })
    }

    /// Ends this engine as a kill would.
    pub(crate) fn crash(self) {
        let Self {
            runtime,
            engine,
            driver,
            ..
        } = self;
        runtime.shutdown_timeout(Duration::from_secs(10));
        drop((engine, driver));
    }

    pub(crate) fn shut_down(self, drain: Drain) {
        self.run(self.engine.shutdown(drain));
        self.crash();
    }

    /// Ends every sandbox, and looks that nothing is left.
    pub(crate) fn clean_up(self, place: &Place) {
        self.shut_down(Drain::DestroySandboxes);
        place.assert_no_sandbox_is_left();
    }

    pub(crate) async fn create(&self, request: CreateSandbox) -> Sandbox {
        let created = self.engine.create_sandbox(&self.ctx, request, None).await;
        created.expect("create").value
    }

    pub(crate) async fn sandbox(&self) -> SandboxId {
        self.create(small()).await.id
    }

    pub(crate) async fn sh(&self, sandbox: &SandboxId, line: &str) -> RunOutput {
        self.try_sh(sandbox, line).await.expect("run")
    }

    pub(crate) async fn try_sh(&self, sandbox: &SandboxId, line: &str) -> Result<RunOutput> {
        let options = RunOptions::default();
        self.engine
            .run_command(&self.ctx, sandbox, shell(line), None, options)
            .await
    }

    pub(crate) async fn start(&self, sandbox: &SandboxId, spec: CommandSpec) -> CommandId {
        let started = self
            .engine
            .start_command(&self.ctx, sandbox, spec, None)
            .await;
        started.expect("start").value.id
    }

    pub(crate) async fn wait(&self, command: &CommandId) -> Command {
        let waited = self.engine.wait_command(&self.ctx, command, None).await;
        waited.expect("wait")
    }

    pub(crate) async fn state(&self, sandbox: &SandboxId) -> Sandbox {
        self.engine
            .get_sandbox(&self.ctx, sandbox)
            .await
            .expect("get")
    }

    pub(crate) async fn listed(&self) -> Vec<Sandbox> {
        let (filter, page) = (SandboxFilter::default(), PageRequest::default());
        let list = self.engine.list_sandboxes(&self.ctx, &filter, &page).await;
        list.expect("list").items
    }

    /// Waits until the sandbox is in that state.
    pub(crate) async fn until(&self, sandbox: &SandboxId, state: SandboxState) -> Sandbox {
        let mut watch = self
            .engine
            .watch_sandbox(&self.ctx, sandbox)
            .await
            .expect("watch");
        while let Some(sandbox) = watch.next().await {
            if sandbox.state == state {
                return sandbox;
            }
        }
        panic!("it ended in {:?}", self.state(sandbox).await);
    }

    pub(crate) async fn output(&self, command: &CommandId) -> String {
        let mut reader = self
            .engine
            .reader(&self.ctx, command, 0)
            .await
            .expect("reader");
        let mut text = String::new();
        let mut last = 0;
        while let Some(record) = reader.next().await.expect("record") {
            assert_eq!(record.seq, last + 1, "no gap and nothing twice");
            last = record.seq;
            if let pinfold_model::journal::RecordBody::Output { bytes, .. } = record.body {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        text
    }
}

pub(crate) fn small() -> CreateSandbox {
    CreateSandbox {
        memory_mib: Some(256),
        disk_mib: Some(64),
        pids: Some(128),
        wait: Wait::Running,
        ..CreateSandbox::default()
    }
}

pub(crate) fn shell(line: &str) -> CommandSpec {
    CommandSpec::new(Program::Shell(line.to_owned()))
}
