//! Pax records: `<length> <key>=<value>\n`, where a tar header can't say something.

use windlass_plugin_api::Result;

use super::{Extent, Time, Xattr, broken};

/// The prefix of the records that hold extended attributes; GNU tar, bsdtar and star agree on it.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// Appends a record.
pub fn put(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Appends a record with a number.
pub fn put_number(records: &mut Vec<u8>, key: &[u8], number: u64) {
    put(records, key, number.to_string().as_bytes());
}

/// Appends a record with a time.
pub fn put_time(records: &mut Vec<u8>, key: &[u8], time: Time) {
    // The fraction counts away from zero: 0.25 s before 1970 is (-1 s, 750,000,000 ns) here and `-0.250000000` there.
    let text = if time.seconds < 0 && time.nanoseconds > 0 {
        format!("-{}.{:09}", -(time.seconds + 1), 1_000_000_000 - time.nanoseconds)
    } else if time.nanoseconds > 0 {
        format!("{}.{:09}", time.seconds, time.nanoseconds)
    } else {
        time.seconds.to_string()
    };
    put(records, key, text.as_bytes());
}

/// Appends the record of an extended attribute.
pub fn put_xattr(records: &mut Vec<u8>, (name, value): &Xattr) {
    let mut key = XATTR.to_vec();
    for &byte in name {
        // As GNU tar does: an equals sign would end the key.
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            _ => key.push(byte),
        }
    }
    put(records, &key, value);
}

/// What the records of one member, or of the whole archive, say.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `path`, or the real name of a sparse file.
    pub path: Option<Vec<u8>>,
    /// `linkpath`.
    pub link: Option<Vec<u8>>,
    /// `size`: how many bytes are stored.
    pub size: Option<u64>,
    /// `uid`.
    pub uid: Option<u64>,
    /// `gid`.
    pub gid: Option<u64>,
    /// `mtime`.
    pub mtime: Option<Time>,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
    /// The records of a sparse file.
    pub sparse: Sparse,
}

/// What the records say of a sparse file.
#[derive(Clone, Debug, Default)]
pub struct Sparse {
    /// The form's version: (1, 0) keeps the map before the data.
    pub version: (u64, u64),
    /// The real name.
    pub name: Option<Vec<u8>>,
    /// The real size.
    pub size: Option<u64>,
    /// The map of the forms 0.0 and 0.1.
    pub map: Vec<Extent>,
    /// Form 0.0: an offset whose length is still to come.
    pending: Option<u64>,
}

impl Records {
    /// Takes over all records of `text`; later ones win. Unknown keys are passed over, as POSIX wants it.
    pub fn read(&mut self, mut text: &[u8]) -> Result<()> {
        while !text.is_empty() && text != [0] {
            let (record, rest) = next(text).ok_or_else(|| broken("a pax record can't be read"))?;
            let equals = record.iter().position(|&byte| byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(|| broken("a pax record has no value"))?);
            self.take(key, &value[1..])?;
            text = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let own = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = own(),
            b"linkpath" => self.link = own(),
            b"size" => self.size = optional(value)?,
            b"uid" => self.uid = optional(value)?,
            b"gid" => self.gid = optional(value)?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            b"GNU.sparse.major" => self.sparse.version.0 = number(value)?,
            b"GNU.sparse.minor" => self.sparse.version.1 = number(value)?,
            b"GNU.sparse.name" => self.sparse.name = own(),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.size = optional(value)?,
            b"GNU.sparse.map" => self.sparse.map = map(value)?,
            b"GNU.sparse.offset" => self.sparse.pending = optional(value)?,
            b"GNU.sparse.numbytes" => {
                let offset =
                    self.sparse.pending.take().ok_or_else(|| broken("a sparse map has no offset"))?;
                self.sparse.map.push(Extent { offset, length: number(value)? });
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    let name = decoded(name);
                    self.xattrs.retain(|(other, _)| *other != name);
                    self.xattrs.push((name, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record without its length and line end, and what follows it.
fn next(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = text.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    Some((record, &text[length..]))
}

fn number(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| broken("a pax record's number isn't one"))
}

/// An empty value takes a record back.
fn optional(value: &[u8]) -> Result<Option<u64>> {
    if value.is_empty() { Ok(None) } else { number(value).map(Some) }
}

fn time(value: &[u8]) -> Result<Time> {
    let wrong = || broken("a pax record's time isn't one");
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    if seconds < 0 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().map_err(|_| wrong())?;
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Form 0.1: `offset,length,offset,length,…`.
fn map(value: &[u8]) -> Result<Vec<Extent>> {
    let numbers: Vec<u64> = value
        .split(|&byte| byte == b',')
        .filter(|part| !part.is_empty())
        .map(number)
        .collect::<Result<_>>()?;
    if !numbers.len().is_multiple_of(2) {
        return Err(broken("a sparse map is incomplete"));
    }
    Ok(numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect())
}

fn decoded(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, skip) = match rest {
            [b'%', b'2', b'5', ..] => (b'%', 3),
            [b'%', b'3', b'D' | b'd', ..] => (b'=', 3),
            _ => (first, rest.len() - tail.len()),
        };
        plain.push(byte);
        rest = &rest[skip..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Records> {
        let mut records = Records::default();
        records.read(text).map(|()| records)
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in [1, 3, 4, 5, 90, 91, 92, 93, 94, 990, 991, 992, 993] {
            let mut text = Vec::new();
            put(&mut text, b"path", &vec![b'x'; length]);
            assert!(text.starts_with(format!("{} ", text.len()).as_bytes()), "{length}");
            assert_eq!(read(&text).unwrap().path.unwrap().len(), length);
        }
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        for (seconds, nanoseconds) in
            [(0, 0), (1, 5), (-1, 0), (-1, 750_000_000), (-2, 999_999_999), (1 << 40, 1)]
        {
            let time = Time { seconds, nanoseconds };
            let mut text = Vec::new();
            put_time(&mut text, b"mtime", time);
            assert_eq!(read(&text).unwrap().mtime, Some(time), "{}", String::from_utf8_lossy(&text));
        }
        assert_eq!(
            read(b"14 mtime=-0.5\n").unwrap().mtime,
            Some(Time { seconds: -1, nanoseconds: 500_000_000 })
        );
    }

    #[test]
    fn an_attribute_with_an_equals_sign_and_any_bytes_comes_back() {
        let xattr = (b"user.a=b%3D".to_vec(), b"\n\0=\xff".to_vec());
        let mut text = Vec::new();
        put_xattr(&mut text, &xattr);
        assert_eq!(read(&text).unwrap().xattrs, [xattr]);
    }

    #[test]
    fn broken_records_are_refused() {
        for text in
            [&b"x"[..], b"5 a=b\n", b"99 path=a\n", b"3 a\n", b"8 size=x\n", b"10 path=ab", b"0 \n", b"1 "]
        {
            assert!(read(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
