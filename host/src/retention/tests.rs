//! What each rule keeps, and what holds of all of them.

use jiff::ToSpan;

use super::*;
use crate::catalog::SnapshotId;
use crate::catalog::manifest::tests::example;
use crate::config::retention::Age;

fn at(times: &[&str]) -> Vec<Manifest> {
    let one = |time: &&str| Manifest { started: time.parse().unwrap(), ..example() };
    times.iter().map(one).collect()
}

/// A run at midday of each of these days, ending with 2026-11-23, a Monday.
fn daily(days: i64) -> Vec<Manifest> {
    let last: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let back = |days: i64| last.checked_sub((24 * days).hours()).unwrap();
    (0..days).rev().map(|days| Manifest { started: back(days), ..example() }).collect()
}

fn judged(policy: &Retention, snapshots: &[Manifest], zone: &TimeZone) -> Vec<Vec<String>> {
    judge(policy, &snapshots.iter().collect::<Vec<_>>(), zone, Timestamp::MAX)
}

/// The days (UTC) that are kept.
fn kept(policy: &Retention, snapshots: &[Manifest]) -> Vec<String> {
    let reasons = judged(policy, snapshots, &TimeZone::UTC);
    let kept = snapshots.iter().zip(reasons).filter(|(_, why)| !why.is_empty());
    kept.map(|(manifest, _)| manifest.started.strftime("%m-%d").to_string()).collect()
}

fn within(text: &str) -> Retention {
    let age = Age { text: text.to_owned(), span: text.parse().unwrap() };
    Retention { keep_within: Some(age), ..Retention::default() }
}

#[test]
fn each_rule_keeps_its_own_and_they_add_up() {
    let year = daily(366);
    let none = Retention::default();
    assert_eq!(kept(&Retention { keep_last: Some(3), ..none.clone() }, &year), ["11-21", "11-22", "11-23"]);
    assert_eq!(kept(&Retention { keep_daily: Some(2), ..none.clone() }, &year), ["11-22", "11-23"]);
    // The last day of each ISO week; the newest week has only begun.
    let weekly = Retention { keep_weekly: Some(3), ..none.clone() };
    assert_eq!(kept(&weekly, &year), ["11-15", "11-22", "11-23"]);
    let monthly = Retention { keep_monthly: Some(3), ..none.clone() };
    assert_eq!(kept(&monthly, &year), ["09-30", "10-31", "11-23"]);
    assert_eq!(kept(&Retention { keep_yearly: Some(9), ..none.clone() }, &year), ["12-31", "11-23"]);
    assert_eq!(kept(&within("2d"), &year), ["11-21", "11-22", "11-23"]);
    let all = Retention { keep_last: Some(2), keep_weekly: Some(2), keep_monthly: Some(2), ..within("1d") };
    assert_eq!(kept(&all, &year), ["10-31", "11-22", "11-23"]);
}

#[test]
fn of_each_period_the_newest_is_kept_and_periods_without_any_do_not_count() {
    let times =
        ["2026-11-01T01:00:00Z", "2026-11-01T23:00:00Z", "2026-11-09T05:00:00Z", "2026-11-09T06:00:00Z"];
    let policy = Retention { keep_daily: Some(2), ..Retention::default() };
    let reasons = judged(&policy, &at(&times), &TimeZone::UTC);
    let expected: [&[&str]; 4] = [&[], &["keep_daily 2026-11-01"], &[], &["newest", "keep_daily 2026-11-09"]];
    assert_eq!(reasons, expected);
}

#[test]
fn a_day_is_one_of_the_zone_and_the_hour_that_comes_twice_is_two() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let policy = Retention { keep_daily: Some(5), ..Retention::default() };
    // Both on the 24th there.
    let times = at(&["2026-11-23T23:30:00Z", "2026-11-24T12:00:00Z"]);
    assert_eq!(judged(&policy, &times, &berlin)[0], [""; 0]);
    assert_eq!(judged(&policy, &times, &TimeZone::UTC)[0], ["keep_daily 2026-11-23"]);
    let policy = Retention { keep_hourly: Some(5), ..Retention::default() };
    let times = at(&["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
    let reasons = judged(&policy, &times, &berlin);
    assert_eq!(reasons[0], ["keep_hourly 2026-10-25T02+02:00"]);
    assert_eq!(reasons[1], ["newest", "keep_hourly 2026-10-25T02+01:00"]);
}

#[test]
fn ages_count_from_the_newest_snapshot_and_not_from_now() {
    let old = at(&["2001-01-01T00:00:00Z", "2001-02-27T00:00:00Z", "2001-02-28T00:00:00Z"]);
    assert_eq!(kept(&within("2d"), &old), ["02-27", "02-28"]);
    assert_eq!(kept(&within("1mo 27d"), &old), ["01-01", "02-27", "02-28"]);
    assert_eq!(kept(&within("19000y"), &old).len(), 3);
}

#[test]
fn what_is_newest_is_kept_whatever_the_policy_and_the_clock_say() {
    // The last run came after a clock that was years ahead had been put right.
    let snapshots = at(&["2099-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]);
    let tags =
        Retention { keep_tags: vec![TagRule { key: "release".into(), value: None }], ..Retention::default() };
    assert_eq!(kept(&tags, &snapshots), ["11-23"]);
    let last = Retention { keep_last: Some(2), ..Retention::default() };
    assert_eq!(kept(&last, &snapshots), ["11-22", "11-23"]);
    assert_eq!(judged(&last, &[], &TimeZone::UTC), [[""; 0]; 0]);
}

#[test]
fn where_sequence_and_ids_disagree_what_either_keeps_is_kept() {
    let one = |id: &str| Manifest {
        id: id.parse().unwrap(),
        started: id.parse::<SnapshotId>().unwrap().time(),
        ..example()
    };
    let snapshots =
        ["20990101T000000Z-aaaa", "20261121T000000Z-0bbb", "20261122T000000Z-0ccc", "20261123T000000Z-0ddd"];
    let snapshots: Vec<Manifest> = snapshots.into_iter().map(one).collect();
    let policy = Retention { keep_last: Some(2), ..Retention::default() };
    let reasons = judged(&policy, &snapshots, &TimeZone::UTC);
    let expected: [&[&str]; 4] = [
        &["newest, going by time", "keep_last, going by time"],
        &[],
        &["keep_last"],
        &["newest", "keep_last"],
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_clock_that_was_ahead_makes_no_other_snapshot_old() {
    let mut snapshots = daily(5);
    snapshots.push(Manifest { started: "2099-01-01T00:00:00Z".parse().unwrap(), ..example() });
    let all: Vec<&Manifest> = snapshots.iter().collect();
    // Now, and long after: no further backup was made.
    for now in [1.hours(), (24 * 300).hours()].map(|later| snapshots[4].started.checked_add(later).unwrap()) {
        let reasons = judge(&within("30d"), &all, &TimeZone::UTC, now);
        assert!(reasons.iter().all(|why| !why.is_empty()), "{now}: {reasons:?}");
    }
}

#[test]
fn the_newest_with_nothing_left_out_stays_until_there_is_another() {
    let mut snapshots = daily(5);
    snapshots[3..].iter_mut().for_each(|manifest| manifest.left_out = 2);
    let policy = Retention { keep_last: Some(1), ..Retention::default() };
    assert_eq!(kept(&policy, &snapshots), ["11-21", "11-23"]);
    snapshots[4].left_out = 0;
    assert_eq!(kept(&policy, &snapshots), ["11-23"]);
    // If there is none, there is none to wait for.
    snapshots.iter_mut().for_each(|manifest| manifest.left_out = 1);
    assert_eq!(kept(&policy, &snapshots), ["11-23"]);
}

#[test]
fn tags_keep() {
    let mut snapshots = daily(4);
    for (at, (key, value)) in [("release", "1.0"), ("env", "prod"), ("env", "test")].into_iter().enumerate() {
        snapshots[at].tags.insert(key.into(), value.into());
    }
    let rule = |key: &str, value: Option<&str>| TagRule { key: key.into(), value: value.map(str::to_owned) };
    let policy = Retention {
        keep_tags: vec![rule("release", None), rule("env", Some("prod"))],
        ..Retention::default()
    };
    assert_eq!(kept(&policy, &snapshots), ["11-20", "11-21", "11-23"]);
}

/// Of any row of runs and any policy: a run more, or a larger number, never takes a snapshot's reason from the newest, never
/// keeps fewer than asked for, and pruning twice removes nothing more.
#[test]
fn pruning_again_removes_nothing_more_and_a_larger_number_keeps_no_less() {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..500 {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut snapshots: Vec<Manifest> = Vec::new();
        let mut time = start;
        for _ in 0..random(40) {
            let step = i64::try_from(random(2_000_000)).unwrap() - 200_000;
            time = time.checked_add(step.seconds()).unwrap();
            let id = SnapshotId::new(time);
            snapshots.push(Manifest { id, started: time, left_out: random(3), ..example() });
        }
        let mut rule = || Some(u32::try_from(random(6)).unwrap());
        let policy = Retention {
            keep_last: rule(),
            keep_hourly: rule(),
            keep_daily: rule(),
            keep_weekly: rule(),
            keep_monthly: rule(),
            keep_yearly: rule(),
            ..Retention::default()
        };
        let keeps = |policy: &Retention, snapshots: &[Manifest]| -> Vec<Manifest> {
            let reasons = judged(policy, snapshots, &TimeZone::UTC);
            let kept = snapshots.iter().zip(reasons).filter(|(_, why)| !why.is_empty());
            kept.map(|(manifest, _)| manifest.clone()).collect()
        };
        let once = keeps(&policy, &snapshots);
        assert_eq!(keeps(&policy, &once), once, "{policy:?}");
        assert_eq!(once.last(), snapshots.last());
        assert!(once.len() >= snapshots.len().min(count(policy.keep_last)));
        let more = Retention { keep_daily: policy.keep_daily.map(|days| days + 1), ..policy.clone() };
        let larger = keeps(&more, &snapshots);
        assert!(once.iter().all(|manifest| larger.contains(manifest)), "{policy:?}");
    }
}
