//! What SQL out of a snapshot may do: make tables and fill them, in the one database that it is loaded into.
//!
//! SQLite asks before it prepares a statement, so what is denied doesn't begin. The rest of the fence stands in `load`: no
//! extensions, no attached databases by limit, one transaction, and nothing behind its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};

/// Settings that a dump makes, and those that SQLite's own modules ask for. Everything else is denied: `writable_schema`,
/// which can plant any bytes for a schema, and whatever names a folder, a journal mode or a key.
const PRAGMAS: [&str; 9] = [
    "foreign_keys",
    "defer_foreign_keys",
    "encoding",
    "page_size",
    "auto_vacuum",
    "application_id",
    "user_version",
    "legacy_file_format",
    "data_version",
];

/// Modules that keep all they have in tables of the same database.
const MODULES: [&str; 9] =
    ["fts3", "fts4", "fts4aux", "fts3tokenize", "fts5", "fts5vocab", "rtree", "rtree_i32", "dbstat"];

/// Functions that load code or reach files, whichever of them exist.
const FUNCTIONS: [&str; 8] =
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "eval", "lsdir", "fsdir"];

/// Tables that are a window to the file itself.
const TABLES: [&str; 1] = ["sqlite_dbpage"];

/// The authorizer. `begun` says whether the dump's transaction has begun: before it, only settings are allowed.
pub fn authorizer(begun: Arc<AtomicBool>) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
    move |context| {
        let in_main = context.database_name.is_none_or(|name| name.eq_ignore_ascii_case("main"));
        if allows(&context.action, begun.load(Ordering::Relaxed)) && in_main {
            Authorization::Allow
        } else {
            tracing::warn!("the SQL of the snapshot was denied {:?}", context.action);
            Authorization::Deny
        }
    }
}

fn allows(action: &AuthAction<'_>, begun: bool) -> bool {
    use AuthAction as A;
    match *action {
        A::Pragma { pragma_name, .. } => listed(&PRAGMAS, pragma_name),
        // COMMIT has no name of its own here.
        A::Transaction { operation } => {
            matches!(operation, TransactionOperation::Begin | TransactionOperation::Unknown)
        }
        _ if !begun => false,
        A::CreateVtable { module_name, .. } | A::DropVtable { module_name, .. } => {
            listed(&MODULES, module_name)
        }
        A::Function { function_name } => !listed(&FUNCTIONS, function_name),
        A::Read { table_name, .. }
        | A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::Delete { table_name } => !listed(&TABLES, table_name),
        A::CreateIndex { .. }
        | A::CreateTable { .. }
        | A::CreateTrigger { .. }
        | A::CreateView { .. }
        | A::DropIndex { .. }
        | A::DropTable { .. }
        | A::DropTrigger { .. }
        | A::DropView { .. }
        | A::AlterTable { .. }
        | A::Reindex { .. }
        | A::Analyze { .. }
        | A::Select
        | A::Recursive => true,
        // Attach, Detach, everything temporary, savepoints, and what a newer SQLite may ask.
        _ => false,
    }
}

fn listed(list: &[&str], name: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}
