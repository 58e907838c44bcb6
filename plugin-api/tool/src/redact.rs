//! Takes secrets out of what a program says, before anyone keeps or logs it.
//!
//! Two rules: strings that were given to it never appear, nor does the password in anything that looks like a URL
//! (`scheme://user:password@host`). It guesses nothing else.

use std::collections::BTreeSet;

/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// The strings that must not appear.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: BTreeSet<Vec<u8>>,
}

impl Redactor {
    /// From now on `secret` never appears: nor its single lines (a key in PEM form is printed line by line), nor its
    /// form in a URL.
    pub(crate) fn add(&mut self, secret: &[u8]) {
        let lines = secret.split(|byte| *byte == b'\n' || *byte == b'\r').map(<[u8]>::trim_ascii);
        // Of several lines the short ones (`-----`, a bracket) would only make holes.
        let several = secret.contains(&b'\n');
        for form in lines.filter(|line| !line.is_empty() && (!several || line.len() >= 8)) {
            self.secrets.insert(form.to_vec());
            self.secrets.insert(percent_encoded(form));
        }
    }

    /// The length of the longest secret.
    pub(crate) fn longest(&self) -> usize {
        self.secrets.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// `text` without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.clean_bytes(text.as_bytes(), usize::MAX)).into_owned()
    }

    /// `line` without secrets, as far as what began before `limit`: bytes behind it are only looked at, so that a
    /// secret that is cut by the limit is still recognised.
    pub(crate) fn clean_bytes(&self, line: &[u8], limit: usize) -> Vec<u8> {
        let passwords = url_passwords(line);
        let mut clean = Vec::with_capacity(line.len().min(limit));
        let mut at = 0;
        while at < line.len().min(limit) {
            if let Some((_, end)) = passwords.iter().find(|(start, _)| *start == at) {
                clean.extend_from_slice(MASK);
                at = *end;
            } else if let Some(length) = self.secret_at(&line[at..]) {
                clean.extend_from_slice(MASK);
                at += length;
            } else {
                clean.push(line[at]);
                at += 1;
            }
        }
        clean
    }

    /// The longest secret that `text` begins with: where one secret begins another, the rest must go too.
    fn secret_at(&self, text: &[u8]) -> Option<usize> {
        self.secrets.iter().filter(|secret| text.starts_with(secret)).map(Vec::len).max()
    }
}

/// Where the passwords of URLs stand. Up to the *last* `@` of the word: an unescaped `/` or `@` in a password is common.
fn url_passwords(line: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = line[at..].windows(3).position(|three| three == b"://") {
        let start = at + colon + 3;
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`<>".contains(byte);
        let end = line[start..].iter().position(ends).map_or(line.len(), |length| start + length);
        let word = &line[start..end];
        if let Some(last_at) = word.iter().rposition(|byte| *byte == b'@')
            && let Some(colon) = word[..last_at].iter().position(|byte| *byte == b':')
        {
            found.push((start + colon + 1, start + last_at));
        }
        at = end;
    }
    found
}

fn percent_encoded(secret: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(secret.len());
    for byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(secrets: &[&str]) -> Redactor {
        let mut redactor = Redactor::default();
        secrets.iter().for_each(|secret| redactor.add(secret.as_bytes()));
        redactor
    }

    #[test]
    fn given_strings_never_appear_in_any_form() {
        let redactor = with(&["p@ss/1", "hunter", "hunter2"]);
        assert_eq!(redactor.clean("a p@ss/1 b hunter2 hunter c p%40ss%2F1"), "a *** b *** *** c ***");
    }

    #[test]
    fn lines_of_a_key_never_appear() {
        let redactor = with(&["-----BEGIN-----\nMIIEpAIBAAKCAQEA\n}\n"]);
        assert_eq!(redactor.clean("bad key: MIIEpAIBAAKCAQEA }"), "bad key: *** }");
    }

    #[test]
    fn passwords_of_urls_never_appear_even_unescaped_ones() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor.clean("can't reach postgres://u:a@b/c@db:5432/shop now"),
            "can't reach postgres://u:***@db:5432/shop now"
        );
        assert_eq!(redactor.clean("\"mysql://r:x@h\" http://h:80/p"), "\"mysql://r:***@h\" http://h:80/p");
        assert_eq!(redactor.clean("ssh://me@host a:b@c"), "ssh://me@host a:b@c");
    }

    #[test]
    fn a_secret_that_the_limit_cuts_is_still_recognised() {
        assert_eq!(with(&["hunter2"]).clean_bytes(b"abc hunter2 def", 6), b"abc ***");
    }
}
