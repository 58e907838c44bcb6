//! What a server says of a file: by `MLST` and `MLSD` in a form that is laid down (RFC 3659), by `LIST` in that of `ls -l`, which
//! nearly all servers have. Only text.

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// What is known of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub kind: Kind,
    pub size_bytes: u64,
    /// Seconds since 1970 UTC.
    pub modified: Option<i64>,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `type=file;size=5;modify=20261122185903; name`. `None`: it isn't that.
pub fn of_mlsd(line: &str) -> Option<(&str, Facts)> {
    let (said, name) = line.split_once(' ')?;
    let mut facts = Facts { kind: Kind::Other, size_bytes: 0, modified: None };
    for fact in said.split(';').filter(|fact| !fact.is_empty()) {
        let (key, value) = fact.split_once('=')?;
        match key.to_ascii_lowercase().as_str() {
            "type" => facts.kind = kind(&value.to_ascii_lowercase()),
            "size" => facts.size_bytes = value.parse().ok()?,
            "modify" => facts.modified = time(value),
            _ => {}
        }
    }
    Some((name, facts))
}

fn kind(value: &str) -> Kind {
    match value {
        "file" => Kind::File,
        "dir" => Kind::Folder,
        // `cdir` and `pdir` are the folder itself and the one above.
        value if value.contains("link") => Kind::Link,
        _ => Kind::Other,
    }
}

/// `-rw-------  1 user  group  5 Nov 22 18:59 name`: the day's month shows where the size and the name are. Its time is that of
/// a zone that isn't told, so none is taken. `None`: it isn't that.
pub fn of_list(line: &str) -> Option<(&str, Facts)> {
    let words = words(line);
    let (_, rights) = words.first()?;
    let kind = match rights.as_bytes().first()? {
        b'-' => Kind::File,
        b'd' => Kind::Folder,
        b'l' => Kind::Link,
        b'b' | b'c' | b'p' | b's' => Kind::Other,
        _ => return None,
    };
    let is_month = |word: &str| MONTHS.contains(&word.to_ascii_lowercase().as_str());
    let month = (2..words.len()).find(|&at| {
        let is_day = words.get(at + 1).is_some_and(|(_, day)| day.parse().is_ok_and(|day: u8| day <= 31));
        let is_time = |word: &str| word.contains(':') || (word.len() == 4 && word.parse::<u16>().is_ok());
        let is_date = is_day && words.get(at + 2).is_some_and(|(_, word)| is_time(word));
        is_month(words[at].1) && is_date && words[at - 1].1.parse::<u64>().is_ok()
    })?;
    let size_bytes = words[month - 1].1.parse().ok()?;
    let (from, year) = words.get(month + 2)?;
    let name = line.get(from + year.len() + 1..)?;
    Some((name, Facts { kind, size_bytes, modified: None })).filter(|_| !name.is_empty())
}

fn words(line: &str) -> Vec<(usize, &str)> {
    let from = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    line.split_ascii_whitespace().map(|word| (from(word), word)).collect()
}

/// `20261122185903`, and a fraction that doesn't count, in UTC.
pub fn time(text: &str) -> Option<i64> {
    let digits = text.split('.').next()?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits[from..to].parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + part(8, 10)? * 3600 + part(10, 12)? * 60 + part(12, 14)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mlsd_is_its_facts_and_all_of_the_name() {
        let line = "Type=file;Size=5;Modify=20261122185903.123;UNIX.mode=0600; a b; c";
        let facts = Facts { kind: Kind::File, size_bytes: 5, modified: Some(1_795_373_943) };
        assert_eq!(of_mlsd(line), Some(("a b; c", facts)));
        for (said, kind) in [
            ("type=dir;", Kind::Folder),
            ("type=cdir;", Kind::Other),
            ("type=pdir;", Kind::Other),
            ("type=OS.unix=slink:/etc;", Kind::Link),
            ("type=OS.unix=symlink;", Kind::Link),
            ("", Kind::Other),
        ] {
            assert_eq!(of_mlsd(&format!("{said} a")).unwrap().1.kind, kind, "{said}");
        }
        for line in ["", "a", "type=file;size=many; a", "no facts at all"] {
            assert_eq!(of_mlsd(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_of_ls_is_read_with_and_without_a_group() {
        let file = |size_bytes| Facts { kind: Kind::File, size_bytes, modified: None };
        for (line, name, facts) in [
            ("-rw-------    1 1000     1000            5 Nov 22 18:59 data.zst", "data.zst", file(5)),
            ("-rw-r--r-- 1 ftp 70000000000 Jan  1  2025 a  b ", "a  b ", file(70_000_000_000)),
            ("-rw-r--r--   1 may 9 12 Dec 31 23:59 may 9", "may 9", file(12)),
            (
                "drwx------+ 2 u g 4096 Feb 29 2024 .windlass",
                ".windlass",
                Facts { kind: Kind::Folder, ..file(4096) },
            ),
            ("lrwxrwxrwx 1 u g 4 Mar 3 10:00 l -> /etc", "l -> /etc", Facts { kind: Kind::Link, ..file(4) }),
        ] {
            assert_eq!(of_list(line), Some((name, facts)), "{line}");
        }
        for line in ["", "total 8", "11-22-26  06:59PM    <DIR>  name", "-rw-r--r-- 1 u g 5 22. Nov 18:59 a"]
        {
            assert_eq!(of_list(line), None, "{line}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("19700101000000", Some(0)),
            ("20000229120000", Some(951_825_600)),
            ("20261122185903", Some(1_795_373_943)),
            ("20261322185903", None),
            ("2026112218590", None),
            ("x0261122185903", None),
        ] {
            assert_eq!(time(text), seconds, "{text}");
        }
    }
}
