//! Keys as paths below the root, as far as FTP can say them.

use windlass_folder::key;
use windlass_plugin_api::Result;

/// Refuses what can't be a file below the root. In commands a name ends with its line, in listings spaces around it are lost.
pub fn judge(key: &str) -> Result<()> {
    let is_name = |segment: &str| segment == segment.trim() && !segment.contains(char::is_control);
    if key.split('/').all(is_name) { key::judge(key) } else { Err(key::refused(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_outside_or_into_the_uploads_is_no_key() {
        for key in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            ".",
            "a\0",
            "a\r\nDELE b",
            "a\n",
            " a",
            "a /b",
            ".windlass-uploads/a",
            ".windlass-uploads",
        ] {
            assert!(judge(key).is_err(), "`{key}`");
        }
        for key in ["a", "a/.windlass-uploads", ".windlass-uploads2", "...", "a b", "a/-/_"] {
            assert!(judge(key).is_ok(), "`{key}`");
        }
    }
}
