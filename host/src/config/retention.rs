//! What a pipeline should keep: counts, an age, tags. Only read and checked here; nothing acts on it yet.

use jiff::Span;

use super::fields::Fields;

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
    /// All that are younger than this.
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
            keep_tags: fields.strings("keep_tags").iter().map(|tag| TagRule::parse(tag)).collect(),
        };
        // A rule that is wrong has been told already; what it would keep is unknown.
        let only_zeros = fields
            .table
            .iter()
            .all(|(key, field)| KEYS[..6].contains(&key.as_str()) && field.value.to_json() == 0);
        if only_zeros {
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
        Ok(Self { text: text.to_owned(), span })
    }
}

impl TagRule {
    fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: text.to_owned(), value: None },
        }
    }
}
