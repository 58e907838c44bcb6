//! Windlass source: MongoDB.
//!
//! A backup writes one archive in mongodump's format, by the official driver: every document passes as the bytes that the
//! server sent. A restore reads such an archive, whoever wrote it. No program of MongoDB is needed.
//!
//! `archive` is the format, `connect` the driver within limits, `backup` and `restore` what the two do.

use windlass_plugin_api::{
    Contents, Context, Inputs, Item, Outputs, Plugin, Probe, RestoreOptions, Restored, Result, Source,
    Target, export_plugin,
};

mod archive;
mod backup;
mod catalog;
mod connect;
mod consistency;
mod errors;
mod extjson;
mod load;
mod oplog;
mod options;
mod place;
mod plan;
mod restore;
mod select;
mod sessions;
mod sink;
mod target;
mod users;

pub use options::{Consistency, Options, Url};

use connect::with_server;

export_plugin! {
    source Mongodb {
        "name": "mongodb",
        "summary": "MongoDB databases",
        "schemes": ["mongodb", "mongodb+srv"],
        "aliases": ["mongo"],
        "reads": ["mongodb-archive/1"],
        "writes": ["mongodb-archive/1"],
    }
    options: "../options.schema.json"
}

/// The stream format of mongodump's archives.
pub const FORMAT: &str = "mongodb-archive/1";

/// The name of the one stream.
const STREAM: &str = "data";

/// The source.
pub struct Mongodb {
    options: Options,
}

impl Plugin for Mongodb {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options })
    }
}

impl Source for Mongodb {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        with_server(cx, &self.options, async |server| plan::probe(server, &self.options).await)
    }

    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        let names = with_server(cx, &self.options, catalog::databases)?;
        let item = |name: String| {
            let options = [("database".to_owned(), name.clone().into())].into_iter().collect();
            Item { name, options, ..Item::default() }
        };
        Ok(names.into_iter().map(item).collect())
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        with_server(cx, &self.options, async |server| backup::backup(server, &self.options, out).await)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        with_server(cx, &self.options, async |server| target::target(server, &self.options, how).await)
    }

    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        with_server(cx, &self.options, async |server| {
            target::preview(server, &self.options, input, how).await
        })
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        with_server(cx, &self.options, async |server| {
            restore::restore(server, &self.options, input, how).await
        })
    }

    fn by_hand(&self, _stream: &str, contents: &Contents) -> Option<String> {
        Some(by_hand(contents))
    }
}

/// mongorestore's command for what the contents say of the archive.
fn by_hand(contents: &Contents) -> String {
    let mut command = "mongorestore --archive".to_owned();
    if contents.details.contains_key("oplog") {
        command.push_str(" --oplogReplay");
    }
    let databases = contents.details.get("databases").and_then(|names| names.as_array());
    // Users of one database are restored only where it is named, which the oplog doesn't allow.
    match databases.map(Vec::as_slice) {
        Some([name]) if contents.details.contains_key("users") && !contents.details.contains_key("oplog") => {
            let name = name.as_str().unwrap_or_default().replace('\'', "'\\''");
            command.push_str(&format!(" --restoreDbUsersAndRoles --db='{name}'"));
        }
        _ => {}
    }
    command
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_command_by_hand_is_for_what_the_archive_holds() {
        let told = |details: Value| {
            let details = details.as_object().unwrap().clone();
            by_hand(&Contents { details, ..Contents::default() })
        };
        assert_eq!(told(json!({ "databases": ["shop"] })), "mongorestore --archive");
        let oplog = json!({ "databases": ["shop"], "oplog": { "entries": 3 }, "users": true });
        assert_eq!(told(oplog), "mongorestore --archive --oplogReplay");
        let users = json!({ "databases": ["sho'p"], "users": true });
        assert_eq!(told(users), "mongorestore --archive --restoreDbUsersAndRoles --db='sho'\\''p'");
        assert_eq!(told(json!({ "databases": ["a", "b"], "users": true })), "mongorestore --archive");
    }
}
