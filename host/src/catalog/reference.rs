//! How a user names a snapshot: `[HOST/]PIPELINE`, `…@ID`, `…@2026-11-20[T12:00]`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::snapshot::{is_host_label, is_pipeline_name};
use crate::exit::Failure;

/// A reference to a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// The host label; `None`: this host's.
    pub host: Option<String>,
    /// The pipeline.
    pub pipeline: String,
    /// Which of its snapshots.
    pub when: When,
}

/// Which snapshot of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// The one with the highest sequence number.
    Newest,
    /// The one whose id begins so; it must be the only one.
    Id(String),
    /// The newest that started at or before then.
    At(Timestamp),
}

impl FromStr for Reference {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (place, when) = match text.split_once('@') {
            Some((place, when)) => (place, parse_when(when).ok_or_else(|| unreadable(text))?),
            None => (text, When::Newest),
        };
        // `a/b` is a host and a pipeline, `a/b/c` a host and an item of an `each`.
        let (host, pipeline) = match place.split_once('/') {
            Some((host, pipeline)) => (Some(host.to_owned()), pipeline),
            None => (None, place),
        };
        let fits = is_pipeline_name(pipeline) && host.as_deref().is_none_or(is_host_label);
        if !fits {
            return Err(unreadable(text));
        }
        Ok(Self { host, pipeline: pipeline.to_owned(), when })
    }
}

fn unreadable(text: &str) -> Failure {
    Failure::usage(format!("`{text}` doesn't name a snapshot")).hint(
        "Write `PIPELINE`, `PIPELINE@ID` (or its beginning), `PIPELINE@2026-11-20` or `PIPELINE@2026-11-20T12:00`, with `HOST/` before it for another host's.",
    )
}

fn parse_when(text: &str) -> Option<When> {
    let is_date = text.len() >= 10 && text.as_bytes()[4] == b'-';
    if !is_date {
        let fits = !text.is_empty()
            && text.len() <= 21
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        return fits.then(|| When::Id(text.to_owned()));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(When::At(instant));
    }
    // Without seconds jiff wants none of the zone designators: complete them first.
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        let instant = rest.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        return Some(When::At(instant.timestamp()));
    }
    let local = if text.len() == 10 {
        text.parse::<Date>().ok()?.at(23, 59, 59, 999_999_999)
    } else {
        text.parse::<DateTime>().ok()?
    };
    Some(When::At(local.to_zoned(TimeZone::system()).ok()?.timestamp()))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.pipeline)?;
        match &self.when {
            When::Newest => Ok(()),
            When::Id(id) => write!(f, "@{id}"),
            When::At(time) => write!(f, "@{time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn the_forms_are_told_apart() {
        assert_eq!(parse("shop"), Reference { host: None, pipeline: "shop".into(), when: When::Newest });
        assert_eq!(parse("web1/shop").host.as_deref(), Some("web1"));
        assert_eq!(parse("web1/fleet/db_1").pipeline, "fleet/db_1");
        assert_eq!(parse("shop@20261122T1859").when, When::Id("20261122T1859".into()));
        assert_eq!(parse("shop@2026-11-20T12:00Z").when, When::At("2026-11-20T12:00:00Z".parse().unwrap()));
        assert_eq!(
            parse("shop@2026-11-20T12:00:00+02:00").when,
            When::At("2026-11-20T10:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn a_bare_date_means_the_end_of_that_day_here() {
        let end = "2026-11-20T23:59:59.999999999".parse::<DateTime>().unwrap();
        let end = end.to_zoned(TimeZone::system()).unwrap().timestamp();
        assert_eq!(parse("shop@2026-11-20").when, When::At(end));
    }

    #[test]
    fn what_is_no_reference_is_a_usage_error() {
        for bad in ["", "@", "shop@", "../shop", "shop@../x", "a/b/c/d", "Shop", "shop@2026-13-40"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
