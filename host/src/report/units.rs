//! Sizes and times for people, and what strangers wrote, fit for a terminal.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `text` with its control characters written out, but for line breaks and tabs: a manifest, a file name or a dump
/// program's output must not drive the terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    let drives = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(drives) {
        return Cow::Borrowed(text);
    }
    let show = |c: char| if drives(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(show).collect())
}

/// `1.2 GiB`: three digits at the most, binary units.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `42s`, `3m 20s`, `0.4s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s}s"),
        (h, m, _) => format!("{h}h {m}m"),
    }
}

/// `2 days`, `3 hours`, `5 minutes`, `just now`.
pub fn age(seconds: i64) -> String {
    let plural = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match seconds {
        ..0 => "in the future".to_owned(),
        0..60 => "just now".to_owned(),
        60..3600 => plural(seconds / 60, "minute") + " ago",
        3600..86_400 => plural(seconds / 3600, "hour") + " ago",
        _ => plural(seconds / 86_400, "day") + " ago",
    }
}

/// `2026-11-22T18:59:03Z`.
pub fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-11-22 19:59`, where this machine is.
pub fn local(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 << 20, "10 MiB"),
            (1_288_490_189, "1.2 GiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(1023 << 10), "1.0 MiB");
        assert!(bytes(u64::MAX).ends_with("PiB"));
    }

    #[test]
    fn durations_and_ages_read_well() {
        assert_eq!(
            (seconds(0.42), seconds(42.2), seconds(200.0)),
            ("0.4s".into(), "42s".into(), "3m 20s".into())
        );
        assert_eq!(
            (age(5), age(60), age(7200)),
            ("just now".into(), "1 minute ago".into(), "2 hours ago".into())
        );
    }
}
