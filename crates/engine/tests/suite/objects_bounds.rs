//! Bounds of objects: quota, retention, kills in the middle, sandboxes that a copy keeps awake.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use pinfold_engine::{
    CreateObject, EngineConfig, ObjectBody, ObjectFilter, PageRequest, QuotaChange, ReadRange,
};
use pinfold_model::{Code, ObjectState, SandboxState};

use super::clock::ManualClock;
use super::objects::{body, named, put, read, stored, until_stored, whole};
use super::place::Place;

#[test]
fn a_project_holds_no_more_bytes_than_its_quota() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let change = QuotaChange {
            object_bytes: Some(Some(1_000_000)),
            ..QuotaChange::default()
        };
        let project = ctx.principal.project.clone();
        engine
            .change_quota(ctx, &project, change)
            .await
            .expect("quota");
        let first = put(&life, "first", &[1; 900_000]).await;
        // Neither announced nor unannounced bytes pass it.
        for announced in [Some(200_000), None] {
            let body = ObjectBody {
                announced,
                ..body(&[2; 200_000])
            };
            let over = engine.create_object(ctx, named("x"), body, None).await;
            let over = over.expect_err("over the quota");
            assert_eq!(over.code(), Code::QuotaExceeded);
            assert_eq!(over.details()["quota"], "object_bytes");
            assert!(over.message().contains("delete objects"), "{over}");
        }
        let sandbox = life.sandbox().await;
        life.sh(&sandbox, "head -c 200000 /dev/zero > big").await;
        let over = engine
            .create_object_from_file(ctx, &sandbox, "big", named("x"), None)
            .await;
        assert_eq!(over.expect_err("over").code(), Code::QuotaExceeded);
        until_stored(&place, 1).await;
        assert_eq!(
            engine.object_usage(ctx).await.expect("usage"),
            (900_000, Some(1_000_000))
        );
        engine.delete_object(ctx, &first.id).await.expect("delete");
        put(&life, "second", &[2; 200_000]).await;
    });
    life.clean_up(&place);
}

#[test]
fn an_object_whose_time_is_over_goes_by_itself() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new());
    let life = place.live_with(EngineConfig::default(), clock.clone());
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let hour = Duration::from_secs(3600);
        let request = CreateObject {
            retention: Some(hour),
            ..named("short")
        };
        let made = engine
            .create_object(ctx, request, body(b"short"), None)
            .await;
        let short = made.expect("create").value;
        let kept = put(&life, "kept", b"kept").await;
        let begun = engine.begin_object(ctx, named("begun"), None).await;
        let begun = begun.expect("begin").value;
        assert_eq!(stored(&place).len(), 2);
        clock.forward(hour);
        // Nobody can use it from that moment, whenever the reconciler comes.
        let over = read(&life, &short, ReadRange::default()).await;
        assert_eq!(over.expect_err("over").code(), Code::ObjectGone);
        // A turn of the reconciler that is under way counts its next from the time it ends.
        while stored(&place).len() != 1 {
            clock.forward(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(whole(&life, &kept).await, b"kept");
        clock.forward(8 * 24 * hour);
        loop {
            clock.forward(Duration::from_secs(60));
            let state = engine.get_object(ctx, &begun.id).await.expect("get").state;
            if state == ObjectState::Deleted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    life.clean_up(&place);
}

#[test]
fn a_kill_in_the_middle_of_an_upload_leaves_nothing_half_made() {
    let place = Place::new();
    let life = place.live();
    let object = life.run(async {
        let object = put(&life, "whole", b"whole").await;
        let engine = life.engine.clone();
        let ctx = life.ctx.clone();
        tokio::spawn(async move {
            let first = Ok(Bytes::from(vec![1; 5 << 20]));
            let stuck = futures::stream::iter([first]).chain(futures::stream::pending());
            let body = ObjectBody {
                pieces: stuck.boxed(),
                announced: None,
            };
            engine.create_object(&ctx, named("half"), body, None).await
        });
        until_stored(&place, 2).await;
        object
    });
    life.crash();
    // A kill runs no destructor, which the runtime's end does: put back what one leaves.
    let half = format!("{}#1", pinfold_model::BlobId::generate());
    let unrecorded = pinfold_model::BlobId::generate().to_string();
    for name in [&half, &unrecorded] {
        std::fs::write(place.objects().join(name), b"left").expect("write");
    }

    let life = place.live();
    life.run(async {
        until_stored(&place, 1).await;
        assert_eq!(whole(&life, &object).await, b"whole");
        let list = life
            .engine
            .list_objects(&life.ctx, &ObjectFilter::default(), &PageRequest::default())
            .await;
        assert_eq!(list.expect("list").items, [object]);
    });
    life.clean_up(&place);
}

#[test]
fn a_copy_keeps_its_sandbox_from_idling_and_ends_with_it() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let sandbox = life.sandbox().await;
        // Longer than its announced size: it grows while it is read.
        life.sh(&sandbox, "head -c 20000000 /dev/zero > big").await;
        let copies = (0..4).map(|_| {
            life.engine.create_object_from_file(
                &life.ctx,
                &sandbox,
                "big",
                CreateObject::default(),
                None,
            )
        });
        for made in futures::future::join_all(copies).await {
            assert_eq!(made.expect("copy").value.size_bytes, Some(20_000_000));
        }
        assert_eq!(stored(&place).len(), 1, "equal content is kept once");
        assert_eq!(life.state(&sandbox).await.state, SandboxState::Running);
    });
    life.clean_up(&place);
}
