//! Restore: looks again, judges the stream, and walks the way that fits.
//!
//! Until all that can be judged is judged, nothing is touched. Whatever fails later leaves the database as it was: the
//! transaction isn't committed, or the sibling is dropped.

use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, RestoreMode, RestoreOptions, Restored, Result};

use crate::globals::Roles;
use crate::load::Load;
use crate::options::Options;
use crate::programs::Side;
use crate::server::Server;
use crate::sibling;
use crate::target::{Look, Way};
use crate::words::list;

/// So long a session that has ended may still be listed, on a busy server.
const ENDING: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// Writes the streams to the target.
pub(crate) fn restore(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    let server = Server::new(cx, options, Side::Restore)?;
    let look = settled(cx, &server, how)?;
    // Asked again: the host asked before the user confirmed.
    if how.mode == RestoreMode::Fail && !look.is_empty(how) {
        return Err(Error::new(ErrorKind::Refused, format!("the database `{}` isn't empty", look.name)));
    }
    let way = look.way(how)?;
    if way == Way::Sibling && !options.force {
        refuse_sessions(&look)?;
    }
    let roles = Roles::read(cx, &server, &look, input)?;
    let load = Load::prepare(cx, &server, &look, way, input, how, &roles.names)?;
    let left_out = load.left_out.clone();
    roles.make(cx, &server, &look)?;
    let written = match way {
        Way::Sibling => sibling::restore(cx, &server, &look, load, how),
        _ => load.run(cx, &server, &look.name, way).map(|()| Vec::new()),
    };
    let mut notes = written.inspect_err(|_| roles.unmake(cx, &server, &look))?;
    if !roles.names.is_empty() {
        let names: Vec<&String> = roles.names.iter().collect();
        notes.push(format!("Made the roles {}.", list(&names)));
    }
    // The restore has gone well, whatever becomes of this.
    notes.extend(sibling::leftovers(cx, &server, &look).unwrap_or_default());
    Ok(Restored { place: server.place(&look.name), notes, left_out, ..Restored::default() })
}

/// Looks again while all that is in the way are sessions of ours: the server lists those that have ended for a moment.
fn settled(cx: &Context, server: &Server<'_>, how: &RestoreOptions) -> Result<Look> {
    let end = Instant::now() + ENDING;
    loop {
        let look = Look::take(cx, server)?;
        let sessions = sessions(&look);
        let are_ours = !sessions.is_empty()
            && sessions.iter().all(|session| session.contains(" (windlass) idle since "));
        if !are_ours || look.way(how).ok() != Some(Way::Sibling) || Instant::now() > end {
            return Ok(look);
        }
        cx.go_on()?;
        std::thread::sleep(PAUSE);
    }
}

fn sessions(look: &Look) -> &[String] {
    look.database.as_ref().map(|database| database.sessions.as_slice()).unwrap_or_default()
}

fn refuse_sessions(look: &Look) -> Result<()> {
    let sessions = sessions(look);
    if sessions.is_empty() {
        return Ok(());
    }
    let message = format!("`{}` is in use: {}", look.name, list(sessions));
    Err(Error::new(ErrorKind::Refused, message)
        .hint("End the sessions that use it, or let the restore do it with `--force`."))
}
