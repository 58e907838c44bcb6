//! The program `gpg` on the other side, and every kind of key.

mod common;

use common::{Gpg, MODERN, RSA, decode, encode, openpgp};
use serde_json::{Map, json};
use windlass_plugin_api::Filter;
use windlass_testkit::noise::noise;

const LENGTHS: [usize; 8] = [0, 1, 191, 65_529, 65_530, 65_536, 131_073, 3_000_000];

#[test]
fn gpg_reads_what_was_encoded_with_each_kind_of_key() {
    let gpg = Gpg::new();
    gpg.key("new@example.org", MODERN, "", "never");
    gpg.key("old@example.org", RSA, "", "never");
    for address in ["new@example.org", "old@example.org"] {
        for (length, armor) in LENGTHS.into_iter().flat_map(|length| [(length, false), (length, true)]) {
            let filter = openpgp(json!({ "recipients": [gpg.public(address)], "armor": armor }));
            let plain = noise(length as u64, length);
            let (stored, _) = encode(&filter, &plain);
            assert_eq!(stored.starts_with(b"-----BEGIN PGP MESSAGE-----\n"), armor);
            let by_hand = filter.by_hand().unwrap();
            assert!(gpg.sh(&by_hand, &stored) == plain, "{address}: {length} bytes, armor {armor}");
        }
    }
}

#[test]
fn what_gpg_wrote_is_decoded() {
    let gpg = Gpg::new();
    gpg.key("new@example.org", MODERN, "", "never");
    gpg.key("old@example.org", RSA, "", "never");
    for address in ["new@example.org", "old@example.org"] {
        let filter = openpgp(json!({ "identities": [gpg.secret_text(address, "")] }));
        for length in LENGTHS {
            for options in [
                "",
                "-a",
                "-z 0",
                "-a --compress-algo zlib",
                "--compress-algo bzip2",
                "-s -u old@example.org",
            ] {
                let mut plain = noise(length as u64, length);
                plain.iter_mut().step_by(2).for_each(|byte| *byte = 0);
                let stored = gpg.encrypt(&format!("{options} -e -r {address}"), &plain);
                let decoded = decode(&filter, &Map::new(), &stored).unwrap();
                assert!(decoded == plain, "{address}: {length} bytes, {options}");
            }
        }
    }
}
