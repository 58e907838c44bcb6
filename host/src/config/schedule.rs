//! When a pipeline should run: a cron expression, checked in full. Nothing acts on it yet.

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

/// Five cron fields or `@hourly` and the like, and the time zone they are meant in.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// As written: `0 3 * * *`.
    pub text: String,
    /// None: the system's time zone.
    pub timezone: Option<TimeZone>,
    /// The fields.
    pub cron: Cron,
}

/// The names that stand for five fields.
pub const NICKNAMES: [&str; 7] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

impl Schedule {
    /// Reads `text`. The error says what is wrong with it, in words that can follow "schedule: ".
    pub fn parse(text: &str, timezone: Option<&str>) -> Result<Self, String> {
        if text.trim().starts_with('@') {
            if !NICKNAMES.contains(&text.trim().to_lowercase().as_str()) {
                return Err(format!("`{text}` is not one of `{}`", NICKNAMES.join("`, `")));
            }
        } else if text.split_whitespace().count() != 5 {
            return Err(format!("`{text}` must have five fields: minute, hour, day, month, weekday"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| format!("`{text}`: {}", plain(&error)))?;
        if never(&cron) {
            return Err(format!("`{text}` names a day that no month has"));
        }
        let timezone = timezone.map(|name| {
            TimeZone::get(name)
                .map_err(|_| format!("the time zone `{name}` is unknown, write it as `Europe/Berlin`"))
        });
        Ok(Self { text: text.trim().to_owned(), timezone: timezone.transpose()?, cron })
    }
}

/// Our errors are lower case, have no full stop, and don't name the parts of a parser.
fn plain(error: &CronError) -> String {
    let message = match error {
        CronError::InvalidPattern(message)
        | CronError::IllegalCharacters(message)
        | CronError::ComponentError(message) => message.clone(),
        other => other.to_string(),
    };
    let mut letters = message.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether the days can't come: 30 February. A weekday beside them makes either enough, and `L` and `W` always come.
fn never(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    if pattern.is_dom_wildcard() || !pattern.is_dow_wildcard() || pattern.days.has_modifiers() {
        return false;
    }
    let longest = |month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = pattern.days.values();
    !pattern.months.values().into_iter().any(|month| days.iter().any(|day| *day <= longest(month)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_and_nicknames_are_read() {
        for text in
            ["0 3 * * *", "*/15 9-17 * * MON-FRI", "@daily", " 0 0 29 2 * ", "0 0 30 2 MON", "0 0 L * *"]
        {
            Schedule::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let zoned = Schedule::parse("@weekly", Some("Europe/Berlin")).unwrap();
        assert_eq!(zoned.timezone.unwrap().iana_name(), Some("Europe/Berlin"));
    }

    #[test]
    fn what_no_clock_can_follow_is_refused() {
        for (text, reason) in [
            ("0 3 * *", "five fields"),
            ("0 0 3 * * *", "five fields"),
            ("61 3 * * *", "number out of bounds"),
            ("0 3 * * blue", ""),
            ("@nightly", "@daily"),
            ("0 0 30 2 *", "no month has"),
            ("0 0 31 4,6,9 *", "no month has"),
            ("", "five fields"),
        ] {
            let error = Schedule::parse(text, None).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Schedule::parse("@daily", Some("Mars/Olympus")).unwrap_err().contains("Mars/Olympus"));
    }
}
