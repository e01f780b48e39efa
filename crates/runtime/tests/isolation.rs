//! What hostile code inside a sandbox can reach: attacks from inside, judged from outside.

mod support;

use std::os::unix::fs::MetadataExt;

use pinfold_model::sandbox::{HostMount, MountAccess};
use pinfold_model::{ExitStatus, Program, Resources};
use pinfold_runtime::driver::BootSpec;
use rustix::thread::CapabilitySet;
use serde_json::Value;
use support::{Sandbox, World};

const PROBE: &str = include_str!("support/probe.py");

async fn probe(sandbox: &Sandbox) -> Value {
    let argv = ["python3", "-c", PROBE].map(str::to_owned).to_vec();
    let output = sandbox.run(Program::Argv(argv), "").await;
    assert_eq!(output.status, ExitStatus::Code(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).expect("the probe prints JSON")
}

#[tokio::test]
async fn root_inside_can_do_nothing_to_the_machine() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let got = probe(&sandbox).await;
    let refused = [
        "mount",
        "mount_proc",
        "remount_usr_writable",
        "umount2",
        "pivot_root",
        "unshare_user",
        "unshare_mount",
        "unshare_net",
        "unshare_pid",
        "clone_user",
        "clone_mount",
        "clone_net",
        "clone_pid",
        "ptrace_attach_pid1",
        "ptrace_seize_pid1",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "open_by_handle_at",
        "init_module",
        "kexec_load",
        "reboot",
        "swapon",
        "sethostname",
        "settimeofday",
        "iopl",
        "syslog",
        "acct",
        "quotactl",
        "fsopen",
        "open_tree",
        "move_mount",
        "kcmp",
        "mknod_block",
        "mknod_mem",
        "socket_packet",
        "socket_vsock",
        "socket_alg",
        "socket_raw_inet",
        "add_link",
        "tiocsti",
    ];
    for name in refused {
        assert_eq!(got[name], "EPERM", "{name}");
    }
    for name in [
        "pid1_mem",
        "pid1_environ",
        "pid1_maps",
        "pid1_fds",
        "pid1_exe",
        "pid1_root",
        "setns_pid1",
    ] {
        assert!(
            got[name] == "EACCES" || got[name] == "EPERM",
            "{name}: {}",
            got[name]
        );
    }
    // Where the kernel has no nftables there is nothing to refuse.
    assert!(
        got["nftables"] == "EPERM" || got["nftables"] == "EPROTONOSUPPORT",
        "{}",
        got["nftables"]
    );
    for name in ["io_uring_setup", "clone3"] {
        assert_eq!(got[name], "ENOSYS", "{name}");
    }
    for name in ["socket_inet", "socket_unix"] {
        assert_eq!(got[name], "ok", "{name}");
    }
    assert_eq!(got["kill_pid1"], "alive");
    assert_eq!(got["chroot_escape"], "inside");
    assert_eq!(got["no_new_privs"], "1");
    assert_eq!(got["seccomp"], "2");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_sandbox_goes_before_this_machines_own_when_memory_runs_out_and_cannot_change_that() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let file = "/proc/self/oom_score_adj";
    let line = format!("cat /proc/1/oom_score_adj {file}; echo 299 > {file}; cat {file}");
    // A kernel holds them to it where it was said with this right, which root may lack in a container.
    let capabilities = rustix::thread::capabilities(None).expect("capabilities");
    let held = capabilities.effective.contains(CapabilitySet::SYS_RESOURCE);
    let after = if held { 300 } else { 299 };
    for user in ["", "1000"] {
        let said = sandbox.sh_as(user, &line).await.stdout;
        assert_eq!(said, format!("300\n300\n{after}\n"));
    }
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn the_host_cannot_be_written_or_read_through_files() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let got = probe(&sandbox).await;
    let object = got.as_object().expect("object");
    for (name, value) in object.iter().filter(|(name, _)| name.starts_with("write ")) {
        assert_ne!(value, "ok", "{name}");
    }
    for (name, value) in object.iter().filter(|(name, _)| name.starts_with("read ")) {
        assert_ne!(value, "ok", "{name}");
    }
    for (name, value) in object.iter().filter(|(name, _)| name.starts_with("list ")) {
        assert_ne!(value, "ok", "{name}");
    }
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn capabilities_are_the_documented_few_and_users_have_none() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let got = probe(&sandbox).await;
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP
    const COMMAND: u64 = 0x8004_05fb;
    for set in ["cap_effective", "cap_bounding"] {
        let bits = u64::from_str_radix(got[set].as_str().expect("hex"), 16).expect("hex");
        assert_eq!(bits, COMMAND, "{set} {bits:#x}");
    }
    let user = sandbox
        .sh_as("nobody", "grep CapEff /proc/self/status; id -u")
        .await;
    assert_eq!(user.stdout, "CapEff:\t0000000000000000\n65534\n");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn nothing_of_the_host_shows_inside() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let got = probe(&sandbox).await;
    let pids: Vec<u64> = serde_json::from_value(got["pids"].clone()).expect("pids");
    assert_eq!(pids.len(), 2, "only the guest and the probe: {pids:?}");
    let devices: Vec<String> = serde_json::from_value(got["devices"].clone()).expect("devices");
    let expected = [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ];
    assert_eq!(devices, expected);
    let mounts = got["mounts"].as_str().expect("mounts");
    assert!(
        !mounts.contains(world.temp.path().to_str().expect("path")),
        "{mounts}"
    );
    for line in got["cgroup"].as_str().expect("cgroup").lines() {
        let path = line.rsplit(':').next().expect("path");
        assert!(!path.contains(sandbox.id.as_str()), "{line}");
    }
    let host = rustix::system::uname();
    let name = sandbox.sh("hostname; cat /etc/hostname").await.stdout;
    assert_eq!(name, "sandbox\nsandbox\n");
    assert_ne!(host.nodename().to_string_lossy(), "sandbox");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn two_sandboxes_share_no_ids_files_processes_or_network() {
    let world = World::new();
    let (one, two) = (world.boot_default().await, world.boot_default().await);
    let ids = |sandbox: &Sandbox| {
        let pid = sandbox.guest.pid().expect("pid").as_raw_nonzero();
        let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("map");
        let numbers: Vec<u64> = map
            .split_whitespace()
            .map(|n| n.parse().expect("number"))
            .collect();
        assert_eq!((numbers[0], numbers[2]), (0, 65536));
        numbers[1]
    };
    assert!(ids(&one).abs_diff(ids(&two)) >= 65536);
    assert!(ids(&one) >= 1 << 30);
    let serve = "echo secret > /tmp/secret; sleep 1000 & python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & \
                 for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null && exit 0; sleep 0.05; done; exit 1";
    assert_eq!(one.sh(serve).await.status, ExitStatus::Code(0));
    let look = "ls /tmp; (exec 3<>/dev/tcp/127.0.0.1/8000) 2>&1; ls /proc | grep -c '^[0-9]'";
    let seen = two.sh(look).await;
    assert!(!seen.stdout.contains("secret"), "{seen:?}");
    assert!(
        seen.stdout.contains("Connection refused") || seen.stderr.contains("Connection refused"),
        "{seen:?}"
    );
    assert!(
        !two.sh("cat /proc/*/cmdline | tr '\\0' ' '")
            .await
            .stdout
            .contains("http.server")
    );
    // Abstract sockets live in network namespaces, System V memory in IPC namespaces.
    let abstract_server = "python3 -c \"import socket,time,os\ns=socket.socket(socket.AF_UNIX);s.bind('\\0pf');s.listen()\nif os.fork()==0: time.sleep(1000)\" >/dev/null 2>&1";
    assert_eq!(one.sh(abstract_server).await.status, ExitStatus::Code(0));
    let connect = "python3 -c \"import socket;socket.socket(socket.AF_UNIX).connect('\\0pf')\"";
    assert_eq!(one.sh(connect).await.status, ExitStatus::Code(0));
    assert_ne!(two.sh(connect).await.status, ExitStatus::Code(0));
    world.destroy(one).await;
    world.destroy(two).await;
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_bound_and_the_guest_answers() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let bomb = "python3 -c \"import os,time\nn=0\ntry:\n  while True:\n    if os.fork()==0: time.sleep(1000)\n    n+=1\nexcept OSError as e: print(n)\" & sleep 0; wait $!";
    let output = sandbox.sh(&format!("({bomb})")).await;
    let made: u32 = output
        .stdout
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{output:?}"));
    assert!(made < 64, "{made} processes");
    assert!(sandbox.guest.usage().await.expect("usage").processes <= 64);
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_memory_bomb_dies_alone() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let bomb = sandbox.sh("python3 -c \"x=bytearray(1<<30)\nfor i in range(0,1<<30,4096): x[i]=1\nprint('survived')\"").await;
    assert_eq!(bomb.stdout, "", "{bomb:?}");
    assert_ne!(bomb.status, ExitStatus::Code(0));
    assert_eq!(sandbox.sh("echo alive").await.stdout, "alive\n");
    let gauge = world.driver().gauge(&sandbox.id).await.expect("gauge");
    assert!(gauge.oom_kills >= 1, "{gauge:?}");
    assert!(gauge.memory_peak_bytes <= 256 << 20, "{gauge:?}");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn disk_and_inodes_are_bounded_with_an_error_the_program_sees() {
    let world = World::new();
    let sandbox = world.boot_default().await;
    let fill = sandbox
        .sh("head -c 200M /dev/zero > /workspace/big; stat -c %s /workspace/big; rm /workspace/big")
        .await;
    assert!(fill.stderr.contains("No space left"), "{fill:?}");
    assert!(fill.stdout.trim().parse::<u64>().expect("size") <= 64 << 20);
    let many = "cd /workspace; python3 -c \"\nfor i in range(100000): open(f'f{i}','w')\"; echo $?; ls | wc -l";
    let many = sandbox.sh(many).await;
    assert!(many.stderr.contains("No space left"), "{many:?}");
    assert_eq!(
        sandbox
            .sh("rm -rf /workspace/*; echo again > /workspace/f; cat /workspace/f")
            .await
            .stdout,
        "again\n"
    );
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn cpu_is_bounded() {
    let world = World::new();
    let resources = Resources {
        vcpu_millis: 100,
        ..world.spec().resources
    };
    let sandbox = world
        .boot(&BootSpec {
            resources,
            ..world.spec()
        })
        .await;
    // Two busy loops for a second and more, where a tenth of a CPU is allowed.
    let since = std::time::Instant::now();
    let output = sandbox
        .sh("for i in 1 2; do timeout 1 sh -c 'while :; do :; done' & done; wait")
        .await;
    assert_eq!(output.status, ExitStatus::Code(0), "{output:?}");
    let used = world
        .driver()
        .gauge(&sandbox.id)
        .await
        .expect("gauge")
        .cpu_used_us;
    let passed = since.elapsed();
    // A period's share may be used at once, at either end.
    let allowed = passed.as_micros() as u64 / 10 * 2 + 400_000;
    assert!(used < allowed, "used {used} us of CPU in {passed:?}");
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn a_mounted_directory_shows_with_its_rights_and_nothing_beside_it() {
    let world = World::new();
    let project = world.temp.path().join("project");
    std::fs::create_dir(&project).expect("project");
    std::fs::write(project.join("in"), "from outside").expect("file");
    std::fs::write(world.temp.path().join("beside"), "secret").expect("file");
    let mount = |target: &str, access| HostMount {
        source: project.to_str().expect("path").to_owned(),
        target: target.to_owned(),
        access,
    };
    let mounts = vec![
        mount("/workspace/rw", MountAccess::ReadWrite),
        mount("/srv/deep/ro", MountAccess::ReadOnly),
    ];
    let sandbox = world
        .boot(&BootSpec {
            mounts,
            ..world.spec()
        })
        .await;
    let output = sandbox
        .sh(
            "cat /workspace/rw/in; echo out > /workspace/rw/out; stat -c ' %u' /workspace/rw/in; \
             echo x > /srv/deep/ro/no; cat /workspace/rw/../beside /srv/deep/beside",
        )
        .await;
    assert!(output.stdout.starts_with("from outside 0\n"), "{output:?}");
    assert!(
        output.stderr.contains("Read-only file system"),
        "{output:?}"
    );
    assert!(!output.stdout.contains("secret"), "{output:?}");
    assert_eq!(
        std::fs::read_to_string(project.join("out")).expect("written"),
        "out\n"
    );
    let owner = std::fs::metadata(project.join("out"))
        .expect("written")
        .uid();
    assert_eq!(owner, rustix::process::getuid().as_raw());
    // A device node or a setuid program smuggled in through the directory is of no use inside.
    assert_ne!(
        sandbox.sh("mknod /workspace/rw/d b 8 0").await.status,
        ExitStatus::Code(0)
    );
    world.destroy(sandbox).await;
}

#[tokio::test]
async fn an_image_with_links_for_its_mount_points_boots_nothing_on_the_host() {
    let world = World::new();
    let target = world.temp.path().join("victim");
    std::fs::create_dir(&target).expect("victim");
    for point in ["proc", "dev", "sys", "tmp"] {
        let layer = world.temp.path().join(format!("evil-{point}"));
        std::fs::create_dir(&layer).expect("layer");
        std::os::unix::fs::symlink(&target, layer.join(point)).expect("link");
        let mut spec = world.spec();
        spec.root.layers = vec![layer];
        spec.root.binds.clear();
        let error = world.driver().boot(&spec).await.expect_err("refused");
        assert!(error.to_string().contains(point), "{error}");
    }
    assert_eq!(std::fs::read_dir(&target).expect("victim").count(), 0);
    world.driver().settle().await;
}

#[tokio::test]
async fn an_image_cannot_redirect_a_bind_out_of_its_root() {
    let world = World::new();
    let victim = world.temp.path().join("victim");
    std::fs::create_dir(&victim).expect("victim");
    let layer = world.temp.path().join("evil");
    std::fs::create_dir(&layer).expect("layer");
    std::os::unix::fs::symlink(&victim, layer.join("usr")).expect("link");
    let mut spec = world.spec();
    spec.root.layers.push(layer);
    // Whether it boots is the image's own problem; the machine must not have changed.
    let booted = world.driver().boot(&spec).await;
    assert_eq!(std::fs::read_dir(&victim).expect("victim").count(), 0);
    drop(booted);
    world.driver().destroy(&spec.id).await.expect("destroy");
    world.driver().settle().await;
}
