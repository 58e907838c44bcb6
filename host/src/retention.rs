//! Which snapshots of a pipeline a policy keeps.
//!
//! It computes and touches nothing. Ages are counted from the newest snapshot and not from today: a pipeline that makes no more
//! snapshots isn't emptied. The newest snapshot is kept whatever the policy says, and so is the newest from which nothing was left
//! out. Where sequence numbers and times disagree of what is newer, for clocks went back, what either order keeps is kept.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::Manifest;
use crate::config::Retention;
use crate::config::retention::TagRule;

/// The rules that keep the newest of each period: its name, how many periods, and how `strftime` writes one. Two hours of one
/// name, as when a summer ends, are two.
fn periods(policy: &Retention) -> [(&'static str, Option<u32>, &'static str); 5] {
    [
        ("keep_hourly", policy.keep_hourly, "%Y-%m-%dT%H%:z"),
        ("keep_daily", policy.keep_daily, "%Y-%m-%d"),
        ("keep_weekly", policy.keep_weekly, "%G-W%V"),
        ("keep_monthly", policy.keep_monthly, "%Y-%m"),
        ("keep_yearly", policy.keep_yearly, "%Y"),
    ]
}

/// Why each of `snapshots` is kept, a reason for each rule that keeps it; none: it isn't. They are ordered by their sequence, the
/// oldest first, and each of them can be restored. A day is one of `zone`.
pub fn judge(
    policy: &Retention,
    snapshots: &[&Manifest],
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Vec<String>> {
    let mut reasons = judge_in_order(policy, snapshots, zone, now);
    // Of those of one second the sequence tells.
    let mut by_time: Vec<usize> = (0..snapshots.len()).collect();
    by_time.sort_by_key(|&at| snapshots[at].id.time());
    if !by_time.is_sorted() {
        let reordered: Vec<&Manifest> = by_time.iter().map(|&at| snapshots[at]).collect();
        for (&at, why) in by_time.iter().zip(judge_in_order(policy, &reordered, zone, now)) {
            if reasons[at].is_empty() {
                reasons[at].extend(why.into_iter().map(|why| format!("{why}, going by time")));
            }
        }
    }
    reasons
}

fn judge_in_order(
    policy: &Retention,
    snapshots: &[&Manifest],
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Vec<String>> {
    let mut reasons = vec![Vec::new(); snapshots.len()];
    let newest_first = || (0..snapshots.len()).rev();
    let Some(newest) = newest_first().next() else { return reasons };
    reasons[newest].push("newest".to_owned());
    if let Some(whole) = newest_first().find(|&at| snapshots[at].left_out == 0).filter(|&at| at != newest) {
        reasons[whole].push("newest with nothing left out".to_owned());
    }
    for at in newest_first().take(count(policy.keep_last)) {
        reasons[at].push("keep_last".to_owned());
    }
    for (rule, periods, format) in periods(policy) {
        let mut seen = HashSet::new();
        for at in newest_first() {
            if seen.len() == count(periods) {
                break;
            }
            let period = snapshots[at].started.to_zoned(zone.clone()).strftime(format).to_string();
            if seen.insert(period.clone()) {
                reasons[at].push(format!("{rule} {period}"));
            }
        }
    }
    if let Some(age) = &policy.keep_within {
        // One of a clock that was ahead would make all others old.
        let newest = newest_first().map(|at| snapshots[at].started).find(|started| *started <= now);
        let newest = newest.unwrap_or(now).to_zoned(zone.clone());
        // Longer than time is: everything.
        let since = newest.checked_sub(age.span).map_or(Timestamp::MIN, |zoned| zoned.timestamp());
        for at in newest_first().filter(|&at| snapshots[at].started >= since) {
            reasons[at].push(format!("keep_within {}", age.text));
        }
    }
    for (snapshot, reasons) in snapshots.iter().zip(&mut reasons) {
        let kept_by = policy.keep_tags.iter().filter(|rule| has(snapshot, rule));
        reasons.extend(kept_by.map(|rule| format!("keep_tags {}", rule.key)));
    }
    reasons
}

fn count(rule: Option<u32>) -> usize {
    rule.unwrap_or(0).try_into().unwrap_or(usize::MAX)
}

fn has(snapshot: &Manifest, rule: &TagRule) -> bool {
    let tag = snapshot.tags.get(&rule.key);
    tag.is_some_and(|tag| rule.value.as_ref().is_none_or(|value| value == tag))
}

#[cfg(test)]
mod tests;
