//! The role of an instance, whose keys are good for a time: they are asked for again within a run.
//!
//! Where keys come from is said by the environment, which a test can't change for itself: it runs itself once more.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use reqsign_core::time::Timestamp;
use serde_json::json;
use windlass_plugin_api::{ListOptions, Plugin, Storage};
use windlass_storage_s3::S3;
use windlass_test_servers::{Double, Said};
use windlass_testkit::TestHost;

/// The service's address, for the run within.
const WITHIN: &str = "WINDLASS_TEST_ROLES";

/// A metadata service that gives out the keys `ASIAROLE1`, `ASIAROLE2`, …
fn metadata(good: Duration) -> Double {
    let expiration = (Timestamp::now() + good).format_rfc3339_zulu();
    let count = Mutex::new(0);
    Double::start(move |asked| match asked.path.as_str() {
        "/latest/api/token" => Said::status(200).body("token"),
        "/latest/meta-data/iam/security-credentials/" => Said::status(200).body("backup"),
        "/latest/meta-data/iam/security-credentials/backup" => {
            let mut count = count.lock().unwrap();
            *count += 1;
            let role = json!({
                "Code": "Success",
                "AccessKeyId": format!("ASIAROLE{count}"),
                "SecretAccessKey": "s",
                "Token": format!("of-role-{count}"),
                "Expiration": expiration,
            });
            Said::status(200).body(role.to_string())
        }
        _ => Said::status(404),
    })
}

#[test]
fn the_keys_of_an_instance_that_expire_within_a_run_are_asked_for_again() {
    if let Ok(endpoint) = std::env::var(WITHIN) {
        return listed_twice(&endpoint);
    }
    // They say so themselves, or the service says it.
    for (good, refused) in [(Duration::from_secs(100), false), (Duration::from_secs(86_400), true)] {
        let (metadata, count) = (metadata(good), Mutex::new(0));
        let service = Double::start(move |asked| {
            let mut count = count.lock().unwrap();
            *count += 1;
            if refused && *count > 1 && asked.header("authorization").contains("ASIAROLE1/") {
                return Said::status(400).body("<Error><Code>ExpiredToken</Code></Error>");
            }
            Said::status(200).body("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        });
        let home = tempfile::tempdir().unwrap();
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_keys_of_an_instance_that_expire_within_a_run_are_asked_for_again"])
            .env_clear()
            .env("HOME", home.path())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.endpoint())
            .env(WITHIN, service.endpoint())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{good:?}: {said}");
        let asked = service.asked();
        let tokens: Vec<&str> = asked.iter().map(|asked| asked.header("x-amz-security-token")).collect();
        match refused {
            true => assert_eq!(tokens, ["of-role-1", "of-role-1", "of-role-2"]),
            // Two minutes before their end they aren't used any more, if there are others.
            false => assert_eq!(tokens, ["of-role-1", "of-role-2"]),
        }
    }
}

fn listed_twice(endpoint: &str) {
    let cx = TestHost::new().context();
    let options = json!({ "bucket": "backups", "endpoint": endpoint, "region": "eu-central-1" });
    let storage = S3::new(serde_json::from_value(options).unwrap(), &cx).unwrap();
    for _ in 0..2 {
        assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
    }
}
