//! `nice` and `io_class` of a pipeline: the run has them, its threads and its dump program, and nobody else.

mod common;

use std::fs;
use std::process::Command;

use common::{Ran, Sandbox, binary};

/// Writes its own nice level and I/O class, and the nice level of each thread of the host: the parent of the supervisor.
const LOOK: &str = r#"echo program $(cut -d' ' -f19 /proc/self/stat) $(ionice -p $$)
host=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$PPID/status)
for thread in /proc/$host/task/*; do
  echo $(cat $thread/comm) $(sed 's/.*) //' $thread/stat | cut -d' ' -f17)
done"#;

/// The config of pipelines that look around, each with `keys` of its own.
fn config(sandbox: &Sandbox, top: &str, pipelines: &[(&str, &str)]) {
    sandbox.write("look.sh", LOOK);
    let mut text = format!(
        "{top}\n[source.look]\nplugin = \"command\"\ndump_command = [\"sh\", \"{}\"]\n",
        sandbox.path("look.sh").display()
    );
    for (name, keys) in pipelines {
        text.push_str(&format!(
            "[pipeline.{name}]\nsource = \"look\"\nstorage = \"fs:store\"\nfilters = [\"zstd\"]\n{keys}\n"
        ));
    }
    sandbox.config(&text);
}

/// What the dump of `pipeline` saw.
fn seen(sandbox: &Sandbox, pipeline: &str) -> Vec<String> {
    let seen = sandbox.ok(&["restore", pipeline, "--output", "-"]);
    seen.lines().map(str::to_owned).collect()
}

/// The level and the I/O class of this very process, from which a run starts.
fn own() -> (i32, String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let level = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap();
    let told = Command::new("ionice").args(["-p", &std::process::id().to_string()]).output();
    let told = told.expect("`ionice` (Debian: util-linux) is needed").stdout;
    (level, String::from_utf8(told).unwrap().trim().to_owned())
}

#[test]
fn a_run_its_threads_and_its_program_give_way_and_the_other_runs_do_not() {
    let sandbox = Sandbox::new();
    let (level, class) = own();
    config(
        &sandbox,
        "",
        &[
            ("back", "nice = 12\nio_class = { class = \"best-effort\", level = 6 }"),
            ("idle", "nice = 19\nio_class = \"idle\""),
            ("usual", ""),
        ],
    );
    sandbox.ok(&["backup", "--all"]);
    for (pipeline, nice, class) in
        [("back", 12, "best-effort: prio 6"), ("idle", 19, "idle"), ("usual", level, class.as_str())]
    {
        let seen = seen(&sandbox, pipeline);
        // `none` shows the priority that the nice level stands for.
        assert!(seen[0].starts_with(&format!("program {nice} {class}")), "{pipeline}: {seen:?}");
        for thread in ["run", "windlass/zstd"] {
            assert!(seen.contains(&format!("{thread} {nice}")), "{pipeline}: {seen:?}");
        }
        assert!(seen.contains(&format!("windlass {level}")), "the process itself: {seen:?}");
    }
}

#[test]
fn the_defaults_hold_for_every_pipeline() {
    let sandbox = Sandbox::new();
    config(
        &sandbox,
        "[defaults.pipeline]\nnice = 7\nio_class = \"idle\"",
        &[("one", ""), ("two", "nice = 8")],
    );
    sandbox.ok(&["backup", "--all"]);
    assert!(seen(&sandbox, "one")[0].starts_with("program 7 idle"));
    assert!(seen(&sandbox, "two")[0].starts_with("program 8 idle"));
}

#[test]
fn a_level_that_the_system_refuses_is_told_and_the_snapshot_is_made() {
    let sandbox = Sandbox::new();
    let (level, _) = own();
    config(&sandbox, "", &[("first", &format!("nice = {}", level - 1))]);
    // Root may; so it must not be able to.
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = sandbox.command::<&str>(&[]);
        let environment: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
        command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_nice", "--inh-caps=-sys_nice", binary(), "backup"]);
        command.env_clear().envs(environment).current_dir(sandbox.path(""));
        command
    } else {
        sandbox.command(&["backup"])
    };
    let ran = Ran::of(command.output().expect("`setpriv` (Debian: util-linux) is needed")).expect(0);
    ran.says(&format!("it runs at nice {level}, for `nice = {}` is refused", level - 1)).says("CAP_SYS_NICE");
    assert!(seen(&sandbox, "first")[0].starts_with(&format!("program {level} ")));
}
