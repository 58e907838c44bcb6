//! Pipelines out of the plugins that misbehave on request, and what must hold after each.
//!
//! Options are given as lines of TOML, so that a test reads like a config.

use super::{Ran, Sandbox};

/// Writes a config with the pipeline `shop`: the source `bad`, the filter if `filter` isn't empty, the storage `one`; all
/// three are `misbehaving` with the options given.
pub fn config(sandbox: &Sandbox, source: &str, filter: &str, storage: &str) {
    sandbox.config(&text(sandbox, source, filter, storage));
}

/// The text of such a config.
pub fn text(sandbox: &Sandbox, source: &str, filter: &str, storage: &str) -> String {
    let filters = if filter.is_empty() {
        String::new()
    } else {
        format!("filters = [{{ plugin = \"misbehaving\", {filter} }}]")
    };
    format!(
        r#"
        [source.bad]
        plugin = "misbehaving"
        target = "{target}"
        {source}
        [storage.one]
        plugin = "misbehaving"
        root = "{root}"
        {storage}
        [pipeline.shop]
        source = "bad"
        storage = ["one"]
        {filters}
        "#,
        target = sandbox.path("target/restored").display(),
        root = sandbox.path("store").display(),
    )
}

impl Sandbox {
    /// No snapshot, no object, no half upload in `store`, and no record of a run.
    #[track_caller]
    pub fn nothing_is_left(&self, case: &str) {
        assert_eq!(self.files("store"), [""; 0], "{case}: objects or half uploads are left");
        assert_eq!(self.records(), [""; 0], "{case}: a record of the run is left");
    }

    /// The records of runs in the state folder.
    pub fn records(&self) -> Vec<String> {
        self.files(".local/state/windlass/runs")
    }

    /// Temporary files of a restore, anywhere but in the state folder.
    pub fn siblings(&self) -> Vec<String> {
        self.files(".").into_iter().filter(|file| file.contains(".windlass-")).collect()
    }
}

impl Ran {
    /// It failed with exit 1 and exactly one line of error, which holds every one of `texts`.
    #[track_caller]
    pub fn fails_with(self, case: &str, texts: &[&str]) -> Self {
        self.fails_with_exit(1, case, texts)
    }

    /// As [`fails_with`](Self::fails_with), with another exit code.
    #[track_caller]
    pub fn fails_with_exit(self, code: i32, case: &str, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{case}\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        let line = self.error_line(case);
        for text in texts {
            assert!(line.contains(text), "{case}: `{text}` isn't in: {line}");
        }
        self
    }

    /// The only line of error.
    #[track_caller]
    pub fn error_line(&self, case: &str) -> String {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{case}: not one line of error:\n{}", self.stderr);
        lines[0].to_owned()
    }
}
