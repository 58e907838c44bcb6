//! The command line: what is asked for, which command does it, what the process ends with.
//!
//! A command is one file here: it turns arguments into plans and requests, hands them to [`crate::pipeline`] and
//! [`crate::catalog`], and decides the exit code. It prints nothing but events.

pub mod args;
mod ask;
mod backup;
mod check;
mod config;
mod copy;
mod documents;
mod init;
mod list;
mod log;
mod merged;
mod output;
mod plugins;
mod prune;
mod reconcile;
mod restore;
mod session;
mod trial;
mod verify;

use std::ffi::OsString;
use std::sync::Arc;

use clap::Parser;

use crate::config::{Environment, Secrets};
use crate::exit::{Exit, Outcome};
use crate::report::json::Json;
use crate::report::progress::Progress;
use crate::report::text::Text;
use crate::report::{Report, error_event};
use crate::run::cancel::Cancel;
use crate::run::signals;
use args::{Args, Command, Global};
use session::Session;

/// Runs the command that `arguments` (the program's name first) asks for; the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage as u8 } else { Exit::Ok as u8 };
        }
    };
    let secrets = Arc::new(Secrets::new(Environment::of_process()));
    let report = printer(&args.global, &secrets);
    log::install(&args.global, &secrets);
    let cancel = Cancel::new();
    signals::listen(&cancel);
    let exit = run(args, secrets, report.clone(), cancel).unwrap_or_else(|failure| {
        failure.all().for_each(|failure| report.event(&error_event(failure)));
        failure.exit
    });
    report.end(exit);
    exit as u8
}

fn printer(global: &Global, secrets: &Arc<Secrets>) -> Arc<dyn Report> {
    if global.json {
        return Arc::new(Json::new(secrets.clone()));
    }
    let progress = if global.quiet || global.no_progress {
        Progress::Silent
    } else {
        Progress::for_stderr(std::io::IsTerminal::is_terminal(&std::io::stderr()))
    };
    Arc::new(Text::new(secrets.clone(), progress, global.quiet))
}

fn run(args: Args, secrets: Arc<Secrets>, report: Arc<dyn Report>, cancel: Arc<Cancel>) -> Outcome<Exit> {
    let session = || Session::open(&args.global, secrets, report.clone(), cancel);
    match &args.command {
        Command::Completions(arguments) => documents::completions(arguments, report.as_ref()),
        Command::Man(arguments) => documents::man(arguments),
        Command::Init(arguments) => init::run(&session()?, arguments),
        Command::Check(arguments) => check::run(&session()?, arguments),
        Command::Backup(arguments) => backup::run(&session()?, arguments),
        Command::List(arguments) => list::list(&session()?, arguments),
        Command::Show(arguments) => list::show(&session()?, arguments),
        Command::Restore(arguments) => restore::run(&session()?, arguments),
        Command::Verify(arguments) => verify::run(&session()?, arguments),
        Command::Copy(arguments) => copy::run(&session()?, arguments),
        Command::Reconcile(arguments) => reconcile::run(&session()?, arguments),
        Command::Prune(arguments) => prune::run(&session()?, arguments),
        Command::Plugins(arguments) => plugins::run(&session()?, arguments),
        Command::Config(arguments) => config::run(&session()?, arguments),
    }
}
