//! Whom a stream can be encrypted to, and what opens it.

mod common;

use common::{CHUNKS_PUBLIC, CHUNKS_SECRET, Gpg, MODERN, RSA, decode, encode, made, openpgp};
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

const A: &str = "a@example.org";
const B: &str = "b@example.org";

/// The identifier of the key that the first packet is for.
fn first_key_id(stored: &[u8]) -> &[u8] {
    let length_octets =
        if stored[0] & 0x40 != 0 { 1 + usize::from(stored[1] >= 192) } else { 1 << (stored[0] & 3) };
    let body = 1 + length_octets;
    assert_eq!(stored[body], 3, "not a packet of version 3");
    &stored[body + 1..body + 9]
}

fn refused(options: Value) -> Error {
    let error = made(options).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    error
}

#[test]
fn each_of_several_recipients_can_read_alone_and_is_named_by_a_short_fingerprint() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    gpg.key(B, RSA, "", "never");
    let file = gpg.write("b.gpg", gpg.run(&format!("--export {B}"), b""));
    let filter = openpgp(json!({ "recipients": [gpg.public(A)], "recipient_files": [file] }));
    let plain = noise(1, 200_000);
    let (stored, params) = encode(&filter, &plain);
    let short = |address| gpg.fingerprint(address)[..16].to_owned();
    assert_eq!(params["recipients"], json!([short(A), short(B)]));
    for address in [A, B] {
        let binary = gpg.write("key.gpg", gpg.secret(address, "", ""));
        for options in
            [json!({ "identities": [gpg.secret_text(address, "")] }), json!({ "identity_files": [binary] })]
        {
            assert!(decode(&openpgp(options), &params, &stored).unwrap() == plain, "{address}");
        }
        let alone = Gpg::new();
        alone.run("--import", &gpg.secret(address, "", ""));
        assert!(alone.run("-d", &stored) == plain, "{address}");
    }
}

#[test]
fn a_key_is_found_in_a_keyring_by_its_fingerprint_or_address() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    gpg.key(B, MODERN, "", "never");
    gpg.run("--passphrase '' --quick-generate-key 'B again <b@example.org>' default default 1y", b"");
    let ring = gpg.write("ring.gpg", gpg.run("--export", b""));
    let armored = gpg.write("ring.asc", gpg.run("--armor --export", b""));
    let fingerprint = gpg.fingerprint(A);
    let spaced = format!("{} {}", &fingerprint[..20], &fingerprint[20..]);
    for ring in [&ring, &armored] {
        for name in
            [A, "A@Example.org", &fingerprint, &spaced, &fingerprint[24..], &fingerprint.to_lowercase()]
        {
            let filter = openpgp(json!({ "recipients": [name], "keyring": [ring] }));
            assert_eq!(encode(&filter, b"hello").1["recipients"], json!([fingerprint[..16]]), "{name}");
        }
    }
    for (name, told) in [
        ("c@example.org", "recipient 1 is in no file of `keyring`"),
        ("example.org", "recipient 1 is neither a key nor the name of one"),
        (&fingerprint[32..], "recipient 1 is neither a key nor the name of one"),
        (B, "recipient 1 means 2 keys of `keyring`"),
    ] {
        let error = refused(json!({ "recipients": [name], "keyring": [ring] }));
        assert!(error.message.contains(told), "{name}: {error}");
    }
    let error = refused(json!({ "recipients": [A] }));
    assert!(error.message.contains("there is no `keyring`"), "{error}");
    let error = refused(json!({ "recipients": [A], "keyring": [gpg.path("pubring.kbx")] }));
    assert!(error.message.contains("no export") && error.hint.unwrap().contains("gpg --export"));
}

#[test]
fn keys_that_expired_or_were_revoked_or_cannot_encrypt_are_refused_before_anything_is_written() {
    let gpg = Gpg::new();
    let then = "--faked-system-time 20200101T000000 --passphrase ''";
    gpg.run(&format!("{then} --quick-generate-key 'old <old@example.org>' rsa2048 default 1y"), b"");
    gpg.run("--passphrase '' --quick-generate-key 'sign <sign@example.org>' ed25519 sign never", b"");
    gpg.key("gone@example.org", MODERN, "", "never");
    let gone = gpg.fingerprint("gone@example.org");
    // The certificate of revocation that `gpg` made in advance has a colon, so that nobody imports it by mistake.
    let certificate = std::fs::read_to_string(gpg.path(&format!("openpgp-revocs.d/{gone}.rev"))).unwrap();
    gpg.run("--import", certificate.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    // The main key holds, the subkey doesn't any more.
    gpg.run(&format!("{then} --quick-generate-key 'sub <sub@example.org>' ed25519 cert never"), b"");
    let sub = gpg.fingerprint("sub@example.org");
    gpg.run(&format!("{then} --quick-add-key {sub} cv25519 encr 1y"), b"");
    let late = "--faked-system-time 20990101T000000 --passphrase ''";
    gpg.run(&format!("{late} --quick-generate-key 'late <late@example.org>' ed25519 default never"), b"");
    for (address, told) in [
        ("old@example.org", "expired "),
        ("sign@example.org", "none of its keys is for encryption"),
        ("gone@example.org", "was revoked"),
        ("sub@example.org", "its key for encryption expired "),
        ("late@example.org", "was made in the future"),
    ] {
        let error = refused(json!({ "recipients": [gpg.public(address)] }));
        assert!(
            error.message.contains("recipient 1 (`") && error.message.contains(told),
            "{address}: {error}"
        );
    }
    gpg.run(&format!("--passphrase '' --quick-add-key {sub} cv25519 encr 10y"), b"");
    openpgp(json!({ "recipients": [gpg.public("sub@example.org")] }));
}

/// Of the subkeys that hold GnuPG takes the newest; so does this filter.
#[test]
fn the_subkey_is_chosen_as_gpg_does() {
    let gpg = Gpg::new();
    let at = |time: &str| format!("--faked-system-time {time} --passphrase ''");
    gpg.run(&format!("{} --quick-generate-key 'a <{A}>' ed25519 cert never", at("20200101T000000")), b"");
    let fingerprint = gpg.fingerprint(A);
    let add = |time, kind, expires| {
        gpg.run(&format!("{} --quick-add-key {fingerprint} {kind} {expires}", at(time)), b"")
    };
    add("20200102T000000", "cv25519 encr", "never");
    let chosen = || {
        let ours = encode(&openpgp(json!({ "recipients": [gpg.public(A)] })), b"hello").0;
        let theirs = gpg.encrypt(&format!("-e -r {A}"), b"hello");
        assert_eq!(first_key_id(&ours), first_key_id(&theirs));
        first_key_id(&ours).to_vec()
    };
    let first = chosen();
    add("20210101T000000", "rsa2048 encr", "never");
    let second = chosen();
    assert_ne!(first, second);
    // Newer, and expired; newer, and for signing.
    add("20220101T000000", "cv25519 encr", "1y");
    add("20220102T000000", "ed25519 sign", "never");
    assert_eq!(chosen(), second);
    // Revoked: the one before it counts again.
    let edit = format!("--command-fd 0 --expert --edit-key {fingerprint}");
    gpg.run(&format!("--passphrase '' {edit}"), b"key 2\nrevkey\ny\n0\n\ny\nsave\n");
    assert_eq!(chosen(), first);
}

#[test]
fn a_locked_key_opens_with_its_passphrase_and_only_where_it_is_needed() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "open it", "never");
    gpg.key(B, RSA, "open it", "never");
    gpg.key("c@example.org", MODERN, "", "never");
    let plain = gpg.secret_text("c@example.org", "");
    for address in [A, B] {
        let locked = gpg.secret_text(address, "open it");
        let recipients = [gpg.public(address), gpg.public("c@example.org")];
        let (stored, params) = encode(&openpgp(json!({ "recipients": recipients })), b"hello");
        let read = |options: Value| decode(&openpgp(options), &params, &stored);
        for passphrases in [json!(["open it"]), json!(["wrong", "open it"])] {
            let options = json!({ "identities": [locked], "passphrases": passphrases });
            assert_eq!(read(options).unwrap(), b"hello", "{address} {passphrases}");
        }
        let error = read(json!({ "identities": [locked] })).unwrap_err();
        assert!(error.message.contains("needs a passphrase"), "{error}");
        let error = read(json!({ "identities": [locked], "passphrase": "open it not" })).unwrap_err();
        assert!(error.message.contains("none of the 1 identities"), "{error}");
        assert!(!format!("{error:?}").contains("open it not"), "{error:?}");
        // A secret that can't be revealed shows that nobody asked for it.
        let options = json!({ "identities": [locked, plain], "passphrase": { "$secret": "unknown" } });
        assert_eq!(read(options).unwrap(), b"hello");
    }
}

#[test]
fn a_key_that_opens_the_stream_is_enough_whatever_is_wrong_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, other) = (folder.path().join("missing.asc"), folder.path().join("key.txt"));
    std::fs::write(&other, "AGE-SECRET-KEY-1NONSENSE\n").unwrap();
    let (stored, params) = encode(&openpgp(json!({ "recipients": [CHUNKS_PUBLIC] })), b"hello");
    let with = |identities: &[&str]| json!({ "identities": identities, "identity_files": [missing, other] });
    assert_eq!(decode(&openpgp(with(&["nonsense", CHUNKS_SECRET])), &params, &stored).unwrap(), b"hello");
    let error = decode(&openpgp(with(&[])), &params, &stored).unwrap_err();
    assert!(error.to_string().contains("missing.asc"), "{error}");
}

#[test]
fn a_key_whose_main_part_was_left_out_opens_what_its_subkey_can() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    let subkeys = gpg.run(&format!("--passphrase '' --export-secret-subkeys {A}"), b"");
    let file = gpg.write("subkeys.gpg", subkeys);
    let (stored, params) = encode(&openpgp(json!({ "recipients": [gpg.public(A)] })), b"hello");
    assert_eq!(decode(&openpgp(json!({ "identity_files": [file] })), &params, &stored).unwrap(), b"hello");
}

#[test]
fn a_message_that_hides_its_recipients_is_opened_by_the_key_that_fits() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    gpg.key(B, RSA, "", "never");
    let all = json!({ "identities": [gpg.secret_text(A, ""), gpg.secret_text(B, "")] });
    for address in [A, B] {
        let stored = gpg.encrypt(&format!("-e -R {address}"), b"hello");
        assert_eq!(decode(&openpgp(all.clone()), &Map::new(), &stored).unwrap(), b"hello", "{address}");
    }
}

#[test]
fn a_passphrase_interoperates_with_gpg_and_old_ones_are_tried() {
    let gpg = Gpg::new();
    let new = openpgp(json!({ "passphrase": "new one" }));
    let (ours, params) = encode(&new, b"hello");
    assert_eq!(params["recipients"], json!(["passphrase"]));
    assert_eq!(new.by_hand().unwrap(), "gpg -d");
    assert_eq!(gpg.run("--passphrase 'new one' -d", &ours), b"hello");
    let reading = openpgp(json!({ "passphrase": "new one", "passphrases": ["older", "old one"] }));
    assert_eq!(decode(&reading, &params, &ours).unwrap(), b"hello");
    for options in
        ["", "--cipher-algo AES128", "--cipher-algo 3DES", "--cipher-algo TWOFISH", "--s2k-mode 1", "-a"]
    {
        let theirs = gpg.run(&format!("--passphrase 'old one' {options} -c"), &noise(1, 100_000));
        assert!(decode(&reading, &Map::new(), &theirs).unwrap() == noise(1, 100_000), "{options}");
    }
    // To a key and with a passphrase: either opens it.
    gpg.key(A, MODERN, "", "never");
    let both = gpg.encrypt(&format!("--passphrase 'old one' -c -e -r {A}"), b"hello");
    let keyed = openpgp(json!({ "identities": [gpg.secret_text(A, "")] }));
    for filter in [reading, keyed] {
        assert_eq!(decode(&filter, &Map::new(), &both).unwrap(), b"hello");
    }
}

/// The version of the protected packet.
fn version(stored: &[u8], heads: usize) -> u8 {
    let mut at = 0;
    for _ in 0..heads {
        assert_eq!(stored[at], 0xc1);
        at += 2 + usize::from(stored[at + 1]);
    }
    assert_eq!(stored[at], 0xd2);
    stored[at + 2]
}

#[test]
fn a_passphrase_that_can_not_be_had_does_not_keep_the_others_from_being_tried() {
    let missing = json!({ "$secret": "unknown" });
    let (stored, params) = encode(&openpgp(json!({ "passphrase": "right" })), b"hello");
    let filter = openpgp(json!({ "passphrase": missing, "passphrases": [missing, "right"] }));
    assert_eq!(decode(&filter, &params, &stored).unwrap(), b"hello");
    let error = decode(&openpgp(json!({ "passphrase": missing })), &params, &stored).unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
}

#[test]
fn chunks_with_tags_are_written_only_where_all_recipients_announce_them() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    let alone = openpgp(json!({ "recipients": [CHUNKS_PUBLIC] }));
    let both = openpgp(json!({ "recipients": [CHUNKS_PUBLIC, gpg.public(A)] }));
    let reads = openpgp(json!({ "identities": [CHUNKS_SECRET] }));
    for (filter, heads, expected) in [(&alone, 1, 2), (&both, 2, 1)] {
        let (stored, params) = encode(filter, b"hello");
        assert_eq!(version(&stored, heads), expected);
        assert_eq!(decode(&reads, &params, &stored).unwrap(), b"hello");
    }
    let (stored, params) = encode(&both, b"hello");
    let of_gpg = openpgp(json!({ "identities": [gpg.secret_text(A, "")] }));
    assert_eq!(decode(&of_gpg, &params, &stored).unwrap(), b"hello");
    assert_eq!(gpg.sh(&both.by_hand().unwrap(), &stored), b"hello");
    // `gpg` doesn't read chunks: RESTORE.txt must name something that does.
    assert!(alone.by_hand().unwrap().starts_with("sop decrypt"));
}

/// Other libraries read it too: here the one that this filter takes its ciphers from, by its own reader of messages.
#[test]
fn chunks_with_tags_are_read_by_another_reader() {
    use pgp::composed::{Deserializable, Message, SignedSecretKey};
    let plain = noise(7, 200_000);
    let (stored, _) = encode(&openpgp(json!({ "recipients": [CHUNKS_PUBLIC] })), &plain);
    let key = SignedSecretKey::from_string(CHUNKS_SECRET).unwrap().0;
    let message = Message::from_bytes(&stored[..]).unwrap();
    let mut message = message.decrypt(&pgp::types::Password::empty(), &key).unwrap();
    assert!(message.as_data_vec().unwrap() == plain);
}

#[test]
fn as_many_recipients_as_are_taken_can_be_read_again_and_one_more_is_refused() {
    use pgp::composed::{EncryptionCaps, KeyType, SecretKeyParamsBuilder, SubkeyParamsBuilder};
    let keys: Vec<String> = (0..101)
        .map(|number| {
            let mut subkey = SubkeyParamsBuilder::default();
            let subkey = subkey.key_type(KeyType::X25519).can_encrypt(EncryptionCaps::All).build().unwrap();
            let mut key = SecretKeyParamsBuilder::default();
            key.key_type(KeyType::Ed25519)
                .can_certify(true)
                .primary_user_id(format!("{number}"))
                .subkey(subkey);
            let key = key.build().unwrap().generate(rand::rngs::OsRng).unwrap();
            key.to_public_key().to_armored_string(Default::default()).unwrap()
        })
        .collect();
    let most = [&keys[..99], &[CHUNKS_PUBLIC.to_owned()]].concat();
    let (stored, params) = encode(&openpgp(json!({ "recipients": most })), b"hello");
    let reads = openpgp(json!({ "identities": [CHUNKS_SECRET] }));
    assert_eq!(decode(&reads, &params, &stored).unwrap(), b"hello");
    let error = refused(json!({ "recipients": keys }));
    assert!(error.message.contains("101 recipients are more than 100"), "{error}");
}

#[test]
fn a_key_of_a_kind_that_is_not_supported_is_named_and_a_sound_stream_to_it_is_not_called_damaged() {
    let gpg = Gpg::new();
    for (kinds, passphrase, name) in [
        ("dsa2048 elg2048", "", "ElGamal"),
        ("brainpoolP256r1 brainpoolP256r1", "open sesame", "brainpoolP256r1"),
        ("ed25519 brainpoolP384r1", "", "brainpoolP384r1"),
        ("secp256k1 secp256k1", "", "secp256k1"),
    ] {
        let address = format!("{name}@example.org");
        gpg.key(&address, kinds, passphrase, "never");
        let error = refused(json!({ "recipients": [gpg.public(&address)] }));
        let told = format!("a key of a kind that isn't supported: {name}");
        assert!(error.message.contains(&told), "{kinds}: {error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("RSA")), "{kinds}");
        let stored = gpg.encrypt(&format!("-e -r {address}"), b"hello");
        let secret = gpg.secret_text(&address, passphrase);
        let filter = openpgp(json!({ "identities": [secret], "passphrases": ["open sesame"] }));
        let error = decode(&filter, &Map::new(), &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{kinds}: {error}");
        assert!(error.message.contains(&format!("supported: {name}")), "{kinds}: {error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("`gpg -d`")), "{kinds}");
    }
}

#[test]
fn another_key_opens_a_stream_that_is_also_to_one_that_is_not_supported() {
    let gpg = Gpg::new();
    let other = "other@example.org";
    gpg.key(other, "brainpoolP256r1 brainpoolP256r1", "", "never");
    gpg.key(A, MODERN, "", "never");
    let stored = gpg.encrypt(&format!("-e -r {other} -r {A}"), b"hello");
    let both = json!({ "identities": [gpg.secret_text(other, ""), gpg.secret_text(A, "")] });
    assert_eq!(decode(&openpgp(both), &Map::new(), &stored).unwrap(), b"hello");
    // In a file of recipients everybody counts; in a keyring those that are named.
    let ring = gpg.write("ring.gpg", gpg.run("--export", b""));
    openpgp(json!({ "recipients": [A], "keyring": [&ring] }));
    let error = refused(json!({ "recipient_files": [ring] }));
    assert!(error.message.contains("supported: brainpoolP256r1"), "{error}");
    let filter = openpgp(json!({ "recipients": [gpg.public(A)], "sign_with": gpg.secret_text(A, "") }));
    let (signed, params) = encode(&filter, b"hello");
    // Who may have signed is no list of readers: one that works is enough.
    gpg.key(B, "secp256k1 secp256k1", "", "never");
    let signers = gpg.write("signers.gpg", gpg.run("--export", b""));
    let error = refused(json!({ "recipients": [B], "keyring": [&signers] }));
    assert!(error.hint.is_some_and(|hint| hint.contains("supported: secp256k1")), "{}", error.message);
    let reading = json!({ "identities": [gpg.secret_text(A, "")], "signer_files": [signers] });
    assert_eq!(decode(&openpgp(reading), &params, &signed).unwrap(), b"hello");
    // Of several subkeys the one that works.
    let fingerprint = gpg.fingerprint(A);
    gpg.run(&format!("--passphrase '' --quick-add-key {fingerprint} brainpoolP256r1 encr never"), b"");
    let (stored, params) = encode(&openpgp(json!({ "recipients": [gpg.public(A)] })), b"hello");
    let identity = json!({ "identities": [gpg.secret_text(A, "")] });
    assert_eq!(decode(&openpgp(identity), &params, &stored).unwrap(), b"hello");
    assert_eq!(gpg.run("-d", &stored), b"hello");
}

#[test]
fn a_key_to_sign_with_that_is_none_or_not_supported_is_an_error_of_the_config_when_encoding_begins() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    gpg.key(B, "brainpoolP256r1 cv25519", "", "never");
    let k = "k@example.org";
    gpg.key(k, "secp256k1 secp256k1", "", "never");
    for (key, told) in [
        ("nonsense".to_owned(), "`sign_with` holds no OpenPGP key"),
        (gpg.public(A), "`sign_with` holds a public key and no private one"),
        (gpg.secret_text(B, ""), "supported: brainpoolP256r1"),
        (gpg.secret_text(k, ""), "supported: secp256k1"),
    ] {
        let filter = openpgp(json!({ "recipients": [gpg.public(A)], "sign_with": key }));
        let (next, view) = TestSink::new();
        let error = filter.encode(&Context::default(), "data", Box::new(next)).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(told), "{told}: {error}");
        assert!(view.seen().bytes.is_empty(), "{told}");
    }
}

#[test]
fn a_byte_order_mark_before_a_key_is_passed_over() {
    let gpg = Gpg::new();
    gpg.key(A, MODERN, "", "never");
    let public = gpg.write("a.pub", format!("\u{feff}{}", gpg.public(A)));
    let secret = gpg.write("a.sec", format!("\u{feff}{}", gpg.secret_text(A, "")));
    let (stored, params) = encode(&openpgp(json!({ "recipient_files": [public] })), b"hello");
    for options in [
        json!({ "identity_files": [secret] }),
        json!({ "identities": [format!("\u{feff}{}", gpg.secret_text(A, ""))] }),
    ] {
        assert_eq!(decode(&openpgp(options), &params, &stored).unwrap(), b"hello");
    }
}
