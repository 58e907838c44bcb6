//! What goes wrong with a double that keeps state: once, at a request of a given name.
//!
//! It knows no service: the double asks for the trouble of a request and does what it says.

use std::sync::{Mutex, PoisonError};

use crate::double::Said;

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// This is answered, and nothing is done.
    Say(Said),
    /// It is done, and nobody hears of it.
    Lose,
    /// It is done, and the answer breaks off in the middle; of an upload, what is sent does.
    Cut,
    /// The bytes that arrive are others than were sent.
    Garble,
    /// Other bytes are kept than arrive.
    Rot,
}

/// Those that are still to come.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<Vec<(String, usize, Trouble)>>);

impl Troubles {
    /// At the request `name` that follows after `after` others of that name.
    pub fn at(&self, name: &str, after: usize, trouble: Trouble) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), after, trouble));
    }

    /// That of the request `name` which is there now.
    pub fn next(&self, name: &str) -> Option<Trouble> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = all.iter().position(|(own, after, _)| own == name && *after == 0);
        for (at, (own, after, _)) in all.iter_mut().enumerate() {
            if own == name && Some(at) != due {
                *after = after.saturating_sub(1);
            }
        }
        due.map(|at| all.remove(at).2)
    }

    /// Whether everything has come.
    pub fn are_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What stands in a URL, without its percent signs.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A parameter of a path's query.
pub fn parameter(path: &str, name: &str) -> Option<String> {
    let query = path.split_once('?')?.1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| decoded(&value.replace('+', " ")))
}

/// The answer to a GET for `bytes`, with the part that a range names.
pub fn part_of(bytes: &[u8], range: &str) -> Said {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Said::status(200).body(bytes);
    };
    let from: usize = from.parse().unwrap_or_default();
    if from >= bytes.len() {
        return Said::status(416).header("content-range", format!("bytes */{}", bytes.len()));
    }
    let end = to
        .parse::<u64>()
        .map_or(bytes.len(), |last| (last.saturating_add(1)).min(bytes.len() as u64) as usize);
    let told = format!("bytes {from}-{}/{}", end - 1, bytes.len());
    Said::status(206).header("content-range", told).body(&bytes[from..end])
}
