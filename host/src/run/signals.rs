//! Ctrl-C, SIGTERM and SIGHUP turn the process's switch; a second one ends it on the spot.

use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::cancel::{Cancel, Reason};
use crate::exit::Exit;

/// Starts the thread that listens. Where signals can't be caught, the process is simply ended by them.
pub fn listen(cancel: &Arc<Cancel>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let cancel = cancel.clone();
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut is_second = false;
        for number in &mut signals {
            if is_second {
                // The user has waited long enough: what is left over, the next run removes.
                std::process::exit(Exit::of_signal(number) as i32);
            }
            is_second = true;
            let cancel = cancel.clone();
            // On a thread of its own: a callback that blocks must not keep the second signal from being heard.
            std::thread::spawn(move || cancel.cancel(Reason::Signal(number)));
        }
    });
}
