//! What the tests of this crate share: trees of every sort of file, and a picture of a tree that two equal ones share.
#![allow(dead_code, missing_docs)] // Each test file uses a part of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags, utimensat};
use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Context, Finished, Inputs, Outputs, Plugin, RawName, Reader, RestoreMode, RestoreOptions,
    Restored, Result, Sink, Source, StreamInfo,
};
use windlass_source_files::Files;
use windlass_testkit::SourceFixture;

/// A source and a target for the conformance suite.
pub struct Media {
    pub dir: tempfile::TempDir,
}

impl Media {
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("media")
    }

    pub fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }
}

impl SourceFixture for Media {
    fn new() -> Self {
        let media = Self { dir: scratch() };
        fs::create_dir(media.root()).unwrap();
        fill(&media.root());
        media
    }

    fn options(&self) -> Value {
        json!({ "roots": self.root() })
    }

    fn target_options(&self) -> Value {
        json!({ "target": self.target() })
    }

    fn fingerprint(&self) -> String {
        picture(&self.root())
    }

    fn target_fingerprint(&self) -> String {
        picture(&self.target().join("media"))
    }

    fn change(&self) {
        fs::write(self.root().join("added"), "new").unwrap();
        fs::write(self.root().join("folder/inner"), "changed").unwrap();
        fs::remove_file(self.root().join("empty file")).unwrap();
        fs::remove_dir(self.root().join("empty folder")).unwrap();
        fs::remove_file(self.root().join("dangling")).unwrap();
        fs::create_dir(self.root().join("dangling")).unwrap();
    }
}

/// A folder on a disk that keeps attributes and holes, in the build's own folder.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Puts one of everything into `root`.
pub fn fill(root: &Path) {
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inner"), "inner").unwrap();
    fs::create_dir(root.join("empty folder")).unwrap();
    fs::write(root.join("empty file"), "").unwrap();
    fs::write(root.join("odd"), vec![7; 513]).unwrap();
    fs::write(root.join("big"), (0..700_001u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>())
        .unwrap();
    fs::write(root.join("grüße-日本"), "utf-8").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not-utf8-\xff\xfe\n")), "bytes").unwrap();
    long_paths(root);
    symlink("folder/inner", root.join("link")).unwrap();
    symlink("/nowhere/at/all", root.join("dangling")).unwrap();
    symlink("l".repeat(300), root.join("long link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), root.join("byte link")).unwrap();
    fs::hard_link(root.join("odd"), root.join("folder/odd too")).unwrap();
    fs::hard_link(root.join("odd"), root.join("zz odd three")).unwrap();
    fs::hard_link(root.join("link"), root.join("link too")).unwrap();
    sparse(&root.join("sparse"), 40 << 20);
    File::create(root.join("all hole")).unwrap().set_len(3 << 20).unwrap();
    attribute(&root.join("odd"), "user.plain", b"value");
    attribute(&root.join("odd"), "user.odd=%3D", b"\0\xff\n=");
    attribute(&root.join("folder"), "user.on-a-folder", b"yes");
    mode(&root.join("big"), 0o640);
    mode(&root.join("odd"), 0o4751);
    mode(&root.join("folder/inner"), 0o400);
    mode(&root.join("empty folder"), 0o1777);
    times(root);
}

/// Paths of more than 100, 255 and 1000 bytes.
fn long_paths(root: &Path) {
    let mut path = root.to_path_buf();
    for letter in ["a", "b", "c", "d", "e", "f", "g"] {
        path.push(letter.repeat(180));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("leaf"), letter).unwrap();
    }
    fs::write(root.join("n".repeat(255)), "long name").unwrap();
    fs::write(path.join(OsStr::from_bytes(&[0xfe; 200])), "long and not utf-8").unwrap();
}

/// A file with data at its beginning, in its middle, and a hole at its end.
pub fn sparse(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(&[9; 10_000], size / 2 + 77).unwrap();
}

pub fn attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives everything below `root`, and it, a time of its own, with nanoseconds, some before 1970.
pub fn times(root: &Path) {
    let mut number = 0;
    for path in below(root).into_iter().rev() {
        number += 1;
        let seconds = if number % 5 == 0 { -number * 1000 } else { 1_500_000_000 + number };
        let at = Timespec { tv_sec: seconds, tv_nsec: (number * 1_234_567) % 1_000_000_000 };
        let kept = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: kept, last_modification: at };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// `root` and everything below it, sorted, folders before what is in them.
pub fn below(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    if fs::symlink_metadata(root).is_ok_and(|about| about.is_dir()) {
        let mut names: Vec<PathBuf> =
            fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().for_each(|path| found.extend(below(path)));
    }
    found
}

/// Everything that a backup must keep of `root`, a line an entry. Two trees with the same picture are equal.
pub fn picture(root: &Path) -> String {
    picture_without(root, |_| false)
}

/// As [`picture`], without the entries for which `skip` holds.
pub fn picture_without(root: &Path, skip: impl Fn(&Path) -> bool) -> String {
    if !root.exists() {
        return "nothing".into();
    }
    let mut lines = String::new();
    let mut inodes = HashMap::new();
    for path in below(root).into_iter().filter(|path| !skip(path)) {
        let about = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let content = if about.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().as_os_str().as_bytes().escape_ascii())
        } else if about.is_file() {
            format!("{} bytes, sum {:x}", about.len(), sum(&path))
        } else {
            "folder".into()
        };
        let first: &mut String = inodes.entry(about.ino()).or_insert_with(|| name.clone());
        let same = if about.is_dir() { String::new() } else { format!(" same as {first:?}") };
        let (mode, owner) = (about.mode() & 0o7777, (about.uid(), about.gid()));
        let time = (about.mtime(), about.mtime_nsec());
        let xattrs = if about.is_symlink() { Vec::new() } else { attributes(&path) };
        lines.push_str(&format!("{name:?} {content}{same} {mode:o} {owner:?} {time:?} {xattrs:?}\n"));
    }
    lines
}

fn sum(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, &*name, &mut value[..]).unwrap();
        found.push((name, value[..length].to_vec()));
    }
    found.sort();
    found
}

type Event = Box<dyn FnOnce() + Send>;

/// One stream in memory, and what is to happen when bytes come.
#[derive(Clone, Default)]
pub struct Stream {
    pub bytes: Arc<Mutex<Vec<u8>>>,
    on_first_write: Arc<Mutex<Option<Event>>>,
}

impl Stream {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), ..Self::default() }
    }

    /// `event` happens when the first bytes arrive: after the first buffer was filled.
    pub fn on_first_write(event: impl FnOnce() + Send + 'static) -> Self {
        Self { on_first_write: Arc::new(Mutex::new(Some(Box::new(event)))), ..Self::default() }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(event) = self.on_first_write.lock().unwrap().take() {
            event();
        }
        self.bytes.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Stream {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

impl Outputs for Stream {
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>> {
        assert_eq!((name, &*info.stream_format), ("data", "tar/1"));
        Ok(Box::new(self.clone()))
    }
}

impl Inputs for Stream {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        vec![("data".into(), StreamInfo::new("tar/1"))]
    }

    fn open(&self, _: &str) -> Result<Reader> {
        Ok(Box::new(io::Cursor::new(self.bytes.lock().unwrap().clone())) as Box<dyn Read + Send>)
    }
}

pub fn files(options: Value) -> Files {
    Files::new(serde_json::from_value(options).unwrap(), &Context::default()).unwrap()
}

/// A backup with `options`.
pub fn back_up(options: Value) -> (Contents, Stream) {
    let stream = Stream::default();
    let contents = files(options).backup(&Context::default(), &stream).unwrap();
    (contents, stream)
}

pub fn how(mode: RestoreMode, contents: Option<Contents>, only: &[&[u8]]) -> RestoreOptions {
    let only = only.iter().map(|name| RawName::from(name.to_vec())).collect();
    RestoreOptions { mode, contents, only, ..RestoreOptions::default() }
}

/// A restore with `options`.
pub fn restore(options: Value, stream: &Stream, how: &RestoreOptions) -> Result<Restored> {
    let mut files = files(options);
    files.target(&Context::default(), how)?;
    files.restore(&Context::default(), stream, how)
}
