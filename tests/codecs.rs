//! xz, bzip2, LZ4 and Brotli through the whole of it: the binary, the shared libraries, RESTORE.txt with the standard
//! programs, and streams that those programs wrote.

mod common;

use std::fs;
use std::process::Command;

use common::by_hand::{check_hash, commands, sh, snapshot};
use common::shop::Shop;
use common::{Sandbox, database, rows};

/// Filters as a pipeline has them, and the suffix and the program of each.
const CODECS: [(&str, &str, &str); 8] = [
    ("xz", "xz", "xz -dc"),
    ("{ plugin = \"xz\", level = 1, threads = 1 }", "xz", "xz -dc"),
    ("bzip2", "bz2", "bzip2 -dc"),
    ("{ plugin = \"bz2\", level = 1, threads = 3 }", "bz2", "bzip2 -dc"),
    ("lz4", "lz4", "lz4 -dc"),
    ("{ plugin = \"lz4\", threads = 3 }", "lz4", "lz4 -dc"),
    ("brotli", "br", "brotli -dc"),
    ("{ plugin = \"br\", level = 3, window = 25 }", "br", "brotli -dc --large_window=25"),
];

#[test]
fn a_database_comes_back_and_by_hand_with_the_standard_program_too() {
    for (filter, suffix, program) in CODECS {
        let sandbox = Sandbox::new();
        database(&sandbox.path("shop.db"), "wal", 1_500).close().unwrap();
        let whole = rows(&sandbox.path("shop.db"));
        let hand =
            snapshot(&sandbox, "shop", "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n", filter);
        assert!(hand.join(format!("data.{suffix}")).exists(), "{filter}: {:?}", sandbox.files("hand"));

        let (commands, _) = commands(&hand);
        check_hash(&hand, &commands[0]);
        assert!(commands[0].contains(program), "{filter}: {}", commands[0]);
        sh(&hand, &commands[0]);
        assert_eq!(rows(&hand.join("shop.db")), whole, "{filter} by hand");

        database(&sandbox.path("shop.db"), "wal", 10).close().unwrap();
        assert_ne!(rows(&sandbox.path("shop.db")), whole);
        sandbox.ok(&["verify", "--full"]);
        sandbox.ok(&["restore", "shop", "--mode", "replace", "--yes"]);
        assert_eq!(rows(&sandbox.path("shop.db")), whole, "{filter}");
    }
}

#[test]
fn a_stream_that_another_program_wrote_is_restored_and_a_cut_one_is_not() {
    for command in ["xz -c", "bzip2 -c", "lz4 -c", "brotli -q 4 -c"] {
        let sandbox = Sandbox::new();
        database(&sandbox.path("shop.db"), "delete", 600).close().unwrap();
        let suffix = match command.split(' ').next().unwrap() {
            "bzip2" => "bz2",
            "brotli" => "br",
            program => program,
        };
        let stored = format!("theirs.{suffix}");
        let status = Command::new("sh")
            .args(["-c", &format!("{command} <shop.db >{stored}")])
            .current_dir(sandbox.path(""))
            .status()
            .unwrap();
        assert!(status.success(), "`{command}`: run `make setup`");
        sandbox.ok(&["restore", "--input", &stored, "--to", "sqlite:copy.db"]);
        assert_eq!(rows(&sandbox.path("copy.db")), rows(&sandbox.path("shop.db")), "{command}");

        // No hash proves a bare stream: its own format must.
        let bytes = fs::read(sandbox.path(&stored)).unwrap();
        let cut = format!("cut.{suffix}");
        for length in [bytes.len() - 1, bytes.len() / 2, 1, 0] {
            fs::write(sandbox.path(&cut), &bytes[..length]).unwrap();
            sandbox.run(&["restore", "--input", &cut, "--to", "sqlite:cut.db"]).expect(4).says("truncated");
            assert!(!sandbox.path("cut.db").exists(), "{command}: {length} bytes of it were restored");
        }
    }
}

#[test]
fn damage_to_a_stream_is_named_and_refused() {
    for (filter, suffix) in [("xz", "xz"), ("bzip2", "bz2"), ("lz4", "lz4"), ("brotli", "br")] {
        let shop = Shop::new(&format!("\"{filter}\""));
        let object = format!("data.{suffix}");
        let path = shop.snapshot.join(&object);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        let extended = [&good[..], b"x"].concat();
        for (case, bytes) in
            [("flipped", &flipped[..]), ("cut", &good[..good.len() - 2]), ("extended", &extended)]
        {
            fs::write(&path, bytes).unwrap();
            shop.is_noticed(&format!("{filter}: {case}"), &object, bytes.len() == good.len());
            shop.is_refused(&format!("{filter}: {case}"));
        }
        fs::write(&path, good).unwrap();
        shop.restore().expect(0);
    }
}

#[test]
fn a_stream_that_asks_for_much_memory_names_the_option_that_allows_it() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 20).close().unwrap();
    let made = Command::new("sh")
        .args(["-c", "brotli -q 4 --large_window=28 -c <shop.db >theirs.br"])
        .current_dir(sandbox.path(""))
        .status()
        .unwrap();
    assert!(made.success(), "`brotli`: run `make setup`");
    let restore = ["restore", "--input", "theirs.br", "--to", "sqlite:copy.db"];
    sandbox.run(&restore).expect(4).says("`window` to 28");
    assert!(!sandbox.path("copy.db").exists());
}

#[test]
fn a_check_proves_each_and_refuses_what_an_option_can_not_be() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 3).close().unwrap();
    let config = |filter: &str| {
        sandbox.config(&format!(
            "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n[pipeline.shop]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [{filter}]\n"
        ));
    };
    for (filter, ..) in CODECS {
        let filter = if filter.starts_with('{') { filter.to_owned() } else { format!("\"{filter}\"") };
        config(&filter);
        let said = sandbox.ok(&["check"]);
        assert!(said.contains("came back"), "{filter}: {said}");
    }
    for (filter, option) in [
        ("{ plugin = \"xz\", level = 10 }", "level"),
        ("{ plugin = \"bzip2\", level = 0 }", "level"),
        ("{ plugin = \"lz4\", threads = 65 }", "threads"),
        ("{ plugin = \"brotli\", window = 31 }", "window"),
    ] {
        config(filter);
        sandbox.run(&["check"]).expect(2).says(option);
    }
}
