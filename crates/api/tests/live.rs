//! The whole way: SDK, HTTP over a real socket, engine, namespace driver, real commands in a real
//! sandbox on the image `host`.

#[path = "live/code.rs"]
mod code;
#[path = "live/contents.rs"]
mod contents;
#[path = "live/pipelines.rs"]
mod pipelines;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pinfold_api::{ApiConfig, router};
use pinfold_engine::{Databases, Drain, Engine, EngineConfig, Parts, SystemClock};
use pinfold_http::{ServeLimits, serve};
use pinfold_images::LayerStore;
use pinfold_runtime::journal::Journals;
use pinfold_runtime::namespace::{Config, Disks, NamespaceDriver};
use pinfold_sdk::{
    CancelMode, Client, CommandState, CreateSandbox, Encoding, ErrorCode, OutputOptions, PtyEvent,
    PtyQuery, Record, StartCommand, StdinMode, StreamName, StreamOptions, Upload, WindowSize,
};
use pinfold_store::{Blobs, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const KEY: &str = "a-key-for-tests-of-24-or-more";
/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

struct Server {
    engine: Engine,
    client: Client,
    address: SocketAddr,
    upload_dir: PathBuf,
    stop: CancellationToken,
    served: JoinHandle<usize>,
    _dir: TempDir,
}

impl Server {
    async fn start() -> Self {
        let dir = TempDir::new().expect("a directory");
        let engine = engine(&dir).await;
        engine.bootstrap_key(Some(KEY)).await.expect("a key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let upload_dir = dir.path().to_owned();
        Self {
            served: listen(&engine, listener, &stop, upload_dir.clone()),
            client: Client::new(&format!("http://{address}"), KEY).expect("a URL"),
            engine,
            address,
            upload_dir,
            stop,
            _dir: dir,
        }
    }

    /// Drains the listener and begins anew on the same port, as an upgrade does.
    async fn restart_listener(&mut self) {
        self.stop.cancel();
        let served = tokio::time::timeout(DEADLINE, &mut self.served).await;
        served.expect("drained in time").expect("no panic");
        self.stop = CancellationToken::new();
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the same port");
        self.served = listen(&self.engine, listener, &self.stop, self.upload_dir.clone());
    }

    async fn sandbox(&self) -> String {
        let wanted = CreateSandbox {
            memory_mib: Some(256),
            ..CreateSandbox::default()
        };
        let made = self.client.sandboxes().create(&wanted).await;
        made.expect("a running sandbox").id
    }

    async fn end(self) {
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

fn listen(
    engine: &Engine,
    listener: TcpListener,
    stop: &CancellationToken,
    upload_dir: PathBuf,
) -> JoinHandle<usize> {
    let config = ApiConfig::new(upload_dir, Arc::new(String::new));
    let routes = router(engine.clone(), config);
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(serve(listener, routes, stopped, ServeLimits::default()))
}

fn shell(line: &str) -> StartCommand {
    StartCommand {
        shell: Some(line.to_owned()),
        ..StartCommand::default()
    }
}

/// Runs a case with its deadline.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("done in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_with_their_output_code_and_input() {
    let server = Server::start().await;
    within(async {
        let (commands, sandbox) = (server.client.commands(), server.sandbox().await);
        let run = commands
            .run(&sandbox, &shell("echo out; echo err >&2; exit 7"))
            .await;
        let run = run.expect("a run");
        assert_eq!((&*run.stdout, &*run.stderr), ("out\n", "err\n"));
        assert_eq!(run.command.exit_code, Some(7));

        let binary = commands
            .run(&sandbox, &shell(r"printf '\377\000\001'"))
            .await
            .expect("a run");
        assert_eq!(binary.stdout_encoding, Encoding::Base64);
        let bytes = binary
            .stdout_encoding
            .decode(binary.stdout)
            .expect("base64");
        assert_eq!(bytes, [0xff, 0, 1]);

        let fed = StartCommand {
            stdin_data: Some("from the request".into()),
            ..shell("cat")
        };
        let fed = commands.run(&sandbox, &fed).await.expect("a run");
        assert_eq!(fed.stdout, "from the request");

        let much = commands
            .run(&sandbox, &shell("head -c 3000000 /dev/zero | tr '\\0' x"))
            .await;
        let much = much.expect("a run");
        assert!(much.stdout_truncated);
        assert_eq!(much.stdout.len(), 1 << 20);
        let options = OutputOptions {
            stream: Some(StreamName::Stdout),
            follow: false,
        };
        let raw = commands
            .output(&much.command.id, options)
            .await
            .expect("output");
        assert_eq!(raw.collect().await.expect("all of it").len(), 3_000_000);
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stdin_is_streamed_and_commands_are_cancelled() {
    let server = Server::start().await;
    within(async {
        let (commands, sandbox) = (server.client.commands(), server.sandbox().await);
        let open = StartCommand {
            stdin: Some(StdinMode::Open),
            ..shell("wc -c")
        };
        let counting = commands.start(&sandbox, &open).await.expect("started");
        let pieces = (0..64).map(|_| Ok(vec![b'x'; 128 << 10].into()));
        let source = Upload::stream(futures::stream::iter(pieces));
        commands
            .stream_stdin(&counting.id, source)
            .await
            .expect("taken");
        commands.close_stdin(&counting.id).await.expect("closed");
        let ended = commands.wait(&counting.id).await.expect("an end");
        assert_eq!(ended.exit_code, Some(0));
        let output = commands
            .output(&counting.id, OutputOptions::default())
            .await;
        let text = output.expect("output").collect().await.expect("bytes");
        assert_eq!(String::from_utf8_lossy(&text).trim(), (8 << 20).to_string());
        let late = commands.write_stdin(&counting.id, "late").await;
        assert_eq!(
            late.expect_err("ended").code(),
            Some(ErrorCode::CommandEnded)
        );

        let sleeping = commands
            .start(&sandbox, &shell("sleep 1000"))
            .await
            .expect("started");
        commands
            .cancel(&sleeping.id, CancelMode::Force)
            .await
            .expect("cancelled");
        let ended = commands.wait(&sleeping.id).await.expect("an end");
        assert_eq!(ended.state, CommandState::Cancelled);
        assert_eq!(ended.signal, Some(9));
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_over_a_restart_of_the_listener_without_gap_or_repeat() {
    let mut server = Server::start().await;
    within(async {
        let (commands, sandbox) = (server.client.commands(), server.sandbox().await);
        let open = StartCommand {
            stdin: Some(StdinMode::Open),
            ..shell("while read line; do echo \"got $line\"; done")
        };
        let echo = commands.start(&sandbox, &open).await.expect("started");
        let mut stream = commands.stream(&echo.id, StreamOptions::default());
        let mut text = String::new();
        for round in 0..4 {
            commands
                .write_stdin(&echo.id, format!("{round}\n"))
                .await
                .expect("written");
            let wanted = format!("got {round}\n");
            while !text.contains(&wanted) {
                match stream.next().await.expect("the stream recovers") {
                    Some(Record::Output { data, .. }) => text.push_str(&data),
                    other => panic!("{other:?} before {wanted:?}"),
                }
            }
            server.restart_listener().await;
        }
        commands.close_stdin(&echo.id).await.expect("closed");
        let end = stream.next().await.expect("readable");
        assert!(matches!(end, Some(Record::End { .. })), "{end:?}");
        assert_eq!(text, "got 0\ngot 1\ngot 2\ngot 3\n");
    })
    .await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_types_resizes_outlives_its_connection_and_exits() {
    let server = Server::start().await;
    within(async {
        let (commands, sandbox) = (server.client.commands(), server.sandbox().await);
        let query = PtyQuery {
            command: Some("sh -i".into()),
            rows: Some(30),
            cols: Some(100),
            ..PtyQuery::default()
        };
        let mut pty = commands.pty(&sandbox, &query).await.expect("a terminal");
        pty.write("stty size\n").await.expect("typed");
        read_until(&mut pty, "30 100").await;
        pty.resize(WindowSize {
            rows: 40,
            cols: 120,
        })
        .await
        .expect("resized");
        pty.write("stty size\n").await.expect("typed");
        let seen = read_until(&mut pty, "40 120").await;
        let command = pty.command().id.clone();
        drop(pty);

        let again = PtyQuery {
            command_id: Some(command),
            after_seq: Some(seen),
            ..PtyQuery::default()
        };
        let mut pty = commands.pty(&sandbox, &again).await.expect("attached");
        pty.write("echo $((6*7)); exit 5\n").await.expect("typed");
        read_until(&mut pty, "42").await;
        loop {
            match pty.next().await.expect("readable").expect("an end") {
                PtyEvent::Exit(command) => {
                    assert_eq!(command.exit_code, Some(5));
                    break;
                }
                _ => continue,
            }
        }
        assert_eq!(pty.next().await.expect("ended"), None);
    })
    .await;
    server.end().await;
}

/// Reads until the text has come, and on to the position behind it.
async fn read_until(pty: &mut pinfold_sdk::Pty, wanted: &str) -> u64 {
    let mut text = String::new();
    loop {
        match pty.next().await.expect("readable").expect("open") {
            PtyEvent::Output(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            PtyEvent::Position(seq) if text.contains(wanted) => return seq,
            PtyEvent::Position(_) => {}
            other => panic!("{other:?} before {wanted:?} in {text:?}"),
        }
    }
}
