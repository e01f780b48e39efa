//! Where one case keeps its data: a file of its own, or a schema of its own.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use pinfold_store::Store;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres { base: String, schema: String },
}

impl Place {
    pub(crate) fn sqlite(directory: &Path, case: &str) -> Self {
        Self::Sqlite(directory.join(format!("{case}.db")))
    }

    /// The process id keeps suites apart that share one server.
    pub(crate) fn postgres(base: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self::Postgres {
            base: base.to_owned(),
            schema: format!("pinfold_test_{}_{number}", std::process::id()),
        }
    }

    pub(crate) async fn create(&self) {
        if let Self::Postgres { schema, .. } = self {
            self.admin(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))
                .await;
            self.admin(format!("CREATE SCHEMA {schema}")).await;
        }
    }

    pub(crate) async fn remove(&self) {
        if let Self::Postgres { schema, .. } = self {
            self.admin(format!("DROP SCHEMA {schema} CASCADE")).await;
        }
    }

    pub(crate) async fn open(&self) -> Store {
        match self {
            Self::Sqlite(path) => Store::open_sqlite(path).await,
            Self::Postgres { .. } => Store::connect_postgres(&self.url()).await,
        }
        .expect("the store opens")
    }

    /// The URL whose search path is this case's schema.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres { base, schema } => {
                let mark = if base.contains('?') { '&' } else { '?' };
                format!("{base}{mark}options[search_path]={schema}")
            }
        }
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn execute(&self, sql: &'static str) {
        match self {
            Self::Sqlite(_) => {
                let mut connection = SqliteConnection::connect(&self.url()).await.expect("open");
                let done = sqlx::raw_sql(sql).execute(&mut connection).await;
                done.expect("the statements run");
                connection.close().await.expect("the connection closes");
            }
            Self::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url()).await.expect("open");
                let done = sqlx::raw_sql(sql).execute(&mut connection).await;
                done.expect("the statements run");
                connection.close().await.expect("the connection closes");
            }
        }
    }

    /// The one number that a query answers with.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        match self {
            Self::Sqlite(_) => {
                let mut connection = SqliteConnection::connect(&self.url()).await.expect("open");
                let found = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                connection.close().await.expect("the connection closes");
                found.expect("a number")
            }
            Self::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url()).await.expect("open");
                let found = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                connection.close().await.expect("the connection closes");
                found.expect("a number")
            }
        }
    }

    /// Boxed for the sake of `Send`, which the compiler cannot see through sqlx's generics.
    fn admin(&self, sql: String) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let Self::Postgres { base, .. } = self else {
            return Box::pin(async {});
        };
        Box::pin(async move {
            let mut connection = PgConnection::connect(base)
                .await
                .expect("PostgreSQL answers");
            let done = connection.execute(AssertSqlSafe(sql)).await;
            done.expect("the schema statement runs");
            connection.close().await.expect("the connection closes");
        })
    }
}
