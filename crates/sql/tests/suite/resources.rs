//! SQL that wants more than its share of time, memory, stack or disk.

use std::time::{Duration, Instant};

use pinfold_sql::{Bounds, SqlError, Value};

use super::place::{Place, text};

const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ";
/// Of a request with two seconds: what nothing interrupts comes on top.
const LATEST: Duration = Duration::from_secs(20);

/// Fails by one of its bounds, soon, and leaves the database as it was.
#[track_caller]
fn bounded(place: &Place, sql: &str, params: Vec<Value>) -> SqlError {
    let began = Instant::now();
    let error = match place.try_run(sql, params) {
        Ok(answer) => panic!("{} rows: {}", answer.rows.len(), &sql[..sql.len().min(200)]),
        Err(error) => error,
    };
    assert!(began.elapsed() < LATEST, "{:?}", began.elapsed());
    error
}

/// The most that this process has had so far.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

#[test]
fn endless_work_ends_in_time() {
    let place = Place::new();
    for sql in [
        format!("{COUNT} SELECT max(i) FROM n"),
        format!("{COUNT} SELECT count(*) FROM n AS a, n AS b"),
        format!("{COUNT} SELECT i FROM n WHERE i < 0"),
    ] {
        let error = bounded(&place, &sql, vec![]);
        assert!(
            matches!(error, SqlError::Time(2) | SqlError::Memory(_)),
            "{sql}: {error:?}"
        );
    }
}

#[test]
fn nested_queries_that_grow_while_they_are_compiled_end() {
    let place = Place::new();
    // Each is compiled twice by the next: two to the power of fifty.
    let mut sql = "WITH a0 AS (SELECT 1 AS x UNION ALL SELECT 2)".to_owned();
    for n in 1..50 {
        let before = n - 1;
        sql += &format!(
            ", a{n} AS (SELECT p.x FROM a{before} AS p, a{before} AS q UNION ALL SELECT 1 FROM a{before})"
        );
    }
    let error = bounded(&place, &format!("{sql} SELECT count(*) FROM a49"), vec![]);
    assert!(
        matches!(error, SqlError::Memory(_) | SqlError::Time(_)),
        "{error:?}"
    );
    // The same, kept as views.
    let mut views = vec!["CREATE VIEW v0 AS SELECT 1 AS x UNION ALL SELECT 2".to_owned()];
    views.extend((1..40).map(|n| {
        let before = n - 1;
        format!("CREATE VIEW v{n} AS SELECT p.x FROM v{before} AS p, v{before} AS q")
    }));
    for view in &views {
        place.run(view);
    }
    bounded(&place, "SELECT count(*) FROM v39", vec![]);
    assert_eq!(place.value("SELECT count(*) FROM v1"), Value::Integer(4));
}

#[test]
fn depth_does_not_end_the_process() {
    let place = Place::new();
    let depth = 7000;
    let mut shapes = vec![
        format!(
            "{}SELECT 1{}",
            "SELECT*FROM(".repeat(depth),
            ")".repeat(depth)
        ),
        format!("{}SELECT 1{}", "SELECT(".repeat(depth), ")".repeat(depth)),
        format!("SELECT {}1{}", "(".repeat(40_000), ")".repeat(40_000)),
        format!("SELECT {}1", "~".repeat(90_000)),
        format!("SELECT {}1", "NOT ".repeat(20_000)),
        format!("SELECT 1{}", "+1".repeat(40_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(6000)),
        format!("SELECT {}1{}", "abs(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT '{}'", "[".repeat(90_000)),
        format!("SELECT json('{}')", "[".repeat(90_000)),
        "SELECT 1;".repeat(11_000),
        ";".repeat(100_000),
        format!("SELECT CASE {} END", "WHEN 1 THEN CASE ".repeat(5000)),
        format!(
            "SELECT * FROM {}t{}",
            "(".repeat(40_000),
            ")".repeat(40_000)
        ),
    ];
    let mut chain = "WITH c0 AS (SELECT 1 AS x)".to_owned();
    for n in 1..3000 {
        chain += &format!(",c{n} AS(SELECT*FROM c{})", n - 1);
    }
    shapes.push(format!("{chain} SELECT * FROM c2999"));
    for sql in &shapes {
        let began = Instant::now();
        // Whether it is refused or answered: it ends, and so soon.
        let _ = place.try_run(sql, vec![]);
        assert!(began.elapsed() < LATEST, "{}", &sql[..100.min(sql.len())]);
    }
}

/// What a thread of usual size would end with, and the process with it.
#[test]
fn views_over_views_go_as_deep_as_their_memory() {
    let place = Place::new();
    let views: Vec<_> = (0..5000)
        .map(|n| match n {
            0 => "CREATE VIEW w0 AS SELECT 1 AS x".to_owned(),
            n => format!("CREATE VIEW w{n} AS SELECT * FROM w{}", n - 1),
        })
        .map(|sql| super::place::statement(&sql, vec![]))
        .collect();
    for batch in views.chunks(100) {
        place.database.batch(batch).expect("made");
    }
    let error = bounded(&place, "SELECT * FROM w4999", vec![]);
    assert!(
        matches!(error, SqlError::Memory(_) | SqlError::Time(_)),
        "{error:?}"
    );
    assert_eq!(place.value("SELECT x FROM w1"), Value::Integer(1));
}

#[test]
fn memory_is_bounded_whatever_takes_it() {
    let place = Place::new();
    let before = resident_mib();
    let big = Value::Blob(vec![0; 500_000]);
    let each = "hex(?1),".repeat(199);
    let shapes = [
        (format!("SELECT {each} 1"), vec![big.clone()]),
        (
            format!("SELECT {} 1", "?1||?1,".repeat(199)),
            vec![text(&"a".repeat(500_000))],
        ),
        (format!("{COUNT} SELECT count(*) FROM (SELECT DISTINCT randomblob(1000) FROM n)"), vec![]),
        (format!("{COUNT} SELECT randomblob(1000) AS r FROM n ORDER BY r"), vec![]),
        (format!("{COUNT} SELECT group_concat(hex(randomblob(1000))) FROM n"), vec![]),
        (format!("{COUNT} SELECT json_group_array(randomblob(10)) FROM n"), vec![]),
        (format!("{COUNT} SELECT i, count(*) FROM n GROUP BY randomblob(500)"), vec![]),
        (format!("{COUNT}, m AS MATERIALIZED (SELECT randomblob(900) FROM n) SELECT * FROM m, m AS o LIMIT 1"), vec![]),
        (format!("{COUNT} SELECT sum(i) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM n"), vec![]),
        ("CREATE TEMP TABLE x AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT randomblob(5000) FROM n".to_owned(), vec![]),
        ("SELECT zeroblob(2000000000)".to_owned(), vec![]),
        ("SELECT randomblob(2000000000)".to_owned(), vec![]),
        ("SELECT replace(hex(zeroblob(500000)), '0', hex(zeroblob(500000)))".to_owned(), vec![]),
        ("SELECT hex(zeroblob(1000000))".to_owned(), vec![]),
        ("SELECT quote(zeroblob(1000000))".to_owned(), vec![]),
    ];
    for (sql, params) in shapes {
        bounded(&place, &sql, params);
    }
    // A width is no more than a value may have.
    for sql in [
        "SELECT printf('%2000000000d', 1)",
        "SELECT printf('%.*c', 2000000000, 'x')",
    ] {
        if let Ok(answer) = place.try_run(sql, vec![]) {
            let long = matches!(&answer.rows[0][0], Value::Text(text) if text.len() > 1 << 20);
            assert!(!long, "{sql}");
        }
    }
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 200, "{grown} MiB");
    assert_eq!(place.value("SELECT 1"), Value::Integer(1));
}

#[test]
fn one_call_of_a_function_is_no_way_around_the_clock() {
    let place = Place::new();
    let (long, half) = ("0".repeat(1_000_000), "0".repeat(500_000));
    let params = || vec![text(&long), text(&format!("{half}1"))];
    let hundred = |one: &str| format!("SELECT {}", vec![one; 98].join(","));
    for sql in [
        hundred("instr(?1, ?2)"),
        hundred("length(replace(?1, ?2, ''))"),
        hundred("length(trim(?1, ?2))"),
        "SELECT ?1 LIKE ?2".to_owned(),
        "SELECT ?1 GLOB ?2".to_owned(),
        "SELECT ?1 LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%2', ?2".to_owned(),
    ] {
        let began = Instant::now();
        let _ = place.try_run(&sql, params());
        assert!(began.elapsed() < LATEST, "{:?}: {sql}", began.elapsed());
    }
    let passed = vec![
        text(&".".repeat(900_000)),
        text(&format!("{}.", "-".repeat(900_000))),
    ];
    let began = Instant::now();
    let _ = place.try_run("SELECT unhex(?1, ?2)", passed);
    assert!(began.elapsed() < LATEST, "{:?}: unhex", began.elapsed());
    let many = format!("SELECT {}", vec!["abs(1)+abs(1)"; 100].join(","));
    assert!(matches!(place.fail(&many), SqlError::Denied(_)));
}

#[test]
fn a_full_database_says_so_and_stays_usable() {
    let place = Place::with(Bounds {
        database_bytes: 1 << 20,
        ..Bounds::default()
    });
    place.run("CREATE TABLE t (a)");
    place.run("INSERT INTO t VALUES (zeroblob(500000))");
    let error = place.fail("INSERT INTO t VALUES (zeroblob(900000))");
    assert!(matches!(error, SqlError::Full(1)), "{error:?}");
    let fill = format!("INSERT INTO t {COUNT} SELECT randomblob(4000) FROM n");
    assert!(matches!(place.fail(&fill), SqlError::Full(1)));
    assert_eq!(place.value("SELECT count(*) FROM t"), Value::Integer(1));
    place.run("DELETE FROM t");
    let size = std::fs::metadata(place.path()).expect("a file").len();
    assert!(size < 100_000, "what is deleted is given back: {size}");
    place.run("INSERT INTO t VALUES (zeroblob(900000))");
}

#[test]
fn many_at_once_have_their_bounds_each() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = Place::new();
                let error = own.fail(&format!(
                    "{COUNT} SELECT count(*) FROM (SELECT DISTINCT randomblob(1000) FROM n)"
                ));
                assert!(
                    matches!(error, SqlError::Memory(_) | SqlError::Time(_)),
                    "{error:?}"
                );
            });
        }
        // A modest one beside them does not notice.
        for _ in 0..20 {
            assert_eq!(place.value("SELECT 1"), Value::Integer(1));
        }
    });
}
