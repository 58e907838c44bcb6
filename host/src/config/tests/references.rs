//! Values that stand elsewhere, secrets, paths: what a plugin gets in the end.

use super::*;

const PG: &str = "[source.pg]\nplugin = 'postgres'\n";

#[test]
fn a_value_comes_from_a_variable_a_file_or_a_command_in_the_schemas_type() {
    let at = Fixture::new();
    at.var("PORT", "5433");
    at.file("secrets/url", "postgres://db/shop\n");
    let secrets = at.secrets();
    let text = format!(
        "{PG}port = {{ env = 'PORT' }}\nurl = {{ file = 'secrets/url' }}\n\
         env = {{ file = 'stays', A = {{ command = ['sh', '-c', 'cat secrets/url; echo more'] }} }}\n"
    );
    assert_eq!(
        at.source(&text, &secrets).unwrap(),
        json!({ "port": 5433, "url": "postgres://db/shop",
            "env": { "file": "stays", "A": "postgres://db/shop\nmore" } }),
    );
    assert_eq!(
        secrets.redact("5433 postgres://db/shop"),
        "5433 postgres://db/shop",
        "only secrets are hidden"
    );
}

#[test]
fn a_default_holds_only_where_nothing_is_set_and_is_checked_like_any_value() {
    let at = Fixture::new();
    let text = format!(
        "{PG}port = {{ env = 'PORT', default = 5432 }}\nurl = {{ file = 'gone', default = 'postgres://x' }}\n"
    );
    assert_eq!(at.source(&text, &at.secrets()).unwrap(), json!({ "port": 5432, "url": "postgres://x" }));
    at.var("PORT", "seventy");
    at.file("gone", "postgres://there");
    let problems = at.source(&text, &at.secrets()).unwrap_err();
    assert_eq!(problems.to_string(), "windlass.toml:3: source.pg.port: expected an integer, found a string");
    at.var("PORT", "70000");
    assert!(at.source(&text, &at.secrets()).unwrap_err().to_string().contains("`70000` is more than 65535"));
    let wrong = format!("{PG}port = {{ env = 'NONE', default = 'x' }}\n");
    assert!(at.source(&wrong, &at.secrets()).unwrap_err().to_string().contains("expected an integer"));
}

#[test]
fn a_plugin_gets_a_secrets_name_and_its_value_only_on_asking() {
    let at = Fixture::new();
    at.var("PASSWORD", "first-one");
    at.file("key", "key-in-file\n");
    let secrets = at.secrets();
    let text = format!(
        "{PG}password = {{ env = 'PASSWORD' }}\ntls = {{ ca = 'ca.pem', key = {{ file = 'key' }} }}\n"
    );
    let document = at.source(&text, &secrets).unwrap();
    assert_eq!(
        document,
        json!({ "password": { "$secret": "source.pg.password" },
            "tls": { "ca": at.path("ca.pem"), "key": { "$secret": "source.pg.tls.key" } } }),
    );
    assert_eq!(secrets.reveal("source.pg.password").unwrap(), "first-one");
    assert_eq!(secrets.reveal("source.pg.tls.key").unwrap(), "key-in-file");
    at.var("PASSWORD", "second-one");
    at.file("key", "rotated\n");
    assert_eq!(secrets.reveal("source.pg.password").unwrap(), "second-one");
    assert_eq!(secrets.reveal("source.pg.tls.key").unwrap(), "rotated");
    assert_eq!(secrets.redact("first-one second-one rotated key-in-file"), "… … … …");
    std::fs::remove_file(at.path("key")).unwrap();
    let error = secrets.reveal("source.pg.tls.key").unwrap_err().to_string();
    assert!(error.starts_with("can't get the secret `source.pg.tls.key`: there is no file"), "{error}");
}

#[test]
fn secrets_in_lists_and_a_list_of_one_file_have_names_of_their_own() {
    let at = Fixture::new();
    at.file("key.txt", "AGE-1\n");
    let secrets = at.secrets();
    let config = at.config("[decode.age]\nidentities = ['literal', { file = 'key.txt' }]\n");
    let document = config.resolve(&config.decode["age"], &fake(), &secrets, "decode.age").unwrap();
    assert_eq!(
        document["identities"],
        json!([{ "$secret": "decode.age.identities.0" }, { "$secret": "decode.age.identities.1" }])
    );
    assert_eq!(secrets.reveal("decode.age.identities.0").unwrap(), "literal");
    assert_eq!(secrets.reveal("decode.age.identities.1").unwrap(), "AGE-1");
    let config = at.config("[decode.age]\nidentities = { file = 'key.txt' }\n");
    let document = config.resolve(&config.decode["age"], &fake(), &secrets, "d").unwrap();
    assert_eq!(document["identities"], json!([{ "$secret": "d.identities.0" }]));
    assert_eq!(secrets.reveal("d.identities.0").unwrap(), "AGE-1");
}

#[test]
fn a_secret_that_cant_be_had_is_told_before_the_run_and_never_in_clear() {
    let at = Fixture::new();
    let found = at.found(
        "[source.a]\nplugin = 'postgres'\npassword = { env = 'NONE' }\n\
         [source.b]\nplugin = 'postgres'\npassword = { file = 'none' }\n\
         [source.c]\nplugin = 'postgres'\npassword = { command = ['sh', '-c', 'echo sesame; echo locked >&2; exit 2'] }\n\
         [source.d]\nplugin = 'postgres'\npassword = { command = [] }\n\
         [source.e]\nplugin = 'postgres'\npassword = { command = ['true'], default = 'x' }\n\
         [source.f]\nplugin = 'postgres'\npassword = 12345678\n",
    );
    assert_eq!(found[0], "windlass.toml:3: source.a.password: the environment variable `NONE` is not set");
    assert_eq!(
        found[1],
        format!("windlass.toml:6: source.b.password: there is no file `{}`", at.path("none").display())
    );
    assert_eq!(found[2], "windlass.toml:9: source.c.password: `sh` failed (exit status: 2): locked");
    assert_eq!(
        found[3],
        "windlass.toml:12: source.d.password: `command` must be an array of strings, the program first"
    );
    assert_eq!(found[4], "windlass.toml:15: source.e.password: a command has no default: it works or fails");
    assert_eq!(found[5], "windlass.toml:18: source.f.password: expected a string, found an integer");
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn a_command_that_hangs_is_a_problem_soon() {
    let at = Fixture::new();
    let secrets = at.secrets().with_command_limit(std::time::Duration::from_millis(100));
    let text = format!("{PG}password = {{ command = ['sleep', '600'] }}\n");
    let problems = at.source(&text, &secrets).unwrap_err();
    assert_eq!(problems.to_string(), "windlass.toml:3: source.pg.password: `sleep` took longer than 0.1 s");
}

#[test]
fn a_literal_secret_in_a_file_that_others_can_read_is_an_error() {
    let at = Fixture::new();
    let texts = [
        format!("{PG}password = 'hunter2'\n"),
        format!("{PG}url = 'postgres://u:hunter2@db/shop'\n"),
        format!("{PG}password = {{ env = 'NONE', default = 'hunter2' }}\n"),
        "[pipeline.a]\nsource = 'postgres://u:hunter2@db/shop'\nstorage = 'fs:x'\n".to_owned(),
    ];
    for text in &texts {
        at.file("open.toml", text);
        for (mode, exposed) in [(0o600, false), (0o644, true), (0o604, true)] {
            at.mode("open.toml", mode);
            let (config, problems) = Config::parse(&Place::File("open.toml".into()), &at.env());
            let problems =
                config.validate(&fake(), Selection::All).into_iter().chain(problems).collect::<Vec<_>>();
            assert_eq!(problems.len(), usize::from(exposed), "{mode:o} {text} {problems:?}");
            for problem in problems {
                assert!(!problem.warning && problem.message.contains("other users can read"));
                assert!(problem.hint.unwrap().starts_with("Run `chmod 600 open.toml`"));
            }
        }
    }
    at.file("open.toml", &format!("{PG}password = {{ env = 'X' }}\n"));
    at.mode("open.toml", 0o644);
    let (config, _) = Config::parse(&Place::File("open.toml".into()), &at.env());
    assert_eq!(config.validate(&fake(), Selection::All), [], "a reference may be read by everyone");
}

#[test]
fn the_file_that_holds_the_secret_is_the_one_that_counts() {
    let at = Fixture::new();
    at.file("private.toml", &format!("{PG}password = 'hunter2'\n"));
    at.file("open.toml", "include = 'private.toml'\n");
    at.mode("open.toml", 0o644);
    let parse =
        || Config::parse(&Place::File("open.toml".into()), &at.env()).0.validate(&fake(), Selection::All);
    assert_eq!(parse(), []);
    at.mode("private.toml", 0o644);
    assert_eq!(parse()[0].file.as_deref(), Some(Path::new("private.toml")));
}

#[test]
fn relative_paths_are_relative_to_the_config_or_to_where_the_command_runs() {
    let at = Fixture::new();
    at.file(
        "etc/windlass.toml",
        "[source.a]\nplugin = 'files'\nroots = ['media/./x', '/srv']\nexclude = ['a/b']\n",
    );
    let (config, _) = Config::parse(&Place::File("etc/windlass.toml".into()), &at.env());
    let secrets = at.secrets();
    let document = config.resolve(&config.sources["a"], &fake(), &secrets, "a").unwrap();
    assert_eq!(document, json!({ "roots": [at.path("etc/media/x"), "/srv"], "exclude": ["a/b"] }));
    let entry = entry_from_url(Kind::Source, &on_command_line("files:media"), &fake()).unwrap();
    let document = config.resolve(&entry, &fake(), &secrets, "a").unwrap();
    assert_eq!(below(&at.path(""), document["roots"][0].as_str().unwrap()), "media");
}

#[test]
fn a_password_inside_a_url_is_hidden_from_then_on() {
    let at = Fixture::new();
    let secrets = at.secrets();
    let document = at.source(&format!("{PG}url = 'postgres://u:p%40ss-word@db/x'\n"), &secrets).unwrap();
    assert_eq!(document["url"], "postgres://u:p%40ss-word@db/x");
    assert_eq!(secrets.redact("p@ss-word and p%40ss-word"), "… and …");
}

#[test]
fn a_command_runs_once_for_all_steps_but_anew_for_each_reveal() {
    let at = Fixture::new();
    let secrets = at.secrets();
    let script = "echo run >> runs; wc -l < runs";
    let config = at.config(&format!("{PG}password = {{ command = ['sh', '-c', '{script}'] }}\n"));
    config.check(&fake(), Selection::All, &secrets, Problems::new()).unwrap();
    config.resolve(&config.sources["pg"], &fake(), &secrets, "pg").unwrap();
    assert_eq!(std::fs::read_to_string(at.path("runs")).unwrap(), "run\n");
    assert_eq!(secrets.reveal("pg.password").unwrap().trim(), "2");
    assert_eq!(secrets.reveal("pg.password").unwrap().trim(), "3");
}

#[test]
fn no_command_runs_for_an_unknown_option() {
    let at = Fixture::new();
    let found = at.found(&format!("{PG}pasword = {{ command = ['touch', 'ran'] }}\n"));
    assert_eq!(found, ["windlass.toml:3: source.pg.pasword: unknown option"]);
    assert!(!at.path("ran").exists());
}

#[test]
fn no_debug_output_holds_a_secret() {
    let at = Fixture::new();
    let config = at.config(&format!(
        "{PG}password = 'hunter2'\n[pipeline.a]\nsource = 'postgres://u:hunter2@db'\nstorage = ['fs:x']\n"
    ));
    let debug = format!("{config:?} {:?}", Place::Text("password = 'hunter2'".into()));
    assert!(debug.contains("password") && debug.contains("postgres://u:…@db"), "{debug}");
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn no_problem_repeats_a_secret() {
    let at = Fixture::new();
    for text in [
        "password = hunter2",
        "password = 'hunter2",
        "password = \"hunter2\\q\"",
        "password = ['hunter2']",
        "password = 'hunter2' 'hunter2'",
        "url = ['postgres://u:hunter2@db']",
        "port = 'postgres://u:hunter2@db'",
        "tls = { ca = 1, key = ['hunter2'] }",
        "pasword = 'hunter2'",
        "password = { env = 'hunter2!', evn = 'x' }\ntls = 'postgres://u:hunter2@db'",
    ] {
        let found = at.found(&format!("{PG}{text}\n"));
        assert!(!found.is_empty());
        // A variable's name is no secret.
        assert!(!found.join("\n").replace("hunter2!", "").contains("hunter2"), "{text}: {found:?}");
    }
}
