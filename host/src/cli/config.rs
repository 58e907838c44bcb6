//! `windlass config`.

use super::args::{ConfigArgs, ConfigCommand};
use super::session::Session;
use crate::config::{Selection, schema};
use crate::exit::{Exit, Outcome};
use crate::report::{ConfigRow, Event};

/// Prints the schema, or the values.
pub fn run(session: &Session, arguments: &ConfigArgs) -> Outcome<Exit> {
    let known = session.registry.as_ref();
    match arguments.command {
        ConfigCommand::Schema => {
            session.report.event(&Event::Document { name: "config".to_owned(), document: schema(known) });
        }
        ConfigCommand::Show => {
            session.judge(Selection::Pipelines(&[]))?;
            let values = session.config.show(known).into_iter();
            let rows =
                values.map(|value| ConfigRow { key: value.key, value: value.value, origin: value.origin });
            session.report.event(&Event::Config { values: rows.collect() });
        }
    }
    Ok(Exit::Ok)
}
