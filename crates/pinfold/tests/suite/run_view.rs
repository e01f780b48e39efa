//! `run`: what the command finds: mounts, environment, user, directory, image.

use crate::world::{World, finished, good, text};

#[test]
fn a_project_directory_is_shown_and_can_be_written() {
    let world = World::new();
    std::fs::create_dir(world.path("project")).expect("mkdir");
    std::fs::write(world.path("project/in"), "from here").expect("write");
    let script = "cat in; echo from there > out";
    let output = finished(&mut world.pinfold([
        "run",
        "--mount",
        "project:/project",
        "--workdir",
        "/project",
        "--",
        "sh",
        "-c",
        script,
    ]));
    assert_eq!(good(output), "from here");
    let written = std::fs::read_to_string(world.path("project/out")).expect("written");
    assert_eq!(written, "from there\n");
    let owner = std::os::unix::fs::MetadataExt::uid(
        &std::fs::metadata(world.path("project/out")).expect("there"),
    );
    assert_eq!(owner, 0, "files made inside belong to who made the sandbox");
}

#[test]
fn a_read_only_mount_cannot_be_written() {
    let world = World::new();
    std::fs::create_dir(world.path("project")).expect("mkdir");
    let output = finished(&mut world.pinfold([
        "run",
        "--mount",
        "project:/project:ro",
        "--",
        "sh",
        "-c",
        "echo x > /project/out",
    ]));
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("Read-only"),
        "{}",
        text(&output.stderr)
    );
    assert!(!world.path("project/out").exists());
}

#[test]
fn nothing_else_of_this_machine_is_shown() {
    let world = World::new();
    std::fs::write(world.path("secret"), "a secret").expect("write");
    let output =
        world.run(["cat".into(), world.path("secret").into_os_string()] as [std::ffi::OsString; 2]);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert_eq!(
        good(world.run(["ls", "-A", "/root", "/home"])),
        "/home:\n\n/root:\n"
    );
}

#[test]
fn variables_are_set_and_copied_and_no_others_come_along() {
    let world = World::new();
    let output = finished(
        world
            .pinfold([
                "run", "--env", "SET=a=b", "-e", "COPIED", "-e", "ABSENT", "--", "env",
            ])
            .env("COPIED", "from here")
            .env("OTHER", "stays here"),
    );
    let env = good(output);
    assert!(env.lines().any(|line| line == "SET=a=b"), "{env}");
    assert!(env.lines().any(|line| line == "COPIED=from here"), "{env}");
    assert!(
        !env.contains("ABSENT") && !env.contains("OTHER") && !env.contains("PINFOLD_DATA_DIR"),
        "{env}"
    );
}

#[test]
fn user_and_directory_are_as_asked() {
    let world = World::new();
    let output = finished(&mut world.pinfold([
        "run",
        "--user",
        "1234:1234",
        "--workdir",
        "/tmp/a/b",
        "--",
        "sh",
        "-c",
        "id -u; pwd",
    ]));
    assert_eq!(good(output), "1234\n/tmp/a/b\n");
}

#[test]
fn an_imported_image_is_used_without_a_server() {
    let world = World::new();
    // A root filesystem of one program: this machine's own static shell, if it has one, is not to
    // be relied on, so the program comes from the image `host` by a mount.
    crate::world::tar(
        &world.path("image.tar"),
        &[("etc/motd", b"welcome"), ("usr/keep", b"")],
    );
    let import = finished(
        world
            .pinfold(["images", "import", "mine:1"])
            .arg(world.path("image.tar")),
    );
    assert!(good(import).starts_with("img_"));
    let output = finished(&mut world.pinfold([
        "run",
        "--image",
        "mine:1",
        "--mount",
        "/usr:/usr:ro",
        "--mount",
        "/lib:/lib:ro",
        "--mount",
        "/lib64:/lib64:ro",
        "--",
        "/usr/bin/cat",
        "/etc/motd",
    ]));
    assert_eq!(good(output), "welcome");
}

#[test]
fn a_shipped_template_stands_for_its_image() {
    let world = World::new();
    let output = finished(&mut world.pinfold([
        "run", "--image", "python", "--", "python3", "-c", "print(1)",
    ]));
    assert_eq!(good(output), "1\n");
}
