//! Other forms in which an entry can be given: URLs and `--set`.

use super::*;

fn options(kind: Kind, url: &str) -> Result<Value, Problem> {
    let entry = entry_from_url(kind, &on_command_line(url), &fake())?;
    Ok(entry
        .options
        .iter()
        .map(|(key, field)| (key.clone(), field.value.to_json()))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

#[test]
fn a_url_gives_the_plugin_its_option_and_further_ones() {
    for (kind, url, wanted) in [
        (Kind::Source, "sqlite:shop.db", json!({ "path": "shop.db" })),
        (Kind::Source, "SQLITE:///srv/shop.db", json!({ "path": "/srv/shop.db" })),
        (
            Kind::Source,
            "sqlite:a%3Fb%25c.db?mode=sql&busy=5",
            json!({ "path": "a?b%c.db", "mode": "sql", "busy": 5 }),
        ),
        (Kind::Source, "sqlite:100%.db", json!({ "path": "100%.db" })),
        (
            Kind::Source,
            "files:media?exclude=*.tmp&exclude=a%26b",
            json!({ "roots": ["media"], "exclude": ["*.tmp", "a&b"] }),
        ),
        (
            Kind::Source,
            "postgres://u@db/x?sslmode=require",
            json!({ "url": "postgres://u@db/x?sslmode=require" }),
        ),
        (Kind::Storage, "fs:/mnt/nas", json!({ "root": "/mnt/nas" })),
    ] {
        assert_eq!(options(kind, url).unwrap(), wanted, "{url}");
    }
}

#[test]
fn a_url_that_no_plugin_understands_is_told() {
    for (url, message) in [
        ("sqlite:", "nothing behind its scheme"),
        ("sqlite:x?mode=sql&mode=sql", "set twice"),
        ("sqlite:what?.db", "unknown option `.db`"),
        ("gopher:x", "no source plugin knows the scheme `gopher:`"),
        ("shop", "is not a URL"),
        ("fs:/mnt", "no source plugin knows the scheme `fs:`"),
        ("gopher://u:hunter2@x", "gopher://u:…@x"),
    ] {
        let problem = options(Kind::Source, url).unwrap_err();
        assert!(problem.message.contains(message), "{url}: {problem}");
    }
    assert!(is_url(Kind::Source, "sqlite:x", &fake()) && !is_url(Kind::Storage, "sqlite:x", &fake()));
    assert!(!is_url(Kind::Source, "shop", &fake()));
}

#[test]
fn a_name_or_a_url_leads_to_an_entry() {
    let at = Fixture::new();
    let config = at.config("[storage.nas]\nplugin = 'fs'\nroot = 'x'\n");
    let entry = |named: &str| config.entry(Kind::Storage, &on_command_line(named), "--storage", &fake());
    assert_eq!(entry("nas").unwrap().key, "storage.nas");
    let by_url = entry("fs:/mnt").unwrap();
    assert_eq!((by_url.key.as_str(), by_url.plugin.as_str()), ("--storage", "fs"));
    let problem = entry("nsa").unwrap_err();
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `nas`?"));
    assert_eq!(Config::default().sources.len(), 0);
}

#[test]
fn passwords_in_urls_are_not_shown() {
    for (url, shown) in [
        ("postgres://u:hunter2@db/shop", "postgres://u:…@db/shop"),
        ("postgres://u:a@b:c@db/shop", "postgres://u:…@db/shop"),
        ("postgres://u:a/b@db/shop", "postgres://u:…@db/shop"),
        ("postgres://u@db:5432/shop", "postgres://u@db:5432/shop"),
        ("https://db:8443/a@b", "https://db:8443/a@b"),
        ("s3:bucket?secret_access_key=abc&region=eu", "s3:bucket?secret_access_key=…&region=eu"),
        ("can't reach `mysql://u:x@h` or `mysql://v:y@h`", "can't reach `mysql://u:…@h` or `mysql://v:…@h`"),
        ("sqlite:shop.db", "sqlite:shop.db"),
        ("nas", "nas"),
        ("postgres://u:@db", "postgres://u:…@db"),
    ] {
        assert_eq!(redact_url(url), shown);
    }
}

#[test]
fn a_url_names_a_pipeline() {
    for (url, name) in [
        ("sqlite:shop.db", "shop"),
        ("sqlite:/srv/My Shop.v2.sqlite3", "my-shop-v2"),
        ("postgres://backup:pw@db.example:5432/Shop_2?sslmode=require", "shop-2"),
        ("postgres://backup@db:5432", "db"),
        ("fs:/mnt/nas/", "nas"),
        ("files:.", "files"),
        ("files:../.hidden", "hidden"),
        ("sqlite:äöü", "sqlite"),
        ("", "backup"),
    ] {
        assert_eq!(name_from_url(url), name, "{url}");
        assert!(is_name(&name_from_url(url)));
    }
    assert!(is_name(&name_from_url(&format!("fs:{}", "é-".repeat(99)))));
}

#[test]
fn set_converts_by_the_schema_and_knows_its_keys() {
    let at = Fixture::new();
    let config = at.config("[source.a]\nplugin = 'sqlite'\nfile = 'old.db'\n");
    let set = |assignments: &[&str]| {
        let mut entry = config.sources["a"].clone();
        let all = assignments.iter().try_for_each(|assignment| set(&mut entry, assignment, &fake()));
        all.map(|()| config.resolve(&entry, &fake(), &at.secrets(), "a"))
    };
    let document = set(&["path=new=1.db", "busy=5", "safety_copy=false"]).unwrap().unwrap();
    assert_eq!(document, json!({ "path": at.path("new=1.db"), "busy": 5, "safety_copy": false }));
    at.var("DB", "there.db");
    assert_eq!(set(&["path={ env = 'DB' }"]).unwrap().unwrap()["path"], json!(at.path("there.db")));
    assert_eq!(set(&["path={odd}.db"]).unwrap().unwrap()["path"], json!(at.path("{odd}.db")));
    let problem = set(&["moed=sql"]).unwrap_err();
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `mode`?"), "{problem}");
    assert!(set(&["path"]).is_err());
    assert!(set(&["busy=soon"]).unwrap().unwrap_err().to_string().contains("expected an integer"));
}
