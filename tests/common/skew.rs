//! Builds what `tests/skew` holds: a plugin and a small host, each against the frozen plugin-api and against one that a
//! later release might have.
//!
//! The later one is the frozen copy with a method more behind the last one of the filter's table and a field more at the
//! end of the root. All is built once, in a folder of its own in the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{binary, repo};

/// The version that plugin-api was released with first.
pub const OLD: &str = "1.0.0";
/// The one that the patched copy has.
pub const NEW: &str = "1.1.0";

/// Whether this api has not come to the patched one's version yet.
pub fn is_before_new() -> bool {
    let version = |text: &str| semver::Version::parse(text).unwrap();
    version(windlass_plugin_api::API_VERSION) < version(NEW)
}

/// The folder with the programs and shared libraries.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let place = Path::new(binary()).parent().unwrap().parent().unwrap().join("skew");
    fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.join("lock")).unwrap();
    // Tests are processes of their own under some runners: one builds, the others wait.
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let frozen = repo().join("tests/skew/plugin-api-1.0.0");
    copy(&frozen, &place.join("api-old"), &|_, text| text);
    copy(&frozen, &place.join("api-new"), &newer);
    for (name, manifest) in manifests() {
        write(&place.join(name).join("Cargo.toml"), &manifest);
    }
    fs::copy(repo().join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
    let abort = "windlass-filter-skew--abort";
    cargo(&place, &["build", "--workspace", "--exclude", abort]);
    // The flag reaches this one crate: the others stay as they are.
    cargo(&place, &["rustc", "-p", abort, "--lib", "--", "-C", "panic=abort"]);
    place.join("build/debug")
}

fn cargo(place: &Path, arguments: &[&str]) {
    let run = |offline: bool| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).args(offline.then_some("--offline")).current_dir(place);
        // What the cargo around this test has set is for its own build.
        let mine = |name: &str| name.starts_with("CARGO_") && name != "CARGO_HOME";
        std::env::vars().filter(|(name, _)| mine(name)).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.env("CARGO_TARGET_DIR", place.join("build")).output().unwrap()
    };
    let output = Some(run(true)).filter(|output| output.status.success()).unwrap_or_else(|| run(false));
    assert!(output.status.success(), "cargo {arguments:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The manifests of the workspace that is built.
fn manifests() -> Vec<(&'static str, String)> {
    let skew = repo().join("tests/skew").canonicalize().unwrap();
    let skew = skew.display();
    let member = |name: &str, api: &str, target: &str, more: &str| {
        let default = if api == "new" { "\"newer\"" } else { "" };
        format!(
            r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"

[features]
default = ["export", {default}]
export = []
newer = []

{target}

[dependencies]
windlass-plugin-api = {{ path = "../api-{api}" }}
serde = {{ version = "1", features = ["derive"] }}
serde_json = "1"
{more}
"#
        )
    };
    let plugin = |name: &str, api: &str| {
        let target = format!(
            "[lib]\nname = \"windlass_filter_skew__{name}\"\npath = \"{skew}/plugin/lib.rs\"\ncrate-type = [\"cdylib\"]"
        );
        member(&format!("windlass-filter-skew--{name}"), api, &target, "")
    };
    let loader = |name: &str, api: &str| {
        let target = format!("[[bin]]\nname = \"{name}\"\npath = \"{skew}/loader/main.rs\"");
        member(
            name,
            api,
            &target,
            "libloading = \"0.9\"\nsemver = { version = \"1\", features = [\"serde\"] }\n",
        )
    };
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"plugin-*\", \"loader-*\"]\nexclude = [\"api-old\", \"api-new\"]\n\n[profile.dev]\ndebug = 0\n";
    vec![
        (".", workspace.to_owned()),
        ("plugin-older", plugin("older", "old")),
        ("plugin-newer", plugin("newer", "new")),
        ("plugin-abort", plugin("abort", "old")),
        ("loader-older", loader("loader-older", "old")),
        ("loader-newer", loader("loader-newer", "new")),
    ]
}

/// Writes a file, unless it is so already: Cargo goes by times.
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    fs::write(path, text).unwrap();
}

fn copy(from: &Path, to: &Path, edit: &dyn Fn(&str, String) -> String) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name), &|file, text| edit(&format!("{name}/{file}"), text));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            write(&to.join(name), &edit(name, text));
        }
    }
}

/// A file of the frozen api as a later release might have it.
fn newer(file: &str, text: String) -> String {
    let patches: &[(&str, &str)] = match file {
        "Cargo.toml" => &[("version = \"1.0.0\"", "version = \"1.1.0\"")],
        "src/filter.rs" => &[(
            "    fn by_hand(&self) -> Option<String> {",
            "    fn of_1_1(&self) -> u32 {\n        2\n    }\n\n    /// As before.\n    fn by_hand(&self) -> Option<String> {",
        )],
        "src/ffi/filter.rs" => &[
            (
                "    fn by_hand(&self) -> AbiResult<ROption<RString>>;",
                "    fn by_hand(&self) -> AbiResult<ROption<RString>>;\n    fn of_1_1(&self) -> AbiResult<u32> {\n        \
                 AbiResult::ROk(1)\n    }",
            ),
            (
                "    fn by_hand(&self) -> AbiResult<ROption<RString>> {",
                "    fn of_1_1(&self) -> AbiResult<u32> {\n        self.0.call(\"of_1_1\", |filter| Ok(filter.of_1_1()))\n    \
                 }\n\n    fn by_hand(&self) -> AbiResult<ROption<RString>> {",
            ),
            (
                "    fn by_hand(&self) -> Option<String> {",
                "    fn of_1_1(&self) -> u32 {\n        received(self.0.of_1_1()).unwrap()\n    }\n\n    fn by_hand(&self) -> \
                 Option<String> {",
            ),
        ],
        "src/ffi/root.rs" => &[
            (
                "    pub notifier: extern \"C\" fn(RStr<'_>, ContextBox) -> AbiResult<NotifierBox>,\n",
                "    pub notifier: extern \"C\" fn(RStr<'_>, ContextBox) -> AbiResult<NotifierBox>,\n    pub of_1_1: extern \
                 \"C\" fn() -> u32,\n",
            ),
            (
                "const NOTHING: PluginRoot = PluginRoot {\n",
                "extern \"C\" fn seven() -> u32 {\n    7\n}\n\nconst NOTHING: PluginRoot = PluginRoot {\n    of_1_1: seven,\n",
            ),
            (
                "    /// Makes a source.\n    pub fn source(self,",
                "    /// The field of 1.1.\n    pub fn of_1_1(self) -> Option<u32> {\n        self.0.of_1_1().map(|seven| \
                 seven())\n    }\n\n    /// Makes a source.\n    pub fn source(self,",
            ),
        ],
        _ => &[],
    };
    patches.iter().fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{file}: `{from}`");
        text.replace(from, to)
    })
}
