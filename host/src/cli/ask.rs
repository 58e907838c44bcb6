//! Questions to the user. Without a terminal there are none: what would need one is refused.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use windlass_plugin_api::{Error, ErrorKind};

use crate::exit::{Failure, Outcome};
use crate::run::cancel::Cancel;

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks; only `y` and `yes` are a yes, and nothing is the default.
pub fn confirm(question: &str, yes: bool, cancel: &Arc<Cancel>) -> Outcome<()> {
    if yes {
        return Ok(());
    }
    let refused = || Failure::refused("not confirmed; nothing was changed");
    if !can_ask() {
        return Err(refused().hint("Without a terminal nobody can be asked: confirm with `--yes`."));
    }
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let answer = line(cancel)
        .map_err(|error| cancel.reason().map_or_else(|| error.into(), |reason| reason.failure()))?;
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
    let answer =
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden).map_err(io::Error::from).and_then(|()| {
            let _ = write!(io::stderr().lock(), "{question}");
            line(cancel)
        });
    show();
    cancel.forget(number);
    let answer = answer.map_err(Error::from)?;
    let typed = answer.trim_end_matches(['\r', '\n']);
    if typed.is_empty() {
        Err(Error::new(ErrorKind::Denied, "no passphrase was typed"))
    } else {
        Ok(typed.to_owned())
    }
}

/// What is typed, up to the end of the line; an error as soon as the switch is turned.
fn line(cancel: &Arc<Cancel>) -> io::Result<String> {
    let (woken, wake) = pipe_with(PipeFlags::CLOEXEC)?;
    let number = cancel.on_cancel(Arc::new(move || _ = rustix::io::write(&wake, &[0])));
    let stdin = io::stdin();
    let mut waited = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&woken, PollFlags::IN)];
    let came = loop {
        match poll(&mut waited, None) {
            Err(Errno::INTR) => {}
            came => break came,
        }
    };
    cancel.forget(number);
    came?;
    if cancel.cancelled() {
        // The prompt's line ends here.
        let _ = writeln!(io::stderr().lock());
        return Err(Error::cancelled().into_io());
    }
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(answer)
}
