//! A run leaves no zombie and no descriptor behind. One test in a process of its own: it looks at the whole process.

mod common;

use std::fs;
use std::io;

use common::sh;
use windlass_plugin_api::Context;
use windlass_tool::Tool;

#[test]
fn neither_zombies_nor_descriptors_nor_threads_stay() {
    let every_way = || {
        let cx = Context::default();
        sh("echo a; sleep 0 & exit 0").dump(&cx, &mut io::sink()).unwrap();
        sh("exit 1").dump(&cx, &mut io::sink()).unwrap_err();
        sh("cat >/dev/null; kill -9 $$").load(&cx, &b"x"[..]).unwrap_err();
        Tool::new("/etc/passwd").dump(&cx, &mut io::sink()).unwrap_err();
        Tool::new("/usr/bin/env").arg("x".repeat(1 << 20)).dump(&cx, &mut io::sink()).unwrap_err();
    };
    every_way();
    let before = traces();
    (0..5).for_each(|_| every_way());
    assert_eq!(traces(), before);
    assert_eq!(before.0, 0);
}

/// Children, open descriptors, threads.
fn traces() -> (usize, usize, usize) {
    let count = |path: &str| fs::read_dir(path).unwrap().count();
    let children = fs::read_dir("/proc/self/task").unwrap().map(|task| {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        children.split_whitespace().count()
    });
    (children.sum(), count("/proc/self/fd"), count("/proc/self/task"))
}
