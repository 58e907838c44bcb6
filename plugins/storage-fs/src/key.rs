//! Keys as file names, and the names of half uploads, which carry the key they are meant for.
//!
//! Only text: nothing here touches the disk.

use std::hash::{BuildHasher, Hasher};

use windlass_plugin_api::{Error, ErrorKind, Result};

/// The folder below the root in which half uploads lie.
pub const AREA: &str = ".windlass-uploads";

/// What the names of half uploads begin with.
const BEGINNING: &str = ".windlass-";
/// Between whose it is and which key it is meant for. Escaped in both.
const DIVIDER: char = '~';
/// No file system of ours takes longer names.
const NAME_MAX: usize = 255;
/// Of the run's word: with a key of 200 plain bytes the name stays below the limit.
const RUN_MAX: usize = 30;

/// Refuses what can't be a file below the root.
pub fn judge(key: &str) -> Result<()> {
    let is_name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if key.split('/').all(is_name) && key.split('/').next() != Some(AREA) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, format!("the key `{key}` can't be a file below the root")))
}

/// Whose half upload it is, and what for.
#[derive(Debug, PartialEq)]
pub struct HalfName {
    pub run: String,
    /// The key, or its beginning where it is too long for a file name.
    pub key: String,
}

impl HalfName {
    /// A new name that nothing else has.
    pub fn new_file_name(&self) -> String {
        let (mut run, key) = (escaped(&self.run), escaped(&self.key));
        cut(&mut run, RUN_MAX);
        let random = std::hash::RandomState::new().build_hasher().finish();
        let mut name = format!("{BEGINNING}{run}-{:011x}{DIVIDER}{key}", random >> 20);
        cut(&mut name, NAME_MAX);
        name
    }

    /// Reads such a name; `None` for any other.
    pub fn read(file_name: &str) -> Option<Self> {
        let (whose, key) = file_name.strip_prefix(BEGINNING)?.split_once(DIVIDER)?;
        let (run, _) = whose.rsplit_once('-')?;
        Some(Self { run: unescaped(run), key: unescaped(key) })
    }

    /// Whether the key may begin with `prefix`: of a key that was cut only the beginning is known.
    pub fn is_below(&self, prefix: &str, file_name: &str) -> bool {
        // Cut names end within an escape, or at the limit.
        let may_be_cut = file_name.len() + 2 >= NAME_MAX;
        self.key.starts_with(prefix) || (may_be_cut && prefix.starts_with(&self.key))
    }
}

/// One byte for each plain one and for `/`; `%XX` for any other.
fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' => name.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' => bytes.push(b'/'),
            b'%' => {
                let Some((digits, behind)) = rest.split_at_checked(2) else { break };
                let digits = std::str::from_utf8(digits).ok();
                bytes.extend(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
                rest = behind;
            }
            byte => bytes.push(byte),
        }
    }
    // A cut may go through a character: what is left of it goes.
    let whole = match std::str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        Err(error) => error.valid_up_to(),
    };
    bytes.truncate(whole);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Escaped text is ASCII: any byte may be the last.
fn cut(name: &mut String, length: usize) {
    name.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(run: &str, key: &str) -> HalfName {
        HalfName { run: run.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn a_half_uploads_name_tells_run_and_key() {
        for half in [
            name("20261122T185903Z-k3f9", "web1/shop/20261122T185903Z-k3f9/data.zst"),
            name("", "a"),
            name("a-b~c/d", "ü b/100%~\n"),
            name("20261122T185903Z-k3f9", &"k".repeat(200)),
        ] {
            let file_name = half.new_file_name();
            assert!(file_name.len() <= NAME_MAX && !file_name.contains('/'), "{file_name}");
            assert_eq!(HalfName::read(&file_name), Some(half));
        }
    }

    #[test]
    fn a_key_too_long_for_a_name_is_found_by_its_beginning() {
        let half = name("run", &"ü".repeat(100));
        let file_name = half.new_file_name();
        let read = HalfName::read(&file_name).unwrap();
        assert!(read.key.len() > 50 && half.key.starts_with(&read.key), "{read:?}");
        assert!(read.is_below(&half.key, &file_name) && read.is_below("ü", &file_name));
        assert!(!read.is_below("other", &file_name));
    }

    #[test]
    fn names_are_not_given_twice() {
        assert_ne!(name("run", "a").new_file_name(), name("run", "a").new_file_name());
    }

    #[test]
    fn what_leads_outside_or_into_the_uploads_is_no_key() {
        for key in
            ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\0", ".windlass-uploads/a", ".windlass-uploads"]
        {
            assert!(judge(key).is_err(), "`{key}`");
        }
        for key in ["a", "a/.windlass-uploads", "...", " ", "a/-/_"] {
            assert!(judge(key).is_ok(), "`{key}`");
        }
    }
}
