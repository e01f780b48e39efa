//! Turns, transactions and the log of SQLite in the thread that asks.

use std::time::Duration;

use super::*;
use crate::db::Db;

const INSERT: Sql = Sql::both("INSERT INTO orgs (id, name, created_at) VALUES ($1, $2, 0)");
const NAMES: Sql = Sql::both("SELECT id, name FROM orgs ORDER BY id");

impl Lite {
    /// What the writer reads for `sql`.
    pub(in crate::db) async fn text(&self, sql: &str) -> String {
        let mut turn = self.turn().await.expect("free");
        text(turn.connection().expect("open"), sql)
    }

    /// Panics where a connection is not set up as all have to be.
    pub(in crate::db) async fn check_connections(&self) {
        let check = |connection: &Connection, busy: &str| {
            assert_eq!(text(connection, "PRAGMA journal_mode"), "wal");
            assert_eq!(text(connection, "PRAGMA foreign_keys"), "1");
            assert_eq!(text(connection, "PRAGMA synchronous"), "1");
            assert_eq!(text(connection, "PRAGMA busy_timeout"), busy);
        };
        check(
            self.turn().await.expect("free").connection().expect("open"),
            "0",
        );
        let file = self.file.as_ref().expect("on disk");
        file.readers
            .looked_at(|connection| {
                check(connection, "1000");
                let written = connection.execute("DELETE FROM settings", ());
                assert!(written.is_err(), "readers cannot write");
            })
            .await;
    }
}

fn text(connection: &Connection, sql: &str) -> String {
    let read = connection.query_row(sql, (), |row| row.get::<_, rusqlite::types::Value>(0));
    match read.expect("a row") {
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Integer(int) => int.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn open(scratch: &tempfile::TempDir) -> Lite {
    let path = scratch.path().join("pinfold.db");
    match Db::open_sqlite(&path).await.expect("it opens") {
        Db::Lite(lite) => lite,
        Db::Pg(_) => panic!("not SQLite"),
    }
}

fn org(id: &str) -> Query {
    INSERT.bind(id).bind(id)
}

async fn names(lite: &Lite) -> Vec<String> {
    let rows = lite.rows(NAMES.query()).await.expect("rows");
    rows.iter()
        .map(|row| row.text("name").expect("name"))
        .collect()
}

#[tokio::test]
async fn parameters_are_those_of_their_numbers() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    let swapped = Sql::both("INSERT INTO orgs (created_at, name, id) VALUES ($3, $2, $1)");
    let insert = swapped.bind("org_1").bind("x").bind(7_i64);
    assert_eq!(lite.execute(insert).await.expect("insert"), 1);
    let twice =
        Sql::both("SELECT name, $2 AS two, $1 AS one FROM orgs WHERE name = $3 AND id = $1");
    let row = lite.row(twice.bind("org_1").bind(2_i64).bind("x")).await;
    let row = row.expect("sound").expect("a row");
    assert_eq!(row.text("one").expect("one"), "org_1");
    assert_eq!(row.int("two").expect("two"), 2);
    assert!(row.text("three").is_err());
    let missing = lite.row(twice.bind("org_1").bind(2_i64).bind("y")).await;
    assert!(missing.expect("sound").is_none());
}

#[tokio::test]
async fn a_transaction_that_is_dropped_never_was() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    let mut tx = lite.begin().await.expect("begun");
    tx.execute(org("org_1")).await.expect("insert");
    assert_eq!(tx.rows(NAMES.query()).await.expect("rows").len(), 1);
    assert!(names(&lite).await.is_empty(), "nobody else sees it");
    drop(tx);
    let mut tx = lite.begin().await.expect("begun");
    tx.execute(org("org_2")).await.expect("insert");
    tx.commit().expect("committed");
    assert_eq!(names(&lite).await, ["org_2"]);
}

#[tokio::test]
async fn writers_have_turns_and_each_sees_what_the_others_did() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    let mut all = tokio::task::JoinSet::new();
    for number in 0..50 {
        let lite = lite.clone();
        all.spawn(async move {
            let mut tx = lite.begin().await.expect("begun");
            let before = tx.rows(NAMES.query()).await.expect("rows").len();
            tokio::task::yield_now().await;
            tx.execute(org(&format!("org_{number}")))
                .await
                .expect("insert");
            assert_eq!(
                tx.rows(NAMES.query()).await.expect("rows").len(),
                before + 1
            );
            tx.commit().expect("committed");
        });
    }
    while let Some(done) = all.join_next().await {
        done.expect("each its turn");
    }
    assert_eq!(names(&lite).await.len(), 50);
}

#[tokio::test]
async fn another_process_that_writes_is_waited_for_without_a_thread() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    let other = Connection::open(scratch.path().join("pinfold.db")).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let single = lite.execute(org("org_1"));
    tokio::pin!(single);
    // On the only thread there is.
    let waited = timeout(Duration::from_millis(100), &mut single).await;
    assert!(waited.is_err(), "it is locked");
    other.execute_batch("COMMIT").expect("free");
    assert_eq!(single.await.expect("free"), 1);

    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let begin = lite.begin();
    tokio::pin!(begin);
    let waited = timeout(Duration::from_millis(100), &mut begin).await;
    assert!(waited.is_err(), "it is locked");
    other.execute_batch("COMMIT").expect("free");
    drop(begin.await.expect("free"));
    assert_eq!(names(&lite).await, ["org_1"]);
}

#[tokio::test]
async fn a_disk_that_was_full_leaves_a_database_that_can_be_written() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    // Of this connection: the file may not become larger than it is.
    lite.text("PRAGMA max_page_count = 1").await;
    let large = Sql::both(
        "INSERT INTO orgs (id, name, created_at) VALUES ('org_1', hex(zeroblob(100000)), 0)",
    );
    let mut full = lite.begin().await.expect("begun");
    let refused = full.execute(large.query()).await.expect_err("no room");
    assert_eq!(
        pinfold_model::Error::from(refused).code(),
        pinfold_model::Code::Unavailable
    );
    drop(full);
    lite.text("PRAGMA max_page_count = 1000000").await;
    let mut again = lite.begin().await.expect("begun");
    assert_eq!(
        again.execute(large.query()).await.expect("there is room"),
        1
    );
    again.commit().expect("committed");
}

/// The log is moved by a thread of its own while others write, and begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_does_not_grow_for_ever() {
    let scratch = tempfile::tempdir().expect("a directory");
    let lite = open(&scratch).await;
    let set = Sql::both(
        "INSERT INTO settings (name, value) VALUES ('x', $1) \
         ON CONFLICT (name) DO UPDATE SET value = $1",
    );
    let mut page = [7_u8; 3000];
    let log = scratch.path().join("pinfold.db-wal");
    let mut longest = 0;
    // A page each: more than the log may have.
    for number in 0..24_000_u32 {
        // Else SQLite sees that nothing changes.
        page[..4].copy_from_slice(&number.to_le_bytes());
        lite.execute(set.bind(&page[..])).await.expect("written");
        longest = longest.max(std::fs::metadata(&log).expect("a log").len());
    }
    let pages = longest / 4096;
    assert!(pages < 20_000, "{pages} pages");
    lite.close().await;
    assert!(!log.exists(), "the last connection folds it into the file");
    let closed = lite.execute(org("org_1")).await.expect_err("closed");
    assert!(matches!(closed, StoreError::Closed));
    assert!(matches!(
        lite.rows(NAMES.query()).await,
        Err(StoreError::Closed)
    ));
}
