//! A directory with one database in it.

use std::path::PathBuf;
use std::time::Duration;

use pinfold_sql::{Answer, Bounds, Database, SqlError, Statement, Value};
use tempfile::TempDir;

pub(crate) struct Place {
    directory: TempDir,
    pub(crate) database: Database,
}

impl Place {
    pub(crate) fn new() -> Self {
        let bounds = Bounds {
            time: Duration::from_secs(2),
            ..Bounds::default()
        };
        Self::with(bounds)
    }

    pub(crate) fn with(bounds: Bounds) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::new(directory.path().join("one.db"), bounds);
        Self {
            directory,
            database,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("one.db")
    }

    /// Names of all files there are.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.into_string().expect("a text"))
            .collect();
        names.sort();
        names
    }

    pub(crate) fn try_run(&self, sql: &str, params: Vec<Value>) -> Result<Answer, SqlError> {
        self.database.query(&statement(sql, params))
    }

    #[track_caller]
    pub(crate) fn run(&self, sql: &str) -> Answer {
        match self.try_run(sql, vec![]) {
            Ok(answer) => answer,
            Err(error) => panic!("{error}: {}", &sql[..sql.len().min(200)]),
        }
    }

    #[track_caller]
    pub(crate) fn fail(&self, sql: &str) -> SqlError {
        match self.try_run(sql, vec![]) {
            Ok(answer) => panic!("{answer:?}: {}", &sql[..sql.len().min(200)]),
            Err(error) => error,
        }
    }

    /// The one value of an answer.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> Value {
        let answer = self.run(sql);
        assert_eq!(answer.rows.len(), 1, "{sql}");
        answer.rows[0][0].clone()
    }
}

pub(crate) fn statement(sql: &str, params: Vec<Value>) -> Statement {
    Statement {
        sql: sql.to_owned(),
        params,
    }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
