//! Keys for SSH, and those who log in with them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{
    Clock, CreateKey, CreateSshKey, CreatedKey, CreatedSshKey, EngineConfig, Expires, PageRequest,
    SystemClock,
};
use pinfold_model::{Code, Ctx, KeyKind, Role, SandboxId, Scopes, SshGateway, SshKey};

use super::access::stranger;
use super::clock::ManualClock;
use super::place::{Life, Place};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine that says it has a gateway.
fn live(place: &Place) -> Life {
    live_at(place, Arc::new(SystemClock))
}

fn live_at(place: &Place, clock: Arc<dyn Clock>) -> Life {
    let config = EngineConfig {
        ssh: Some(SshGateway {
            host: "pinfold.test".to_owned(),
            port: 7022,
            host_key: "ssh-ed25519 AAAA".to_owned(),
            host_key_fingerprint: "SHA256:x".to_owned(),
        }),
        ..EngineConfig::default()
    };
    place.live_with(config, clock)
}

async fn created(life: &Life, ctx: &Ctx, sandbox: &SandboxId) -> CreatedSshKey {
    let made = life
        .engine
        .create_ssh_key(ctx, sandbox, CreateSshKey::default());
    made.await.expect("a key")
}

/// An API key that makes keys of sandboxes.
async fn maker(life: &Life, expires_in: Option<Duration>) -> CreatedKey {
    let request = CreateKey {
        name: "maker".into(),
        role: Role::Member,
        kind: KeyKind::User,
        project: None,
        expires: expires_in.map(Expires::In),
        scopes: Scopes::All,
        quota: Default::default(),
    };
    let made = life.engine.create_key(&life.ctx, request).await;
    made.expect("key")
}

async fn found(life: &Life, key: &SshKey) -> Option<SshKey> {
    let found = life
        .engine
        .find_ssh_key(key.sandbox.as_str(), &key.fingerprint);
    found.await.expect("a look")
}

#[test]
fn an_ssh_key_opens_its_sandbox_until_it_is_deleted() {
    let place = Place::new();
    let life = live(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let (sandbox, other) = (life.sandbox().await, life.sandbox().await);
        let made = created(&life, ctx, &sandbox).await;
        let private = made.private_key.as_deref().expect("a pair was made");
        assert!(!format!("{made:?}").contains(private.lines().nth(1).expect("base64")));
        assert_eq!(found(&life, &made.key).await.as_ref(), Some(&made.key));
        for user in [other.as_str(), "root", ""] {
            let found = engine.find_ssh_key(user, &made.key.fingerprint).await;
            assert_eq!(found.expect("a look"), None, "{user:?}");
        }
        let login = engine.enter_over_ssh(&made.key, PEER).await.expect("in");
        assert_eq!(login.sandbox(), &sandbox);
        let refused = login.dial(9, Duration::from_secs(10)).await;
        assert_eq!(refused.expect_err("nobody").code(), Code::PortNotListening);
        engine
            .delete_ssh_key(ctx, &sandbox, &made.key.id)
            .await
            .expect("deleted");
        let why = tokio::time::timeout(PATIENCE, login.ended()).await;
        assert_eq!(why.expect("told").code(), Code::Unauthenticated);
        assert_eq!(found(&life, &made.key).await, None);
        // Whoever proved it just before the deletion comes too late.
        let late = engine.enter_over_ssh(&made.key, PEER).await;
        assert_eq!(late.expect_err("too late").code(), Code::Unauthenticated);
        let again = engine.delete_ssh_key(ctx, &sandbox, &made.key.id).await;
        assert_eq!(again.expect_err("gone").code(), Code::SshKeyNotFound);
    });
    life.clean_up(&place);
}

#[test]
fn an_ssh_key_acts_as_the_key_that_made_it_and_ends_with_that() {
    let place = Place::new();
    let life = live(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let maker = maker(&life, None).await;
        let principal = engine.authenticate(&maker.secret).await.expect("good");
        let made = created(&life, &Ctx::new(principal), &sandbox).await;
        let login = engine.enter_over_ssh(&made.key, PEER).await.expect("in");
        assert_eq!(login.ctx().principal.key.as_ref(), Some(&maker.key.id));
        assert_eq!(login.ctx().principal.role, Role::Member);
        let kept = created(&life, ctx, &sandbox).await;
        engine
            .revoke_key(ctx, &maker.key.id)
            .await
            .expect("revoked");
        let ended = tokio::time::timeout(PATIENCE, login.ended()).await;
        assert!(ended.is_ok());
        assert_eq!(found(&life, &made.key).await, None);
        assert!(engine.enter_over_ssh(&made.key, PEER).await.is_err());
        assert!(found(&life, &kept.key).await.is_some(), "another's stays");
    });
    life.clean_up(&place);
}

#[test]
fn a_login_ends_when_the_key_expires_that_made_its_key() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = live_at(&place, clock.clone());
    life.run(async {
        let engine = &life.engine;
        let sandbox = life.sandbox().await;
        let maker = maker(&life, Some(Duration::from_secs(3600))).await;
        let principal = engine.authenticate(&maker.secret).await.expect("good");
        let made = created(&life, &Ctx::new(principal), &sandbox).await;
        let kept = created(&life, &life.ctx, &sandbox).await;
        let login = engine.enter_over_ssh(&made.key, PEER).await.expect("in");
        let other = engine.enter_over_ssh(&kept.key, PEER).await.expect("in");
        let mut ended = std::pin::pin!(login.ended());
        clock.forward(Duration::from_secs(3599));
        assert!(futures::poll!(&mut ended).is_pending(), "a second is left");
        clock.forward(Duration::from_secs(1));
        let why = tokio::time::timeout(PATIENCE, ended).await;
        assert_eq!(why.expect("told").code(), Code::Unauthenticated);
        assert!(engine.enter_over_ssh(&made.key, PEER).await.is_err());
        let mut others = std::pin::pin!(other.ended());
        assert!(futures::poll!(&mut others).is_pending(), "another's stays");
    });
    life.clean_up(&place);
}

#[test]
fn a_caller_that_goes_away_amid_it_leaves_nobody_in() {
    let place = Place::new();
    let life = live(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let maker = maker(&life, None).await;
        let principal = engine.authenticate(&maker.secret).await.expect("good");
        let made = created(&life, &Ctx::new(principal), &sandbox).await;
        let deleted = created(&life, ctx, &sandbox).await;
        let of_maker = engine.enter_over_ssh(&made.key, PEER).await.expect("in");
        let of_deleted = engine.enter_over_ssh(&deleted.key, PEER).await;
        let of_deleted = of_deleted.expect("in");
        {
            // Begun, and dropped.
            let revoking = std::pin::pin!(engine.revoke_key(ctx, &maker.key.id));
            let _ = futures::poll!(revoking);
            let deleting = engine.delete_ssh_key(ctx, &sandbox, &deleted.key.id);
            let _ = futures::poll!(std::pin::pin!(deleting));
        }
        for login in [of_maker, of_deleted] {
            let ended = tokio::time::timeout(PATIENCE, login.ended()).await;
            assert_eq!(ended.expect("told").code(), Code::Unauthenticated);
        }
        assert_eq!(found(&life, &deleted.key).await, None);
        assert!(engine.authenticate(&maker.secret).await.is_err());
    });
    life.clean_up(&place);
}

#[test]
fn who_logs_in_is_told_what_became_of_the_sandbox() {
    let place = Place::new();
    let life = live(&place);
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let key = created(&life, ctx, &sandbox).await.key;
        let login = engine.enter_over_ssh(&key, PEER).await.expect("in");
        engine.suspend_sandbox(ctx, &sandbox).await.expect("frozen");
        let refused = engine.enter_over_ssh(&key, PEER).await.expect_err("frozen");
        assert_eq!(refused.code(), Code::SandboxNotRunning);
        engine.resume_sandbox(ctx, &sandbox).await.expect("resumed");
        let mut ended = std::pin::pin!(login.ended());
        assert!(futures::poll!(&mut ended).is_pending(), "it stays in");
        engine.destroy_sandbox(ctx, &sandbox).await.expect("gone");
        let why = tokio::time::timeout(PATIENCE, ended).await.expect("told");
        assert_eq!(why.code(), Code::SandboxGone);
        let gone = engine.enter_over_ssh(&key, PEER).await.expect_err("gone");
        assert_eq!(gone.code(), Code::SandboxGone);
        let all = PageRequest::new(10, None);
        let listed = engine.list_ssh_keys(ctx, &sandbox, &all).await;
        assert!(listed.expect("a list").items.is_empty());
        let late = engine.create_ssh_key(ctx, &sandbox, CreateSshKey::default());
        assert_eq!(late.await.expect_err("gone").code(), Code::SandboxGone);
    });
    life.clean_up(&place);
}

#[test]
fn strangers_have_no_part_in_the_keys_of_a_sandbox() {
    let place = Place::new();
    let life = live(&place);
    life.run(async {
        let sandbox = life.sandbox().await;
        let key = created(&life, &life.ctx, &sandbox).await.key;
        let (engine, stranger) = (&life.engine, stranger(&life).await);
        let all = PageRequest::new(10, None);
        let codes = [
            engine
                .create_ssh_key(&stranger, &sandbox, CreateSshKey::default())
                .await
                .map(drop),
            engine
                .list_ssh_keys(&stranger, &sandbox, &all)
                .await
                .map(drop),
            engine.delete_ssh_key(&stranger, &sandbox, &key.id).await,
        ];
        for refused in codes {
            assert_eq!(refused.expect_err("foreign").code(), Code::SandboxNotFound);
        }
        assert!(found(&life, &key).await.is_some());
    });
    life.clean_up(&place);
}

#[test]
fn without_a_gateway_there_are_no_keys_for_it() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        let made = life
            .engine
            .create_ssh_key(&life.ctx, &sandbox, CreateSshKey::default());
        assert_eq!(made.await.expect_err("none").code(), Code::Unsupported);
    });
    life.clean_up(&place);
}
