//! Holds the transcripts in the documents to what really happens: their `console` blocks are run in order, in a sandbox,
//! with the config that the document shows, and must print what it says.
//!
//! What differs from run to run (ids, times, sizes) is masked. With `WINDLASS_WRITE_DOCS=1` the blocks are rewritten.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use common::{Sandbox, binary, database, repo, rows};

const FENCE: &str = "```\n";

/// Folders of the documents, and where they are in the sandbox.
const FOLDERS: [&str; 2] = ["/srv/shop", "/mnt/nas"];

#[test]
fn the_transcript_of_the_readme_is_what_happens() {
    let place = Place::new();
    let before = rows(&place.sandbox.path("srv/shop/shop.db"));
    place.play("README.md");
    assert_eq!(rows(&place.sandbox.path("srv/shop/shop.db")), before, "the database came back");
}

#[test]
fn the_transcript_of_the_guide_is_what_happens() {
    let place = Place::new();
    let before = rows(&place.sandbox.path("srv/shop/shop.db"));
    place.play("docs/guide.md");
    assert_eq!(rows(&place.sandbox.path("srv/shop/shop.db")), before, "the database came back");
    assert_eq!(rows(&place.sandbox.path("srv/shop/old.db")), before, "and another beside it");
}

/// A shop, somewhere for backups, and the binary as `windlass`.
struct Place {
    sandbox: Sandbox,
    /// Its folder, as programs see it.
    here: String,
}

impl Place {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for folder in ["srv/shop/media", "mnt/nas/backups", "bin"] {
            fs::create_dir_all(sandbox.path(folder)).unwrap();
        }
        let shop = database(&sandbox.path("srv/shop/shop.db"), "wal", 1);
        let orders = "with recursive n(i) as (values(1) union all select i + 1 from n where i < 5000)
            insert into item(note, body) select 'order ' || i, hex(randomblob(100)) || zeroblob(1000) from n";
        shop.execute(orders, []).unwrap();
        // Closed, so that no journal lies beside it.
        shop.close().unwrap();
        for number in 1..=20 {
            sandbox.write(&format!("srv/shop/media/{number}.jpg"), vec![number; 50_000]);
        }
        symlink(binary(), sandbox.path("bin/windlass")).unwrap();
        let here = sandbox.path("").canonicalize().unwrap().to_str().unwrap().to_owned();
        Self { sandbox, here }
    }

    /// Runs all of a document.
    fn play(&self, document: &str) {
        let path = repo().join(document);
        let text = fs::read_to_string(&path).unwrap();
        let mut written = String::new();
        let mut rest = text.as_str();
        let mut count = 0;
        while let Some((before, language, block, after)) = next_block(rest) {
            written.push_str(before);
            match language {
                "toml" if !self.sandbox.path("windlass.toml").exists() => {
                    self.sandbox.config(&self.inside(block));
                    written.push_str(block);
                }
                "console" => {
                    count += 1;
                    let real = self.run_block(block);
                    if std::env::var_os("WINDLASS_WRITE_DOCS").is_none() {
                        assert_eq!(
                            mask(&real),
                            mask(block),
                            "\n{document} shows\n{block}\nbut it is\n{real}"
                        );
                    }
                    written.push_str(&real);
                }
                _ => written.push_str(block),
            }
            written.push_str(FENCE);
            rest = after;
        }
        written.push_str(rest);
        assert!(count > 0, "{document} has no `console` block");
        if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
            fs::write(path, written).unwrap();
        }
    }

    /// The block as it would be, each command followed by what it prints.
    fn run_block(&self, block: &str) -> String {
        let mut real = String::new();
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let output = Command::new("sh")
                .args(["-c", &format!("exec 2>&1; {}", self.inside(command))])
                .current_dir(self.sandbox.path(""))
                .env_clear()
                .env(
                    "PATH",
                    format!("{}:{}", self.sandbox.path("bin").display(), std::env::var("PATH").unwrap()),
                )
                .env("HOME", self.sandbox.path(""))
                .env("TMPDIR", self.sandbox.path(""))
                .env("TZ", "UTC")
                .env("WINDLASS_HOST", "web1")
                .output()
                .unwrap();
            let printed = self.outside(&String::from_utf8(output.stdout).unwrap());
            real.push_str(&format!("$ {command}\n{printed}"));
        }
        real
    }

    fn inside(&self, text: &str) -> String {
        FOLDERS
            .iter()
            .fold(text.to_owned(), |text, folder| text.replace(folder, &format!("{}{folder}", self.here)))
    }

    fn outside(&self, text: &str) -> String {
        let text = FOLDERS
            .iter()
            .fold(text.to_owned(), |text, folder| text.replace(&format!("{}{folder}", self.here), folder));
        text.replace(&self.here, "/etc/windlass")
    }
}

/// What stands before the next fenced block (with its fence), the block's language, the block, and what is behind it.
fn next_block(text: &str) -> Option<(&str, &str, &str, &str)> {
    let open = if text.starts_with(FENCE) { 0 } else { text.find("\n```")? + 1 };
    let body = open + text[open..].find('\n')? + 1;
    let end = if text[body..].starts_with(FENCE) { body } else { body + text[body..].find("\n```\n")? + 1 };
    let language = text[open..body].trim_start_matches('`').trim();
    Some((&text[..body], language, &text[body..end], &text[end + FENCE.len()..]))
}

/// Without what is another in each run: ids, numbers, units of sizes, widths of columns.
fn mask(text: &str) -> String {
    let words = text.lines().map(|line| {
        let words: Vec<String> = line.split_whitespace().map(mask_word).collect();
        words.join(" ")
    });
    let masked = words.collect::<Vec<_>>().join("\n");
    ["KiB", "MiB", "GiB", "TiB"].iter().fold(masked, |text, unit| text.replace(&format!("# {unit}"), "# B"))
}

fn mask_word(word: &str) -> String {
    if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return "<sha256>".to_owned();
    }
    let mut masked = String::new();
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        let length = id_length(rest).unwrap_or_else(|| {
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len()
        });
        if c.is_ascii_digit() && length > 0 {
            masked.push('#');
            rest = &rest[length..];
        } else {
            masked.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    masked
}

/// `20261122T185903Z-k3f9`
fn id_length(text: &str) -> Option<usize> {
    let id = text.get(..21)?;
    let shape: String = id.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("00000000T000000Z-").then_some(21)
}

#[test]
fn masks_hide_what_differs_and_nothing_else() {
    let one = "Stored shop@20261122T185903Z-k3f9 (1.2 GiB → 310 MiB) in 42s";
    let other = "Stored shop@20270101T000000Z-4444 (900 KiB → 3 B)  in 0.1s";
    assert_eq!(mask(one), mask(other));
    assert_ne!(mask(one), mask(&one.replace("shop", "shup")));
    assert_eq!(mask("2026-11-22T18:59:03Z"), mask("2027-01-01T00:00:00Z"));
}

#[test]
fn blocks_are_found_in_order() {
    let text = "a\n```toml\nx = 1\n```\nb\n```console\n$ c\n```\n";
    let (before, language, block, rest) = next_block(text).unwrap();
    assert_eq!((before, language, block), ("a\n```toml\n", "toml", "x = 1\n"));
    let (before, language, block, rest) = next_block(rest).unwrap();
    assert_eq!((before, language, block, rest), ("b\n```console\n", "console", "$ c\n", ""));
}
