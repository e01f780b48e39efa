//! Watching directories and files.

use std::path::Path;

use pinfold_runtime::guest::{FileEventKind, Watch};

use super::sandbox::{Sandbox, within};
use super::transfers::at;

async fn expect(watch: &mut Watch, kind: FileEventKind, path: &str) {
    loop {
        let event = within(watch.next())
            .await
            .expect("watch")
            .expect("an event");
        if (event.kind, event.path.as_path()) == (kind, Path::new(path)) {
            return;
        }
    }
}

#[tokio::test]
async fn a_watch_tells_what_happens_also_in_new_directories() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.shell("mkdir -p /workspace/old").await;
    let mut watch = within(sandbox.guest.watch(&at("/workspace"), true))
        .await
        .expect("watch");
    sandbox.shell("cd /workspace; echo a > f; chmod 600 f; mv f old/g; mkdir -p new/deep; echo > new/deep/x; rm -r new").await;
    expect(&mut watch, FileEventKind::Created, "f").await;
    expect(&mut watch, FileEventKind::Mode, "f").await;
    expect(&mut watch, FileEventKind::Removed, "f").await;
    expect(&mut watch, FileEventKind::Renamed, "old/g").await;
    expect(&mut watch, FileEventKind::Created, "new").await;
    expect(&mut watch, FileEventKind::Removed, "new").await;
    sandbox.write_file("/workspace/old/h", b"written").await;
    expect(&mut watch, FileEventKind::Created, "old/h").await;
    sandbox
        .shell("mkdir /workspace/k; sleep 0.1; echo > /workspace/k/x")
        .await;
    expect(&mut watch, FileEventKind::Created, "k/x").await;
    sandbox.shell("rm -r /workspace").await;
    expect(&mut watch, FileEventKind::Removed, "").await;
    assert!(within(watch.next()).await.expect("end").is_none());
}

#[tokio::test]
async fn a_watched_file_is_followed_by_its_name() {
    let mut sandbox = Sandbox::boot().await;
    sandbox.write_file("/workspace/f", b"1").await;
    let mut watch = within(sandbox.guest.watch(&at("/workspace/f"), false))
        .await
        .expect("watch");
    sandbox
        .shell("cd /workspace; echo > other; echo 2 > f.new; mv f.new f")
        .await;
    expect(&mut watch, FileEventKind::Renamed, "").await;
    drop(watch);
    sandbox
        .until("! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q inotify")
        .await;
}
