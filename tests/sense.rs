//! Chains of filters that make no sense, and stored chains that lack the encryption that their pipeline has: told before
//! anything is read or written.

mod common;

use std::fs;

use common::shop::{Shop, sealed, sha256};
use common::{Sandbox, age_key, database, rows};
use serde_json::{Value, json};

fn age_to(public: &str) -> String {
    format!("{{ plugin = \"age\", recipients = [\"{public}\"] }}")
}

fn config(sandbox: &Sandbox, filters: &str) {
    sandbox.config(&format!(
        "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [pipeline.shop]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [{filters}]\n"
    ));
}

#[test]
fn an_order_that_makes_no_sense_is_told_by_check_and_at_the_start_and_the_snapshot_is_still_good() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 5).close().unwrap();
    let (identity, public) = age_key(&sandbox, "key.txt");
    let age = age_to(&public);
    for (number, (filters, told)) in [
        (format!("{age}, \"zstd\""), "put `zstd` before `age`"),
        (format!("\"gzip\", {age}, \"xz\""), "put `xz` before `age`"),
        ("\"gzip\", \"zstd\"".to_owned(), "`zstd` gets what `gzip` has compressed already"),
        ("\"lz4\", \"lz4\"".to_owned(), "`lz4` gets what `lz4` has compressed already"),
    ]
    .into_iter()
    .enumerate()
    {
        config(&sandbox, &filters);
        sandbox.run(&["check"]).expect(0).prints(told);
        sandbox.run(&["backup", "--dry-run"]).expect(0).says(told);
        sandbox.run(&["backup"]).expect(0).says(told);
        let target = format!("{number}.db");
        let to = format!("sqlite:{target}");
        sandbox.ok(&["restore", "shop", "--to", &to, "--identity", identity.to_str().unwrap()]);
        assert_eq!(rows(&sandbox.path(&target)), rows(&sandbox.path("shop.db")), "{filters}");
    }
}

#[test]
fn an_order_that_makes_sense_is_told_nothing() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 5).close().unwrap();
    let (_, public) = age_key(&sandbox, "key.txt");
    let age = age_to(&public);
    for filters in [String::new(), "\"zstd\"".to_owned(), format!("\"zstd\", {age}"), format!("{age}, {age}")]
    {
        config(&sandbox, &filters);
        let ran = sandbox.run(&["check"]).expect(0);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("warning"), "{filters}: {ran:?}");
        let ran = sandbox.run(&["backup"]).expect(0);
        assert!(!ran.stderr.contains("warning"), "{filters}: {ran:?}");
    }
}

#[test]
fn what_can_not_be_encrypted_to_is_refused_by_check_by_a_dry_run_and_by_a_backup_that_stores_nothing() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 5).close().unwrap();
    let (_, public) = age_key(&sandbox, "key.txt");
    let last = if public.ends_with('q') { 'p' } else { 'q' };
    let typo = format!("{}{last}", &public[..public.len() - 1]);
    sandbox.write("list.txt", format!("# the team\n{public}\n{typo}\n"));
    for (filter, told) in [
        (age_to(&typo), "recipient 1 isn't a recipient"),
        ("{ plugin = \"age\", recipient_files = [\"list.txt\"] }".to_owned(), "line 3 of"),
        ("{ plugin = \"age\", recipient_files = [\"gone.txt\"] }".to_owned(), "gone.txt"),
        ("\"age\"".to_owned(), "there is nobody to encrypt to"),
        ("\"openpgp\"".to_owned(), "there is nobody to encrypt to"),
        (
            "{ plugin = \"openpgp\", passphrase = \"x y z\", sign_with = \"nonsense\" }".to_owned(),
            "sign_with",
        ),
    ] {
        config(&sandbox, &format!("\"zstd\", {filter}"));
        sandbox.run(&["check"]).expect(2).prints(told);
        let planned = sandbox.run(&["backup", "--dry-run"]).expect(2).says(told);
        let made = sandbox.run(&["backup"]).expect(2).says(told);
        assert_eq!(planned.stderr, made.stderr, "{filter}");
        assert_eq!(sandbox.files("store"), Vec::<String>::new());
    }
}

#[test]
fn recipients_that_make_no_sense_are_told_before_the_source_is_asked() {
    let sandbox = Sandbox::new();
    let (_, public) = age_key(&sandbox, "key.txt");
    sandbox.write("list.txt", format!("{public}\nnonsense\n"));
    sandbox.config(
        "[source.it]\nplugin = \"command\"\ndump_command = [\"touch\", \"asked\"]\n\
         [pipeline.shop]\nsource = \"it\"\nstorage = [\"fs:store\"]\n\
         filters = [{ plugin = \"age\", recipient_files = [\"list.txt\"] }]\n",
    );
    sandbox.run(&["backup"]).expect(2).says("line 2 of");
    assert!(!sandbox.path("asked").exists());
}

/// Two snapshots without encryption, and a pipeline that has it by now.
fn open_snapshots() -> (Shop, String, String) {
    let shop = Shop::new("\"zstd\"");
    let (identity, public) = age_key(&shop.sandbox, "key.txt");
    let age = age_to(&public);
    let path = shop.sandbox.path("windlass.toml");
    let text = fs::read_to_string(&path).unwrap();
    let encrypting = text.replace("\"zstd\"", &format!("\"zstd\", {age}"));
    assert_ne!(text, encrypting);
    let decode = format!("\n[decode.age]\nidentity_files = [\"{}\"]\n", identity.display());
    shop.sandbox.config(&(encrypting + &decode));
    (shop, text, public)
}

#[test]
fn a_snapshot_without_the_encryption_that_its_pipeline_has_asks_for_accept_chain() {
    let (shop, before, _) = open_snapshots();
    let (sandbox, name) = (&shop.sandbox, shop.name());
    let replace = ["restore", name.as_str(), "--mode", "replace", "--yes"];
    let refused: [&[&str]; 4] = [
        &replace,
        &["restore", &name, "--to", "sqlite:new.db"],
        &["restore", &name, "--to", "sqlite:new.db", "--dry-run"],
        &["restore", &name, "--output", "plain"],
    ];
    for arguments in refused {
        let ran = sandbox.run(arguments).expect(12);
        ran.says("data.zst").says("isn't encrypted").says("`age`").says("--accept-chain");
        shop.is_untouched("refused");
        assert!(!sandbox.path("new.db").exists() && !sandbox.path("plain").exists());
    }
    // Nothing is destroyed by listing it or proving its bytes.
    sandbox.ok(&["list"]);
    shop.verify("--full").expect(0);
    sandbox.ok(&["restore", &name, "--to", "sqlite:new.db", "--accept-chain"]);
    sandbox.ok(&["restore", &name, "--output", "plain", "--accept-chain"]);
    sandbox.ok(&[&replace[..], &["--accept-chain"]].concat());
    assert_eq!(rows(&sandbox.path("new.db")), rows(&shop.target.path));
    // A pipeline that doesn't encrypt asks for nothing, and neither does a name that the config doesn't know.
    sandbox.config(&before);
    sandbox.ok(&replace);
    sandbox.config(&before.replace("[pipeline.shop]", "[pipeline.other]"));
    sandbox.ok(&["restore", &name, "--storage", "fs:store", "--to", "sqlite:third.db"]);
}

/// Whoever knows a recipient can encrypt to it; only the pipeline's own filter asks who has signed.
#[test]
fn another_encryption_than_the_one_of_today_asks_as_well() {
    let shop = Shop::new("\"zstd\"");
    let sandbox = &shop.sandbox;
    let (identity, public) = age_key(sandbox, "key.txt");
    let before = fs::read_to_string(sandbox.path("windlass.toml")).unwrap();
    let age = age_to(&public);
    let with = |filters: &str| {
        let decode = format!("\n[decode.age]\nidentity_files = [\"{}\"]\n", identity.display());
        sandbox.config(&(before.replace("\"zstd\"", filters) + &decode));
    };
    with(&format!("\"zstd\", {age}"));
    sandbox.ok(&["backup"]);
    let newest = "shop";
    for today in [
        "\"zstd\", { plugin = \"openpgp\", passphrase = \"hunter2hunter2\" }".to_owned(),
        format!("\"zstd\", {age}, {age}"),
    ] {
        with(&today);
        let ran = sandbox.run(&["restore", newest, "--to", "sqlite:new.db"]).expect(12);
        ran.says("data.zst.age").says("isn't encrypted by the filter").says("--accept-chain");
        assert!(!sandbox.path("new.db").exists(), "{today}");
    }
    sandbox.ok(&["restore", newest, "--to", "sqlite:new.db", "--accept-chain"]);
    // The one of today, whatever it compresses with.
    with(&format!("\"gzip\", {age}"));
    sandbox.ok(&["restore", newest, "--to", "sqlite:other.db"]);
}

#[test]
fn what_a_manifest_says_of_encryption_is_not_believed() {
    let (shop, ..) = open_snapshots();
    shop.forge(|manifest| {
        manifest["streams"][0]["filters"][0]["encrypts"] = json!(true);
        manifest["contents"]["filters"][0]["encrypts"] = json!(true);
    });
    shop.restore().expect(12).says("--accept-chain");
    shop.is_untouched("says that zstd encrypts");
}

#[test]
fn one_open_stream_in_an_encrypted_snapshot_is_enough_to_ask() {
    let (shop, _, _) = open_snapshots();
    let open = fs::read(shop.snapshot.join("data.zst")).unwrap();
    let theirs: Value =
        serde_json::from_slice::<Value>(&shop.manifest()).unwrap()["manifest"]["streams"][0].clone();
    shop.sandbox.ok(&["backup"]);
    let mine = shop.sandbox.object("shop", "manifest.json");
    let envelope: Value = serde_json::from_slice(&fs::read(&mine).unwrap()).unwrap();
    let mut manifest = envelope["manifest"].clone();
    assert_eq!(theirs["stored_sha256"], sha256(&open));
    manifest["streams"][0] = theirs;
    fs::write(&mine, sealed(&manifest)).unwrap();
    fs::write(mine.with_file_name("data.zst"), open).unwrap();
    let newest = ["restore", "shop", "--mode", "replace", "--yes"];
    shop.sandbox.run(&newest).expect(12).says("data.zst").says("--accept-chain");
    shop.is_untouched("an open stream");
    // And if it is accepted: the encrypted description still knows what the bytes were.
    shop.sandbox.run(&[&newest[..], &["--accept-chain"]].concat()).expect(4);
    shop.is_untouched("an open stream that was accepted");
}
