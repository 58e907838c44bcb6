//! Shows an argument array as a line that a shell would read as the same array.

/// The words of `command`, quoted where a shell needs it.
pub(crate) fn line(command: &[String]) -> String {
    command.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

/// One word.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_words_again() {
        let words = ["printf", "%s\\n", "", "a b", "it's", "$HOME", "x=y", "*", "-d", "new\nline", "ä"];
        let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = std::process::Command::new("sh").args(["-c", &line(&command)]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words[2..].join("\n") + "\n");
    }
}
