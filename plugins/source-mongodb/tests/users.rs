//! Users and roles on request. The tests' server knows users but not the command by which they are given back: a proxy
//! stands in for that one, and looks at what the server would merge.

mod common;

use std::sync::{Arc, Mutex};

use bson::{Document, doc};
use common::proxy::answering;
use common::{backup, how, options, restore, sides};
use serde_json::json;
use windlass_plugin_api::RestoreMode;

/// A user and a role of `db`, and a user of another database.
fn people(db: &str) {
    let side = sides().0;
    common::fill(side, db, 5);
    let rights = doc! { "resource": { "db": db, "collection": "orders" }, "actions": ["find"] };
    side.run(db, doc! { "createRole": "clerk", "privileges": [rights], "roles": [] });
    side.run(db, doc! { "createUser": "ann", "pwd": "anns-password", "roles": ["clerk", { "role": "read", "db": "other" }] });
    let decoy = format!("{db}_decoy");
    side.run(&decoy, doc! { "createUser": "eve", "pwd": "eves-password", "roles": ["read"] });
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn users_and_roles_are_taken_on_request_as_mongodump_takes_them_and_given_back_under_the_new_name() {
    people("staff");
    let (side, other) = sides();
    let mut from = options(side, "staff");
    let (without, _) = backup(&from).unwrap();
    assert!(!holds(&without, "$admin.system.users") && !holds(&without, "storedKey"));
    from["users"] = json!(true);
    let (bytes, contents) = backup(&from).unwrap();
    for name in [
        "$admin.system.users",
        "$admin.system.roles",
        "$admin.system.version",
        "staff.ann",
        "staff.clerk",
        "storedKey",
        "authSchema",
    ] {
        assert!(holds(&bytes, name), "no {name}");
    }
    assert!(!holds(&bytes, "eve"), "a user of another database");
    assert_eq!(contents.details["users"], true);

    let merged = Arc::new(Mutex::new(None));
    let seen = merged.clone();
    let look = move |command: &Document| {
        let collection = |key: &str| {
            let (_, name) = command.get_str(key).unwrap().split_once('.').unwrap();
            sides().1.read("admin", name)
        };
        let documents = (collection("tempUsersCollection"), collection("tempRolesCollection"));
        *seen.lock().unwrap() = Some((command.clone(), documents));
        doc! { "ok": 1.0 }.to_vec().unwrap()
    };
    let port = answering(other.server.port(), "_mergeAuthzCollections", look);
    let to = json!({ "host": "127.0.0.1", "port": port, "database": "staff_copy", "users": true });
    // Of a restore that was killed: it may hold passwords.
    other.insert("admin", "windlass-users-staff_copy.old", &[doc! { "_id": "staff.bob" }]);
    let (.., done) = restore(&to, &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert!(done.left_out.is_empty(), "{done:?}");
    assert!(done.notes.iter().any(|one| one.contains("windlass-users-staff_copy.old")), "{done:?}");
    let (command, (users, roles)) = merged.lock().unwrap().take().expect("nothing was merged");
    // What is there stays as it is, and only this database is changed.
    assert!(
        !command.get_bool("drop").unwrap() && command.get_str("db").unwrap() == "staff_copy",
        "{command}"
    );
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].get_str("_id").unwrap(), "staff_copy.ann");
    let rights = users[0].get_array("roles").unwrap();
    assert_eq!(
        rights,
        bson::bson!([{ "role": "clerk", "db": "staff_copy" }, { "role": "read", "db": "other" }])
            .as_array()
            .unwrap()
    );
    let stored = sides().0.run("staff", doc! { "usersInfo": "ann", "showCredentials": true });
    let stored = stored.get_array("users").unwrap()[0].as_document().unwrap().clone();
    assert_eq!(users[0].get("credentials"), stored.get("credentials"));
    assert_eq!(roles.len(), 1);
    let role = &roles[0];
    assert_eq!(role.get_str("_id").unwrap(), "staff_copy.clerk");
    assert!(role.get_array("privileges").unwrap()[0].to_string().contains("staff_copy"), "{role}");
    assert!(other.names("admin").iter().all(|name| !name.contains("staff_copy")), "collections were left");
    assert_eq!(other.fingerprint("staff_copy"), side.fingerprint("staff"));
}

#[test]
fn users_that_are_not_asked_for_or_can_not_be_made_are_told() {
    people("told");
    let (side, other) = sides();
    let mut from = options(side, "told");
    from["users"] = json!(true);
    let (bytes, _) = backup(&from).unwrap();
    let (.., done) = restore(&options(other, "told"), &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert!(done.left_out.len() == 3 && done.left_out[0].contains("users = true"), "{done:?}");
    let mut to = options(other, "told2");
    to["users"] = json!(true);
    let (.., done) = restore(&to, &bytes, &how(RestoreMode::Fail, &[])).unwrap();
    assert_eq!(done.left_out, ["users and roles: the server doesn't take them"]);
    assert_eq!(other.fingerprint("told2"), side.fingerprint("told"));
}

#[test]
fn all_databases_bring_all_users() {
    let side = common::Side::start();
    common::fill(&side, "one", 5);
    side.run("one", doc! { "createUser": "ann", "pwd": "x", "roles": ["read"] });
    side.run("admin", doc! { "createUser": "root", "pwd": "x", "roles": ["root"] });
    let (bytes, contents) = backup(&json!({ "url": side.server.url(), "users": true })).unwrap();
    assert!(holds(&bytes, "one.ann") && holds(&bytes, "admin.root"), "{contents:?}");
    assert!(!holds(&bytes, "$admin.system.users"), "all users are in `admin` itself");
}
