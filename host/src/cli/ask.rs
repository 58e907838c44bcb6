//! Questions to the user. Without a terminal there are none: what would need one is refused.

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::{Failure, Outcome};

/// Asks; only `y` and `yes` are a yes, and nothing is the default.
pub fn confirm(question: &str, yes: bool) -> Outcome<()> {
    if yes {
        return Ok(());
    }
    let refused = || Failure::refused("not confirmed; nothing was changed");
    if !std::io::stdin().is_terminal() {
        return Err(refused().hint("Without a terminal nobody can be asked: confirm with `--yes`."));
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(refused()) }
}
