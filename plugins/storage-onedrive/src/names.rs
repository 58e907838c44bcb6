//! Names of a drive for names of keys. What the service doesn't take is written as `%` and two hexadecimal digits, so that every key
//! can be kept; all other names are as they are.
//!
//! Two forms are ours: `.windlass-upload-<word>-<name>` is an upload under way, and `<name>.parts` a large object.

use percent_encoding::percent_decode_str;

const HIDDEN: &str = ".windlass-upload-";
const PARTS: &str = ".parts";

/// Names that stand for devices, or are kept by the service, with whatever extension and in any case.
const KEPT: [&str; 5] = ["con", "prn", "aux", "nul", "desktop"];

/// The name of a file or a folder in the drive.
pub fn escaped(name: &str) -> String {
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let is_port = stem.len() == 4
        && (stem.starts_with("com") || stem.starts_with("lpt"))
        && stem.ends_with(|sign: char| sign.is_ascii_digit());
    let is_kept = KEPT.contains(&stem) || is_port || lower == ".lock";
    let is_ours = lower.starts_with(HIDDEN) || lower.starts_with("~$");
    let vti = lower.find("_vti_");
    let mut text = String::with_capacity(name.len());
    for (at, sign) in name.char_indices() {
        let (is_first, is_last) = (at == 0, at + sign.len_utf8() == name.len());
        let is_wrong = "\"*:<>?/\\|%".contains(sign) || sign.is_control();
        let is_edge = is_first && sign == ' ' || is_last && matches!(sign, ' ' | '.');
        let is_marked = is_first && (is_kept || is_ours)
            || is_last && lower.ends_with(PARTS)
            || vti.is_some() && sign == '_';
        if is_wrong || is_edge || is_marked {
            let mut bytes = [0; 4];
            sign.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
        } else {
            text.push(sign);
        }
    }
    text
}

/// The name of the key; `None` for a file that isn't ours.
pub fn plain(name: &str) -> Option<String> {
    let plain = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    Some(plain).filter(|plain| escaped(plain) == name)
}

/// The folder of a large object, by the escaped name.
pub fn of_parts(name: &str) -> String {
    format!("{name}{PARTS}")
}

/// The escaped name of the large object that a folder is.
pub fn without_parts(name: &str) -> Option<&str> {
    name.strip_suffix(PARTS).filter(|name| !name.is_empty())
}

/// The folder of an upload under way, by the escaped name.
pub fn hidden(name: &str, mark: &str) -> String {
    format!("{HIDDEN}{mark}-{name}")
}

/// The escaped name that an upload is meant for.
pub fn meant_for(name: &str) -> Option<&str> {
    name.strip_prefix(HIDDEN)?.split_once('-').map(|(_, name)| name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_does_not_take_is_escaped_and_comes_back() {
        for (name, wanted) in [
            ("data.zst", "data.zst"),
            (".hidden", ".hidden"),
            ("ü 日本語", "ü 日本語"),
            ("CON", "%43ON"),
            ("nul.txt", "%6Eul.txt"),
            ("Com7", "%43om7"),
            ("community", "community"),
            (".lock", "%2Elock"),
            ("desktop.ini", "%64esktop.ini"),
            ("a..", "a.%2E"),
            (" a ", "%20a%20"),
            ("a:b|c?*<>\"\\", "a%3Ab%7Cc%3F%2A%3C%3E%22%5C"),
            ("100%", "100%25"),
            ("tab\t", "tab%09"),
            ("~$doc", "%7E$doc"),
            ("a_vti_b", "a%5Fvti%5Fb"),
            (".windlass-upload-x-y", "%2Ewindlass-upload-x-y"),
            ("data.parts", "data.part%73"),
        ] {
            assert_eq!(escaped(name), wanted);
            assert_eq!(plain(wanted).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_that_we_would_not_have_written_is_not_ours() {
        for name in ["100%", "%41", "%zz", "data.parts", ".windlass-upload-x-y", "%ff"] {
            assert_eq!(plain(name), None, "{name}");
        }
    }

    #[test]
    fn folders_of_ours_name_what_they_are_for() {
        assert_eq!(meant_for(&hidden("a-b", "w0rd")), Some("a-b"));
        assert_eq!(without_parts(&of_parts("a")), Some("a"));
        assert_eq!((meant_for("a"), without_parts("a"), without_parts(".parts")), (None, None, None));
    }
}
