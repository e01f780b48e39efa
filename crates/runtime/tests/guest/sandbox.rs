//! A sandbox for tests: PID and mount namespaces, a root filesystem in memory with this machine's
//! `/usr`, and the guest that the build carries.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pinfold_model::{CommandId, Program, WindowSize};
use pinfold_runtime::guest::{
    Configure, Events, ExitReport, FilePath, Guest, GuestEvent, Pipes, StartSpec, StartedCommand,
};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

const GUEST: &str = concat!(env!("OUT_DIR"), "/pinfold-guest");
/// Anything here takes milliseconds; this only turns a hang into a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const SETUP: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=64m tmpfs "$ROOT"
cd "$ROOT"
mkdir -p usr etc proc dev/pts root home/bob workspace
mkdir -m 1777 tmp
mount -t tmpfs -o mode=1777,size=64m tmpfs tmp
mount --rbind /usr usr
for name in bin sbin lib lib64; do [ ! -e /$name ] || ln -s usr/$name $name; done
cp /etc/ld.so.cache etc || true
printf 'root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n' > etc/passwd
printf 'root:x:0:\nbob:x:1001:\nwheel:x:10:bob\n' > etc/group
[ -n "$ROOTLESS" ] || chown 1000:1001 home/bob
for name in null zero urandom; do
  if [ -n "$ROOTLESS" ]; then : > dev/$name; mount --bind /dev/$name dev/$name
  else cp -a /dev/$name dev/; fi
done
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t proc proc proc
: > guest
mount --bind "$GUEST" guest
exec "$BASH" -c 'exec 3<&'$LISTEN' 4<&'$LINK' '$LISTEN'<&- '$LINK'<&-; exec chroot . /guest'
"#;

/// A running guest. Dropping it ends everything inside.
pub(crate) struct Sandbox {
    process: Child,
    pub(crate) guest: Guest,
    events: Events,
    ended: HashMap<CommandId, ExitReport>,
    directory: tempfile::TempDir,
}

#[derive(Default)]
pub(crate) struct Options {
    /// A user namespace with a single id instead of this machine's root.
    pub(crate) rootless: bool,
    pub(crate) config: Configure,
}

pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) report: ExitReport,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Sandbox {
    pub(crate) async fn boot() -> Self {
        Self::boot_with(Options::default()).await
    }

    pub(crate) async fn boot_with(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let root = directory.path().join("root");
        std::fs::create_dir(&root).expect("root directory");
        let listen = listener(&directory.path().join("s"));
        let (ours, theirs) = pinfold_sys::datagram::pair().expect("socket pair");
        for fd in [&listen, &theirs] {
            rustix::io::fcntl_setfd(fd, FdFlags::empty()).expect("inheritable");
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--mount", "--fork", "--kill-child"]);
        if options.rootless {
            unshare
                .args(["--user", "--map-root-user"])
                .env("ROOTLESS", "1");
        }
        let process = unshare
            .args(["bash", "-c", SETUP])
            .env("ROOT", &root)
            .env("GUEST", GUEST)
            .env("LISTEN", listen.as_raw_fd().to_string())
            .env("LINK", theirs.as_raw_fd().to_string())
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare");
        drop((listen, theirs));
        let guest = within(Guest::connect(ours, options.config, None))
            .await
            .expect("connect");
        let events = guest.events();
        Self {
            process,
            guest,
            events,
            ended: HashMap::new(),
            directory,
        }
    }

    /// A second host, like a server that was started again.
    pub(crate) async fn reconnect(&mut self) {
        let link = self.connect_socket();
        self.guest = within(Guest::connect(link, Configure::default(), None))
            .await
            .expect("again");
        self.events = self.guest.events();
    }

    pub(crate) fn connect_socket(&self) -> OwnedFd {
        let socket = socket();
        let address = SocketAddrUnix::new(self.directory.path().join("s")).expect("address");
        rustix::net::connect(&socket, &address).expect("connect");
        socket
    }

    /// The host dies, and another one comes.
    pub(crate) async fn lose_host(&mut self) {
        self.guest.close();
        self.reconnect().await;
    }

    pub(crate) async fn start(&self, spec: &StartSpec) -> StartedCommand {
        within(self.guest.start(spec.clone())).await.expect("start")
    }

    /// Runs to the end and collects what is written.
    pub(crate) async fn run(&mut self, spec: &StartSpec) -> Output {
        let started = self.start(spec).await;
        let Pipes {
            stdin,
            stdout,
            stderr,
        } = started.pipes;
        drop(stdin);
        let stdout = tokio::spawn(read_all(stdout));
        let stderr = match stderr {
            Some(stderr) => within(read_all(stderr)).await,
            None => Vec::new(),
        };
        let report = self.ended(&spec.id).await;
        // A terminal's output ends when the guest lets go of it.
        let stdout = within(stdout).await.expect("reader");
        Output {
            stdout,
            stderr,
            report,
        }
    }

    pub(crate) async fn shell(&mut self, line: &str) -> Output {
        self.run(&shell(line)).await
    }

    /// Waits for a command's end.
    pub(crate) async fn ended(&mut self, id: &CommandId) -> ExitReport {
        loop {
            if let Some(report) = self.ended.get(id) {
                return *report;
            }
            match within(self.events.next()).await {
                Some(GuestEvent::Exited { id, report }) => {
                    self.ended.insert(id, report);
                }
                None => panic!("the link is gone"),
            }
        }
    }

    /// How many descriptors PID 1 has open.
    pub(crate) fn descriptors(&self) -> usize {
        let unshare = self.process.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let guest = std::fs::read_to_string(children).expect("children");
        let open = std::fs::read_dir(format!("/proc/{}/fd", guest.trim()));
        open.expect("descriptors").count()
    }

    /// Whether its end has been told by now.
    pub(crate) fn has_ended(&self, id: &CommandId) -> bool {
        self.ended.contains_key(id)
    }

    pub(crate) async fn write_file(&self, path: &str, content: &[u8]) {
        use tokio::io::AsyncWriteExt;
        let at = FilePath::new(path);
        let options = pinfold_runtime::guest::WriteOptions {
            parents: true,
            ..Default::default()
        };
        let mut write = within(self.guest.write(&at, options)).await.expect("write");
        within(write.write_all(content)).await.expect("content");
        within(write.finish()).await.expect("finish");
    }

    pub(crate) async fn read_file(&self, path: &str) -> Vec<u8> {
        let at = FilePath::new(path);
        let (_, mut read) = within(self.guest.read(&at, 0, None)).await.expect("read");
        let mut content = Vec::new();
        within(read.read_to_end(&mut content))
            .await
            .expect("content");
        within(read.finish()).await.expect("finish");
        content
    }

    /// Waits until a shell condition holds inside.
    pub(crate) async fn until(&mut self, condition: &str) {
        let line = format!("until {condition}; do sleep 0.01; done");
        let output = self.shell(&line).await;
        assert!(
            output.report.status.success(),
            "{condition}: {:?}",
            output.report
        );
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Its child is PID 1 and dies with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn shell(line: &str) -> StartSpec {
    spec(Program::Shell(line.to_owned()))
}

pub(crate) fn argv(argv: &[&str]) -> StartSpec {
    spec(Program::Argv(
        argv.iter().map(|arg| (*arg).to_owned()).collect(),
    ))
}

fn spec(program: Program) -> StartSpec {
    StartSpec {
        id: CommandId::generate(),
        fingerprint: b"f".to_vec(),
        program,
        cwd: "/".into(),
        make_cwd: false,
        env: [].into(),
        user: String::new(),
        stdin: false,
        input: Default::default(),
        terminal: None,
        timeout: Some(DEADLINE),
    }
}

pub(crate) fn on_terminal(spec: StartSpec) -> StartSpec {
    StartSpec {
        terminal: Some(WindowSize { rows: 24, cols: 80 }),
        ..spec
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("hangs")
}

pub(crate) async fn read_all(fd: OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pipe = pipe::Receiver::from_owned_fd(fd).expect("pipe");
    pipe.read_to_end(&mut bytes).await.expect("read");
    bytes
}

/// Reads until the text has come.
pub(crate) async fn read_until(pipe: &mut pipe::Receiver, text: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let mut buffer = [0; 4096];
        let len = within(pipe.read(&mut buffer)).await.expect("read");
        assert!(len > 0, "ended after {:?}", String::from_utf8_lossy(&bytes));
        bytes.write_all(&buffer[..len]).expect("a Vec grows");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .expect("socket")
}

fn listener(path: &Path) -> OwnedFd {
    let socket = socket();
    let address = SocketAddrUnix::new(PathBuf::from(path)).expect("address");
    rustix::net::bind(&socket, &address).expect("bind");
    socket
}
