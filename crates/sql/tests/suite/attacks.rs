//! SQL that wants out of its database.

use pinfold_sql::{Denied, SqlError, Value};

use super::place::{Place, statement, text};

#[track_caller]
fn denied(place: &Place, sql: &str) -> Denied {
    match place.fail(sql) {
        SqlError::Denied(denied) => denied,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn no_other_file_is_reached() {
    let place = Place::new();
    place.run("CREATE TABLE t (a)");
    let other = place.path().with_file_name("other.db");
    let other = other.display();
    for sql in [
        format!("ATTACH '{other}' AS o"),
        "ATTACH ':memory:' AS o".to_owned(),
        format!("ATTACH DATABASE 'file:{other}?mode=rwc' AS o"),
        "DETACH main".to_owned(),
        format!("EXPLAIN ATTACH '{other}' AS o"),
    ] {
        assert_eq!(denied(&place, &sql), Denied::OtherDatabase, "{sql}");
    }
    for sql in [format!("VACUUM INTO '{other}'"), "VACUUM".to_owned()] {
        place.fail(&sql);
    }
    for sql in [
        "SELECT load_extension('/lib/x.so')",
        "SELECT LOAD_EXTENSION('/lib/x.so', 'init')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT sqlite_log(1, 'a')",
        "SELECT json_patch('{}', '{}')",
    ] {
        assert!(matches!(denied(&place, sql), Denied::Function(_)), "{sql}");
    }
    // A view is compiled when it is used.
    place.run("CREATE VIEW v AS SELECT load_extension('/lib/x.so') AS a");
    place.fail("SELECT * FROM v");
    place.run("CREATE VIEW w AS SELECT json_patch('{}', '{}') AS a");
    assert!(matches!(
        denied(&place, "SELECT * FROM w"),
        Denied::Function(_)
    ));
    for sql in [
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/x', 'a')",
        "SELECT edit('a', 'vi')",
        "SELECT * FROM fsdir('/')",
    ] {
        assert!(place.fail(sql).to_string().contains("no such"), "{sql}");
    }
    let own = |name: &String| name.starts_with("one.db");
    assert!(place.files().iter().all(own), "{:?}", place.files());
}

#[test]
fn pragmas_that_change_how_the_database_is_kept_are_denied() {
    let place = Place::new();
    for pragma in [
        "journal_mode = OFF",
        "journal_mode = WAL",
        "JOURNAL_MODE(memory)",
        "main.journal_mode = DELETE",
        "synchronous = OFF",
        "max_page_count = 1000000000",
        "max_page_count",
        "writable_schema = ON",
        "temp_store = FILE",
        "temp_store_directory = '/etc'",
        "mmap_size = 1000000000",
        "cache_size = -1000000000",
        "hard_heap_limit = 1",
        "soft_heap_limit = 1",
        "database_list",
        "compile_options",
        "module_list",
        "wal_checkpoint",
        "trusted_schema = ON",
        "locking_mode = EXCLUSIVE",
        "threads = 8",
        "page_size = 65536",
        "schema_version = 7",
        "foreign_keys = OFF",
        "case_sensitive_like = ON",
        "busy_timeout = 1000000",
        "optimize",
        "shrink_memory",
        "no_such_pragma",
    ] {
        let sql = format!("PRAGMA {pragma}");
        let found = denied(&place, &sql);
        assert!(matches!(found, Denied::Pragma(_)), "{sql}: {found:?}");
    }
    // The same through the tables that pragmas are.
    let hidden = place.fail("SELECT file FROM pragma_database_list");
    assert!(
        matches!(hidden, SqlError::Denied(Denied::Pragma(_))),
        "{hidden:?}"
    );
}

#[test]
fn a_request_neither_begins_nor_ends_a_transaction() {
    let place = Place::new();
    place.run("CREATE TABLE t (a)");
    for sql in [
        "BEGIN",
        "BEGIN EXCLUSIVE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO a",
    ] {
        assert_eq!(denied(&place, sql), Denied::Transaction, "{sql}");
        let insert = statement("INSERT INTO t VALUES (1)", vec![]);
        let batch = [insert.clone(), statement(sql, vec![]), insert];
        let (at, _) = place.database.batch(&batch).expect_err(sql);
        assert_eq!(at, 1, "{sql}");
    }
    assert_eq!(place.value("SELECT count(*) FROM t"), Value::Integer(0));
    place.fail("INSERT OR ROLLBACK INTO t SELECT abs(-9223372036854775808)");
    // Nothing of a temporary kind outlives its request.
    place.run("CREATE TEMP TABLE x (a)");
    place.fail("SELECT * FROM x");
}

#[test]
fn the_schema_and_the_pages_are_not_written_by_hand() {
    let place = Place::new();
    place.run("CREATE TABLE t (a)");
    for sql in [
        "UPDATE sqlite_schema SET sql = 'x'",
        "DELETE FROM sqlite_master",
        "INSERT INTO sqlite_schema VALUES ('table', 'a', 'a', 99, 'CREATE TABLE a (b)')",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
        "CREATE VIRTUAL TABLE d USING dbstat",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM fts3tokenize",
        "SELECT rtreecheck('t')",
    ] {
        place.fail(sql);
    }
    assert_eq!(place.value("PRAGMA integrity_check"), text("ok"));
}

#[test]
fn only_what_is_no_fault_of_a_statement_names_the_file() {
    let place = Place::new();
    let own = place.path().display().to_string();
    for sql in ["SELECT * FROM missing", "ATTACH 'x' AS y", "SELEC"] {
        let said = place.fail(sql).to_string();
        assert!(!said.contains(&own), "{said}");
    }
    let place = Place::new();
    std::fs::create_dir(place.path()).expect("in its way");
    // The engine keeps that to itself.
    let error = place.fail("CREATE TABLE t (a)");
    assert!(matches!(error, SqlError::Unreachable(_)), "{error:?}");
}
