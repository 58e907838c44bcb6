//! What the two programs say of themselves, asked once in a run: their release, and the options that they know.

use std::sync::OnceLock;
use std::time::Duration;

use windlass_plugin_api::Result;
use windlass_tool::{Tool, Version};

use crate::errors::explained;
use crate::server::Server;

/// How long a program may take to say it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was asked already.
#[derive(Default)]
pub(crate) struct Programs {
    client: OnceLock<Help>,
    dump: OnceLock<Help>,
}

/// A program's help.
pub(crate) struct Help {
    pub(crate) version: String,
    text: String,
}

impl Help {
    fn ask(server: &Server<'_>, tool: Tool) -> Result<Self> {
        let tool = server.with_args(tool, &["--help"]).time_limit(PATIENCE);
        let (_, answer) = tool.output(server.cx).map_err(explained)?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let first = text.lines().next().unwrap_or_default();
        // The first number of older programs is that of the program's own language, not of its release.
        let release = first.split([' ', ',']).find(|word| word.contains("-MariaDB")).map(str::to_owned);
        let version =
            release.or_else(|| Version::parse(first).map(|version| version.to_string())).unwrap_or_default();
        Ok(Self { version, text })
    }

    /// Whether the program names this option.
    pub(crate) fn knows(&self, option: &str) -> bool {
        self.text.split(|c: char| c.is_whitespace() || c == '=' || c == '[').any(|word| word == option)
    }
}

impl Programs {
    /// The client's.
    pub(crate) fn client(&self, server: &Server<'_>) -> Result<&Help> {
        once(&self.client, || Help::ask(server, server.client()?))
    }

    /// The dump program's.
    pub(crate) fn dump(&self, server: &Server<'_>) -> Result<&Help> {
        once(&self.dump, || Help::ask(server, server.dump()?))
    }
}

fn once(cell: &OnceLock<Help>, ask: impl FnOnce() -> Result<Help>) -> Result<&Help> {
    match cell.get() {
        Some(help) => Ok(help),
        None => {
            let help = ask()?;
            Ok(cell.get_or_init(|| help))
        }
    }
}
