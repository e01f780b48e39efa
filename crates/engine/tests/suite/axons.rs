//! Axons: many who publish, many who follow, SQL beside them, deletes and crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use pinfold_engine::{AxonReader, CreateAxon, Engine, SqlBatch, SqlStatement, SqlValue};
use pinfold_model::{AxonId, AxonOrigin, Code, Ctx, NewAxonEvent, ProjectId, Scopes, limits};
use tokio::task::JoinSet;

use super::place::{Life, Place};

fn event(payload: String) -> NewAxonEvent {
    NewAxonEvent {
        origin: AxonOrigin::User,
        source: "test".to_owned(),
        event_type: "tick".to_owned(),
        payload,
    }
}

async fn made(life: &Life) -> AxonId {
    let made = life
        .engine
        .create_axon(&life.ctx, CreateAxon::default(), None);
    made.await.expect("an axon").value.id
}

async fn publish(engine: &Engine, ctx: &Ctx, id: &AxonId, payload: String) -> u64 {
    let published = engine.publish_to_axon(ctx, id, event(payload), None);
    published.await.expect("published").sequence
}

fn statement(sql: &str) -> SqlStatement {
    SqlStatement {
        sql: sql.to_owned(),
        params: vec![],
    }
}

async fn value(life: &Life, id: &AxonId, sql: &str) -> SqlValue {
    let answer = life.engine.query_axon(&life.ctx, id, statement(sql)).await;
    answer.expect("an answer").rows[0][0].clone()
}

/// Payloads by number, up to the one of that number.
async fn follow(mut reader: AxonReader, to: u64, slow: bool) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(event) = reader.next().await.expect("no failure") {
        seen.push((event.sequence, event.event.payload));
        if event.sequence == to {
            break;
        }
        if slow {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    seen
}

fn code<T>(result: Result<T, pinfold_model::Error>) -> Option<Code> {
    result.err().map(|error| error.code())
}

fn stranger(life: &Life) -> Ctx {
    let mut stranger = life.ctx.clone();
    stranger.principal.project = ProjectId::generate();
    stranger
}

#[test]
fn every_reader_sees_every_event_once_and_in_its_place() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let id = made(&life).await;
        let (engine, ctx) = (life.engine.clone(), life.ctx.clone());
        let first = publish(&engine, &ctx, &id, "first".to_owned()).await;
        assert_eq!(first, 1);
        let mut readers = JoinSet::new();
        for n in 0..6 {
            let reader = engine
                .follow_axon(&ctx, &id, n % 2)
                .await
                .expect("a reader");
            readers.spawn(async move { (n % 2, follow(reader, 201, n == 5).await) });
        }
        let mut publishers = JoinSet::new();
        for publisher in 0..8 {
            let (engine, ctx, id) = (engine.clone(), ctx.clone(), id.clone());
            publishers.spawn(async move {
                let mut told = BTreeMap::new();
                for n in 0..25 {
                    let text = format!("{publisher} {n}");
                    let number = publish(&engine, &ctx, &id, text.clone()).await;
                    told.insert(number, text);
                }
                told
            });
        }
        let mut told = BTreeMap::from([(1, "first".to_owned())]);
        for own in publishers.join_all().await {
            told.extend(own);
        }
        assert_eq!(told.len(), 201, "no number twice");
        let expected: Vec<_> = told.into_iter().collect();
        for (after, seen) in readers.join_all().await {
            assert_eq!(seen, expected[after as usize..]);
        }
        // Back from the end, in parts.
        let page = engine.list_axon_events(&ctx, &id, None, 30).await;
        let page = page.expect("a page");
        assert!(page.more && page.total == 201 && page.events.len() == 30);
        let last = page.events.last().expect("some").sequence;
        assert_eq!((page.events[0].sequence, last), (201, 172));
        let rest = engine.list_axon_events(&ctx, &id, Some(last), 5000).await;
        let rest = rest.expect("a page");
        assert_eq!((rest.events.len(), rest.more), (171, false));
    });
    life.clean_up(&place);
}

#[test]
fn a_killed_engine_loses_no_event_that_was_accepted() {
    let place = Place::new();
    let life = place.live();
    let (id, least) = life.run(async {
        let id = made(&life).await;
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        for _ in 0..4 {
            let (engine, ctx, id) = (life.engine.clone(), life.ctx.clone(), id.clone());
            let sent = std::sync::Arc::clone(&sent);
            tokio::spawn(async move {
                loop {
                    let number = publish(&engine, &ctx, &id, "x".to_owned()).await;
                    sent.fetch_max(number, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        while sent.load(std::sync::atomic::Ordering::SeqCst) < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (id, sent)
    });
    life.crash();
    let least = least.load(std::sync::atomic::Ordering::SeqCst);
    let life = place.live();
    life.run(async {
        let total = life.engine.get_axon(&life.ctx, &id).await.expect("there");
        assert!(
            total.last_sequence >= least,
            "{} {least}",
            total.last_sequence
        );
        let reader = life.engine.follow_axon(&life.ctx, &id, 0).await;
        let seen = follow(reader.expect("a reader"), total.last_sequence, false).await;
        let numbers: Vec<u64> = seen.into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (1..=total.last_sequence).collect::<Vec<u64>>());
        let next = publish(&life.engine, &life.ctx, &id, "y".to_owned()).await;
        assert_eq!(next, total.last_sequence + 1);
    });
    life.clean_up(&place);
}

#[test]
fn a_deleted_axon_ends_its_readers_and_leaves_no_database() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let id = made(&life).await;
        publish(engine, ctx, &id, "x".to_owned()).await;
        engine
            .query_axon(ctx, &id, statement("CREATE TABLE t (a)"))
            .await
            .expect("a table");
        assert!(std::fs::read_dir(place.databases()).expect("there").count() > 0);
        let reader = engine.follow_axon(ctx, &id, 0).await.expect("a reader");
        let reading = tokio::spawn(follow(reader, u64::MAX, false));
        engine.delete_axon(ctx, &id).await.expect("deleted");
        assert!(reading.await.expect("it ends").len() <= 1);
        let left = std::fs::read_dir(place.databases()).expect("there").count();
        assert_eq!(left, 0);
        let found = engine.get_axon(ctx, &id).await.expect("still told of");
        assert!(found.deleted_at.is_some());
        for refused in [
            code(engine.delete_axon(ctx, &id).await),
            code(engine.describe_axon(ctx, &id, None).await),
            code(engine.follow_axon(ctx, &id, 0).await),
            code(engine.list_axon_events(ctx, &id, None, 1).await),
            code(engine.query_axon(ctx, &id, statement("SELECT 1")).await),
            code(
                engine
                    .publish_to_axon(ctx, &id, event(String::new()), None)
                    .await,
            ),
        ] {
            assert_eq!(refused, Some(Code::AxonDeleted));
        }
        assert_eq!(
            std::fs::read_dir(place.databases()).expect("there").count(),
            0
        );
    });
    life.clean_up(&place);
}

#[test]
fn what_a_crash_leaves_of_a_deleted_axon_is_swept_at_the_start() {
    let place = Place::new();
    let life = place.live();
    let (id, kept) = life.run(async {
        let (id, kept) = (made(&life).await, made(&life).await);
        for id in [&id, &kept] {
            publish(&life.engine, &life.ctx, id, "x".to_owned()).await;
            let made = statement("CREATE TABLE t AS SELECT 7 AS a");
            let made = life.engine.query_axon(&life.ctx, id, made).await;
            made.expect("a table");
        }
        (id, kept)
    });
    let project = life.ctx.principal.project.clone();
    life.crash();
    // As if the process had died behind the row.
    let file = place.databases().join(format!("{id}.db"));
    assert!(file.exists());
    tokio::runtime::Runtime::new()
        .expect("runtime")
        .block_on(async {
            let path = place.path().join("pinfold.db");
            let store = pinfold_store::Store::open_sqlite(&path).await;
            let store = store.expect("store");
            let now = pinfold_model::Time::now();
            let deleted = store.axons().delete(&project, &id, now).await;
            deleted.expect("deleted");
            store.close().await;
        });
    let life = place.live();
    life.run(async {
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            value(&life, &kept, "SELECT a FROM t").await,
            SqlValue::Integer(7)
        );
    });
    life.clean_up(&place);
}

#[test]
fn sql_is_a_transaction_on_the_axons_own_database() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let (one, other) = (made(&life).await, made(&life).await);
        let create = statement("CREATE TABLE t (a INTEGER PRIMARY KEY)");
        engine.query_axon(ctx, &one, create).await.expect("a table");
        let mut racing = JoinSet::new();
        for n in 0..20_i64 {
            let (engine, ctx, one) = (engine.clone(), ctx.clone(), one.clone());
            racing.spawn(async move {
                let insert = SqlStatement {
                    sql: "INSERT INTO t VALUES (?)".to_owned(),
                    params: vec![SqlValue::Integer(n)],
                };
                engine
                    .query_axon(&ctx, &one, insert)
                    .await
                    .expect("inserted")
            });
        }
        assert_eq!(racing.join_all().await.len(), 20);
        let batch = engine
            .batch_axon(
                ctx,
                &one,
                vec![
                    statement("DELETE FROM t"),
                    statement("INSERT INTO missing VALUES (1)"),
                ],
            )
            .await;
        match batch.expect("answered") {
            SqlBatch::Failed { at: 1, error } => assert_eq!(error.code(), Code::SqlFailed),
            other => panic!("{other:?}"),
        }
        let count = value(&life, &one, "SELECT count(*) FROM t").await;
        assert_eq!(count, SqlValue::Integer(20));
        let missing = engine
            .query_axon(ctx, &other, statement("SELECT * FROM t"))
            .await;
        assert_eq!(code(missing), Some(Code::SqlFailed), "another database");
        // Another one's axon is an unknown one.
        let stranger = stranger(&life);
        for refused in [
            code(engine.get_axon(&stranger, &one).await),
            code(engine.delete_axon(&stranger, &one).await),
            code(engine.follow_axon(&stranger, &one, 0).await),
            code(engine.list_axon_events(&stranger, &one, None, 1).await),
            code(
                engine
                    .query_axon(&stranger, &one, statement("SELECT 1"))
                    .await,
            ),
            code(
                engine
                    .publish_to_axon(&stranger, &one, event(String::new()), None)
                    .await,
            ),
            code(engine.describe_axon(&stranger, &one, None).await),
        ] {
            assert_eq!(refused, Some(Code::AxonNotFound));
        }
        // A key that only looks.
        let mut looks = ctx.clone();
        looks.principal.scopes = Scopes::parse(&["axons:read"]).expect("a scope");
        assert!(engine.get_axon(&looks, &one).await.is_ok());
        assert!(engine.follow_axon(&looks, &one, 0).await.is_ok());
        for refused in [
            code(engine.query_axon(&looks, &one, statement("SELECT 1")).await),
            code(
                engine
                    .publish_to_axon(&looks, &one, event(String::new()), None)
                    .await,
            ),
            code(engine.delete_axon(&looks, &one).await),
        ] {
            assert_eq!(refused, Some(Code::PermissionDenied));
        }
    });
    life.clean_up(&place);
}

#[test]
fn slow_statements_of_one_project_hold_up_no_other() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let quota = pinfold_engine::QuotaChange::default();
        let other = engine.create_project(ctx, "other", quota).await;
        let mut theirs = ctx.clone();
        theirs.principal.project = other.expect("a project").id;
        let their = engine
            .create_axon(&theirs, CreateAxon::default(), None)
            .await;
        let their = their.expect("an axon").value.id;
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT count(*) FROM n AS a, n AS b";
        let mut slow = JoinSet::new();
        for _ in 0..6 {
            let (engine, ctx, id) = (engine.clone(), ctx.clone(), made(&life).await);
            slow.spawn(async move { code(engine.query_axon(&ctx, &id, statement(endless)).await) });
        }
        tokio::task::yield_now().await;
        for _ in 0..5 {
            let answer = engine.query_axon(&theirs, &their, statement("SELECT 1"));
            assert!(answer.await.is_ok());
        }
        let ended = slow.try_join_next();
        assert!(ended.is_none(), "the quick ones were first");
        for refused in slow.join_all().await {
            assert_eq!(refused, Some(Code::SqlFailed));
        }
    });
    life.clean_up(&place);
}

#[test]
fn readers_of_one_axon_are_so_many() {
    let place = Place::new();
    let life = place.live();
    life.run(async {
        let (engine, ctx) = (&life.engine, &life.ctx);
        let id = made(&life).await;
        let mut readers = Vec::new();
        for _ in 0..limits::AXON_READERS_MAX {
            readers.push(engine.follow_axon(ctx, &id, 0).await.expect("a reader"));
        }
        let refused = engine.follow_axon(ctx, &id, 0).await;
        assert_eq!(code(refused), Some(Code::RateLimited));
        readers.pop();
        assert!(engine.follow_axon(ctx, &id, 0).await.is_ok());
    });
    life.clean_up(&place);
}
