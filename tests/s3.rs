//! S3 through the binary and a real server: a backup is stored, listed, proved and restored; a key that can only create
//! is enough to back up; what a killed run has left goes with the next one.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::misbehaving::text;
use common::{Ran, Sandbox, database, rows, until};
use windlass_test_servers::{Double, Keys, Seaweed};

const BUCKET: &str = "backups";

fn server() -> Seaweed {
    let server = Seaweed::start();
    server.make_bucket(BUCKET);
    server
}

/// A storage of the config that asks the environment for its keys.
fn storage(server: &Seaweed, name: &str, more: &str) -> String {
    format!(
        "[storage.{name}]\nplugin = \"s3\"\nbucket = \"{BUCKET}\"\nprefix = \"acme\"\npreset = \"seaweedfs\"\n\
         endpoint = \"{}\"\naccess_key_id = {{ env = \"ID\" }}\nsecret_access_key = {{ env = \"KEY\" }}\n{more}\n",
        server.endpoint()
    )
}

fn shop(filters: &str) -> String {
    format!(
        "[source.shop]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [pipeline.shop]\nsource = \"shop\"\nfilters = [{filters}]\nstorage = [\"s3\"]\n"
    )
}

fn run(sandbox: &Sandbox, keys: Keys, arguments: &[&str]) -> Ran {
    let mut command = sandbox.command(arguments);
    command.env("ID", keys.id).env("KEY", keys.secret);
    Ran::of(command.output().unwrap())
}

/// The keys that a run's snapshot consists of, by the server's own words.
fn manifest(sandbox: &Sandbox) -> String {
    let listed = run(sandbox, Seaweed::ADMIN, &["--json", "list"]).expect(0).stdout;
    let row: serde_json::Value = serde_json::from_str(listed.lines().next().expect("no snapshot")).unwrap();
    row["snapshot"].as_str().unwrap().rsplit_once('@').unwrap().1.to_owned()
}

#[test]
fn a_backup_is_stored_listed_proved_and_restored() {
    let (server, sandbox) = (server(), Sandbox::new());
    let original = sandbox.path("shop.db");
    // Of several parts.
    drop(database(&original, "delete", 20_000));
    let before = rows(&original);
    sandbox.config(&(storage(&server, "s3", "") + &shop("\"zstd\"")));
    let admin = |arguments: &[&str]| run(&sandbox, Seaweed::ADMIN, arguments);
    let checked = admin(&["check", "shop"]).expect(0);
    let told = checked.stdout + &checked.stderr;
    assert!(told.contains("latency") && told.contains("clock"), "{told}");
    admin(&["backup", "shop"]).expect(0);
    let id = manifest(&sandbox);
    let stored =
        server.object(BUCKET, &format!("acme/web1/shop/{id}/data.zst")).expect("not where it belongs");
    assert!(stored.len() > 2 * 8 * 1024 * 1024, "{} bytes are no several parts", stored.len());
    assert_eq!(server.half_uploads(BUCKET), 0);
    admin(&["verify", "--full", "shop"]).expect(0);
    fs::remove_file(&original).unwrap();
    admin(&["restore", "shop", "--yes"]).expect(0);
    assert_eq!(rows(&original), before);
    // By nothing but a URL and what AWS's tools know, and by hand.
    let mut list = sandbox.command(&[
        "--json",
        "list",
        "--all-hosts",
        "--storage",
        &format!("s3://{BUCKET}/acme?preset=seaweedfs&endpoint={}", server.endpoint()),
    ]);
    list.env("AWS_ACCESS_KEY_ID", Seaweed::READER.id).env("AWS_SECRET_ACCESS_KEY", Seaweed::READER.secret);
    assert!(Ran::of(list.output().unwrap()).expect(0).stdout.contains(&id));
}

#[test]
fn a_key_that_can_only_create_is_enough_to_back_up() {
    let (server, sandbox) = (server(), Sandbox::new());
    drop(database(&sandbox.path("shop.db"), "delete", 20_000));
    sandbox.config(&(storage(&server, "s3", "") + &shop("")));
    let creator = |arguments: &[&str]| run(&sandbox, Seaweed::CREATOR, arguments);
    creator(&["check", "shop"]).expect(0).prints("can't delete");
    creator(&["backup", "--dry-run"]).expect(0);
    assert_eq!(server.half_uploads(BUCKET), 0, "a check left a half upload");
    creator(&["backup", "shop"]).expect(0);
    assert_eq!(creator(&["list"]).code, 1, "it can list");
    run(&sandbox, Seaweed::ADMIN, &["verify", "--full", "shop"]).expect(0);
    // A failed one too: it aborts what it began.
    let failing = "[source.bad]\nplugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 30000000 /dev/zero; exit 3\"]\n\
                   [pipeline.bad]\nsource = \"bad\"\nstorage = [\"s3\"]\n";
    sandbox.config(&(storage(&server, "s3", "") + failing));
    let ran = creator(&["backup", "bad"]).expect(1);
    assert!(!ran.stderr.contains("stays for now"), "{}", ran.stderr);
    assert_eq!(server.half_uploads(BUCKET), 0, "a failed run left a half upload");
    let good = failing.replace("exit 3", "exit 0");
    sandbox.config(&(storage(&server, "s3", "") + &good));
    let ran = creator(&["backup", "bad"]).expect(0);
    assert!(!ran.stderr.contains("leftover"), "{}", ran.stderr);
    sandbox.config(&(storage(&server, "s3", "") + failing));
    creator(&["backup", "bad"]).expect(1);
    let listed = run(&sandbox, Seaweed::ADMIN, &["--json", "list", "bad"]);
    assert_eq!(listed.stdout.matches("\"bad@").count(), 1, "{}", listed.stdout);
}

/// One request of the administrator's, by a program that signs it; status and body.
fn signed(server: &Seaweed, arguments: &[&str], path: &str) -> (String, String) {
    let user = format!("{}:{}", Seaweed::ADMIN.id, Seaweed::ADMIN.secret);
    let output = Command::new("curl")
        .args(["-s", "-w", "\n%{http_code}", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user])
        .args(arguments)
        .arg(server.endpoint() + path)
        .output()
        .expect("`curl` is needed: `make setup`");
    let told = String::from_utf8(output.stdout).unwrap();
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// What is pruned is no snapshot any more; the versions stay until their time has passed.
#[test]
fn prune_hides_what_a_lock_keeps() {
    let (server, sandbox) = (Seaweed::start(), Sandbox::new());
    let locking = ["-X", "PUT", "-H", "x-amz-bucket-object-lock-enabled: true"];
    assert_eq!(signed(&server, &locking, &format!("/{BUCKET}")).0, "200");
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    let lock = "object_lock = { mode = \"compliance\", days = 2 }";
    sandbox.config(&(storage(&server, "s3", lock) + &shop("") + "retention = { keep_last = 1 }\n"));
    let admin = |arguments: &[&str]| run(&sandbox, Seaweed::ADMIN, arguments);
    admin(&["backup"]).expect(0);
    let hidden = manifest(&sandbox);
    admin(&["backup"]).expect(0);
    admin(&["prune"]).expect(0).prints(&format!("Removed shop@{hidden} from s3")).prints("1 removed");
    let left = manifest(&sandbox);
    assert_ne!(left, hidden);
    admin(&["show", &format!("shop@{hidden}")]).expect(10);
    let (status, versions) = signed(&server, &[], &format!("/{BUCKET}?versions="));
    assert_eq!(status, "200", "{versions}");
    let kept = |id: &str| {
        let versions = versions.split("<Version>").skip(1).filter_map(|rest| rest.split("</Version>").next());
        versions.filter(|version| version.contains(&format!("/shop/{id}/"))).count()
    };
    assert_eq!((kept(&hidden), kept(&left)), (4, 4), "{versions}");
    admin(&["verify", "--full", "shop"]).expect(0);
    assert_eq!(sandbox.records(), [""; 0]);
}

#[test]
fn wrong_keys_and_a_missing_bucket_are_told_at_once_with_what_to_do() {
    let (server, sandbox) = (server(), Sandbox::new());
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    sandbox.config(&(storage(&server, "s3", "") + &shop("")));
    let wrong = Keys { id: Seaweed::ADMIN.id, secret: "hunter2-is-not-it" };
    let ran = run(&sandbox, wrong, &["backup", "shop"]).expect(1).says("SignatureDoesNotMatch").says("hint:");
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("attempt"), "{}", ran.stderr);
    let elsewhere = storage(&server, "s3", "").replace(BUCKET, "nowhere");
    sandbox.config(&(elsewhere + &shop("")));
    run(&sandbox, Seaweed::READER, &["verify", "shop"])
        .expect(2)
        .says("NoSuchBucket")
        .says("Create the bucket");
}

#[test]
fn what_a_killed_run_has_left_goes_with_the_next_one() {
    let (server, sandbox) = (server(), Sandbox::new());
    // It stops in the middle until somebody writes to the pipe.
    let gate = sandbox.path("gate");
    let made = std::process::Command::new("mkfifo").arg(&gate).status().unwrap();
    assert!(made.success());
    let source = format!(
        "[source.slow]\nplugin = \"command\"\ndump_command = [\"sh\", \"-c\", \"head -c 40000000 /dev/zero; cat {}\"]\n\
         [pipeline.slow]\nsource = \"slow\"\nstorage = [\"s3\"]\n",
        gate.display()
    );
    sandbox.config(&(storage(&server, "s3", "") + &source));
    let mut command = sandbox.command(&["backup", "slow"]);
    command.env("ID", Seaweed::ADMIN.id).env("KEY", Seaweed::ADMIN.secret);
    let mut child = command.spawn().unwrap();
    until("a half upload", || server.half_uploads(BUCKET) == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(server.half_uploads(BUCKET), 1, "nothing was left: what is tested here?");
    let checked = run(&sandbox, Seaweed::ADMIN, &["check", "slow"]);
    let told = checked.stdout + &checked.stderr;
    assert!(told.contains("half upload"), "{told}");

    let quick = source.replace(&format!("cat {}", gate.display()), "true");
    sandbox.config(&(storage(&server, "s3", "") + &quick));
    run(&sandbox, Seaweed::ADMIN, &["backup", "slow"]).expect(0).says("removed 1 leftover");
    assert_eq!(server.half_uploads(BUCKET), 0);
    assert!(Path::new(&gate).exists());
}

/// Where all parts must have one size, 10,000 of them must hold what a source says that it has, also behind a filter.
#[test]
fn the_estimate_of_a_source_makes_parts_larger_where_they_can_not_grow() {
    let (server, sandbox) = (server(), Sandbox::new());
    let port = server.port();
    let line = Double::start(move |asked| asked.pass_on(port));
    let parts = |preset: &str, estimate_bytes: u64| {
        let all = text(
            &sandbox,
            &format!("bytes = 20000000\nestimate_bytes = {estimate_bytes}"),
            "behaviour = \"none\"",
            "",
        );
        let (source, pipeline) =
            (all.split_once("[storage.one]").unwrap().0, all.split_once("[pipeline").unwrap().1);
        let storage = storage(&server, "one", "")
            .replace("\"seaweedfs\"", &format!("\"{preset}\"\naccount = \"acme\""));
        let storage = storage.replace(&server.endpoint(), line.endpoint());
        sandbox.config(&format!("{source}{storage}[pipeline{pipeline}"));
        let before = line.asked().len();
        run(&sandbox, Seaweed::ADMIN, &["backup"]).expect(0);
        line.asked()[before..].iter().filter(|asked| asked.path.contains("partNumber=")).count()
    };
    assert_eq!(parts("r2", 20_000_000), 3, "of 8 MiB");
    assert_eq!(parts("r2", 150_000_000_000), 0, "of more than 20 MB");
    assert_eq!(parts("seaweedfs", 150_000_000_000), 3, "they grow, if more comes");
}

#[test]
fn the_example_backs_up_with_a_key_that_can_only_create() {
    let (server, sandbox) = (server(), Sandbox::new());
    server.make_bucket("acme-backups");
    let text = fs::read_to_string(common::repo().join("examples/pipelines/s3.toml")).unwrap();
    let path = sandbox.path("shop.db");
    drop(database(&path, "wal", 100));
    let before = rows(&path);
    sandbox.config(&text.replace("/srv/shop/shop.db", path.to_str().unwrap()));
    let at = |arguments: &[&str], keys: Keys| {
        let mut command = sandbox.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret);
        Ran::of(command.env("AWS_ENDPOINT_URL", server.endpoint()).output().unwrap())
    };
    at(&["backup"], Seaweed::CREATOR).expect(0);
    let url = "s3://acme-backups/servers?region=eu-central-1";
    let listed = at(&["list", "--storage", url, "--all-hosts"], Seaweed::READER).expect(0);
    assert_eq!(listed.stdout.matches("shop@").count(), 1, "{}", listed.stdout);
    fs::remove_file(&path).unwrap();
    let to = format!("sqlite:{}", path.display());
    at(&["restore", "shop", "--storage", url, "--to", &to, "--yes"], Seaweed::READER).expect(0);
    assert_eq!(rows(&path), before);
}

/// A service that answers each path with a text, and remembers the heads of all requests; whatever it doesn't know is
/// not found.
fn answering(answers: Vec<(&'static str, String)>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let all = heads.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    break;
                }
            }
            let answer = answers.iter().find(|(path, _)| head.split(' ').nth(1) == Some(path));
            all.lock().unwrap().push(head.to_lowercase());
            let (status, body) = answer.map_or((404, ""), |(_, body)| (200, body.as_str()));
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = client.write_all((head + body).as_bytes());
        }
    });
    (port, heads)
}

#[test]
fn keys_are_found_where_the_tools_of_aws_find_them() {
    let (server, sandbox) = (server(), Sandbox::new());
    let url = format!("s3://{BUCKET}/acme?preset=seaweedfs&endpoint={}", server.endpoint());
    let Keys { id, secret } = Seaweed::READER;
    let list = |environment: &[(&str, &str)], url: &str| {
        let mut command = sandbox.command(&["list", "--all-hosts", "--storage", url]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
        Ran::of(command.output().unwrap())
    };
    list(&[], &url).expect(1).says("no access key").says("AWS_ACCESS_KEY_ID");

    let credentials = format!("[acme]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    sandbox.write(".aws/credentials", &credentials);
    list(&[("AWS_PROFILE", "acme")], &url).expect(0);
    list(&[], &format!("{url}&profile=acme")).expect(0);
    list(&[], &url).expect(1).says("no access key");

    // Roles have a token, which the server doesn't know: what it would be asked is enough.
    let (port, asked) = answering(Vec::new());
    let nowhere = format!("s3://{BUCKET}/acme?endpoint=http://127.0.0.1:{port}");
    let given = r#""AccessKeyId":"ASIAROLE","SecretAccessKey":"s","Token":"of-the-role","Expiration":"2099-01-01T00:00:00Z""#;
    let role = format!(r#"{{"Code":"Success",{given}}}"#);
    let (metadata, _) = answering(vec![
        ("/task", role.clone()),
        ("/latest/api/token", "token".to_owned()),
        ("/latest/meta-data/iam/security-credentials/", "backup".to_owned()),
        ("/latest/meta-data/iam/security-credentials/backup", role),
    ]);
    let (instance, task) =
        (format!("http://127.0.0.1:{metadata}"), format!("http://127.0.0.1:{metadata}/task"));
    for environment in [
        [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.as_str())],
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.as_str())],
    ] {
        asked.lock().unwrap().clear();
        list(&environment, &nowhere);
        let heads = asked.lock().unwrap().clone();
        assert!(!heads.is_empty(), "{environment:?}: nothing was asked");
        let is_role = |head: &String| {
            head.contains("credential=asiarole/") && head.contains("x-amz-security-token: of-the-role")
        };
        assert!(heads.iter().all(is_role), "{environment:?}: {heads:?}");
    }
}

/// The most memory that a run had at once, in KiB.
fn peak(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let mut command = sandbox.command(arguments);
    command.env("ID", Seaweed::ADMIN.id).env("KEY", Seaweed::ADMIN.secret).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .map_or(peak, |now| peak.max(now));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert!(ended.success() && peak > 0, "{arguments:?}: {ended}, {peak} KiB");
    peak
}

#[test]
fn memory_stays_below_96_mib_whatever_the_size() {
    let (server, sandbox) = (server(), Sandbox::new());
    let source = "[source.big]\nplugin = \"command\"\ndump_command = [\"head\", \"-c\", \"250000000\", \"/dev/zero\"]\n\
                  [pipeline.big]\nsource = \"big\"\nstorage = [\"s3\"]\n";
    sandbox.config(&(storage(&server, "s3", "") + source));
    for arguments in [&["backup", "big"][..], &["verify", "big"]] {
        let peak = peak(&sandbox, arguments);
        assert!(peak < 96 * 1024, "{arguments:?} took {peak} KiB");
    }
}

#[test]
fn the_suite_passes_on_a_bucket_in_use_and_leaves_it_as_it_was() {
    let (server, sandbox) = (server(), Sandbox::new());
    server.put(BUCKET, "acme/web1/kept", b"kept");
    sandbox.config(&storage(&server, "s3", ""));
    let ran = run(&sandbox, Seaweed::ADMIN, &["plugins", "test", "storage", "s3"]).expect(0);
    assert!(ran.stdout.contains("ok   s3: pages add up to the whole"), "{}", ran.stdout);
    assert_eq!(server.object(BUCKET, "acme/web1/kept").unwrap(), b"kept");
    assert_eq!(server.half_uploads(BUCKET), 0);
    // What else is there would be in a backup of it.
    let left = "[source.left]\nplugin = \"objects\"\nstorage = \"s3\"\n[storage.nas]\nplugin = \"fs\"\nroot = \"nas\"\n\
                create_root = true\n[pipeline.left]\nsource = \"left\"\nstorage = [\"nas\"]\n";
    sandbox.config(&(storage(&server, "s3", "") + left));
    run(&sandbox, Seaweed::ADMIN, &["backup", "left"]).expect(0);
    run(&sandbox, Seaweed::ADMIN, &["restore", "left", "--output", "left.tar"]).expect(0);
    let members =
        Command::new("tar").args(["-tf", "left.tar"]).current_dir(sandbox.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&members.stdout), "web1/kept\n");
}
