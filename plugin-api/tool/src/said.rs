//! Keeps what a program says: line by line, the first and the last of it, without secrets.
//!
//! Bounded whatever the program says, also in a single endless line. Redaction waits until the text is asked for, so that a
//! flood costs no more than finding line ends.

use std::collections::VecDeque;

use crate::redact::Redactor;

/// How much of the beginning is kept, in bytes.
const FIRST: usize = 16 << 10;
/// How much of the end is kept, in bytes.
const LAST: usize = 48 << 10;
/// How much of one line is kept, in bytes.
const LINE: usize = 8 << 10;

/// Cuts bytes into lines (`\n`, and `\r` as progress bars write it) and keeps no more of a line than can be shown.
pub(crate) struct Lines {
    line: Vec<u8>,
    /// What is collected of a line: more than is shown by the longest secret, so that no secret is cut.
    collect: usize,
}

impl Lines {
    pub(crate) fn new(redactor: &Redactor) -> Self {
        Self { line: Vec::new(), collect: LINE + redactor.longest() }
    }

    /// Takes bytes and gives every line that ends in them, raw, without its end.
    pub(crate) fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Vec<u8>)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n' || *byte == b'\r') {
            self.collect(&bytes[..end]);
            self.end(each);
            bytes = &bytes[end + 1..];
        }
        self.collect(bytes);
    }

    /// Gives the last line, if it had no end.
    pub(crate) fn end(&mut self, each: &mut dyn FnMut(Vec<u8>)) {
        if !self.line.is_empty() {
            each(std::mem::take(&mut self.line));
        }
    }

    fn collect(&mut self, bytes: &[u8]) {
        let room = self.collect.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// A raw line as it may be shown.
pub(crate) fn shown(line: &[u8], redactor: &Redactor) -> String {
    String::from_utf8_lossy(&redactor.clean_bytes(line, LINE)).into_owned()
}

/// The first and the last lines.
#[derive(Default)]
pub(crate) struct Said {
    first: Vec<Vec<u8>>,
    first_bytes: usize,
    last: VecDeque<Vec<u8>>,
    last_bytes: usize,
    dropped_bytes: u64,
}

impl Said {
    pub(crate) fn add(&mut self, line: Vec<u8>) {
        if self.last.is_empty() && self.first_bytes + line.len() < FIRST {
            self.first_bytes += line.len() + 1;
            self.first.push(line);
            return;
        }
        self.last_bytes += line.len() + 1;
        self.last.push_back(line);
        while self.last_bytes > LAST
            && let Some(oldest) = self.last.pop_front()
        {
            self.last_bytes -= oldest.len() + 1;
            self.dropped_bytes += oldest.len() as u64 + 1;
        }
    }

    /// All that is kept, a line each, with a note where something is missing.
    pub(crate) fn text(&self, redactor: &Redactor) -> String {
        let mut text = String::new();
        let mut add = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        self.first.iter().for_each(|line| add(&shown(line, redactor)));
        if self.dropped_bytes > 0 {
            add(&format!("[… {} bytes left out …]", self.dropped_bytes));
        }
        self.last.iter().for_each(|line| add(&shown(line, redactor)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], piece: usize, redactor: &Redactor) -> String {
        let (mut lines, mut said) = (Lines::new(redactor), Said::default());
        bytes.chunks(piece).for_each(|chunk| lines.push(chunk, &mut |line| said.add(line)));
        lines.end(&mut |line| said.add(line));
        said.text(redactor)
    }

    #[test]
    fn short_text_is_kept_whole_however_it_comes() {
        for piece in [1, 3, 100] {
            assert_eq!(said(b"one\ntwo\r\nthree", piece, &Redactor::default()), "one\ntwo\nthree\n");
        }
    }

    #[test]
    fn of_a_flood_the_first_and_the_last_stay_and_the_gap_is_told() {
        let flood: Vec<u8> = (0..200_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let text = said(&flood, 4096, &Redactor::default());
        assert!(text.len() <= FIRST + LAST + 100, "{}", text.len());
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 199999\n"));
        assert_eq!(text.matches("left out").count(), 1);
    }

    #[test]
    fn an_endless_line_is_bounded_and_a_secret_at_its_cut_is_not_shown() {
        let mut redactor = Redactor::default();
        redactor.add(b"hunter2-hunter2");
        let mut line = vec![b'x'; LINE - 4];
        line.extend_from_slice(b"hunter2-hunter2");
        line.resize(10 << 20, b'y');
        let text = said(&line, 4096, &redactor);
        assert!(text.len() < LINE + 10 && text.ends_with("x***\n"), "{}", &text[LINE - 10..]);
    }
}
