//! What a run couldn't do, gathered: the first names of each sort and a count of all.
//!
//! Bounded, however many there are. What becomes of it (an exit code, a printed line) is the host's business.

use windlass_plugin_api::Contents;

use crate::options::Vanished;

/// How many left-out files are named.
const NAMED: usize = 100;

/// How many names stand in a warning.
const IN_A_WARNING: usize = 5;

/// The names of a sort of events: the first few and the count of all.
#[derive(Default, Debug)]
pub struct Tally {
    first: Vec<String>,
    count: u64,
}

impl Tally {
    /// Counts `what`, and keeps it if it is among the first `keep`.
    pub fn add(&mut self, keep: usize, what: impl FnOnce() -> String) {
        if self.first.len() < keep {
            self.first.push(what());
        }
        self.count += 1;
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first ones.
    pub fn into_first(self) -> Vec<String> {
        self.first
    }

    /// `` `a`, `b` and 7 more ``.
    fn names(&self) -> String {
        let names = self.first.join(", ");
        match self.count - self.first.len() as u64 {
            0 => names,
            more => format!("{names} and {more} more"),
        }
    }
}

/// `path` for a message: as it is where it is UTF-8 without control characters, escaped where it isn't, so that a name
/// can't forge a line.
pub fn quoted(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => format!("`{text}`"),
        _ => format!("`{}`", path.escape_ascii()),
    }
}

/// What a backup has to tell besides its stream.
#[derive(Debug)]
pub struct Report {
    /// The label of the root that is being read.
    label: Vec<u8>,
    policy: Vanished,
    left_out: Tally,
    vanished: Tally,
    special: Tally,
    changed: Tally,
    warnings: Tally,
}

impl Report {
    /// An empty one.
    pub fn new(policy: Vanished) -> Self {
        let empty = Tally::default;
        Self {
            label: Vec::new(),
            policy,
            left_out: empty(),
            vanished: empty(),
            special: empty(),
            changed: empty(),
            warnings: empty(),
        }
    }

    /// From now on, paths are those below the root of this label.
    pub fn root(&mut self, label: &[u8]) {
        self.label = label.to_vec();
    }

    fn member(&self, path: &[u8]) -> String {
        quoted(&member_path(&self.label, path))
    }

    /// The file `path` is not in the snapshot, or not as it was.
    pub fn left_out(&mut self, path: &[u8], why: &dyn std::fmt::Display) {
        let line = || format!("{}: {why}", quoted(&member_path(&self.label, path)));
        self.left_out.add(NAMED, line);
    }

    /// `path` was listed and then gone.
    pub fn vanished(&mut self, path: &[u8]) {
        let name = self.member(path);
        self.vanished.add(IN_A_WARNING, || name);
    }

    /// `path` is a fifo, socket or device.
    pub fn special(&mut self, path: &[u8]) {
        let name = self.member(path);
        self.special.add(IN_A_WARNING, || name);
    }

    /// `path` grew or was written to while it was read.
    pub fn changed(&mut self, path: &[u8]) {
        let name = self.member(path);
        self.changed.add(IN_A_WARNING, || name);
    }

    /// Anything else, as a sentence.
    pub fn warn(&mut self, warning: String) {
        self.warnings.add(NAMED, || warning);
    }

    /// Puts all of it into `contents`.
    pub fn into_contents(self, contents: &mut Contents) {
        let mut warn = |tally: &Tally, what: &str| {
            if tally.count > 0 {
                contents.warnings.push(format!("{what}: {} ({}).", tally.count, tally.names()));
            }
        };
        if self.policy == Vanished::Warn {
            warn(&self.vanished, "Files that vanished before they could be read");
        }
        warn(&self.special, "Fifos, sockets and devices, which are skipped");
        warn(
            &self.changed,
            "Files that changed while they were read, and are kept with the size they had at first",
        );
        contents.warnings.extend(self.warnings.into_first());
        contents.left_out_count = self.left_out.count();
        contents.left_out = self.left_out.into_first();
    }
}

/// `<label>/<path>`, or only `<label>` for the root itself.
pub fn member_path(label: &[u8], path: &[u8]) -> Vec<u8> {
    let mut member = Vec::with_capacity(label.len() + 1 + path.len());
    member.extend_from_slice(label);
    if !path.is_empty() {
        member.push(b'/');
        member.extend_from_slice(path);
    }
    member
}
