//! Pulling from a registry that others wrote: the program `docker-registry`, on loopback, with a
//! password.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::image::Descriptor;
use pinfold_images::PullError;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, StatusCode, Url};

use crate::layout::{Layout, digest};
use crate::pull::{an_image, basic, find, new_layout, pull, request};
use crate::world::World;

const DEADLINE: Duration = Duration::from_secs(60);
/// `secret`, by bcrypt.
const PASSWORDS: &str = "ann:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// The program, until it is dropped.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(directory: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let (config, passwords) = (directory.join("config.yml"), directory.join("htpasswd"));
        std::fs::write(&passwords, PASSWORDS).expect("written");
        let text = format!(
            "version: 0.1\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             auth: {{htpasswd: {{realm: tests, path: {}}}}}\n\
             http: {{addr: \"{address}\", secret: of-the-tests}}\n",
            directory.join("blobs").display(),
            passwords.display(),
        );
        std::fs::write(&config, text).expect("written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry, of the Debian package of that name");
        let program = Self { child, address };
        let since = Instant::now();
        while TcpStream::connect(&program.address).is_err() {
            assert!(since.elapsed() < DEADLINE, "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    async fn push(&self, layout: &Layout, name: &str, manifest: &Descriptor) {
        let client = Client::builder().no_proxy().build().expect("a client");
        let base = format!("http://{}/v2/{name}", self.address);
        for entry in std::fs::read_dir(layout.dir.join("blobs/sha256")).expect("blobs") {
            let bytes = std::fs::read(entry.expect("a blob").path()).expect("readable");
            let begun = client
                .post(format!("{base}/blobs/uploads/"))
                .basic_auth("ann", Some("secret"))
                .send()
                .await
                .expect("an answer");
            assert_eq!(begun.status(), StatusCode::ACCEPTED);
            let place = begun.headers()[LOCATION].to_str().expect("text");
            let mut place: Url = begun.url().join(place).expect("a URL");
            place
                .query_pairs_mut()
                .append_pair("digest", digest(&bytes).as_str());
            let put = client.put(place).basic_auth("ann", Some("secret"));
            let put = put.body(bytes).send().await.expect("an answer");
            assert_eq!(put.status(), StatusCode::CREATED);
        }
        let bytes = std::fs::read(layout.blob_path(manifest.digest().as_ref())).expect("there");
        let put = client
            .put(format!("{base}/manifests/1"))
            .basic_auth("ann", Some("secret"))
            .header(CONTENT_TYPE, manifest.media_type().to_string())
            .body(bytes);
        let put = put.send().await.expect("an answer");
        assert_eq!(put.status(), StatusCode::CREATED);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_real_registry_gives_what_was_pushed_to_whoever_knows_the_password() {
    let world = World::new();
    let layout = new_layout(&world);
    let (manifest, tars) = an_image(&layout);
    let directory = tempfile::tempdir().expect("a directory");
    let program = Program::start(directory.path());
    program.push(&layout, "team/app", &manifest).await;

    let tag = format!("{}/team/app:1", program.address);
    let denied = find(&world, request(&tag)).await;
    assert!(matches!(denied, Err(PullError::Denied { .. })), "nobody");
    let known = |reference: &str| pinfold_images::PullRequest {
        credentials: basic("ann", "secret"),
        ..request(reference)
    };
    let image = pull(&world, known(&tag)).await.expect("pulled");
    let expected: Vec<_> = tars.iter().map(|tar| digest(tar)).collect();
    assert_eq!(image.layers, expected);

    let pinned = format!("{}/team/app@{}", program.address, manifest.digest());
    let found = find(&world, known(&pinned)).await.expect("there");
    assert_eq!(found.digest().as_str(), manifest.digest().as_ref());
    let missing = format!("{}/team/app:2", program.address);
    let missing = find(&world, known(&missing)).await;
    assert!(matches!(missing, Err(PullError::NotFound { .. })), "no tag");
}
