//! The tables of databases in memory: made at once, not by every migration of the past.
//!
//! What each change did to those before it takes longer than a command, and where nobody has had the
//! database before and nobody will have it again, nothing is to be noted for later ones.

use rusqlite::Connection;
use sqlx::migrate::Migrator;

use crate::error::Result;

/// What the migrations of SQLite up to `up_to` make of an empty database.
pub(super) struct Schema {
    sql: &'static str,
    up_to: i64,
}

/// Held to the migrations by the tests below, which also say how it is renewed.
pub(super) const SHIPPED: Schema = Schema {
    sql: include_str!("../../schema/sqlite.sql"),
    up_to: 20,
};

impl Schema {
    /// Makes the tables in an empty database, then applies what of `migrations` is newer.
    pub(super) fn make(&self, database: &mut Connection, migrations: &Migrator) -> Result<()> {
        let tx = database.transaction()?;
        tx.execute_batch(self.sql)?;
        for newer in migrations.iter().filter(|it| it.version > self.up_to) {
            tx.execute_batch(newer.sql.as_str())?;
        }
        Ok(tx.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::db::{Db, open};

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/sqlite.sql");
    /// Set, it makes the first test below write the file anew.
    const WRITE: &str = "PINFOLD_WRITE_SCHEMA";
    const RENEW: &str = "crates/store/schema/sqlite.sql is not what the migrations make. Run this test \
                         with PINFOLD_WRITE_SCHEMA=1, set `up_to` in crates/store/src/db/schema.rs to \
                         the newest migration, and run it again without";

    fn texts(database: &Connection, sql: &str) -> Vec<String> {
        let mut statement = database.prepare(sql).expect("sound");
        let rows = statement.query_map((), |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("texts")
    }

    /// Everything that is left of a database's tables, indexes, triggers and views, as the statements
    /// that made them and in that order, without what SQLite and sqlx make for themselves.
    fn statements(database: &Connection) -> Vec<String> {
        let all = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL \
                   AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> '_sqlx_migrations' \
                   ORDER BY rowid";
        texts(database, all)
    }

    /// What SQLite itself reads out of them: each column, index and foreign key of each table.
    fn facts(database: &Connection) -> Vec<String> {
        let all = "WITH t AS (SELECT name FROM sqlite_schema WHERE type = 'table' \
                              AND name <> '_sqlx_migrations') \
             SELECT concat_ws(' ', 'column', t.name, c.cid, c.name, c.type, c.\"notnull\", \
                              quote(c.dflt_value), c.pk, c.hidden) \
               FROM t, pragma_table_xinfo(t.name) c \
             UNION ALL SELECT concat_ws(' ', 'index', t.name, i.name, i.\"unique\", i.origin, \
                              i.partial, x.seqno, quote(x.name), x.\"desc\", x.coll, x.key) \
               FROM t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) x \
             UNION ALL SELECT concat_ws(' ', 'key', t.name, f.id, f.seq, f.\"table\", f.\"from\", \
                              quote(f.\"to\"), f.on_update, f.on_delete) \
               FROM t, pragma_foreign_key_list(t.name) f \
             ORDER BY 1";
        texts(database, all)
    }

    /// How many rows of its own an unused database has.
    fn rows(database: &Connection) -> i64 {
        let tables = "SELECT 'SELECT ' || group_concat('(SELECT count(*) FROM \"' || name || '\")', ' + ') \
                      FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'";
        let count = texts(database, tables).remove(0);
        let counted = database.query_row(&count, (), |row| row.get(0));
        counted.expect("a sum")
    }

    /// A database that went through every migration, as a server's does.
    async fn migrated(scratch: &tempfile::TempDir) -> Connection {
        let path: PathBuf = scratch.path().join("pinfold.db");
        Db::open_sqlite(&path)
            .await
            .expect("it opens")
            .close()
            .await;
        Connection::open(path).expect("it opens")
    }

    fn shipped() -> Connection {
        let mut made = empty();
        let done = SHIPPED.make(&mut made, &open::SQLITE);
        done.expect("it applies to an empty database");
        made
    }

    fn empty() -> Connection {
        Connection::open_in_memory().expect("it opens")
    }

    fn sorted(mut texts: Vec<String>) -> Vec<String> {
        texts.sort();
        texts
    }

    #[tokio::test]
    async fn the_shipped_schema_is_what_all_migrations_make() {
        let scratch = tempfile::tempdir().expect("a directory");
        let expected = statements(&migrated(&scratch).await);
        let expected: String = expected.iter().map(|sql| format!("{sql};\n")).collect();
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(FILE, expected).expect("written");
            return;
        }
        let newest = open::SQLITE.iter().map(|it| it.version).max();
        assert_eq!(Some(SHIPPED.up_to), newest, "{RENEW}");
        assert!(SHIPPED.sql == expected, "{RENEW}");
    }

    #[tokio::test]
    async fn a_database_in_memory_has_what_a_migrated_file_has() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (file, memory) = (migrated(&scratch).await, shipped());
        assert_eq!(
            sorted(statements(&memory)),
            sorted(statements(&file)),
            "{RENEW}"
        );
        assert_eq!(facts(&memory), facts(&file), "{RENEW}");
        for kind in ["column ", "index ", "key "] {
            let seen = facts(&memory);
            assert!(seen.iter().any(|fact| fact.starts_with(kind)), "no {kind}");
        }
        // The schema holds no rows, so migrations that wrote some would be missed here.
        assert_eq!((rows(&memory), rows(&file)), (0, 0), "{RENEW}");
    }

    #[tokio::test]
    async fn migrations_newer_than_the_schema_are_applied_behind_it() {
        let scratch = tempfile::tempdir().expect("a directory");
        let oldest = Schema { sql: "", up_to: 0 };
        let mut made = empty();
        let done = oldest.make(&mut made, &open::SQLITE);
        done.expect("every migration applies to an empty database");
        assert_eq!(facts(&made), facts(&migrated(&scratch).await));
    }
}
