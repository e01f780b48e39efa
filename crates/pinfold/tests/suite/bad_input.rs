//! Bad input: a clear word, the right code, and nothing left behind.

use std::process::Output;

use crate::world::{World, finished, text};

/// What went wrong, in the words people see.
fn refused(world: &World, args: &[&str], code: i32) -> String {
    let output = finished(&mut world.pinfold(args));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(
        output.stdout.is_empty(),
        "{args:?}: {}",
        text(&output.stdout)
    );
    assert!(world.run_directories().is_empty(), "{args:?}");
    said
}

fn said(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn an_unknown_image_is_named() {
    let world = World::new();
    let said = refused(&world, &["run", "--image", "no-such", "true"], 125);
    assert!(said.contains("no image \"no-such\""), "{said}");
}

#[test]
fn an_image_name_that_is_none_is_told_the_form() {
    let world = World::new();
    let said = refused(&world, &["run", "--image", "../etc", "true"], 125);
    assert!(said.contains("image name"), "{said}");
}

#[test]
fn a_name_of_300_characters_is_refused() {
    let world = World::new();
    let said = refused(&world, &["run", "--name", &"x".repeat(300), "true"], 125);
    assert!(said.contains("1 to 100 characters"), "{said}");
}

#[test]
fn absurd_limits_are_refused_by_name() {
    let world = World::new();
    for (args, word) in [
        (["--memory", "1m"], "memory"),
        (["--memory", "4000t"], "memory"),
        (["--vcpu", "1000000"], "vcpu"),
        (["--vcpu", "0"], "vcpu"),
        (["--disk", "1m"], "disk"),
        (["--timeout", "999d"], "timeout"),
        (["--timeout", "0s"], "timeout"),
    ] {
        let said = refused(&world, &["run", args[0], args[1], "true"], 125);
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

#[test]
fn values_of_no_form_are_wrong_usage() {
    let world = World::new();
    for args in [
        ["--memory", "lots"],
        ["--memory", "99999999999999t"],
        ["--timeout", "soon"],
        ["--mount", "nowhere"],
        ["--mount", "/no/such/directory:/x"],
        ["--network", "fast"],
    ] {
        let said = refused(&world, &["run", args[0], args[1], "true"], 2);
        assert!(said.contains(args[1]), "{args:?}: {said}");
    }
}

#[test]
fn mounts_that_make_no_sense_are_refused() {
    let world = World::new();
    for target in ["relative", "/", "/..", "/../etc", "/work/./here"] {
        let mount = format!("/tmp:{target}");
        // Wrong usage, as a source that does not exist is: told before anything is made.
        let said = refused(&world, &["run", "--mount", &mount, "true"], 2);
        assert!(said.contains("mount"), "{target}: {said}");
    }
}

#[test]
fn an_unknown_user_is_named() {
    let world = World::new();
    let output = finished(&mut world.pinfold(["run", "--user", "nobody-here", "true"]));
    assert!(!output.status.success());
    assert!(said(&output).contains("nobody-here"), "{}", said(&output));
    assert!(world.run_directories().is_empty());
}

#[test]
fn a_malformed_tar_leaves_no_layer() {
    let world = World::new();
    let path = world.path("bad.tar");
    std::fs::write(&path, vec![0x5a; 4096]).expect("write");
    let output = finished(world.pinfold(["images", "import", "bad"]).arg(&path));
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("pinfold: "), "{}", said(&output));
    for directory in ["images/layers", "images/tmp"] {
        let entries = std::fs::read_dir(world.data().join(directory)).expect("made");
        assert_eq!(entries.count(), 0, "{directory}");
    }
}

#[test]
fn what_is_no_image_at_all_is_told_apart() {
    let world = World::new();
    let said = refused(&world, &["images", "import", "x", "/no/such/file"], 1);
    assert!(said.contains("/no/such/file"), "{said}");
    let said = refused(&world, &["images", "import", "x", "/tmp"], 1);
    assert!(said.contains("no OCI layout"), "{said}");
    let said = refused(&world, &["images", "import", "a b", "/dev/null"], 1);
    assert!(said.contains("image name"), "{said}");
}

#[test]
fn without_a_server_every_client_says_how_to_start_one() {
    let world = World::new();
    for args in [
        &["sandbox", "ls"][..],
        &["sandbox", "create"],
        &["images", "ls"],
        &["templates", "ls"],
        &["keys", "ls"],
        &["projects", "ls"],
        &["usage"],
        &["audit"],
    ] {
        let mut command = world.pinfold(args);
        // Nothing listens on the port of a service that ended long ago.
        let output = finished(command.env("PINFOLD_URL", "http://127.0.0.1:9"));
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", said(&output));
        assert!(
            said(&output).contains("pinfold serve"),
            "{args:?}: {}",
            said(&output)
        );
    }
    let mut exec = world.pinfold(["sandbox", "exec", "x", "true"]);
    let output = finished(exec.env("PINFOLD_URL", "http://127.0.0.1:9"));
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn a_wrong_command_line_is_2() {
    let world = World::new();
    for args in [
        &["run"][..],
        &["frobnicate"],
        &["keys", "create", "--role", "king"],
    ] {
        let output = finished(&mut world.pinfold(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
