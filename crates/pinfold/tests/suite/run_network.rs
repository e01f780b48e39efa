//! `run --network open` with addresses of the operator's choice.

use std::process::Command;

use crate::world::{World, finished, good, text};

/// A network that this machine has already, at an interface of the test's own.
struct Neighbour {
    name: String,
}

impl Neighbour {
    fn at(address: &str) -> Self {
        let name = format!("nb{}", std::process::id());
        let make = format!(
            "ip link add {name} type veth peer name {name}p && ip addr add {address} dev {name} && \
             ip link set {name} up && ip link set {name}p up"
        );
        let made = Command::new("sh").args(["-c", &make]).status();
        assert!(made.expect("sh").success(), "{make}");
        Self { name }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del", &self.name])
            .status();
    }
}

fn with_network(world: &World, subnet: &str) -> std::process::Output {
    let look = ["--network", "open", "--", "cat", "/proc/net/fib_trie"];
    let run = ["run", "--network-subnet", subnet];
    finished(&mut world.pinfold(run.into_iter().chain(look)))
}

#[test]
fn sandboxes_get_their_addresses_from_the_chosen_network() {
    let world = World::new();
    let routes = good(with_network(&world, "100.119.0.0/16"));
    assert!(routes.contains(" 100.119."), "{routes}");
}

#[test]
fn a_network_that_the_machine_has_already_is_refused_by_name() {
    let world = World::new();
    let _neighbour = Neighbour::at("100.118.7.1/24");
    let refused = with_network(&world, "100.118.0.0/16");
    assert_eq!(refused.status.code(), Some(125));
    let words = text(&refused.stderr);
    assert!(
        words.contains("100.118.7.0/24") && words.contains("--network-subnet"),
        "{words}"
    );
    assert!(world.run_directories().is_empty());
    let wrong = with_network(&world, "100.118.0.0/24");
    assert!(
        text(&wrong.stderr).contains("too small"),
        "{}",
        text(&wrong.stderr)
    );
}
