//! What SQL of others may do. SQLite asks while it compiles a statement, for each thing that the statement
//! would do, views and triggers included.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::error::Denied;

/// Pragmas that tell about the database itself, or keep a number in it.
const PRAGMAS: [&str; 20] = [
    "application_id",
    "defer_foreign_keys",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "page_count",
    "quick_check",
    "recursive_triggers",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];
/// Of those, what is only read: writing it would harm the database or its bounds.
const READ_ONLY: [&str; 4] = ["encoding", "foreign_keys", "page_count", "schema_version"];

/// Functions that reach outside, that tell about this program, or whose time grows with the square of what
/// they are given while nothing can interrupt them.
const FUNCTIONS: [&str; 12] = [
    "fts3_tokenizer",
    "fts5",
    "json_patch",
    "jsonb_patch",
    "load_extension",
    "rtreecheck",
    "rtreedepth",
    "rtreenode",
    "sqlite_compileoption_get",
    "sqlite_compileoption_used",
    "sqlite_log",
    "sqlite_offset",
];
/// Tables that are there without having been made, and tell about pages or programs.
const TABLES: [&str; 7] = [
    "bytecode",
    "dbstat",
    "fts3tokenize",
    "sqlite_dbpage",
    "sqlite_memstat",
    "sqlite_stmt",
    "tables_used",
];
/// Names of functions in one statement. Between two jumps of a program nothing interrupts it, so this and
/// the length of values bound how long that is.
const FUNCTIONS_MAX: u32 = 100;

/// The judge of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard(Arc<Mutex<Judging>>);

#[derive(Debug, Default)]
struct Judging {
    /// The caller's SQL is being compiled, and not our own.
    others: bool,
    functions: u32,
    denied: Option<Denied>,
}

impl Guard {
    /// Judges each statement of the connection from now on; after `until` it denies everything of others.
    pub(crate) fn watch(&self, connection: &Connection, until: Instant) -> rusqlite::Result<()> {
        let judging = Arc::clone(&self.0);
        connection.authorizer(Some(move |asked: AuthContext<'_>| {
            let mut judging = judging.lock().unwrap_or_else(PoisonError::into_inner);
            judging.decide(&asked.action, until)
        }))
    }

    /// SQL of others is compiled from now on, until [`Guard::end`]: also while it runs, since pragmas that are
    /// used as tables compile more, and a schema that changes compiles all anew.
    pub(crate) fn begin(&self) {
        *self.lock() = Judging {
            others: true,
            ..Judging::default()
        };
    }

    /// Our own SQL follows. Answers what was denied of theirs.
    pub(crate) fn end(&self) -> Option<Denied> {
        std::mem::take(&mut *self.lock()).denied
    }

    fn lock(&self) -> MutexGuard<'_, Judging> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judging {
    fn decide(&mut self, action: &AuthAction<'_>, until: Instant) -> Authorization {
        if !self.others {
            return Authorization::Allow;
        }
        if Instant::now() >= until {
            return Authorization::Deny;
        }
        if let AuthAction::Function { .. } = action {
            self.functions += 1;
        }
        match judge(action, self.functions) {
            None => Authorization::Allow,
            Some(denied) => {
                self.denied.get_or_insert(denied);
                Authorization::Deny
            }
        }
    }
}

fn judge(action: &AuthAction<'_>, functions: u32) -> Option<Denied> {
    match *action {
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            let name = pragma_name.to_ascii_lowercase();
            let known = PRAGMAS.contains(&name.as_str());
            let written = pragma_value.is_some() && READ_ONLY.contains(&name.as_str());
            (!known || written).then_some(Denied::Pragma(name))
        }
        AuthAction::Function { function_name } => {
            let name = function_name.to_ascii_lowercase();
            if functions > FUNCTIONS_MAX {
                return Some(Denied::Functions(FUNCTIONS_MAX));
            }
            FUNCTIONS
                .contains(&name.as_str())
                .then_some(Denied::Function(name))
        }
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            let name = table_name.to_ascii_lowercase();
            TABLES
                .contains(&name.as_str())
                .then_some(Denied::Table(name))
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Some(Denied::OtherDatabase),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => Some(Denied::Transaction),
        AuthAction::CreateVtable { .. } | AuthAction::DropVtable { .. } => {
            Some(Denied::VirtualTable)
        }
        AuthAction::CreateIndex { .. }
        | AuthAction::CreateTable { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::DropTable { .. }
        | AuthAction::DropTempIndex { .. }
        | AuthAction::DropTempTable { .. }
        | AuthAction::DropTempTrigger { .. }
        | AuthAction::DropTempView { .. }
        | AuthAction::DropTrigger { .. }
        | AuthAction::DropView { .. }
        | AuthAction::AlterTable { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Analyze { .. }
        | AuthAction::Recursive
        | AuthAction::Select => None,
        _ => Some(Denied::Unknown),
    }
}
