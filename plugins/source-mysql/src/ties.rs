//! What ties databases of one dump to each other: a view that reads another one, a foreign key into another one.
//!
//! Such a database can't be filled under another name: its text means the others by their names.

use std::collections::BTreeSet;

use windlass_plugin_api::Result;

use crate::facts::{Database, among, cell};
use crate::scan::Modes;
use crate::server::Server;
use crate::tokens::{Token, Tokens};

/// The ties among `databases`, in words.
pub(crate) fn ties(server: &Server<'_>, databases: &[Database]) -> Result<Vec<String>> {
    let names: Vec<String> = databases.iter().map(|database| database.name.clone()).collect();
    if names.len() < 2 {
        return Ok(Vec::new());
    }
    let mut ties = Vec::new();
    let keys = server.rows(
        "SELECT constraint_schema, table_name, unique_constraint_schema FROM \
         information_schema.REFERENTIAL_CONSTRAINTS WHERE constraint_schema <> unique_constraint_schema",
    )?;
    for row in keys.iter().filter(|row| names.contains(&cell(row, 0)) && names.contains(&cell(row, 2))) {
        let [from, table, to] = [0, 1, 2].map(|index| cell(row, index));
        ties.push(format!("the table `{from}.{table}` refers to the database `{to}`"));
    }
    let known: BTreeSet<&[u8]> = names.iter().map(String::as_bytes).collect();
    for part in names.chunks(100) {
        let views = server.rows(&format!(
            "SELECT table_schema, table_name, view_definition FROM information_schema.VIEWS WHERE {}",
            among("table_schema", part)
        ))?;
        for row in &views {
            let [from, view, text] = [0, 1, 2].map(|index| cell(row, index));
            if let Some(to) = named_in(&text, &known, from.as_bytes()) {
                ties.push(format!("the view `{from}.{view}` names the database `{to}`"));
            }
        }
    }
    Ok(ties)
}

/// The first of `known` that a view's text names, but for its `own`.
fn named_in(text: &str, known: &BTreeSet<&[u8]>, own: &[u8]) -> Option<String> {
    let tokens: Vec<Token<'_>> =
        Tokens::new(text.as_bytes()).modes(Modes::default()).map(|(_, token)| token).collect();
    let named = tokens.windows(2).find_map(|two| match two {
        [Token::Name(name), Token::Sign(b'.')] if name != own && known.contains(name.as_slice()) => {
            Some(name)
        }
        _ => None,
    });
    named.map(|name| String::from_utf8_lossy(name).into_owned())
}
