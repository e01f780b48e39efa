//! Names of terminals: which command of a sandbox is the terminal of a name.

use pinfold_model::{CommandId, SandboxId, TerminalName};

use crate::db::{Db, Row, Sql, statements};
use crate::error::Result;

/// Repository of the names of terminals.
#[derive(Debug, Clone, Copy)]
pub struct Terminals<'a> {
    db: &'a Db,
}

/// A name, and the command that has it; maybe one that has ended, or never began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCommand {
    pub sandbox: SandboxId,
    pub name: TerminalName,
    pub command: CommandId,
}

statements! {
    GET = Sql::both(
        "SELECT sandbox_id, name, command_id FROM terminals WHERE sandbox_id = $1 AND name = $2",
    );
    LIST = Sql::both("SELECT sandbox_id, name, command_id FROM terminals WHERE sandbox_id = $1");
    PUT = Sql::both(
        "INSERT INTO terminals (sandbox_id, name, command_id) VALUES ($1, $2, $3) \
         ON CONFLICT (sandbox_id, name) DO UPDATE SET command_id = excluded.command_id",
    );
    DELETE = Sql::both(
        "DELETE FROM terminals WHERE sandbox_id = $1 AND name = $2 AND command_id = $3",
    );
    PURGE = Sql::both(
        // From these few: sandboxes are never deleted.
        "DELETE FROM terminals WHERE EXISTS \
             (SELECT 1 FROM sandboxes s WHERE s.id = terminals.sandbox_id AND s.live = 0)",
    );
}

impl<'a> Terminals<'a> {
    pub(crate) const fn new(db: &'a Db) -> Self {
        Self { db }
    }

    pub async fn get(
        &self,
        sandbox: &SandboxId,
        name: &TerminalName,
    ) -> Result<Option<NamedCommand>> {
        let get = GET.bind(sandbox.as_str()).bind(name.as_str());
        let row = self.db.row(get).await?;
        row.as_ref().map(to_named).transpose()
    }

    /// Every name of one sandbox.
    pub async fn list(&self, sandbox: &SandboxId) -> Result<Vec<NamedCommand>> {
        let rows = self.db.rows(LIST.bind(sandbox.as_str())).await?;
        rows.iter().map(to_named).collect()
    }

    /// Gives the name to a command, and takes it from the one that had it.
    pub async fn put(&self, named: &NamedCommand) -> Result<()> {
        let put = PUT
            .bind(named.sandbox.as_str())
            .bind(named.name.as_str())
            .bind(named.command.as_str());
        self.db.execute(put).await.map(drop)
    }

    /// Frees a name that this command has; another one keeps it.
    pub async fn delete(&self, named: &NamedCommand) -> Result<()> {
        let delete = DELETE
            .bind(named.sandbox.as_str())
            .bind(named.name.as_str())
            .bind(named.command.as_str());
        self.db.execute(delete).await.map(drop)
    }

    /// Forgets the names of sandboxes that have ended; answers how many.
    pub async fn purge(&self) -> Result<u64> {
        self.db.execute_slowly(PURGE.query()).await
    }
}

fn to_named(row: &Row) -> Result<NamedCommand> {
    Ok(NamedCommand {
        sandbox: row.parse("sandbox_id")?,
        name: row.parse("name")?,
        command: row.parse("command_id")?,
    })
}
