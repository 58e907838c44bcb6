//! Names and texts inside SQL.

/// A name in backticks.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string, whatever the SQL mode.
pub(crate) fn text(value: &str) -> String {
    if value.is_empty() {
        return "''".to_owned();
    }
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Without a character set it would be binary, and compare by bytes.
    format!("_utf8mb4 x'{hex}'")
}

/// The longest name of a database, in characters.
const LONGEST: usize = 64;

/// `<database>_<word>_<id>`, cut to what a name may have.
pub(crate) fn sibling(database: &str, word: &str, id: &str) -> String {
    let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let tail = format!("_{word}_{id}");
    let room = LONGEST.saturating_sub(tail.chars().count());
    let head: String = database.chars().take(room).collect();
    head + &tail
}

/// A sibling of each, no two of which are called the same, also where names were cut.
pub(crate) fn siblings(databases: &[&str], word: &str, id: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(databases.len());
    for (index, database) in databases.iter().enumerate() {
        let name = sibling(database, word, id);
        let taken = all.contains(&name);
        all.push(if taken { sibling(database, word, &format!("{id}_{index}")) } else { name });
    }
    all
}

/// Whether `name` is a sibling of `database`, whatever its id.
pub(crate) fn is_sibling(name: &str, database: &str, word: &str) -> bool {
    let Some(at) = name.rfind(&format!("_{word}_")) else { return false };
    let head = &name[..at];
    head == database || name.chars().count() == LONGEST && database.starts_with(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_has_a_legal_name() {
        assert_eq!(sibling("shop", "before", "20260101T000000Z-k3f9"), "shop_before_20260101T000000Z_k3f9");
        assert_eq!(sibling(&"ü".repeat(64), "new", "20260101T000000Z-k3f9").chars().count(), 64);
    }

    #[test]
    fn siblings_differ_and_are_known_again() {
        let (one, two) = (format!("{}1", "ü".repeat(60)), format!("{}2", "ü".repeat(60)));
        let names = siblings(&[&one, &two, "shop"], "new", "20260101T000000Z-k3f9");
        assert!(names[0] != names[1], "{names:?}");
        for (name, database) in names.iter().zip([&one, &two, "shop"]) {
            assert!(name.chars().count() <= 64 && is_sibling(name, database, "new"), "{name}");
        }
        assert!(!is_sibling("shop_new_1", "sho", "new") && !is_sibling("shop_before_1", "shop", "new"));
    }
}
