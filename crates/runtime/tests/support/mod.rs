//! Real sandboxes for tests: the namespace driver in a directory of the test's own, on the image
//! `host`.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinfold_images::{HostImage, LayerStore};
use pinfold_model::{CommandId, ExitStatus, NetworkMode, Program, Resources, SandboxId};
use pinfold_runtime::driver::{BootSpec, Driver, RootFs, clear};
use pinfold_runtime::guest::{Guest, GuestEvent, StartSpec};
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver};
use rustix::event::{PollFd, PollFlags, Timespec};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) temp: TempDir,
    /// Always there but while another takes its place.
    driver: Option<Arc<dyn Driver>>,
    pub(crate) root: RootFs,
    config: Config,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_disks(Disks::Memory)
    }

    pub(crate) fn with_disks(disks: Disks) -> Self {
        let temp = tempfile::tempdir().expect("temporary directory");
        let store = LayerStore::open(&temp.path().join("images")).expect("layer store");
        let host = HostImage::of_this_machine()
            .ensure(&store)
            .expect("host image");
        let root = RootFs {
            layers: vec![host.layer_dir],
            binds: host
                .binds
                .into_iter()
                .map(|bind| (bind.source, bind.target))
                .collect(),
            disk: None,
        };
        let name = temp
            .path()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let config = Config {
            directory: temp.path().join("sandboxes"),
            machine_directory: PathBuf::from("/run/pinfold"),
            instance: name.replace(|c: char| !c.is_ascii_alphanumeric(), ""),
            disks,
        };
        let driver: Arc<dyn Driver> =
            Arc::new(NamespaceDriver::open(config.clone()).expect("driver"));
        Self {
            temp,
            driver: Some(driver),
            root,
            config,
        }
    }

    /// Another server over the same sandboxes, as after a crash.
    pub(crate) fn restart(&mut self) {
        // One at a time works in a directory.
        self.driver = None;
        let driver = NamespaceDriver::open(self.config.clone()).expect("driver");
        self.driver = Some(Arc::new(driver));
    }

    pub(crate) fn driver(&self) -> &Arc<dyn Driver> {
        self.driver.as_ref().expect("a driver")
    }

    pub(crate) fn instance(&self) -> &str {
        &self.config.instance
    }

    pub(crate) fn spec(&self) -> BootSpec {
        BootSpec {
            id: SandboxId::generate(),
            root: self.root.clone(),
            resources: Resources {
                memory_mib: 256,
                disk_mib: 64,
                pids: 64,
                vcpu_millis: 1000,
            },
            network: NetworkMode::None,
            hostname: "sandbox".to_owned(),
            mounts: Vec::new(),
            workdir: "/workspace".to_owned(),
            user: String::new(),
            die_with_host: false,
        }
    }

    pub(crate) async fn boot(&self, spec: &BootSpec) -> Sandbox {
        let guest = self.driver().boot(spec).await.expect("boot");
        Sandbox {
            id: spec.id.clone(),
            guest,
        }
    }

    pub(crate) async fn boot_default(&self) -> Sandbox {
        self.boot(&self.spec()).await
    }

    pub(crate) async fn destroy(&self, sandbox: Sandbox) {
        self.driver().destroy(&sandbox.id).await.expect("destroy");
        self.driver().settle().await;
    }
}

/// Whatever a test that failed has left ends with its world. On a thread of its own: a test's own
/// runtime may be what drops it.
impl Drop for World {
    fn drop(&mut self) {
        let driver = self.driver.take();
        let config = self.config.clone();
        let cleared = std::thread::spawn(move || {
            drop(driver);
            let runtime = tokio::runtime::Runtime::new().expect("runtime");
            runtime.block_on(async { clear(&NamespaceDriver::open(config)?).await })
        });
        if let Ok(Err(error)) = cleared.join() {
            eprintln!("{}: left behind: {error}", self.temp.path().display());
        }
    }
}

pub(crate) struct Sandbox {
    pub(crate) id: SandboxId,
    pub(crate) guest: Guest,
}

impl Sandbox {
    pub(crate) async fn sh(&self, line: &str) -> Output {
        self.run(Program::Shell(line.to_owned()), "").await
    }

    pub(crate) async fn sh_as(&self, user: &str, line: &str) -> Output {
        self.run(Program::Shell(line.to_owned()), user).await
    }

    pub(crate) async fn run(&self, program: Program, user: &str) -> Output {
        let id = CommandId::generate();
        let mut events = self.guest.events();
        let started = self
            .guest
            .start(spec(&id, program, user))
            .await
            .expect("start");
        let ended = Arc::new(AtomicBool::new(false));
        let stdout = collect(started.pipes.stdout, &ended);
        let stderr = collect(started.pipes.stderr.expect("stderr"), &ended);
        let report = tokio::time::timeout(DEADLINE, async {
            loop {
                match events.next().await.expect("the guest is alive") {
                    GuestEvent::Exited { id: ended, report } if ended == id => break report,
                    GuestEvent::Exited { .. } => {}
                }
            }
        });
        let report = report.await.expect("ends in time");
        ended.store(true, Ordering::SeqCst);
        self.guest.forget(&id).await.expect("forget");
        Output {
            status: report.status,
            stdout: stdout.await,
            stderr: stderr.await,
        }
    }
}

pub(crate) fn spec(id: &CommandId, program: Program, user: &str) -> StartSpec {
    StartSpec {
        id: id.clone(),
        fingerprint: id.as_str().as_bytes().to_vec(),
        program,
        cwd: "/".to_owned(),
        make_cwd: false,
        env: Default::default(),
        user: user.to_owned(),
        stdin: false,
        input: Arc::default(),
        terminal: None,
        timeout: None,
    }
}

/// What the command itself wrote, as text; children it left behind may hold the pipe for ever.
fn collect(pipe: OwnedFd, ended: &Arc<AtomicBool>) -> impl Future<Output = String> + use<> {
    let ended = Arc::clone(ended);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(pipe);
        loop {
            // Looked at before reading: what was written before the end is there after it.
            let over = ended.load(Ordering::SeqCst);
            match file.read_to_end(&mut bytes) {
                Ok(_) => break,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && over => break,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let mut watched = [PollFd::new(&file, PollFlags::IN)];
                    let soon = Timespec {
                        tv_sec: 0,
                        tv_nsec: 20_000_000,
                    };
                    rustix::event::poll(&mut watched, Some(&soon)).expect("poll");
                }
                Err(error) => panic!("read: {error}"),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    async { read.await.expect("reader") }
}
