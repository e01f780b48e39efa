//! What ordinary requests answer.

use pinfold_sql::{Bounds, SqlError, Value};

use super::place::{Place, statement, text};

#[test]
fn values_come_back_as_they_went_in() {
    let place = Place::new();
    place.run("CREATE TABLE t (a INTEGER, b REAL, c TEXT, d BLOB, e)");
    let values = vec![
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        text("büro 😀"),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    let insert = place.try_run("INSERT INTO t VALUES (?, ?, ?, ?, ?)", values.clone());
    assert_eq!(insert.expect("inserted").changes, 1);
    let answer = place.run("SELECT *, a + 1 AS more FROM t");
    let columns: Vec<_> = answer.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["a", "b", "c", "d", "e", "more"]);
    let declared: Vec<_> = answer.columns.iter().map(|c| c.declared.as_str()).collect();
    assert_eq!(declared, ["INTEGER", "REAL", "TEXT", "BLOB", "", ""]);
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.rows[0][..5], values);
    assert_eq!((answer.changes, answer.cut), (0, false));
    assert_eq!(place.files(), ["one.db"]);
}

#[test]
fn a_batch_happens_as_a_whole_or_not_at_all() {
    let place = Place::new();
    place.run("CREATE TABLE t (a INTEGER PRIMARY KEY)");
    let one = |sql: &str| statement(sql, vec![]);
    let done = place.database.batch(&[
        one("INSERT INTO t VALUES (1), (2)"),
        one("UPDATE t SET a = a + 10"),
        one("SELECT a FROM t ORDER BY a"),
    ]);
    let done = done.expect("done");
    let changes: Vec<_> = done.iter().map(|answer| answer.changes).collect();
    assert_eq!(changes, [2, 2, 0]);
    assert_eq!(
        done[2].rows,
        [[Value::Integer(11)], [Value::Integer(12)]].map(Vec::from)
    );
    let (at, error) = place
        .database
        .batch(&[
            one("DELETE FROM t"),
            one("INSERT INTO t VALUES (7)"),
            one("INSERT INTO t VALUES (7)"),
            one("SELECT 1"),
        ])
        .expect_err("taken twice");
    assert_eq!(at, 2);
    assert!(error.to_string().contains("UNIQUE"), "{error}");
    assert_eq!(place.value("SELECT count(*) FROM t"), Value::Integer(2));
    assert_eq!(place.database.batch(&[]).expect("nothing to do"), []);
    let many = vec![one("SELECT 1"); 101];
    let refused = place.database.batch(&many);
    assert!(matches!(refused, Err((0, SqlError::TooMany(100)))));
}

#[test]
fn what_is_wrong_is_told_in_words() {
    let place = Place::new();
    for (sql, params, words) in [
        ("SELEC 1", vec![], "syntax error"),
        ("SELECT * FROM missing", vec![], "no such table: missing"),
        ("SELECT 1; SELECT 2", vec![], "one statement at a time"),
        ("-- nothing", vec![], "there is no statement"),
        ("SELECT ?", vec![], "1 parameters, and 0"),
        ("SELECT 1", vec![Value::Null], "0 parameters, and 1"),
    ] {
        let error = place.try_run(sql, params).expect_err(sql);
        assert!(matches!(error, SqlError::Failed(_)), "{sql}: {error:?}");
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
    let path = place.path();
    std::fs::write(&path, "no database at all, but long enough for one").expect("written");
    assert!(matches!(
        place.fail("SELECT * FROM t"),
        SqlError::Damaged(_)
    ));
}

#[test]
fn long_answers_are_cut_and_say_so() {
    let place = Place::with(Bounds {
        rows: 10,
        answer_bytes: 4096,
        ..Bounds::default()
    });
    let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) ";
    let rows = place.run(&format!("{count} SELECT i FROM n"));
    assert_eq!((rows.rows.len(), rows.cut), (10, true));
    let bytes = place.run(&format!("{count} SELECT hex(randomblob(500)) FROM n"));
    assert!(bytes.rows.len() == 3 && bytes.cut, "{}", bytes.rows.len());
    let name = "n".repeat(1000);
    place.run(&format!("CREATE TABLE long (\"{name}\")"));
    place.run("SELECT long.*, long.* FROM long");
    let error = place.fail("SELECT long.*, long.*, long.*, long.* FROM long");
    assert!(matches!(error, SqlError::Failed(_)), "names too: {error:?}");
    place.run("CREATE TABLE t (a)");
    let all = place.run(&format!(
        "INSERT INTO t {count} SELECT i FROM n RETURNING a"
    ));
    assert!(all.cut);
    assert_eq!(place.value("SELECT count(*) FROM t"), Value::Integer(100));
}

#[test]
fn unhex_takes_pairs_and_passes_over_what_it_is_told() {
    let place = Place::new();
    for (sql, wanted) in [
        ("hex(unhex('AB-cd_', '-_'))", Value::Text("ABCD".to_owned())),
        ("unhex('A-B', '-')", Value::Null),
        ("unhex('AB CD', '-')", Value::Null),
        ("unhex('AB', NULL)", Value::Null),
        ("hex(unhex('ABé', 'é'))", Value::Text("AB".to_owned())),
        ("hex(unhex('ab'))", Value::Text("AB".to_owned())),
    ] {
        assert_eq!(place.value(&format!("SELECT {sql}")), wanted, "{sql}");
    }
}

#[test]
fn schemas_triggers_views_and_json_work() {
    let place = Place::new();
    for sql in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, doc TEXT, at INTEGER DEFAULT (unixepoch()))",
        "CREATE TABLE log (what TEXT)",
        "CREATE INDEX t_by_at ON t (at)",
        "CREATE VIEW v AS SELECT id, doc ->> '$.name' AS name FROM t",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('new ' || new.id); END",
        "INSERT INTO t (doc) VALUES ('{\"name\": \"a\", \"tags\": [1, 2]}')",
        "ALTER TABLE t RENAME COLUMN at TO made",
        "ALTER TABLE t ADD COLUMN more TEXT",
        "ALTER TABLE t DROP COLUMN more",
        "ALTER TABLE log RENAME TO logged",
        "ANALYZE",
        "REINDEX",
        "PRAGMA user_version = 7",
    ] {
        place.run(sql);
    }
    assert_eq!(place.value("SELECT name FROM v"), text("a"));
    assert_eq!(place.value("SELECT what FROM logged"), text("new 1"));
    assert_eq!(place.value("PRAGMA user_version"), Value::Integer(7));
    assert_eq!(place.run("PRAGMA table_info(t)").rows.len(), 3);
    let tags = "SELECT sum(j.value) FROM t, json_each(t.doc, '$.tags') AS j";
    assert_eq!(place.value(tags), Value::Integer(3));
    assert_eq!(place.value("PRAGMA integrity_check"), text("ok"));
    let names = "SELECT count(*) FROM pragma_table_info('t')";
    assert_eq!(place.value(names), Value::Integer(3));
}

#[test]
fn functions_that_are_ours_answer_as_those_of_sqlite() {
    let place = Place::new();
    for (sql, expected) in [
        ("instr('büro', 'ro')", Value::Integer(3)),
        ("instr('a', 'b')", Value::Integer(0)),
        ("instr('abc', '')", Value::Integer(1)),
        ("instr(x'00ff01', x'01')", Value::Integer(3)),
        ("instr(1234, 34)", Value::Integer(3)),
        ("instr(2.0, '.')", Value::Integer(2)),
        ("instr(NULL, 'a')", Value::Null),
        ("replace('banana', 'an', 'x')", text("bxxa")),
        ("replace('banana', '', 'x')", text("banana")),
        ("replace('ü', 'ü', 'uu')", text("uu")),
        ("replace('a', NULL, 'x')", Value::Null),
        ("trim('xxaxx', 'x')", text("a")),
        ("ltrim('üxa', 'xü')", text("a")),
        ("rtrim('a..', '.')", text("a")),
        ("trim('  a ')", text("a")),
        ("trim('aaa', 'a')", text("")),
    ] {
        assert_eq!(place.value(&format!("SELECT {sql}")), expected, "{sql}");
    }
}

#[test]
fn a_removed_database_leaves_nothing_and_can_be_made_anew() {
    let place = Place::new();
    place.database.remove().expect("there is none");
    place.run("CREATE TABLE t (a)");
    place.database.remove().expect("removed");
    assert!(place.files().is_empty());
    place.run("CREATE TABLE t (a)");
}
