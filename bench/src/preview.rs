//! The preview proxy beside nginx, under the same load: `wrk` asks each for a small page of an nginx.
//! The one behind ours is in a sandbox; the one behind nginx is the same program on this machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pinfold_sdk::{CreatePreview, PreviewAccess, StartCommand};

use crate::server::Server;
use crate::stats::{Figure, OURS, Series, Unit};

const ROUNDS: usize = 5;
const LOAD: [&str; 3] = ["--threads=1", "--connections=16", "--duration=3s"];
/// What the nginx in the sandbox listens on; nobody else is there.
const PORT_INSIDE: u16 = 8080;
const READY_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn measure(program: &Path) -> Result<Vec<Figure>> {
    for needed in ["nginx", "wrk"] {
        if !crate::peers::there(needed) {
            return Ok(Vec::new());
        }
    }
    let place = tempfile::tempdir()?;
    let server = Server::start(program, place.path()).await?;
    let id = server.create().await?;
    let inside = config(&format!("listen {PORT_INSIDE};"), "return 200 'hello';");
    let start = StartCommand {
        shell: Some(format!(
            "mkdir -p /tmp/n && cat > /tmp/n/c <<'C'\n{inside}\nC\nexec nginx -p /tmp/n -c /tmp/n/c"
        )),
        ..StartCommand::default()
    };
    server.client.commands().start(&id, &start).await?;
    let wanted = CreatePreview {
        port: PORT_INSIDE.into(),
        access: Some(PreviewAccess::Public),
        ..CreatePreview::default()
    };
    let preview = server.client.previews().create(&id, &wanted).await?;

    let [behind, before] = [free_port()?, free_port()?];
    let listen = |port: u16| format!("listen 127.0.0.1:{port};");
    let upstream = config(&listen(behind), "return 200 'hello';");
    let proxy = format!(
        "proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; \
         proxy_set_header Connection '';"
    );
    let _upstream = Nginx::start(&place.path().join("upstream"), &upstream)?;
    let _proxy = Nginx::start(
        &place.path().join("proxy"),
        &config(&listen(before), &proxy),
    )?;

    let urls = [
        preview.preview.url,
        format!("http://127.0.0.1:{before}/"),
        format!("http://127.0.0.1:{behind}/"),
    ];
    let mut series = [
        Series::new(OURS, "API"),
        Series::new("nginx as a proxy", "process"),
        Series::new("no proxy", "process"),
    ];
    for url in &urls {
        answers(url).await?;
    }
    for _ in 0..ROUNDS {
        for (url, series) in urls.iter().zip(&mut series) {
            series.push(requests_per_second(url).await?);
        }
    }
    server.destroy(&id).await?;
    server.stop().await?;
    let title = "requests for a page of 5 bytes, 16 connections";
    Ok(vec![Figure::new(
        "preview",
        title,
        Unit::PerSecond,
        series.into(),
    )])
}

/// One worker each, since all of them and their load share two cores.
fn config(listen: &str, location: &str) -> String {
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; keepalive_requests 1000000000;\n\
         client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; \
         scgi_temp_path s;\n\
         server {{ {listen} location / {{ {location} }} }} }}"
    )
}

struct Nginx(Child);

impl Nginx {
    fn start(place: &Path, config: &str) -> Result<Self> {
        std::fs::create_dir(place)?;
        let file = place.join("nginx.conf");
        std::fs::write(&file, config)?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(place)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that it ends its worker.
        let _ = crate::machine::terminate(self.0.id());
        let _ = self.0.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

async fn answers(url: &str) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let curl = tokio::process::Command::new("curl")
            .args(["--silent", "--fail", url])
            .output()
            .await?;
        if curl.stdout == b"hello" {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{url} does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn requests_per_second(url: &str) -> Result<f64> {
    let mut wrk = tokio::process::Command::new("wrk");
    let output = wrk.args(LOAD).arg(url).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("Non-2xx") {
        bail!("{url} refused requests: {said}");
    }
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate = line.and_then(|rate| rate.trim().parse().ok());
    rate.with_context(|| format!("wrk said {said}"))
}
