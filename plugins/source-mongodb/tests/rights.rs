//! Who may do what: the users of the documentation's page suffice, and who may less is told so.

mod common;

use bson::doc;
use common::{Side, backup, fill, how, restore, source};
use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, RestoreMode, Source};
use windlass_test_servers::Mongo;
use windlass_testkit::TestHost;

/// A server that asks for passwords, with the database `shop`, the documentation's users and one that `shop` knows itself.
fn guarded() -> Side {
    let side = Side::start();
    fill(&side, "shop", 10);
    // The documentation's own words.
    let page = include_str!("../../../docs/sources/mongodb.md");
    for user in page.split("db.createUser(").skip(1) {
        let user: Value = serde_json::from_str(user.split(")\n").next().unwrap()).unwrap();
        let text = |key: &str| user[key].as_str().unwrap();
        let roles = bson::Bson::try_from(user["roles"].clone()).unwrap();
        side.run("admin", doc! { "createUser": text("user"), "pwd": text("pwd"), "roles": roles });
    }
    side.run("shop", doc! { "createUser": "local", "pwd": "local-password", "roles": ["read"] });
    // It is killed to be restarted, and would lose what isn't on the disk.
    side.run("admin", doc! { "fsync": 1 });
    side.server.restart_with(&["--auth"]);
    side
}

fn at(side: &Side, user: &str, password: &str) -> Value {
    json!({
        "host": "127.0.0.1", "port": side.server.port(), "database": "shop", "user": user, "password": password,
    })
}

fn denied(error: &Error) {
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.is_some() && !format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_wrong_password_is_told_without_it_and_the_documented_users_suffice() {
    let side = guarded();
    denied(&backup(&at(&side, "windlass-backup", "hunter2-wrong")).unwrap_err());
    let port = side.server.port();
    let in_url = format!("mongodb://windlass-backup:hunter2-wrong@127.0.0.1:{port}/shop?authSource=admin");
    denied(&backup(&json!({ "url": in_url })).unwrap_err());
    denied(&backup(&json!({ "host": "127.0.0.1", "port": port, "database": "shop" })).unwrap_err());

    let reader = at(&side, "windlass-backup", "a-long-random-password");
    let (bytes, contents) = backup(&reader).unwrap();
    assert_eq!(contents.details["collections"].as_array().unwrap().len(), 5);
    let with = |options: &Value, key: &str, value: Value| {
        let mut options = options.clone();
        options[key] = value;
        options
    };
    let error = backup(&with(&reader, "consistency", json!("oplog"))).unwrap_err();
    denied(&error);
    assert!(error.hint.unwrap().contains("`local`"));
    let error = backup(&with(&reader, "users", json!(true))).unwrap_err();
    denied(&error);
    assert!(error.hint.unwrap().contains("role `backup`"));
    for (user, password) in
        [("windlass-oplog", "one-more-long-password"), ("windlass-backup-all", "yet-another-long-password")]
    {
        let options = with(&at(&side, user, password), "consistency", json!("oplog"));
        assert!(backup(&options).unwrap().1.details.contains_key("oplog"), "{user}");
    }
    let all = with(&at(&side, "windlass-backup-all", "yet-another-long-password"), "database", json!(null));
    backup(&all).unwrap();

    let replace = how(RestoreMode::Replace, &[]);
    denied(&restore(&reader, &bytes, &replace).unwrap_err());
    // Who may write to this database alone keeps the old collections in it, which is told before.
    let (target, _, done) =
        restore(&at(&side, "windlass-restore", "another-long-password"), &bytes, &replace).unwrap();
    assert!(target.effects.iter().any(|one| one.contains("stays in it as `windlass-before-")), "{target:?}");
    assert!(done.notes.iter().any(|one| one.contains("is left there as `windlass-before-")), "{done:?}");
    let (target, _, done) =
        restore(&at(&side, "windlass-restore-all", "the-last-long-password"), &bytes, &replace).unwrap();
    assert!(target.effects.iter().any(|one| one.contains("shop_before_")), "{target:?}");
    assert!(done.notes.iter().any(|one| one.contains("is kept in the database `shop_before_")), "{done:?}");
}

#[test]
fn a_user_of_the_database_itself_signs_in_with_auth_source() {
    let side = guarded();
    let mut options = at(&side, "local", "local-password");
    denied(&backup(&options).unwrap_err());
    options["auth_source"] = json!("shop");
    backup(&options).unwrap();
}

#[test]
fn all_collections_that_may_not_be_read_are_named_before_a_backup() {
    let side = Side::over(Mongo::start_with(&["--enable-test-commands"]));
    fill(&side, "shop", 10);
    let data = doc! { "failCommands": ["find"], "errorCode": 13, "appName": "windlass" };
    side.run("admin", doc! { "configureFailPoint": "failCommand", "mode": { "times": 2 }, "data": data });
    let options = json!({ "host": "127.0.0.1", "port": side.server.port(), "database": "shop" });
    let host = TestHost::new();
    let error = source(&options, &host).probe(&host.context()).unwrap_err();
    denied(&error);
    assert_eq!(error.message, "can't read `shop.checked`, `shop.empty`");
}
