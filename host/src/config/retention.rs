//! What a pipeline should keep: counts, an age, tags. Only read and checked here; `crate::retention` judges by it.

use jiff::Span;
use serde_json::{Value, json};

use super::fields::{Fields, LABEL, is_label};

/// The rules add up: a snapshot that any of them keeps is kept.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Retention {
    /// The newest so many.
    pub keep_last: Option<u32>,
    /// The newest of each of the last so many hours that have one.
    pub keep_hourly: Option<u32>,
    /// As hours, by day.
    pub keep_daily: Option<u32>,
    /// As hours, by ISO week.
    pub keep_weekly: Option<u32>,
    /// As hours, by month.
    pub keep_monthly: Option<u32>,
    /// As hours, by year.
    pub keep_yearly: Option<u32>,
    /// All that are no more than so much older than the newest.
    pub keep_within: Option<Age>,
    /// All that have one of these tags.
    pub keep_tags: Vec<TagRule>,
}

/// A positive span of calendar time: `30d`, `1y 6mo`.
#[derive(Clone, Debug)]
pub struct Age {
    /// As written.
    pub text: String,
    /// Months and years are calendar ones, so its length depends on when it is counted from.
    pub span: Span,
}

/// As written: whether two spans are equally long depends on the date.
impl PartialEq for Age {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `release` (any value) or `release=1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRule {
    /// The tag.
    pub key: String,
    /// What it must be, if that matters.
    pub value: Option<String>,
}

/// All keys of a `[pipeline.X.retention]`.
pub const KEYS: [&str; 8] = [
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_within",
    "keep_tags",
];

impl Retention {
    /// Reads a `[pipeline.X.retention]` table. A policy that keeps nothing is an error: it would delete every snapshot.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        fields.deny_unknown(&KEYS);
        let retention = Self {
            keep_last: fields.count("keep_last"),
            keep_hourly: fields.count("keep_hourly"),
            keep_daily: fields.count("keep_daily"),
            keep_weekly: fields.count("keep_weekly"),
            keep_monthly: fields.count("keep_monthly"),
            keep_yearly: fields.count("keep_yearly"),
            keep_within: fields.parsed("keep_within", Age::parse),
            keep_tags: tag_rules(fields),
        };
        // A rule that is wrong has been told already; what it would keep is unknown.
        let keeps_nothing = |key: &str, value: Value| match key {
            "keep_tags" => value == json!([]),
            _ => KEYS.contains(&key) && value == json!(0),
        };
        if fields.table.iter().all(|(key, field)| keeps_nothing(key, field.value.to_json())) {
            fields.problem_here("no rule keeps anything", "Set at least one, such as `keep_last = 3`.");
        }
        retention
    }
}

impl Age {
    fn parse(text: &str) -> Result<Self, String> {
        let span: Span = text
            .parse()
            .map_err(|_| format!("`{text}` is not a span of time; write it as `30d`, `2w` or `1y 6mo`"))?;
        if !span.is_positive() {
            return Err(format!("`{text}` must be more than nothing"));
        }
        // Other programs write months so.
        if span.get_minutes() != 0 || span.get_seconds() != 0 {
            return Err(format!("`{text}` has minutes or seconds; months are written `6mo`"));
        }
        Ok(Self { text: text.to_owned(), span })
    }
}

fn tag_rules(fields: &mut Fields<'_, '_>) -> Vec<TagRule> {
    let mut rules = Vec::new();
    for text in fields.strings("keep_tags") {
        let rule = match text.split_once('=') {
            Some((key, value)) => TagRule { key: key.to_owned(), value: Some(value.to_owned()) },
            None => TagRule { key: text.value.clone(), value: None },
        };
        if is_label(&rule.key) {
            rules.push(rule);
        } else {
            let message =
                format!("`{}` is neither `TAG` nor `TAG=VALUE`; a tag matches `{LABEL}`", text.value);
            fields.problem("keep_tags", &text.origin, message);
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::value::{Data, Origin};
    use super::*;

    fn read(text: &str) -> (Retention, Problems) {
        let node = super::super::text::parse_value(text, &Origin::CommandLine).unwrap();
        let Data::Table(table) = &node.value else { panic!("{text}") };
        let mut problems = Problems::new();
        let path = "r".to_owned();
        let mut fields = Fields { table, path, origin: Origin::CommandLine, problems: &mut problems };
        (Retention::read(&mut fields), problems)
    }

    #[test]
    fn every_rule_is_read() {
        let (all, problems) = read(
            "{ keep_last = 1, keep_hourly = 2, keep_daily = 3, keep_weekly = 4, keep_monthly = 5, keep_yearly = 6, \
             keep_within = '1y 6mo', keep_tags = ['release', 'env=prod'] }",
        );
        assert!(problems.is_empty(), "{problems}");
        assert_eq!((all.keep_last, all.keep_hourly, all.keep_daily), (Some(1), Some(2), Some(3)));
        assert_eq!((all.keep_weekly, all.keep_monthly, all.keep_yearly), (Some(4), Some(5), Some(6)));
        let span = all.keep_within.unwrap().span;
        assert_eq!((span.get_years(), span.get_months()), (1, 6));
        assert_eq!(all.keep_tags[1], TagRule { key: "env".into(), value: Some("prod".into()) });
    }

    #[test]
    fn a_policy_that_would_keep_nothing_or_isnt_one_is_refused() {
        for (text, reason) in [
            ("{}", "no rule keeps anything"),
            ("{ keep_last = 0, keep_daily = 0 }", "no rule keeps anything"),
            ("{ keep_tags = [] }", "no rule keeps anything"),
            ("{ keep_last = -1 }", "not a whole number"),
            ("{ keep_last = 1.5 }", "not a whole number"),
            ("{ keep_last = '3' }", "expected a whole number"),
            ("{ keep_lats = 3 }", "unknown key"),
            ("{ keep_within = '0d' }", "more than nothing"),
            ("{ keep_within = '-3d' }", "more than nothing"),
            ("{ keep_within = 'a while' }", "not a span of time"),
            ("{ keep_within = '6m' }", "months are written `6mo`"),
            ("{ keep_within = '1y 6m' }", "months are written `6mo`"),
            ("{ keep_tags = ['a b'] }", "neither `TAG` nor"),
            ("{ keep_tags = 3 }", "expected a string or an array"),
        ] {
            let (_, problems) = read(text);
            assert_eq!(problems.len(), 1, "{text}: {problems}");
            assert!(problems.to_string().contains(reason), "{text}: {problems}");
        }
    }
}
