//! Questions to the user. Without a terminal there are none: what would need one is refused.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use windlass_plugin_api::{Error, ErrorKind};

use crate::exit::{Failure, Outcome};
use crate::run::cancel::Cancel;

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks; only `y` and `yes` are a yes, and nothing is the default.
pub fn confirm(question: &str, yes: bool) -> Outcome<()> {
    if yes {
        return Ok(());
    }
    let refused = || Failure::refused("not confirmed; nothing was changed");
    if !can_ask() {
        return Err(refused().hint("Without a terminal nobody can be asked: confirm with `--yes`."));
    }
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refused()) }
}

/// Asks for a secret, which isn't shown while it is typed. However it ends, also by Ctrl-C, the terminal shows again what
/// is typed.
pub fn secret(question: &str, cancel: &Arc<Cancel>) -> Result<String, Error> {
    let shown = tcgetattr(io::stdin()).map_err(io::Error::from)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    let show = Arc::new(move || _ = tcsetattr(io::stdin(), OptionalActions::Now, &shown));
    let number = cancel.on_cancel(show.clone());
    let mut answer = String::new();
    let read =
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden).map_err(io::Error::from).and_then(|()| {
            let _ = write!(io::stderr().lock(), "{question}");
            io::stdin().lock().read_line(&mut answer)
        });
    show();
    cancel.forget(number);
    read?;
    let typed = answer.trim_end_matches(['\r', '\n']);
    if typed.is_empty() {
        Err(Error::new(ErrorKind::Denied, "no passphrase was typed"))
    } else {
        Ok(typed.to_owned())
    }
}
