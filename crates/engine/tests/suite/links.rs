//! Signed links: what they open, and for how long.

use std::sync::Arc;
use std::time::Duration;

use pinfold_engine::{CreateKey, CreateSandbox, EngineConfig, FileAt, LinkUse, Linked, ReadRange};
use pinfold_model::{Code, Ctx, KeyKind, RequestId, Role};

use super::clock::ManualClock;
use super::objects::{body, named, put};
use super::place::{Life, Place, small};

async fn redeem(
    life: &Life,
    token: &str,
    wanted: LinkUse,
) -> pinfold_model::Result<pinfold_engine::Redeemed> {
    life.engine
        .redeem(token, wanted, RequestId::generate())
        .await
}

#[test]
fn a_link_opens_one_thing_in_one_way_again_and_again_until_its_time() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let object = put(&life, "a", b"content").await;
        let minute = Duration::from_secs(60);
        let link = engine
            .sign_object_download(ctx, &object.id, Some(minute))
            .await
            .expect("sign");
        assert!(!format!("{link:?}").contains(&link.token));
        for _ in 0..2 {
            let found = redeem(&life, &link.token, LinkUse::Read)
                .await
                .expect("valid");
            let expected = Linked::ObjectDownload {
                object: object.id.clone(),
            };
            assert_eq!(found.linked, expected);
            assert_eq!(found.ctx.principal.role, Role::Member);
            let read = engine
                .read_object(&found.ctx, &object.id, ReadRange::default())
                .await;
            read.expect("it is the holder's to read");
        }
        let put = redeem(&life, &link.token, LinkUse::Write).await;
        assert_eq!(put.expect_err("a download").code(), Code::LinkInvalid);
        clock.forward(minute);
        let late = redeem(&life, &link.token, LinkUse::Read).await;
        assert_eq!(late.expect_err("over").code(), Code::LinkExpired);

        for lifetime in [Duration::ZERO, Duration::from_secs(8 * 24 * 3600)] {
            let refused = engine
                .sign_object_download(ctx, &object.id, Some(lifetime))
                .await;
            assert_eq!(refused.expect_err("bounds").code(), Code::InvalidArgument);
        }
        engine.delete_object(ctx, &object.id).await.expect("delete");
        let gone = engine.sign_object_download(ctx, &object.id, None).await;
        assert_eq!(gone.expect_err("deleted").code(), Code::ObjectGone);
    });
    life.clean_up(&place);
}

#[test]
fn an_upload_link_ends_when_the_object_is_sealed() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let object = engine.begin_object(ctx, named("a"), None).await;
        let id = object.expect("begin").value.id;
        let link = engine
            .sign_object_upload(ctx, &id, None)
            .await
            .expect("sign");
        let read = redeem(&life, &link.token, LinkUse::Read).await;
        assert_eq!(read.expect_err("an upload").code(), Code::LinkInvalid);
        let found = redeem(&life, &link.token, LinkUse::Write)
            .await
            .expect("valid");
        engine
            .upload_object(&found.ctx, &id, body(b"x"))
            .await
            .expect("upload");
        engine.complete_object(ctx, &id).await.expect("seal");
        let late = engine.upload_object(&found.ctx, &id, body(b"y")).await;
        assert_eq!(late.expect_err("sealed").code(), Code::ObjectSealed);
        let sealed = engine.sign_object_upload(ctx, &id, None).await;
        assert_eq!(sealed.expect_err("sealed").code(), Code::ObjectSealed);
    });
    life.clean_up(&place);
}

#[test]
fn a_file_link_reads_the_file_as_it_is_and_ends_with_the_sandbox() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let sandbox = life.sandbox().await;
        let link = engine
            .sign_file_download(ctx, &sandbox, "later.txt", None)
            .await
            .expect("sign");
        let found = redeem(&life, &link.token, LinkUse::Read)
            .await
            .expect("valid");
        let Linked::FileDownload { path, .. } = &found.linked else {
            panic!("{:?}", found.linked)
        };
        assert_eq!(path, "/workspace/later.txt");
        life.sh(&sandbox, "echo there > later.txt").await;
        let whole = ReadRange::default();
        let mut reader = engine
            .read_file(&found.ctx, &sandbox, path, whole)
            .await
            .expect("read");
        let piece = reader.next().await.expect("piece");
        assert_eq!(piece.as_deref(), Some(&b"there\n"[..]));
        drop(reader);
        engine
            .destroy_sandbox(ctx, &sandbox)
            .await
            .expect("destroy");
        let gone = engine.read_file(&found.ctx, &sandbox, path, whole).await;
        assert_eq!(gone.expect_err("destroyed").code(), Code::SandboxGone);
        let late = engine.sign_file_download(ctx, &sandbox, "x", None).await;
        assert_eq!(late.expect_err("destroyed").code(), Code::SandboxGone);
    });
    life.clean_up(&place);
}

#[test]
fn a_confined_link_stays_confined_and_begins_where_it_is_confined() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let engine = &life.engine;
        let elsewhere = CreateSandbox {
            workdir: Some("/srv".into()),
            ..small()
        };
        let sandbox = life.create(elsewhere).await.id;
        let line = "mkdir -p /srv /workspace; echo here > /srv/f; echo there > /workspace/f";
        life.sh(&sandbox, line).await;
        let at = FileAt::within("f", "/workspace");
        let link = engine.sign_found_file(&life.ctx, &sandbox, at, None).await;
        let link = link.expect("sign");
        let found = redeem(&life, &link.token, LinkUse::Read).await;
        let found = found.expect("valid");
        let Linked::FileDownload { path, within, .. } = &found.linked else {
            panic!("{:?}", found.linked)
        };
        assert_eq!(path, "/workspace/f");
        let at = FileAt::of(path, within.as_deref());
        let read = || engine.read_file(&found.ctx, &sandbox, at, ReadRange::default());
        let piece = read().await.expect("read").next().await.expect("piece");
        assert_eq!(piece.as_deref(), Some(&b"there\n"[..]));
        life.sh(&sandbox, "ln -sf /etc/passwd /workspace/f").await;
        let outside = read().await.expect_err("it leads out by now");
        assert_eq!(outside.code(), Code::PathOutside);
        // One that was never confined begins at the working directory and may lead anywhere.
        let link = engine
            .sign_file_download(&life.ctx, &sandbox, "f", None)
            .await;
        let found = redeem(&life, &link.expect("sign").token, LinkUse::Read).await;
        let expected = Linked::FileDownload {
            sandbox: sandbox.clone(),
            path: "/srv/f".into(),
            within: None,
        };
        assert_eq!(found.expect("valid").linked, expected);
    });
    life.clean_up(&place);
}

#[test]
fn a_link_ends_with_the_key_that_made_it_and_outlives_a_restart() {
    let place = Place::new();
    let life = place.live();
    let (object, made, token) = life.run(async {
        let object = put(&life, "a", b"content").await;
        let key = CreateKey {
            name: "agent".into(),
            role: Role::Member,
            kind: KeyKind::Agent,
            project: None,
            expires: None,
            scopes: pinfold_model::Scopes::All,
            quota: Default::default(),
        };
        let made = life.engine.create_key(&life.ctx, key).await.expect("key");
        let principal = life.engine.authenticate(&made.secret).await;
        let agent = Ctx::new(principal.expect("a good key"));
        let link = life
            .engine
            .sign_object_download(&agent, &object.id, None)
            .await;
        (object, made.key, link.expect("sign").token)
    });
    life.crash();
    let life = place.live();
    life.run(async {
        let found = redeem(&life, &token, LinkUse::Read).await;
        let found = found.expect("the secret is the store's");
        assert_eq!(found.linked, Linked::ObjectDownload { object: object.id });
        life.engine
            .revoke_key(&life.ctx, &made.id)
            .await
            .expect("revoke");
        let revoked = redeem(&life, &token, LinkUse::Read).await;
        assert_eq!(revoked.expect_err("revoked").code(), Code::LinkInvalid);
    });
    life.clean_up(&place);
}
