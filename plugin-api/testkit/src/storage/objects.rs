//! Objects: what was put comes back, whole or in part, under any key that may be; what isn't there is told as such.

use std::io::Write;

use windlass_plugin_api::{ByteRange, ErrorKind};

use super::Subject;
use crate::noise::noise;

/// Nothing, one byte, odd sizes, more than any buffer; `stat`, `list` and the bytes agree, for another instance too.
pub fn what_is_put_comes_back(subject: &Subject) {
    let sizes = [0, 1, 511, 65_537, 1_000_003, 9 * 1024 * 1024 + 1];
    for size in sizes {
        let (key, bytes) = (format!("sizes/{size:08}"), noise(size as u64, size));
        subject.put(&key, &bytes);
        assert!(subject.get(&key) == bytes, "{size} bytes came back as others");
        let seen = subject.storage.stat(&subject.cx(), &key).unwrap().expect("it was just put");
        assert_eq!((seen.key, seen.size_bytes), (key.clone(), size as u64));
        let other =
            subject.another().stat(&subject.cx(), &key).unwrap().expect("another instance doesn't see it");
        assert_eq!(other.size_bytes, size as u64);
    }
    let what = windlass_plugin_api::ListOptions::default();
    let page = subject.storage.list(&subject.cx(), &what).unwrap();
    let listed: Vec<usize> = page.entries.iter().map(|entry| entry.size_bytes as usize).collect();
    assert_eq!(listed, sizes, "the sizes that are listed");
}

/// However small the pieces are.
pub fn writes_of_one_byte_come_back(subject: &Subject) {
    let (bytes, mut upload) = (noise(4, 5_003), subject.begin("small"));
    for byte in bytes.chunks(1) {
        upload.write_all(byte).unwrap();
    }
    upload.finish().unwrap();
    upload.publish().unwrap();
    assert!(subject.get("small") == bytes, "other bytes came back");
}

/// Inside, at both ends, past the end, and empty ones.
pub fn ranges_are_what_they_name(subject: &Subject) {
    let bytes = noise(5, 300_000);
    subject.put("a", &bytes);
    subject.put("empty", b"");
    let end = bytes.len() as u64;
    let offsets = [0, 1, 65_535, 150_000, end - 1, end, end + 1, end + 1_000_000];
    let lengths = [Some(0), Some(1), Some(70_000), Some(end), Some(u64::MAX), None];
    for (offset, length) in offsets.into_iter().flat_map(|offset| lengths.map(|length| (offset, length))) {
        let range = ByteRange { offset, length };
        let got = subject.get_part("a", Some(range)).unwrap_or_else(|error| panic!("{range:?}: {error}"));
        let from = offset.min(end) as usize;
        let to = length.map_or(end, |length| offset.saturating_add(length).min(end)) as usize;
        assert!(got == bytes[from..to.max(from)], "{range:?} gave {} other bytes", got.len());
        let of_empty =
            subject.get_part("empty", Some(range)).unwrap_or_else(|error| panic!("{range:?}: {error}"));
        assert_eq!(of_empty, b"", "{range:?} of an empty object");
    }
}

/// `open` says `NotFound`, `stat` says `None`, with and without a range, also for what is only a prefix of a key.
pub fn what_is_not_there_is_told(subject: &Subject) {
    subject.put("folder/object", b"bytes");
    for key in ["nothing", "folder", "folder/objec", "folder/object/deeper", "folder/nothing"] {
        assert_eq!(subject.storage.stat(&subject.cx(), key).unwrap(), None, "`{key}`");
        for range in [None, Some(ByteRange { offset: 0, length: Some(1) })] {
            let error = subject.get_part(key, range).expect_err("opened what isn't there");
            assert_eq!(error.kind, ErrorKind::NotFound, "`{key}`: {error}");
        }
    }
}

/// The longest keys, and every character that keys are made of.
pub fn every_key_of_the_contract_is_kept(subject: &Subject) {
    let (longest, segment) = (subject.key_bytes, "s".repeat(100));
    let keys = [
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789".to_owned(),
        "..a/.hidden/a../-/_/a.b-c_d".to_owned(),
        "CON/nul.txt/-rf".to_owned(),
        format!("{segment}/{}", &segment[..longest - 101]),
        "k".repeat(longest),
        "d/".repeat(longest / 2 - 1) + &"d".repeat(2 + longest % 2),
    ];
    keep(subject, &keys);
}

/// Where the description says `odd_keys`: spaces, signs of URLs and shells, other scripts.
pub fn odd_keys_are_kept_where_they_are_declared(subject: &Subject) {
    if !subject.info.odd_keys {
        return;
    }
    let keys = [
        "a b/c  d",
        "100%/%2e%2e/%",
        "a+b&c=d?e#f",
        "quote'\"`$(x)\\",
        "ü/日本語/🙂",
        "tab\tnewline\n",
        "~/:*|<>",
    ];
    keep(subject, &keys.map(str::to_owned));
}

fn keep(subject: &Subject, keys: &[String]) {
    for (number, key) in keys.iter().enumerate() {
        subject.put(key, &noise(number as u64, 100 + number));
    }
    for (number, key) in keys.iter().enumerate() {
        assert!(subject.get(key) == noise(number as u64, 100 + number), "`{key}` holds other bytes");
        let seen = subject.storage.stat(&subject.cx(), key).unwrap();
        assert_eq!(seen.map(|object| object.key).as_ref(), Some(key));
        assert_eq!(subject.keys(key), std::slice::from_ref(key), "listed by its whole key as prefix");
    }
    let mut sorted = keys.to_vec();
    sorted.sort();
    assert_eq!(subject.keys(""), sorted);
    let fates = subject.storage.delete(&subject.cx(), keys).unwrap();
    assert!(fates.iter().all(Result::is_ok), "{fates:?}");
    assert_eq!(subject.keys(""), Vec::<String>::new());
}

/// What could lead outside of a folder is refused, by every call that takes a key.
pub fn keys_that_lead_outside_are_refused(subject: &Subject) {
    subject.put("inside", b"bytes");
    for key in
        ["", "/", "/etc/passwd", "..", "../inside", "a/../../b", "a/../inside", ".", "./inside", "a//b", "a/"]
    {
        assert!(subject.create(key, &Default::default()).is_err(), "`{key}` was created");
        assert!(subject.get_part(key, None).is_err(), "`{key}` was opened");
        assert!(!matches!(subject.storage.stat(&subject.cx(), key), Ok(Some(_))), "`{key}` was found");
        let fates = subject.storage.delete(&subject.cx(), &[key.to_owned()]);
        assert!(!matches!(fates.as_deref(), Ok([Ok(())])), "`{key}` was deleted");
    }
    assert_eq!(subject.get("inside"), b"bytes");
    assert_eq!(subject.keys(""), ["inside"]);
}

/// A result for each key, in order; what isn't there is deleted; what wasn't named stays.
pub fn what_is_deleted_is_gone_and_the_rest_stays(subject: &Subject) {
    for key in ["a", "b/1", "b/2", "b/22", "c"] {
        subject.put(key, key.as_bytes());
    }
    let named = ["b/2", "absent/key", "a"].map(str::to_owned);
    let fates = subject.storage.delete(&subject.cx(), &named).unwrap();
    assert_eq!(fates, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(subject.keys(""), ["b/1", "b/22", "c"]);
    assert_eq!(subject.storage.stat(&subject.cx(), "a").unwrap(), None);
    assert_eq!(subject.get_part("b/2", None).unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(subject.get("b/22"), b"b/22");
    assert_eq!(subject.storage.delete(&subject.cx(), &[]).unwrap(), []);
    subject.put("b/2", b"again");
    assert_eq!(subject.get("b/2"), b"again");
}

/// It goes into RESTORE.txt, which anybody may read.
pub fn the_command_by_hand_holds_no_secret(subject: &Subject) {
    let command = subject.storage.by_hand("shop/data.zst").unwrap_or_default();
    for secret in &subject.secrets {
        assert!(!command.contains(secret), "the command by hand holds a secret");
    }
}
