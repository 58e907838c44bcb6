//! `nice` and `io_class` of a pipeline.

use super::*;

fn with(keys: &str) -> String {
    format!(
        "[source.it]\nplugin = \"sqlite\"\npath = \"x\"\n[pipeline.p]\nsource = \"it\"\nstorage = \"fs:/mnt\"\n{keys}\n"
    )
}

#[test]
fn a_pipeline_may_give_way_and_the_defaults_may_say_so_for_all() {
    let of = |text: &str| Fixture::new().config(text).pipelines["p"].priority;
    let priority = |nice, io| Priority { nice, io };
    assert_eq!(of(&with("")), Priority::default());
    assert_eq!(of(&with("nice = 10\nio_class = \"idle\"")), priority(Some(10), Some(IoClass::Idle)));
    assert_eq!(of(&with("nice = -20")), priority(Some(-20), None));
    assert_eq!(of(&with("io_class = \"best-effort\"")), priority(None, Some(IoClass::BestEffort(4))));
    let level = "io_class = { class = \"best-effort\", level = 7 }";
    assert_eq!(of(&with(level)), priority(None, Some(IoClass::BestEffort(7))));
    let defaults = format!("[defaults.pipeline]\nnice = 5\n{level}\n");
    assert_eq!(of(&format!("{defaults}{}", with(""))), priority(Some(5), Some(IoClass::BestEffort(7))));
    // One value replaces the other, its level too.
    let own = with("nice = 19\nio_class = \"idle\"");
    assert_eq!(of(&format!("{defaults}{own}")), priority(Some(19), Some(IoClass::Idle)));
}

#[test]
fn what_is_no_level_or_no_class_is_told_with_its_place_and_an_example() {
    let at = Fixture::new();
    for (keys, told) in [
        ("nice = 20", "windlass.toml:7: pipeline.p.nice: `20` is not a nice level"),
        ("nice = 1.5", "windlass.toml:7: pipeline.p.nice: `1.5` is not a nice level"),
        ("nice = \"10\"", "windlass.toml:7: pipeline.p.nice: `\"10\"` is not a nice level"),
        (
            "io_class = \"realtime\"",
            "windlass.toml:7: pipeline.p.io_class: `\"realtime\"` is not an I/O class",
        ),
        (
            "io_class = { class = \"idle\", level = 3 }",
            "windlass.toml:7: pipeline.p.io_class: `{\"class\":\"idle\",\"level\":3}` is not an I/O class",
        ),
        (
            "io_class = { class = \"best-effort\", level = 8 }",
            "windlass.toml:7: pipeline.p.io_class: `{\"class\":\"best-effort\",\"level\":8}` is not an I/O class",
        ),
        ("nices = 1", "windlass.toml:7: pipeline.p.nices: unknown key"),
    ] {
        assert_eq!(at.found(&with(keys)), [told], "{keys}");
    }
    let (_, problems) = at.parse(&with("nice = 20\nio_class = 3"));
    let problems = problems.to_string();
    assert!(problems.contains("`nice = 10`") && problems.contains("`io_class = \"idle\"`"), "{problems}");
}
