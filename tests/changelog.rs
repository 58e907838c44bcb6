//! Holds CHANGELOG.md to the form of Keep a Changelog, so that people and scripts can find a release in it.
//!
//! It doesn't judge the words.

const SECTIONS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

#[test]
fn the_changelog_has_its_form() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../CHANGELOG.md")).unwrap();
    let faults = faults(&text);
    assert!(faults.is_empty(), "CHANGELOG.md:\n{}", faults.join("\n"));
}

/// What is wrong, each with its line.
fn faults(text: &str) -> Vec<String> {
    let mut check = Check::default();
    if text.lines().next() != Some("# Changelog") {
        check.say(1, "must begin with `# Changelog`");
    }
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if let Some(heading) = line.strip_prefix("## ") {
            check.end_section(number);
            check.release(number, heading);
        } else if let Some(section) = line.strip_prefix("### ") {
            check.end_section(number);
            check.section(number, section);
        } else if let Some(label) = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.0)) {
            check.links.push((number, label.to_owned()));
        } else if line.starts_with("- ") {
            check.entries += 1;
            if check.section.is_none() {
                check.say(number, "an entry must stand under `### Added`, `### Fixed` or the like");
            }
        } else if line.starts_with('#') && number > 1 {
            check.say(number, "only `##` for releases and `###` for sections");
        }
    }
    check.end_section(text.lines().count());
    check.end();
    check.faults
}

#[derive(Default)]
struct Check {
    faults: Vec<String>,
    /// Headings, and for all but `Unreleased` version and date.
    releases: Vec<(String, Option<Release>)>,
    /// The one we are in: its place in `SECTIONS`.
    section: Option<usize>,
    /// The last one of this release.
    last: Option<usize>,
    entries: usize,
    links: Vec<(usize, String)>,
}

impl Check {
    fn say(&mut self, line: usize, what: impl AsRef<str>) {
        self.faults.push(format!("line {line}: {}", what.as_ref()));
    }

    fn release(&mut self, line: usize, heading: &str) {
        self.last = None;
        let first = self.releases.is_empty();
        if heading == "[Unreleased]" {
            if !first {
                self.say(line, "`[Unreleased]` must come first, once");
            }
            self.releases.push(("Unreleased".to_owned(), None));
            return;
        }
        if first {
            self.say(line, "the first release must be `## [Unreleased]`");
        }
        let Some((version, date)) = parse_release(heading) else {
            self.say(line, format!("`{heading}` is not `[1.2.3] - 2026-11-22`"));
            return;
        };
        if let Some((_, Some((newer, newer_date)))) = self.releases.last() {
            let out_of_order = *newer <= version || *newer_date < date;
            if out_of_order {
                self.say(line, format!("`{heading}` must be older than the release above it"));
            }
        }
        let name = format!("{}.{}.{}", version[0], version[1], version[2]);
        self.releases.push((name, Some((version, date))));
    }

    fn section(&mut self, line: usize, name: &str) {
        if self.releases.is_empty() {
            self.say(line, "a section must stand under a release");
        }
        self.entries = 0;
        self.section = SECTIONS.iter().position(|known| *known == name);
        match self.section {
            None => self.say(line, format!("`{name}` is none of {}", SECTIONS.join(", "))),
            Some(at) if self.last.is_some_and(|last| last >= at) => {
                self.say(line, format!("`{name}` stands twice or out of order ({})", SECTIONS.join(", ")));
            }
            found => self.last = found,
        }
    }

    fn end_section(&mut self, line: usize) {
        if let Some(at) = self.section.take()
            && self.entries == 0
        {
            self.say(line, format!("`{}` above has no entry", SECTIONS[at]));
        }
    }

    fn end(&mut self) {
        if self.releases.is_empty() {
            self.faults.push("no release, not even `## [Unreleased]`".to_owned());
        }
        for (line, label) in std::mem::take(&mut self.links) {
            if !self.releases.iter().any(|(name, _)| *name == label) {
                self.say(line, format!("the link `{label}` is of no release"));
            }
        }
    }
}

/// Version and date.
type Release = ([u64; 3], String);

fn parse_release(heading: &str) -> Option<Release> {
    let (version, date) = heading.strip_prefix('[')?.split_once("] - ")?;
    let numbers: Vec<u64> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (month, day) = (date.get(5..7)?.parse().ok()?, date.get(8..10)?.parse().ok()?);
    let is_date = shape == "0000-00-00" && (1..=12u8).contains(&month) && (1..=31u8).contains(&day);
    is_date.then_some((numbers.try_into().ok()?, date.to_owned()))
}

#[test]
fn a_good_changelog_has_no_fault() {
    let good = "# Changelog\n\nText.\n\n## [Unreleased]\n\n## [1.1.0] - 2026-12-01\n\n### Added\n\n- One.\n  More.\n\n\
                ### Fixed\n\n- Two.\n\n## [1.0.0] - 2026-11-30\n\n### Added\n\n- All.\n\n[1.1.0]: https://example.org\n";
    assert_eq!(faults(good), Vec::<String>::new());
}

#[test]
fn each_fault_is_told() {
    let told = |text: &str, expected: &str| {
        let faults = faults(text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{text}\n{faults:?}");
    };
    let under = |rest: &str| format!("# Changelog\n\n## [Unreleased]\n\n{rest}");
    told("# History\n", "must begin with");
    told("# Changelog\n", "no release");
    told("# Changelog\n## [1.0.0] - 2026-01-01\n", "must be `## [Unreleased]`");
    told(&under("## [Unreleased]\n"), "first, once");
    told(&under("## 1.0.0 - 2026-01-01\n"), "is not `[1.2.3]");
    told(&under("## [1.0.0] - 2026-13-01\n"), "is not `[1.2.3]");
    told(&under("## [1.0] - 2026-01-01\n"), "is not `[1.2.3]");
    told(&under("## [1.0.0] - 2026-01-01\n## [1.1.0] - 2025-01-01\n"), "must be older");
    told(&under("## [1.1.0] - 2026-01-01\n## [1.0.0] - 2026-01-02\n"), "must be older");
    told(&under("### Improved\n- One.\n"), "is none of");
    told(&under("### Fixed\n- One.\n### Added\n- Two.\n"), "out of order");
    told(&under("### Added\n- One.\n### Added\n- Two.\n"), "twice");
    told(&under("### Added\n\n### Fixed\n- One.\n"), "`Added` above has no entry");
    told(&under("### Added\n"), "`Added` above has no entry");
    told(&under("- One.\n"), "must stand under");
    told(&under("#### Deep\n"), "only `##`");
    told(&under("[2.0.0]: https://example.org\n"), "is of no release");
}
