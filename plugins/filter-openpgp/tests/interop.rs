//! The program `gpg` on the other side, and every kind of key.

mod common;

use common::{Gpg, MODERN, RSA, decode, encode, openpgp};
use serde_json::{Map, json};
use windlass_plugin_api::{ErrorKind, Filter};
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

#[test]
fn keys_of_nist_curves_work_both_ways() {
    let gpg = Gpg::new();
    for curve in ["nistp256", "nistp384", "nistp521"] {
        gpg.key(curve, &format!("{curve} {curve}"), "", "never");
        let secret = gpg.secret_text(curve, "");
        let filter = openpgp(json!({ "recipients": [gpg.public(curve)], "sign_with": secret }));
        let plain = noise(1, 100_000);
        let (stored, params) = encode(&filter, &plain);
        assert!(gpg.sh(&filter.by_hand().unwrap(), &stored) == plain, "{curve}");
        let reading = openpgp(json!({ "identities": [secret], "signers": [gpg.public(curve)] }));
        assert!(decode(&reading, &params, &stored).unwrap() == plain, "{curve}");
        let of_gpg = gpg.encrypt(&format!("-s -u {curve} -e -r {curve}"), &plain);
        assert!(decode(&reading, &Map::new(), &of_gpg).unwrap() == plain, "{curve}");
    }
}

/// Signatures of a text count its line ends as they are in the message, which is checked on the way.
#[test]
fn a_message_of_text_mode_gives_what_gpg_gives() {
    let gpg = Gpg::new();
    gpg.key("new@example.org", MODERN, "", "never");
    let filter = openpgp(json!({ "identities": [gpg.secret_text("new@example.org", "")] }));
    let mut texts = vec![b"a\nb\r\nc\rd\n\r\r\n\ne".to_vec(), b"\n".to_vec(), Vec::new()];
    // Line ends at every place of a buffer, and a buffer of nothing else.
    texts.push([&b"line\n".repeat(30_000)[..], &b"\n".repeat(70_000), b"end"].concat());
    for plain in texts {
        for options in ["-t", "-t -z 0", "-t -a", "-t -s -u new@example.org"] {
            let stored = gpg.encrypt(&format!("{options} -e -r new@example.org"), &plain);
            let by_gpg = gpg.run("-d", &stored);
            assert!(decode(&filter, &Map::new(), &stored).unwrap() == by_gpg, "{options}, {}", plain.len());
        }
    }
    // Bytes that aren't text keep theirs.
    let stored = gpg.encrypt("-e -r new@example.org", b"a\r\nb\r");
    assert_eq!(decode(&filter, &Map::new(), &stored).unwrap(), b"a\r\nb\r");
}

#[test]
fn armor_that_gpg_reads_is_read_and_what_was_cut_off_or_doubled_is_not() {
    let gpg = Gpg::new();
    gpg.key("new@example.org", MODERN, "", "never");
    let filter = openpgp(json!({ "identities": [gpg.secret_text("new@example.org", "")] }));
    let plain = noise(1, 20_000);
    let whole = String::from_utf8(gpg.encrypt("-a -z 0 -e -r new@example.org", &plain)).unwrap();
    let (begin, rest) = whole.split_once('\n').unwrap();
    for (what, armor) in [
        ("a header without a value", format!("{begin}\nComment:\n{rest}")),
        ("a header of spaces", format!("{begin}\nComment: \nHash: \n{rest}")),
        ("an empty line first", format!("\n{whole}")),
        ("text first", format!("Dear all,\n\nhere it is:\n{whole}")),
        ("text behind", format!("{whole}\nYours\n")),
        ("no last line break", whole.trim_end().to_owned()),
        ("other line ends", format!("hello\r\n{}", whole.replace('\n', "\r\n"))),
        ("other line ends, and none at the end", whole.trim_end().replace('\n', "\r\n")),
    ] {
        assert!(gpg.run("-d", armor.as_bytes()) == plain, "gpg, {what}");
        assert!(decode(&filter, &Map::new(), armor.as_bytes()).is_ok_and(|read| read == plain), "{what}");
    }
    let end = whole.find("-----END").unwrap();
    for (what, armor) in [
        ("no last mark", whole[..end].to_owned()),
        ("half of the last mark", whole.trim_end().trim_end_matches('-').to_owned()),
        ("half of it", whole[..whole.len() / 2].to_owned()),
        ("two", format!("{whole}{whole}")),
        ("another one behind text", format!("{whole}and\n{whole}")),
        ("too much text first", format!("{}{whole}", "text\n".repeat(20_000))),
        ("too much text behind", format!("{whole}{}", "text\n".repeat(20_000))),
        ("text and no message", "text\n".repeat(10)),
    ] {
        let error = decode(&filter, &Map::new(), armor.as_bytes()).expect_err(what);
        assert_eq!(error.kind, ErrorKind::Damaged, "{what}: {error}");
    }
    // What this filter wrote has nothing behind it.
    let (ours, params) =
        encode(&openpgp(json!({ "recipients": [gpg.public("new@example.org")], "armor": true })), &plain);
    assert!(decode(&filter, &params, &ours).unwrap() == plain);
    for changed in [&ours[..ours.len() - 1], &[&ours, &b"Yours\n"[..]].concat()] {
        assert_eq!(decode(&filter, &params, changed).unwrap_err().kind, ErrorKind::Damaged);
        assert!(decode(&filter, &Map::new(), changed).unwrap() == plain);
    }
}
