//! The host image: what it shows, what it hides, and that it is shared.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pinfold_images::{HostError, HostImage, HostRoot, LayerStore};

use crate::world::{World, is_root};

/// A machine made for a test.
struct Machine(PathBuf);

impl Machine {
    /// With a merged `/usr` and a few secrets.
    fn new(world: &World) -> Self {
        let machine = Self(world.path("machine"));
        for dir in [
            "usr/bin",
            "usr/lib",
            "etc/ssl/private",
            "etc/ssl/certs",
            "root",
            "opt/pub",
        ] {
            fs::create_dir_all(machine.0.join(dir)).expect(dir);
        }
        symlink("usr/bin", machine.0.join("bin")).expect("bin");
        symlink("usr/lib", machine.0.join("lib")).expect("lib");
        machine.file("usr/lib/os-release", "ID=test\n", 0o644);
        machine.link("etc/os-release", "../usr/lib/os-release");
        machine.file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n",
            0o644,
        );
        machine.file("etc/group", "root:x:0:bob\nbob:x:1000:\n", 0o644);
        machine.file("etc/shadow", "root:SECRET::::::", 0o640);
        machine.file("etc/environment", "TOKEN=SECRET", 0o644);
        machine.file("etc/ssl/private/server.key", "SECRET", 0o644);
        machine.file("etc/ssl/certs/ca.pem", "certificate", 0o644);
        machine.file("etc/ssl/certs/server.key", "SECRET", 0o644);
        machine.file("etc/profile", "unreadable SECRET", 0o640);
        machine.file("etc/nsswitch.conf", "hosts: files dns", 0o644);
        machine.file("root/token", "SECRET", 0o644);
        fs::set_permissions(machine.0.join("root"), fs::Permissions::from_mode(0o700))
            .expect("mode");
        machine
    }

    fn file(&self, path: &str, text: &str, mode: u32) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("relative")).expect("parent");
        fs::write(&path, text).expect("file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("relative")).expect("parent");
        symlink(target, path).expect("link");
    }

    fn ensure(&self, store: &LayerStore) -> HostRoot {
        HostImage::below(&self.0).ensure(store).expect("host image")
    }
}

fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir).expect("list") {
            let entry = entry.expect("entry");
            found.insert(entry.path().strip_prefix(root).expect("below").to_owned());
            if entry.file_type().expect("type").is_dir() {
                ahead.push(entry.path());
            }
        }
    }
    found
}

fn assert_no_secret(root: &Path) {
    for path in tree(root) {
        let full = root.join(&path);
        if fs::symlink_metadata(&full).expect("stat").is_file() {
            let content = fs::read(&full).expect("readable");
            let secret = content.windows(6).any(|w| w == b"SECRET");
            assert!(!secret, "{}", path.display());
        }
    }
}

#[test]
fn only_the_allowed_part_of_a_machine_shows() {
    let world = World::new();
    let machine = Machine::new(&world);
    let host = machine.ensure(&world.store);
    assert_no_secret(&host.layer_dir);
    let shown = tree(&host.layer_dir);
    for hidden in [
        "etc/shadow",
        "etc/environment",
        "etc/ssl/private",
        "etc/ssl/certs/server.key",
        "etc/profile",
        "root/token",
        "home/bob",
    ] {
        assert!(!shown.contains(Path::new(hidden)), "{hidden}");
    }
    let read = |path: &str| fs::read_to_string(host.layer_dir.join(path)).expect(path);
    assert_eq!(read("etc/ssl/certs/ca.pem"), "certificate");
    assert_eq!(read("etc/nsswitch.conf"), "hosts: files dns");
    assert_eq!(read("etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
    assert_eq!(read("etc/group"), "root:x:0:\n");
    for placeholder in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        assert_eq!(read(placeholder), "");
    }
    let link = |path: &str| fs::read_link(host.layer_dir.join(path)).expect(path);
    assert_eq!(link("bin"), Path::new("usr/bin"));
    assert_eq!(link("etc/os-release"), Path::new("../usr/lib/os-release"));
    let mode = |path: &str| fs::metadata(host.layer_dir.join(path)).expect(path).mode() & 0o7777;
    assert_eq!(
        (
            mode(""),
            mode("root"),
            mode("tmp"),
            mode("var/tmp"),
            mode("workspace")
        ),
        (0o755, 0o700, 0o1777, 0o1777, 0o755)
    );
    let usr = fs::canonicalize(machine.0.join("usr")).expect("usr");
    assert_eq!(host.binds.len(), 1);
    assert_eq!(
        (&host.binds[0].source, host.binds[0].target.as_path()),
        (&usr, Path::new("/usr"))
    );
    assert!(host.config.env["PATH"].contains("/usr/bin"));
}

#[test]
fn links_out_of_etc_bring_only_what_everybody_may_read() {
    let world = World::new();
    let machine = Machine::new(&world);
    machine.file("opt/pub/ca.pem", "public", 0o644);
    machine.file("opt/pub/key.pem", "SECRET", 0o640);
    machine.file("opt/hidden/ca.pem", "SECRET", 0o644);
    fs::set_permissions(
        machine.0.join("opt/hidden"),
        fs::Permissions::from_mode(0o700),
    )
    .expect("mode");
    machine.link("etc/ssl/certs/public.pem", "/opt/pub/ca.pem");
    machine.link("etc/ssl/certs/unreadable.pem", "/opt/pub/key.pem");
    machine.link("etc/ssl/certs/unreachable.pem", "/opt/hidden/ca.pem");
    machine.link("etc/ssl/certs/root.pem", "../../../root/token");
    machine.link("etc/ssl/certs/directory", "/root");
    machine.link("etc/ssl/certs/dangling.pem", "/nowhere");
    machine.link(
        "etc/ssl/certs/escape.pem",
        "../../../../../../../../etc/passwd",
    );
    machine.link("etc/profile.d", "/root");
    machine.link("etc/fonts", "/opt/hidden");
    let host = machine.ensure(&world.store);
    assert_no_secret(&host.layer_dir);
    let certs = host.layer_dir.join("etc/ssl/certs");
    let shown: Vec<PathBuf> = tree(&certs).into_iter().collect();
    let expected = ["ca.pem", "escape.pem", "public.pem"].map(PathBuf::from);
    assert_eq!(shown, expected);
    assert!(!certs.join("public.pem").is_symlink());
    // Within the machine this leads to its own /etc/passwd, and so it does in a sandbox.
    assert!(certs.join("escape.pem").is_symlink());
    assert!(!host.layer_dir.join("etc/profile.d").exists());
}

#[test]
fn the_tree_is_shared_until_a_source_changes() {
    let world = World::new();
    let machine = Machine::new(&world);
    let first = machine.ensure(&world.store);
    let again = machine.ensure(&world.store);
    assert_eq!(again, first);
    machine.file("etc/nsswitch.conf", "hosts: files", 0o644);
    let changed = machine.ensure(&world.store);
    assert_ne!(changed.layer_dir, first.layer_dir);
    assert!(first.layer_dir.is_dir(), "sandboxes may still use it");

    let sweep = world.store.sweep().expect("store").expect("no import");
    let in_use = HashSet::from([changed.layer_dir.clone()]);
    sweep.remove_host_trees(&in_use).expect("swept");
    assert!(!first.layer_dir.exists() && changed.layer_dir.is_dir());
}

#[test]
fn a_machine_without_merged_usr_binds_its_directories() {
    let world = World::new();
    let machine = Machine(world.path("machine"));
    for dir in ["usr", "bin", "lib", "etc"] {
        fs::create_dir_all(machine.0.join(dir)).expect(dir);
    }
    machine.link("lib64", "lib");
    machine.link("sbin", "/opt/elsewhere");
    let host = machine.ensure(&world.store);
    let targets: Vec<&Path> = host
        .binds
        .iter()
        .map(|bind| bind.target.as_path())
        .collect();
    assert_eq!(targets, ["/usr", "/bin", "/lib"].map(Path::new));
    assert!(host.layer_dir.join("bin").is_dir());
    assert_eq!(
        fs::read_link(host.layer_dir.join("lib64")).expect("link"),
        Path::new("lib")
    );
    assert!(fs::symlink_metadata(host.layer_dir.join("sbin")).is_err());
}

#[test]
fn a_machine_without_usr_is_refused() {
    let world = World::new();
    let nothing = world.path("nothing");
    fs::create_dir(&nothing).expect("dir");
    let error = HostImage::below(&nothing)
        .ensure(&world.store)
        .expect_err("no usr");
    assert!(matches!(error, HostError::NoUsr));
    assert!(world.leftovers().is_empty());
}

#[test]
fn this_machine_has_a_host_image_without_its_secrets() {
    let world = World::new();
    check_this_machine(&world.store);
}

/// Runs this test program again as an ordinary user, who finds the same image.
#[test]
fn an_ordinary_user_has_a_host_image_too() {
    if !is_root() {
        return check_this_machine(&World::new().store);
    }
    const USER: u32 = 65_534;
    let dir = tempfile::tempdir().expect("temp dir");
    std::os::unix::fs::chown(dir.path(), Some(USER), Some(USER)).expect("chown");
    // The program may lie where only root can go.
    let program = dir.path().join("suite");
    fs::copy(std::env::current_exe().expect("own path"), &program).expect("copy");
    use std::os::unix::process::CommandExt;
    let output = std::process::Command::new(program)
        .args([
            "--exact",
            "host::this_machine_has_a_host_image_without_its_secrets",
        ])
        .env("TMPDIR", dir.path())
        .current_dir("/")
        .uid(USER)
        .gid(USER)
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn check_this_machine(store: &LayerStore) {
    let host = HostImage::of_this_machine()
        .ensure(store)
        .expect("host image");
    assert_eq!(host.binds[0].target, Path::new("/usr"));
    let shown = tree(&host.layer_dir);
    for path in &shown {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let secret = name.starts_with("shadow")
            || name.starts_with("gshadow")
            || name.starts_with("ssh")
            || name == "private"
            || name == "sudoers"
            || path == Path::new("etc/environment");
        assert!(!secret, "{}", path.display());
    }
    for empty in [
        "home",
        "root",
        "tmp",
        "workspace",
        "run",
        "mnt",
        "opt",
        "srv",
    ] {
        let below = shown
            .iter()
            .any(|path| path.starts_with(empty) && path != Path::new(empty));
        assert!(!below && shown.contains(Path::new(empty)), "{empty}");
    }
    for path in ["etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"] {
        assert!(shown.contains(Path::new(path)), "{path}");
    }
    let passwd = fs::read_to_string(host.layer_dir.join("etc/passwd")).expect("passwd");
    assert!(passwd.starts_with("root:x:0:0:"));
    assert!(
        !passwd
            .lines()
            .any(|line| line.contains(":/home/") && line.contains(":1000:"))
    );
}
