//! Plugins of other versions, and files that are none: what fits works, and what doesn't is one clear line.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::skew::{NEW, OLD, built, is_before_new};
use common::{Sandbox, binary, database, rows};

/// What a loader tells of a plugin that was built against `api`.
fn loaded(loader: &str, plugin: &Path, api: &str) -> String {
    let ran =
        common::Ran::of(Command::new(built().join(loader)).arg(plugin).arg(api).output().unwrap()).expect(0);
    assert!(ran.stdout.contains("round trip"), "{}", ran.stdout);
    ran.stdout
}

fn skewed(name: &str) -> PathBuf {
    built().join(format!("libwindlass_filter_skew__{name}.so"))
}

#[test]
fn a_plugin_of_the_same_version_has_the_method_and_the_field() {
    let said = loaded("loader-newer", &skewed("newer"), NEW);
    assert!(said.contains("method 3, field Some(7)"), "{said}");
    loaded("loader-older", &skewed("older"), OLD);
}

#[test]
fn an_older_plugin_in_a_newer_host_runs_the_default_body_and_lacks_the_field() {
    let said = loaded("loader-newer", &skewed("older"), OLD);
    assert!(said.contains("method 1, field None"), "{said}");
}

#[test]
fn a_newer_plugin_in_an_older_host_works() {
    loaded("loader-older", &skewed("newer"), NEW);
}

/// Held against the plugins of today: with a later api they are newer than 1.1, and then there is nothing to prove here.
#[test]
fn a_real_plugin_works_in_a_newer_host() {
    if is_before_new() {
        let said = loaded("loader-newer", &plugin("filter_zstd"), windlass_plugin_api::API_VERSION);
        assert!(said.contains("method 1, field None") && said.contains("zstd -dc"), "{said}");
    }
}

/// The frozen one must always load; the patched one as long as there is no real 1.1.
#[test]
fn plugins_of_an_older_and_of_a_newer_api_work_in_the_real_host() {
    let sandbox = Sandbox::new();
    let mut names = vec!["older"];
    names.extend(is_before_new().then_some("newer"));
    for name in names {
        shop(&sandbox, &format!("{{ plugin = \"skew/{name}\", key = 170 }}, {{ plugin = \"zstd\" }}"));
        backs_up_and_restores(&sandbox, built(), name);
    }
}

/// The loader that comes with abi_stable would hand out the first plugin of a kind for all others.
#[test]
fn several_plugins_of_one_kind_load_side_by_side() {
    let sandbox = Sandbox::new();
    shop(
        &sandbox,
        r#"{ plugin = "gzip" }, { plugin = "misbehaving", behaviour = "none" }, { plugin = "zstd" }"#,
    );
    backs_up_and_restores(&sandbox, &sandbox.path("none"), "three filters");
    let stored = fs::read(sandbox.object("shop", "data.gz.bad.zst")).unwrap();
    assert_eq!(stored[..4], [0x28, 0xb5, 0x2f, 0xfd], "zstd isn't the last");
    sandbox.ok(&["restore", "shop", "--output", "out.db"]);
    assert_eq!(rows(&sandbox.path("out.db")), rows(&sandbox.path("shop.db")));
}

fn shop(sandbox: &Sandbox, filters: &str) {
    let (path, store) = (sandbox.path("shop.db"), sandbox.path("store"));
    sandbox.config(&format!(
        "[source.shop]\nplugin = \"sqlite\"\npath = \"{}\"\n[storage.nas]\nplugin = \"fs\"\nroot = \"{}\"\n\
         [pipeline.shop]\nsource = \"shop\"\nstorage = [\"nas\"]\nfilters = [{filters}]\n",
        path.display(),
        store.display()
    ));
    database(&path, "delete", 200).close().unwrap();
}

#[track_caller]
fn backs_up_and_restores(sandbox: &Sandbox, plugins: &Path, case: &str) {
    let before = rows(&sandbox.path("shop.db"));
    let with = ["--plugin-dir", plugins.to_str().unwrap()];
    sandbox.ok(&[&with[..], &["backup"]].concat());
    sandbox.ok(&[&with[..], &["verify", "--full"]].concat());
    fs::remove_file(sandbox.path("shop.db")).unwrap();
    sandbox.ok(&[&with[..], &["restore", "shop"]].concat());
    assert!(rows(&sandbox.path("shop.db")) == before, "{case}: other rows came back");
}

/// The shared library of one of our plugins.
fn plugin(name: &str) -> PathBuf {
    Path::new(binary()).with_file_name("deps").join(format!("libwindlass_{name}.so"))
}

/// A folder with a file that is called as the zstd plugin is; what a backup that needs it ends with, and what is said.
struct Broken {
    sandbox: Sandbox,
    file: PathBuf,
}

impl Broken {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        shop(&sandbox, r#"{ plugin = "zstd" }"#);
        let file = sandbox.write("plugins/libwindlass_filter_zstd.so", "");
        Self { sandbox, file }
    }

    /// One line, which names the file and says `said`; nothing was stored, though a good plugin stands further on in the
    /// search. A pipeline without it works.
    #[track_caller]
    fn is_refused(&self, case: &str, said: &str) {
        let folder = self.file.parent().unwrap().to_str().unwrap();
        let ran = self.sandbox.run(&["--plugin-dir", folder, "backup"]);
        assert!(ran.code == 1 || ran.code == 2, "{case} ended with {}:\n{}", ran.code, ran.stderr);
        let line = ran.error_line(case);
        let file = self.file.file_name().unwrap().to_str().unwrap();
        assert!(line.contains(file) && line.contains(said), "{case}: {line}");
        assert!(line.len() < 500, "{case}: {line}");
        self.sandbox.nothing_is_left(case);
        let listed = self.sandbox.run(&["--plugin-dir", folder, "plugins", "list"]);
        assert!(listed.code < 128 && (listed.stdout + &listed.stderr).contains(said), "{case}");
        let url = format!("fs:{}", self.sandbox.path("store").display());
        self.sandbox.ok(&["--plugin-dir", folder, "backup", "sqlite:shop.db", "--storage", &url]);
        fs::remove_dir_all(self.sandbox.path("store/web1")).unwrap();
    }

    fn is(&self, bytes: impl AsRef<[u8]>) {
        fs::write(&self.file, bytes).unwrap();
    }
}

#[test]
fn a_file_that_is_no_plugin_is_refused_in_one_line() {
    let broken = Broken::new();
    broken.is_refused("empty", "it is empty");
    broken.is("#!/bin/sh\ntouch pwned\n");
    broken.is_refused("a script", "it is a script");
    broken.is("just text");
    broken.is_refused("text", "not an ELF shared library");
    broken.is(fs::read(libc()).unwrap());
    broken.is_refused("libc", "not a Windlass plugin");
    broken.is(fs::read(binary()).unwrap());
    broken.is_refused("windlass itself", "plugin");
}

/// The C library of this process.
fn libc() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.split_whitespace().find(|word| word.contains("/libc.so") || word.contains("/ld-musl"));
    path.expect("no C library is mapped").into()
}

/// Its initialiser would run as it is loaded.
#[test]
fn nothing_of_a_file_that_is_no_plugin_is_run() {
    let broken = Broken::new();
    let (code, mark) = (broken.sandbox.path("init.c"), broken.sandbox.path("ran"));
    let text =
        "#include <fcntl.h>\n__attribute__((constructor)) static void init(void) { creat(MARK, 0600); }\n";
    fs::write(&code, text).unwrap();
    let mark_is = format!("-DMARK=\"{}\"", mark.display());
    let made =
        Command::new("cc").args(["-shared", "-fPIC", &mark_is, "-o"]).arg(&broken.file).arg(&code).status();
    assert!(made.expect("a C compiler").success());
    broken.is_refused("an initialiser", "not a Windlass plugin");
    assert!(!mark.exists(), "its initialiser ran");
}

/// What the dynamic loader itself says it opened.
#[test]
#[cfg(target_env = "gnu")]
fn only_the_plugins_that_a_pipeline_names_are_loaded() {
    let broken = Broken::new();
    let told = broken.sandbox.path("loaded");
    let mut command = broken.sandbox.command(&["backup"]);
    command.env("LD_DEBUG", "files").env("LD_DEBUG_OUTPUT", &told);
    assert!(command.output().unwrap().status.success());
    let logs = broken.sandbox.files("").into_iter().filter(|name| name.starts_with("loaded."));
    let loaded: String = logs.map(|name| fs::read_to_string(broken.sandbox.path(&name)).unwrap()).collect();
    for (plugin, is_named) in [
        ("source_sqlite", true),
        ("filter_zstd", true),
        ("storage_fs", true),
        ("filter_gzip", false),
        ("source_files", false),
    ] {
        assert_eq!(loaded.contains(&format!("libwindlass_{plugin}.so")), is_named, "{plugin}");
    }
}

#[test]
fn a_truncated_plugin_is_refused_wherever_it_ends() {
    let broken = Broken::new();
    let good = fs::read(plugin("filter_zstd")).unwrap();
    for end in [1, 20, 64, 4096, good.len() / 4, good.len() / 2, good.len() - 4096, good.len() - 1] {
        broken.is(&good[..end]);
        broken.is_refused(&format!("{end} of {} bytes", good.len()), "truncated");
    }
}

#[test]
fn a_plugin_for_another_machine_is_refused_by_name() {
    let broken = Broken::new();
    let mut bytes = fs::read(plugin("filter_zstd")).unwrap();
    let arm: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    bytes[18..20].copy_from_slice(&arm.to_le_bytes());
    broken.is(&bytes);
    broken.is_refused("another machine", "it is built for");
    bytes[4] = 1;
    broken.is(&bytes);
    broken.is_refused("32 bits", "it is built for");
}

#[test]
fn a_plugin_of_another_major_version_is_refused_before_it_is_loaded() {
    let broken = Broken::new();
    let good = fs::read(plugin("filter_zstd")).unwrap();
    let major = windlass_plugin_api::API_VERSION.split('.').next().unwrap();
    let api = format!("\"api\":\"{major}.");
    let at = good.windows(api.len()).position(|window| window == api.as_bytes()).unwrap();
    for other in [b'0', b'9'] {
        let mut bytes = good.clone();
        bytes[at + api.len() - 2] = other;
        broken.is(bytes);
        broken.is_refused("another major", "this host speaks");
    }
}

/// Loaded, it would end the host at its first panic, without cleaning up.
#[test]
fn a_plugin_that_aborts_on_panic_is_refused() {
    let broken = Broken::new();
    let folder = broken.file.parent().unwrap();
    fs::remove_file(&broken.file).unwrap();
    let name = "libwindlass_filter_skew__abort.so";
    fs::copy(skewed("abort"), folder.join(name)).unwrap();
    shop(&broken.sandbox, r#"{ plugin = "skew/abort" }"#);
    Broken { file: folder.join(name), ..broken }.is_refused("abort", "panic = \"abort\"");
}

#[test]
fn a_plugin_under_another_name_is_refused() {
    let broken = Broken::new();
    broken.is(fs::read(plugin("filter_gzip")).unwrap());
    broken.is_refused("gzip called zstd", "`libwindlass_filter_gzip.so`");
}

#[test]
fn a_plugin_that_others_can_write_is_refused_and_not_searched_for_elsewhere() {
    let broken = Broken::new();
    broken.is(fs::read(plugin("filter_zstd")).unwrap());
    fs::set_permissions(&broken.file, fs::Permissions::from_mode(0o666)).unwrap();
    broken.is_refused("world-writable", "can be written by");
    fs::set_permissions(&broken.file, fs::Permissions::from_mode(0o644)).unwrap();
    let folder = broken.file.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let ran = broken.sandbox.run(&["--plugin-dir", folder.to_str().unwrap(), "backup"]);
    assert!(ran.code == 1 || ran.code == 2, "{}", ran.stderr);
    assert!(ran.error_line("folder").contains("plugins"), "{}", ran.stderr);
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    broken.sandbox.ok(&["--plugin-dir", folder.to_str().unwrap(), "backup"]);
}

#[test]
fn what_is_no_regular_file_is_refused_and_does_not_block() {
    let broken = Broken::new();
    fs::remove_file(&broken.file).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &broken.file, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    broken.is_refused("a pipe", "not a regular file");
    fs::remove_file(&broken.file).unwrap();
    std::os::unix::fs::symlink("nowhere", &broken.file).unwrap();
    broken.is_refused("a link that leads nowhere", "No such file");
}
