//! What an item of an `each` is called in a storage: its name where that can be a key's segment, else a form of it that can
//! be read back.

use super::snapshot::is_host_label;

/// What begins a name that isn't written as it is.
const ESCAPED: &str = "0.";

/// The label of the item `name`: the name itself, or `0.` and the name, in which every byte but letters, digits, `_` and `-` is
/// a dot and two hexadecimal digits. `None` if that is longer than 63 bytes.
pub fn label_of(name: &str) -> Option<String> {
    if is_host_label(name) && !name.starts_with(ESCAPED) {
        return Some(name.to_owned());
    }
    let mut label = ESCAPED.to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!(".{byte:02x}"));
        }
    }
    (!name.is_empty() && is_host_label(&label)).then_some(label)
}

/// The item that `label` is of; `None` if it is nobody's.
pub fn item_of(label: &str) -> Option<String> {
    let Some(escaped) = label.strip_prefix(ESCAPED) else { return Some(label.to_owned()) };
    let mut name = Vec::new();
    let mut rest = escaped.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'.' {
            let digits = std::str::from_utf8(more.get(..2)?).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &more[2..];
        } else {
            name.push(*first);
            rest = more;
        }
    }
    let name = String::from_utf8(name).ok()?;
    // One name has one label.
    (label_of(&name).as_deref() == Some(label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_from_its_label() {
        for name in
            ["shop", "Shop_2.old", "0x", "0.x", "a b", "Körbe", ".hidden", "a/../b", "\"'`", "-", "a\nb"]
        {
            let label = label_of(name).unwrap();
            assert!(is_host_label(&label), "{label}");
            assert_eq!(item_of(&label).as_deref(), Some(name), "{label}");
        }
        assert_eq!(label_of("shop_2").unwrap(), "shop_2");
        assert_eq!(label_of("a b").unwrap(), "0.a.20b");
    }

    #[test]
    fn what_is_no_label_of_ours_is_nobodys() {
        assert_eq!(label_of(""), None);
        assert_eq!(label_of(&"ä".repeat(20)), None);
        for label in ["0.", "0.shop", "0.a.2", "0.a.zz", "0.a.20b.", "0.a.2Fb", "0..ff"] {
            assert_eq!(item_of(label), None, "{label}");
        }
    }
}
