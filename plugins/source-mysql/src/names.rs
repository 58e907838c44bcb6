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

/// `<database>_<word>_<id>`, cut to what a name may have.
pub(crate) fn sibling(database: &str, word: &str, id: &str) -> String {
    const LONGEST: usize = 64;
    let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let tail = format!("_{word}_{id}");
    let room = LONGEST.saturating_sub(tail.chars().count());
    let head: String = database.chars().take(room).collect();
    head + &tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_has_a_legal_name() {
        assert_eq!(sibling("shop", "before", "20260101T000000Z-k3f9"), "shop_before_20260101T000000Z_k3f9");
        assert_eq!(sibling(&"ü".repeat(64), "new", "20260101T000000Z-k3f9").chars().count(), 64);
    }
}
