//! Keys as paths below the root, and the names of half uploads, which carry the key they are meant for. Only text.
//!
//! The names are the same for all: whoever reaches a folder by two of them finds with one what the other left.

use std::hash::{BuildHasher, Hasher, RandomState};

use windlass_plugin_api::{Error, ErrorKind, Result};

/// The folder below the root in which half uploads lie.
pub const AREA: &str = ".windlass-uploads";

const BEGINNING: &str = ".windlass-";
/// Behind the maker's word and a random number. Escaped in both words.
const DIVIDER: char = '~';
/// Hardly any file system takes longer names.
const NAME_MAX: usize = 255;
/// Of the maker's word: with a key of 200 plain bytes the name stays below the limit.
const RUN_MAX: usize = 30;

/// Refuses what can't be a file below the root.
pub fn judge(key: &str) -> Result<()> {
    let is_name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    let is_ours = key == AREA || key.strip_prefix(AREA).is_some_and(|rest| rest.starts_with('/'));
    if key.split('/').all(is_name) && !is_ours {
        return Ok(());
    }
    Err(refused(key))
}

/// That a key can't be a file.
pub fn refused(key: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the key `{key}` can't be a file below the root"))
}

/// The folders that `key` lies in, outermost first: `a` and `a/b` of `a/b/c`.
pub fn folders(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('/').map(|(at, _)| &key[..at])
}

/// A new name for a half upload, which nothing else has.
pub fn half_name(run: &str, key: &str) -> String {
    let mut run = escaped(run);
    run.truncate(RUN_MAX);
    let random = RandomState::new().build_hasher().finish() >> 20;
    let mut name = format!("{BEGINNING}{run}-{random:011x}{DIVIDER}{}", escaped(key));
    name.truncate(NAME_MAX);
    name
}

/// Whose a half upload is, and the key it is for, or the beginning of that; `None` for any other name.
pub fn read_half_name(name: &str) -> Option<(String, String)> {
    let (maker, key) = name.strip_prefix(BEGINNING)?.split_once(DIVIDER)?;
    let (run, _random) = maker.rsplit_once('-')?;
    (!name.contains('/')).then(|| (unescaped(run), unescaped(key)))
}

/// Whether the half upload `name`, for `key`, can be below `prefix`: a long key's name is cut off.
pub fn is_below(key: &str, prefix: &str, name: &str) -> bool {
    let may_be_cut = name.len() + 2 >= NAME_MAX;
    key.starts_with(prefix) || (may_be_cut && prefix.starts_with(key))
}

/// One byte for each plain one and for `/`, three for any other: ASCII throughout.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'/' => "+".to_owned(),
        b'.' | b'_' | b'-' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// As much as there is: a cut may go through an escape or a character.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    let plain = |part: &str| part.replace('+', "/").into_bytes();
    bytes.extend(parts.next().map(plain).unwrap_or_default());
    for part in parts {
        let Some((digits, rest)) = part.split_at_checked(2) else { break };
        bytes.extend(u8::from_str_radix(digits, 16).ok());
        bytes.extend(plain(rest));
    }
    let whole = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
    bytes.truncate(whole);
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_uploads_name_tells_run_and_key() {
        for (run, key) in [
            ("20261122T185903Z-k3f9", "web1/shop/20261122T185903Z-k3f9/data.zst"),
            ("", "a"),
            ("a-b~c/d", "ü b/100%~\n"),
            ("20261122T185903Z-k3f9", &"k".repeat(200)),
        ] {
            let name = half_name(run, key);
            assert!(name.len() <= NAME_MAX && name.is_ascii() && !name.contains('/'), "{name}");
            assert_eq!(read_half_name(&name), Some((run.to_owned(), key.to_owned())));
        }
        assert_ne!(half_name("run", "a"), half_name("run", "a"));
    }

    #[test]
    fn a_name_that_the_storage_fs_gave_is_read() {
        let name = ".windlass-20261122T185903Z-k3f9-0123456789a~web1+shop+a%20b";
        let read = Some(("20261122T185903Z-k3f9".to_owned(), "web1/shop/a b".to_owned()));
        assert_eq!(read_half_name(name), read);
        for other in ["a", ".windlass-a", ".windlass-a~b", "../.windlass-a-1~b", ".windlass-/../../a-~"] {
            assert_eq!(read_half_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_too_long_for_a_name_is_found_by_its_beginning() {
        let key = "ü".repeat(100);
        let name = half_name("run", &key);
        let (_, read) = read_half_name(&name).unwrap();
        assert!(read.len() > 50 && key.starts_with(&read), "{read}");
        assert!(is_below(&read, &key, &name) && is_below(&read, "ü", &name));
        assert!(!is_below(&read, "other", &name));
    }

    #[test]
    fn what_leads_outside_or_into_the_uploads_is_no_key() {
        for key in
            ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\0", ".windlass-uploads/a", ".windlass-uploads"]
        {
            assert!(judge(key).is_err(), "`{key}`");
        }
        for key in ["a", "a/.windlass-uploads", ".windlass-uploads2", "...", " ", "a/-/_"] {
            assert!(judge(key).is_ok(), "`{key}`");
        }
        assert_eq!(folders("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
