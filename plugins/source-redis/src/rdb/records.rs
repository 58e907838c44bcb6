//! Walks through an RDB from one key to the next, and proves it at the end.

use std::io::Read;

use windlass_plugin_api::{During, Error, ErrorKind, Result};

use super::checksum::{self, END};
use super::{Header, Input, strings, values};
use crate::ledger;

/// What stands in an RDB.
#[derive(Debug)]
pub enum Record {
    /// A key with its value.
    Key(Key),
    /// A library of functions, as it stands in the RDB with its operation code in front.
    Function(Vec<u8>),
    /// A fact about the server: `redis-ver`, `ctime`, `used-mem`. Or the mark of a restore that went on meanwhile.
    Fact,
    /// What a restore passes over.
    LeftOut(String),
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The number of its database.
    pub database: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub expires: Option<i64>,
    /// For how many seconds nobody used it.
    pub idle: Option<u64>,
    /// How often it is used, by the server's own logarithmic count.
    pub frequency: Option<u8>,
    /// The byte of its type, then its value as it stands in the RDB.
    pub value: Vec<u8>,
}

impl Key {
    /// The value as `DUMP` gives it: with the version of the RDB and a checksum behind it.
    pub fn into_payload(self, version: u16) -> Vec<u8> {
        payload(self.value, version)
    }
}

/// `bytes` with version and checksum, as `RESTORE` and `FUNCTION RESTORE` want it.
pub fn payload(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    bytes.extend_from_slice(&version.to_le_bytes());
    let sum = checksum::of(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The records of an RDB.
pub struct Records<R> {
    input: Input<R>,
    header: Header,
    database: u32,
    /// What was said of the next key.
    expires: Option<i64>,
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl<R: Read> Records<R> {
    /// Reads the header.
    pub fn begin(source: R) -> Result<Self> {
        let mut input = Input::new(source);
        let header = Header::parse(&input.array()?)?;
        Ok(Self { input, header, database: 0, expires: None, idle: None, frequency: None })
    }

    /// Who made it, and in which version.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The next record; `None` once the end, the checksum and the end-of-file behind it have been read and are right.
    pub fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let input = &mut self.input;
            match input.byte()? {
                END => return self.end().map(|()| None),
                254 => {
                    let number = strings::length(input)?;
                    let number =
                        u32::try_from(number).map_err(|_| input.damaged("an impossible database"))?;
                    self.database = number;
                }
                253 => self.expires = Some(i64::from(i32::from_le_bytes(input.array()?)) * 1000),
                252 => self.expires = Some(i64::from_le_bytes(input.array()?)),
                // How many keys will come.
                251 => {
                    strings::length(input)?;
                    strings::length(input)?;
                }
                250 => {
                    strings::skip(input)?;
                    strings::skip(input)?;
                    return Ok(Some(Record::Fact));
                }
                249 => self.frequency = Some(input.byte()?),
                248 => self.idle = Some(strings::length(input)?),
                247 => {
                    module_data(input)?;
                    let what = "data that a module keeps beside the keys".to_owned();
                    return Ok(Some(Record::LeftOut(what)));
                }
                code @ 245 => {
                    input.keep(code);
                    strings::skip(input)?;
                    return Ok(Some(Record::Function(input.kept())));
                }
                // How many keys of a cluster's slot will come.
                244 if self.header.is_valkey => (0..3).try_for_each(|_| strings::length(input).map(drop))?,
                243 if self.header.is_valkey => {
                    let text = "the snapshot was taken while slots of a cluster were moving";
                    return Err(Error::new(ErrorKind::Unsupported, text)
                        .hint("Set `rdb_file`, and start a server on that."));
                }
                kind => {
                    let key = self.key(kind)?;
                    return Ok(Some(if ledger::is_mark(&key) { Record::Fact } else { Record::Key(key) }));
                }
            }
        }
    }

    fn key(&mut self, kind: u8) -> Result<Key> {
        let name = strings::read(&mut self.input)?;
        self.input.keep(kind);
        values::skip(&mut self.input, kind, self.header)
            .during_with(|| format!("the value of the key `{}` can't be read", shown(&name)))?;
        Ok(Key {
            database: self.database,
            name,
            expires: self.expires.take(),
            idle: self.idle.take(),
            frequency: self.frequency.take(),
            value: self.input.kept(),
        })
    }

    fn end(&mut self) -> Result<()> {
        if checksum::is_in(self.header.version) {
            let got = self.input.checksum();
            checksum::compare(u64::from_le_bytes(self.input.array()?), got)?;
        }
        self.input.expect_end()
    }
}

/// What a module keeps beside the keys: its number, when it wants it back, then marked values.
fn module_data<R: Read>(input: &mut Input<R>) -> Result<()> {
    strings::length(input)?;
    strings::length(input)?;
    strings::length(input)?;
    loop {
        match strings::length(input)? {
            0 => return Ok(()),
            1 | 2 => drop(strings::length(input)?),
            3 => input.skip(4)?,
            4 => input.skip(8)?,
            5 => strings::skip(input)?,
            _ => return Err(input.damaged("an unknown form of a module's data")),
        }
    }
}

/// A key's name for an error: short, and without control characters.
pub fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(80)]).escape_debug().to_string();
    if name.len() > 80 { format!("{text}…") } else { text }
}
