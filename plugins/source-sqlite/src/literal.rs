//! Values and names as SQL text that gives exactly them again, one line each.
//!
//! Line breaks never stand in a literal: programs that read SQL line by line change them (SQLite's own shell turns `\r\n`
//! into `\n`). Text that can't be a literal goes through a blob.

use std::fmt::Write as _;

use rusqlite::types::ValueRef;

/// How the database keeps its text: what a blob that is cast to text must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, little end first.
    Utf16le,
    /// UTF-16, big end first.
    Utf16be,
}

impl Encoding {
    /// By SQLite's name for it.
    pub fn named(name: &str) -> Self {
        match name {
            "UTF-16le" => Self::Utf16le,
            "UTF-16be" => Self::Utf16be,
            _ => Self::Utf8,
        }
    }
}

/// Appends `value` to `out`.
pub fn value(out: &mut Vec<u8>, value: ValueRef<'_>, encoding: Encoding) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"NULL"),
        ValueRef::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::Real(number) => real(out, number),
        ValueRef::Text(bytes) => text(out, bytes, encoding),
        ValueRef::Blob(bytes) => blob(out, bytes),
    }
}

/// A number too large for a double is how SQL says infinity. SQLite has no NaN: it keeps NULL.
fn real(out: &mut Vec<u8>, number: f64) {
    let text = if number.is_infinite() {
        if number > 0.0 { "9.0e+999".to_owned() } else { "-9.0e+999".to_owned() }
    } else {
        // The fewest digits that are read back as the same number.
        format!("{number:?}")
    };
    out.extend_from_slice(text.as_bytes());
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2 + 3);
    out.extend_from_slice(b"X'");
    for &byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'\'');
}

fn text(out: &mut Vec<u8>, bytes: &[u8], encoding: Encoding) {
    let plain = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let Some(plain) = plain else { return cast(out, bytes, encoding) };
    if !plain.contains(['\n', '\r']) {
        return quoted(out, plain);
    }
    // Each kind of line break gets a stand-in that the text doesn't hold; as SQLite's shell does it.
    let (Some(newline), Some(cr)) = (stand_in(plain, "n"), stand_in(plain, "r")) else {
        return cast(out, bytes, encoding);
    };
    out.extend_from_slice(b"replace(replace(");
    quoted(out, &plain.replace('\n', &newline).replace('\r', &cr));
    out.extend_from_slice(format!(",'{newline}',char(10)),'{cr}',char(13))").as_bytes());
}

fn stand_in(text: &str, letter: &str) -> Option<String> {
    let candidates =
        [format!("\\{letter}"), format!("<{letter}>"), format!("~{letter}~"), format!("^{letter}^")];
    candidates.into_iter().find(|candidate| !text.contains(candidate))
}

fn cast(out: &mut Vec<u8>, bytes: &[u8], encoding: Encoding) {
    out.extend_from_slice(b"CAST(");
    let units = |bytes: &[u8]| String::from_utf8_lossy(bytes).encode_utf16().collect::<Vec<_>>();
    match encoding {
        Encoding::Utf8 => blob(out, bytes),
        Encoding::Utf16le => {
            blob(out, &units(bytes).iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>())
        }
        Encoding::Utf16be => {
            blob(out, &units(bytes).iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>())
        }
    }
    out.extend_from_slice(b" AS TEXT)");
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'\'');
    for (number, part) in text.split('\'').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"''");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'\'');
}

/// `name` as a quoted name.
pub fn name(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    let _ = write!(quoted, "\"{}\"", name.replace('"', "\"\""));
    quoted
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use rusqlite::types::Value;

    use super::*;

    fn again(conn: &Connection, given: &Value) -> Value {
        let mut sql = b"SELECT ".to_vec();
        value(&mut sql, given.into(), Encoding::Utf8);
        let sql = String::from_utf8(sql).unwrap();
        assert!(!sql.contains(['\n', '\r', '\0']), "{sql:?}");
        conn.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn text_and_blobs_come_back_exactly() {
        let conn = Connection::open_in_memory().unwrap();
        for text in
            ["", "it's", "a\nb\r\nc", "\\n \\r\n", "\\n <n> ~n~ ^n^\n", "nul\0nul", "ä€😀'\"`[", "--;"]
        {
            let given = Value::Text(text.to_owned());
            assert_eq!(again(&conn, &given), given, "{text:?}");
        }
        let given = Value::Blob((0..=255).collect());
        assert_eq!(again(&conn, &given), given);
    }

    #[test]
    fn numbers_come_back_bit_by_bit() {
        let conn = Connection::open_in_memory().unwrap();
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(again(&conn, &Value::Integer(number)), Value::Integer(number));
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let random = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(state ^ (state >> 29))
        });
        let special = [
            0.1,
            1.0 / 3.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e15,
            1e16,
        ];
        for number in special.into_iter().chain(random.filter(|number| !number.is_nan()).take(20_000)) {
            match again(&conn, &Value::Real(number)) {
                Value::Real(back) => assert_eq!(back.to_bits(), number.to_bits(), "{number:?}"),
                other => panic!("{number:?} came back as {other:?}"),
            }
        }
    }
}
