//! The command that writes an object out without Windlass, for RESTORE.txt.

use crate::options::Settings;

/// `sftp` can only write to a file, so there is one in between. No secret stands in it: `sftp` asks for a password, and finds
/// keys where it always does.
pub fn command(settings: &Settings, path: &str) -> String {
    let host =
        if settings.host.contains(':') { format!("[{}]", settings.host) } else { settings.host.clone() };
    let port = if settings.port == 22 { String::new() } else { format!("-P {} ", settings.port) };
    let target = quoted(&format!("{}@{host}:{}", settings.user, escaped(path)));
    format!(r#"(file=$(mktemp) && sftp -q {port}{target} "$file" >&2 && cat "$file"; rm -f "$file")"#)
}

/// For sftp, which takes a path apart as a shell does.
fn escaped(path: &str) -> String {
    let is_plain = |letter: &char| letter.is_alphanumeric() || "/._-".contains(*letter);
    path.chars().flat_map(|letter| (!is_plain(&letter)).then_some('\\').into_iter().chain([letter])).collect()
}

/// For the shell.
fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@:/._-".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
