//! `windlass completions` and `windlass man`: documents out of the arguments' own description.

use clap::CommandFactory;
use windlass_plugin_api::During;

use super::args::{Args, Completions, Man};
use crate::exit::{Exit, Outcome};
use crate::report::{Event, Report};

/// Prints a completion script.
pub fn completions(arguments: &Completions, report: &dyn Report) -> Outcome<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Args::command(), "windlass", &mut script);
    report.event(&Event::Text { text: String::from_utf8_lossy(&script).into_owned() });
    Ok(Exit::Ok)
}

/// Writes a manual page for each command.
pub fn man(arguments: &Man) -> Outcome<Exit> {
    let dir = &arguments.dir;
    std::fs::create_dir_all(dir).during_with(|| format!("can't make `{}`", dir.display()))?;
    clap_mangen::generate_to(Args::command(), dir)
        .during_with(|| format!("can't write into `{}`", dir.display()))?;
    Ok(Exit::Ok)
}
