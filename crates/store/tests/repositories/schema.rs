//! Migrations, statements and what the two schemas have in common.

use std::collections::BTreeSet;
use std::path::Path;

use pinfold_store::{SandboxFilter, Scope, States, Store, StoreError};
use sqlx::{Connection, PgConnection, Row};

use crate::place::Place;
use crate::world::{World, all};

pub(crate) async fn migrations_run_from_empty_twice_and_at_once(world: World) {
    let place = match &world.place {
        Place::Sqlite(path) => Place::Sqlite(path.with_extension("empty.db")),
        Place::Postgres { base, .. } => Place::postgres(base),
    };
    place.create().await;
    let opened = tokio::join!(place.open(), place.open(), place.open());
    for store in [opened.0, opened.1, opened.2, place.open().await] {
        store
            .check_statements()
            .await
            .expect("the whole schema is there");
        store.close().await;
    }
    place.remove().await;
}

pub(crate) async fn every_statement_prepares(world: World) {
    let count = world.store.check_statements().await.expect("each prepares");
    assert!(count > 50, "{count}");
}

pub(crate) async fn what_was_stored_is_there_after_reopening(world: World) {
    let sandbox = world.stored_sandbox().await;
    let again = world.place.open().await;
    let found = again.sandboxes().get(&sandbox.id).await.expect("get");
    assert_eq!(found, Some(sandbox));
    world.store.close().await;
    assert_eq!(
        again
            .projects()
            .bootstrap(world.home.org.created_at)
            .await
            .expect("bootstrap"),
        world.home
    );
}

pub(crate) async fn both_databases_have_the_same_columns(world: World) {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("reference.db");
    Store::open_sqlite(&path)
        .await
        .expect("it opens")
        .close()
        .await;
    let reference = sqlite_columns(&path);
    assert!(reference.len() > 80, "{reference:?}");
    let columns = match &world.place {
        Place::Sqlite(path) => sqlite_columns(path),
        place @ Place::Postgres { .. } => postgres_columns(&place.url()).await,
    };
    assert_eq!(columns, reference);
}

/// `table.column type null` with SQLite's names of types.
fn sqlite_columns(path: &Path) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(path).expect("it opens");
    let mut columns = connection
        .prepare(
            "SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || \
             CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN 'not null' ELSE 'null' END \
         FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'",
        )
        .expect("sound");
    let rows = columns.query_map((), |row| row.get(0));
    let texts = rows.expect("the schema is readable");
    texts.collect::<Result<_, _>>().expect("texts")
}

async fn postgres_columns(url: &str) -> BTreeSet<String> {
    let mut connection = PgConnection::connect(url).await.expect("it connects");
    let columns = sqlx::query(
        "SELECT table_name || '.' || column_name || ' ' || \
             CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' \
                  WHEN 'text' THEN 'TEXT' ELSE data_type END || ' ' || \
             CASE is_nullable WHEN 'NO' THEN 'not null' ELSE 'null' END AS column_text \
         FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_%'",
    );
    let rows = columns
        .fetch_all(&mut connection)
        .await
        .expect("the schema is readable");
    rows.iter().map(|row| row.get("column_text")).collect()
}

pub(crate) async fn a_text_with_nul_is_refused_alike(world: World) {
    let filter = SandboxFilter {
        project: None,
        states: States::All,
        metadata: [("team".to_owned(), "a\0b".to_owned())].into(),
    };
    let scope = Scope::Project(world.project());
    let refused = world.store.sandboxes().list(&scope, &filter, &all()).await;
    assert!(matches!(refused, Err(StoreError::NulInText)), "{refused:?}");
}
