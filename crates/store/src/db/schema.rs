//! The tables of databases in memory: made at once, not by every migration of the past.
//!
//! What each change did to those before it takes longer than a command, and where nobody has had the
//! database before and nobody will have it again, nothing is to be noted for later ones.

use sqlx::SqlitePool;
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
    pub(super) async fn make(&self, writer: &SqlitePool, migrations: &Migrator) -> Result<()> {
        let mut tx = writer.begin().await?;
        sqlx::raw_sql(self.sql).execute(&mut *tx).await?;
        for newer in migrations.iter().filter(|it| it.version > self.up_to) {
            sqlx::raw_sql(newer.sql.clone()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;
    use crate::db::{Db, open};

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/sqlite.sql");
    /// Set, it makes the first test below write the file anew.
    const WRITE: &str = "PINFOLD_WRITE_SCHEMA";
    const RENEW: &str = "crates/store/schema/sqlite.sql is not what the migrations make. Run this test \
                         with PINFOLD_WRITE_SCHEMA=1, set `up_to` in crates/store/src/db/schema.rs to \
                         the newest migration, and run it again without";

    /// Everything that is left of a database's tables, indexes, triggers and views, as the statements
    /// that made them and in that order, without what SQLite and sqlx make for themselves.
    async fn statements(pool: &SqlitePool) -> Vec<String> {
        let all = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL \
                   AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> '_sqlx_migrations' \
                   ORDER BY rowid";
        let rows = sqlx::query(all).fetch_all(pool).await.expect("a schema");
        let texts = rows.iter().map(|row| row.try_get(0).expect("a text"));
        texts.collect()
    }

    /// What SQLite itself reads out of them: each column, index and foreign key of each table.
    async fn facts(pool: &SqlitePool) -> Vec<String> {
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
        let rows = sqlx::query(all).fetch_all(pool).await.expect("facts");
        let texts = rows.iter().map(|row| row.try_get(0).expect("a text"));
        texts.collect()
    }

    /// How many rows of its own an unused database has.
    async fn rows(pool: &SqlitePool) -> i64 {
        let tables = "SELECT 'SELECT ' || group_concat('(SELECT count(*) FROM \"' || name || '\")', ' + ') \
                      FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'";
        let count = sqlx::query(tables).fetch_one(pool).await.expect("tables");
        let count: String = count.try_get(0).expect("a text");
        let count = sqlx::query(sqlx::AssertSqlSafe(count));
        let row = count.fetch_one(pool).await.expect("a sum");
        row.try_get(0).expect("a number")
    }

    /// A database that went through every migration, as a server's does. It lives as long as the directory.
    async fn migrated(scratch: &tempfile::TempDir) -> SqlitePool {
        let path = scratch.path().join("pinfold.db");
        let Db::Lite { writer, .. } = Db::open_sqlite(&path).await.expect("it opens") else {
            panic!("not SQLite");
        };
        writer
    }

    async fn empty() -> SqlitePool {
        let pool = SqlitePoolOptions::new().max_connections(1);
        pool.connect("sqlite::memory:").await.expect("it opens")
    }

    fn sorted(mut texts: Vec<String>) -> Vec<String> {
        texts.sort();
        texts
    }

    #[tokio::test]
    async fn the_shipped_schema_is_what_all_migrations_make() {
        let scratch = tempfile::tempdir().expect("a directory");
        let expected = statements(&migrated(&scratch).await).await;
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
        let file = migrated(&scratch).await;
        let Db::Lite { writer: memory, .. } = Db::in_memory().await.expect("it opens") else {
            panic!("not SQLite");
        };
        assert_eq!(
            sorted(statements(&memory).await),
            sorted(statements(&file).await),
            "{RENEW}"
        );
        assert_eq!(facts(&memory).await, facts(&file).await, "{RENEW}");
        for kind in ["column ", "index ", "key "] {
            let seen = facts(&memory).await;
            assert!(seen.iter().any(|fact| fact.starts_with(kind)), "no {kind}");
        }
        // The schema holds no rows, so migrations that wrote some would be missed here.
        assert_eq!((rows(&memory).await, rows(&file).await), (0, 0), "{RENEW}");
    }

    #[tokio::test]
    async fn migrations_newer_than_the_schema_are_applied_behind_it() {
        let scratch = tempfile::tempdir().expect("a directory");
        let oldest = Schema { sql: "", up_to: 0 };
        let made = empty().await;
        let done = oldest.make(&made, &open::SQLITE).await;
        done.expect("every migration applies to an empty database");
        let file = migrated(&scratch).await;
        assert_eq!(facts(&made).await, facts(&file).await);
    }
}
