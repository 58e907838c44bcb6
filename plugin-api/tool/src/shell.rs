//! Words for a POSIX shell: where a command is shown to somebody who will type it, and where a program such as `ssh` gives
//! its arguments to a shell on the other side.
//!
//! Runs no shell: a [`Tool`](crate::Tool) never goes through one.

/// `text` as a shell reads it as one word: quoted where it must be.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c);
    // In front of a command, `a=b` would set a variable.
    let is_plain = text.chars().all(|c| plain(c) || c == '=' && text.starts_with('-'));
    if is_plain && !text.is_empty() {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A program and its arguments as a line that a shell reads as the same words.
pub fn line<S: AsRef<str>>(command: &[S]) -> String {
    command.iter().map(|text| word(text.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Whether this command gives its further arguments to a shell on the other side, so that they must be [`word`]s.
pub fn is_remote<S: AsRef<str>>(command: &[S]) -> bool {
    command.first().is_some_and(|program| program.as_ref().rsplit('/').next() == Some("ssh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words_again() {
        let words = [
            "printf",
            "%s\\n",
            "",
            "a b",
            "it's",
            "$HOME",
            "x=y",
            "--a=b",
            "*",
            "-d",
            "new\nline",
            "ä",
            "~",
            "a;b",
            "`c`",
            "\"",
            "\\",
            "--a=$b",
            "!",
            "#",
        ];
        let output = std::process::Command::new("sh").args(["-c", &line(&words)]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words[2..].join("\n") + "\n");
    }

    #[test]
    fn what_needs_no_quotes_has_none() {
        for text in ["./shop.db", "--format=custom", "user@host:/a,b+c%d"] {
            assert_eq!(word(text), text);
        }
        assert_eq!(word("./it's a shop.db"), r"'./it'\''s a shop.db'");
        assert_eq!(word("PATH=x"), "'PATH=x'");
    }

    #[test]
    fn ssh_is_known_by_its_name_wherever_it_is() {
        assert!(is_remote(&["ssh", "db1", "pg_dump"]) && is_remote(&["/usr/bin/ssh"]));
        for command in [&["docker", "exec", "ssh"][..], &["sshpass", "ssh"], &["/ssh/pg_dump"], &[]] {
            assert!(!is_remote(command), "{command:?}");
        }
    }
}
