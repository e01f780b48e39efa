//! What is kept of requests beside their idempotency keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinfold_engine::{Drain, EngineConfig, MasterKey, Origin, SecretsKey, SystemClock};
use pinfold_model::{Code, CommandId, CommandSpec, Result, SandboxId, SecretEnv};

use super::place::{Life, Place, shell};

fn with_secret(value: &str) -> CommandSpec {
    let values = BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]);
    CommandSpec {
        secret_env: SecretEnv::new(values),
        ..shell("true")
    }
}

/// What the command with that value and key is, and whether it was there before.
async fn start(
    life: &Life,
    sandbox: &SandboxId,
    value: &str,
    key: &str,
) -> Result<(CommandId, Origin)> {
    let start = life
        .engine
        .start_command(&life.ctx, sandbox, with_secret(value), Some(key))
        .await?;
    Ok((start.value.id, start.origin))
}

fn recorded(place: &Place, key: &str) -> Vec<u8> {
    let records = rusqlite::Connection::open(place.path().join("pinfold.db")).expect("records");
    records
        .query_row(
            "SELECT request_hash FROM idempotency_keys WHERE key = ?1",
            [key],
            |row| row.get(0),
        )
        .expect("one key")
}

/// A server without the key of secrets stands for those before this one, and records what they did.
#[test]
fn a_record_of_a_request_tells_no_secret_and_those_of_older_servers_count() {
    let place = Place::new();
    let older = place.live();
    let (sandbox, first) = older.run(async {
        let sandbox = older.sandbox().await;
        let first = start(&older, &sandbox, "hunter2", "old").await;
        (sandbox, first.expect("started").0)
    });
    let bare = recorded(&place, "old");
    older.shut_down(Drain::KeepSandboxes);

    let config = EngineConfig {
        secrets_key: SecretsKey::Given(MasterKey::generate()),
        ..EngineConfig::default()
    };
    let life = place.live_with(config.clone(), Arc::new(SystemClock));
    let fresh = life.run(async {
        let again = start(&life, &sandbox, "hunter2", "old").await;
        assert_eq!(again.expect("the same"), (first.clone(), Origin::Replay));
        let other = start(&life, &sandbox, "hunter3", "old").await;
        assert_eq!(
            other.expect_err("another").code(),
            Code::IdempotencyConflict
        );
        let (fresh, origin) = start(&life, &sandbox, "hunter2", "k").await.expect("new");
        assert_eq!(origin, Origin::New);
        start(&life, &sandbox, "hunter2", "k2").await.expect("new");
        fresh
    });
    let (one, two) = (recorded(&place, "k"), recorded(&place, "k2"));
    assert!(one != bare && two != bare, "a guess can be tried out");
    assert_ne!(one, two, "equal requests look equal");
    life.crash();

    let next = place.live_with(config, Arc::new(SystemClock));
    next.run(async {
        let again = start(&next, &sandbox, "hunter2", "k").await;
        assert_eq!(again.expect("the same"), (fresh, Origin::Replay));
        let other = start(&next, &sandbox, "hunter3", "k").await;
        assert_eq!(
            other.expect_err("another").code(),
            Code::IdempotencyConflict
        );
    });
    next.clean_up(&place);
}
