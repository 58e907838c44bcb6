//! The bytes of requests and answers, as draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL file have them.
//!
//! Strings are bytes here: a name that isn't UTF-8 must not end a listing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Numbers of requests and answers.
pub mod packet {
    pub const INIT: u8 = 1;
    pub const VERSION: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const RMDIR: u8 = 15;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 200;
    pub const EXTENDED_REPLY: u8 = 201;
}

/// What a status says. Codes above 8 are of later versions; some servers send them all the same.
pub mod status {
    pub const OK: u32 = 0;
    pub const EOF: u32 = 1;
    pub const NO_SUCH_FILE: u32 = 2;
    pub const PERMISSION_DENIED: u32 = 3;
    pub const FAILURE: u32 = 4;
    pub const OP_UNSUPPORTED: u32 = 8;
    pub const NO_SUCH_PATH: u32 = 10;
    pub const FILE_ALREADY_EXISTS: u32 = 11;
    pub const WRITE_PROTECT: u32 = 12;
    pub const NO_SPACE: u32 = 14;
    pub const QUOTA_EXCEEDED: u32 = 15;
}

/// How a file is opened.
pub mod flags {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const CREATE: u32 = 8;
    pub const EXCLUSIVE: u32 = 0x20;
}

mod attr {
    pub const SIZE: u32 = 1;
    pub const OWNER: u32 = 2;
    pub const PERMISSIONS: u32 = 4;
    pub const TIMES: u32 = 8;
    pub const EXTENDED: u32 = 0x8000_0000;
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    Link,
    /// A pipe, a device, or what the server doesn't say.
    Other,
}

/// What a server tells of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs {
    pub size_bytes: u64,
    pub mode: Option<u32>,
    pub modified: Option<i64>,
}

impl Attrs {
    pub fn kind(&self) -> Kind {
        match self.mode.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => Kind::File,
            Some(0o040_000) => Kind::Folder,
            Some(0o120_000) => Kind::Link,
            _ => Kind::Other,
        }
    }
}

/// A name in a folder.
#[derive(Clone, Debug)]
pub struct Name {
    pub name: Bytes,
    pub attrs: Attrs,
}

/// Room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    /// Files that can still be made; `None` where the file system doesn't count them.
    pub free_files: Option<u64>,
}

/// What a server can do beyond version 3, and how much at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub fsync: bool,
    pub statvfs: bool,
    pub posix_rename: bool,
    pub limits: bool,
    pub read_bytes: u32,
    pub write_bytes: u32,
}

impl Features {
    /// Out of the extensions in a server's first answer.
    pub fn of(mut extensions: Bytes) -> Option<Self> {
        // What every server takes, by the draft.
        let mut features = Self { read_bytes: 32 * 1024, write_bytes: 32 * 1024, ..Self::default() };
        while extensions.has_remaining() {
            let (name, value) = (string(&mut extensions)?, string(&mut extensions)?);
            match (&name[..], &value[..]) {
                (b"fsync@openssh.com", b"1") => features.fsync = true,
                (b"statvfs@openssh.com", b"2") => features.statvfs = true,
                (b"posix-rename@openssh.com", b"1") => features.posix_rename = true,
                (b"limits@openssh.com", b"1") => features.limits = true,
                _ => {}
            }
        }
        Some(features)
    }
}

/// An answer to a request.
#[derive(Debug)]
pub enum Reply {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attrs(Attrs),
    Extended(Bytes),
}

/// Reads an answer, from behind its length, with the number of its request. `None`: it isn't one.
pub fn reply(mut packet: Bytes) -> Option<(u32, Reply)> {
    let kind = packet.try_get_u8().ok()?;
    let id = packet.try_get_u32().ok()?;
    let reply = match kind {
        packet::STATUS => {
            let code = packet.try_get_u32().ok()?;
            // Old servers leave the message out.
            let message = string(&mut packet).unwrap_or_default();
            Reply::Status { code, message: String::from_utf8_lossy(&message).into_owned() }
        }
        packet::HANDLE => Reply::Handle(string(&mut packet)?),
        packet::DATA => Reply::Data(string(&mut packet)?),
        packet::NAME => Reply::Names(names(&mut packet)?),
        packet::ATTRS => Reply::Attrs(attrs(&mut packet)?),
        packet::EXTENDED_REPLY => Reply::Extended(packet),
        _ => return None,
    };
    Some((id, reply))
}

fn names(packet: &mut Bytes) -> Option<Vec<Name>> {
    let count = packet.try_get_u32().ok()?;
    // The count is the server's word: nothing is reserved for it.
    let mut names = Vec::new();
    for _ in 0..count {
        let name = string(packet)?;
        let _for_people = string(packet)?;
        names.push(Name { name, attrs: attrs(packet)? });
    }
    Some(names)
}

fn attrs(packet: &mut Bytes) -> Option<Attrs> {
    let held = packet.try_get_u32().ok()?;
    let mut attrs = Attrs::default();
    if held & attr::SIZE != 0 {
        attrs.size_bytes = packet.try_get_u64().ok()?;
    }
    if held & attr::OWNER != 0 {
        packet.try_get_u64().ok()?;
    }
    if held & attr::PERMISSIONS != 0 {
        attrs.mode = Some(packet.try_get_u32().ok()?);
    }
    if held & attr::TIMES != 0 {
        packet.try_get_u32().ok()?;
        attrs.modified = Some(packet.try_get_u32().ok()?.into());
    }
    if held & attr::EXTENDED != 0 {
        for _ in 0..packet.try_get_u32().ok()? {
            string(packet)?;
            string(packet)?;
        }
    }
    Some(attrs)
}

fn string(packet: &mut Bytes) -> Option<Bytes> {
    let length = packet.try_get_u32().ok()? as usize;
    (length <= packet.len()).then(|| packet.split_to(length))
}

/// Reads the answer to `limits@openssh.com` into `features`: at most `most` bytes a request.
pub fn limits(mut answer: Bytes, most: u32, features: &mut Features) -> Option<()> {
    let _packet = answer.try_get_u64().ok()?;
    let mut limit = || {
        let told = answer.try_get_u64().ok()?;
        // Zero says that there is none.
        Some(if told == 0 { most } else { u32::try_from(told).unwrap_or(u32::MAX).min(most) })
    };
    (features.read_bytes, features.write_bytes) = (limit()?, limit()?);
    Some(())
}

/// Reads the answer to `statvfs@openssh.com`.
pub fn space(mut answer: Bytes) -> Option<Space> {
    let mut field = || answer.try_get_u64().ok();
    let (_block, fragment, _blocks, _free, available) = (field()?, field()?, field()?, field()?, field()?);
    let (files, _free_files, available_files) = (field()?, field()?, field()?);
    let free_files = (files > 0).then_some(available_files);
    Some(Space { free_bytes: available.saturating_mul(fragment), free_files })
}

/// A request in the making.
pub struct Request(BytesMut);

impl Request {
    pub fn new(kind: u8, id: u32) -> Self {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.put_u32(id);
        Self(bytes)
    }

    #[must_use]
    pub fn string(mut self, text: &[u8]) -> Self {
        self.0.put_u32(text.len() as u32);
        self.0.put_slice(text);
        self
    }

    #[must_use]
    pub fn u32(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    #[must_use]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    /// Attributes that hold rights alone, or nothing.
    #[must_use]
    pub fn mode(self, mode: Option<u32>) -> Self {
        match mode {
            Some(mode) => self.u32(attr::PERMISSIONS).u32(mode),
            None => self.u32(0),
        }
    }

    /// The request with its length. `behind` bytes follow it that aren't in it.
    pub fn done(mut self, behind: usize) -> Bytes {
        let length = (self.0.len() - 4 + behind) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_anywhere_is_none_and_no_panic() {
        let mut whole = BytesMut::new();
        whole.put_u8(packet::NAME);
        whole.put_u32(7);
        whole.put_u32(1);
        for text in ["name", "-rw------- name"] {
            whole.put_u32(text.len() as u32);
            whole.put_slice(text.as_bytes());
        }
        whole.put_u32(attr::SIZE | attr::PERMISSIONS | attr::TIMES);
        whole.put_u64(12);
        whole.put_u32(0o100_600);
        whole.put_u32(1);
        whole.put_u32(2);
        let whole = whole.freeze();
        for length in 0..whole.len() {
            assert!(reply(whole.slice(..length)).is_none(), "{length} bytes of {}", whole.len());
        }
        let Some((7, Reply::Names(names))) = reply(whole) else { panic!("it isn't read") };
        let attrs = names[0].attrs;
        assert_eq!((&names[0].name[..], attrs.size_bytes, attrs.modified), (&b"name"[..], 12, Some(2)));
        assert_eq!(attrs.kind(), Kind::File);
    }

    #[test]
    fn an_unknown_status_is_a_status() {
        let packet = Bytes::from_static(&[packet::STATUS, 0, 0, 0, 1, 0, 0, 0, 99]);
        let Some((1, Reply::Status { code: 99, message })) = reply(packet) else { panic!("it isn't read") };
        assert_eq!(message, "");
    }

    #[test]
    fn a_server_without_limits_gets_what_every_server_takes() {
        let features = Features::of(Bytes::new()).unwrap();
        assert_eq!((features.write_bytes, features.read_bytes, features.fsync), (32_768, 32_768, false));
        let mut limited = features;
        let mut answer = BytesMut::new();
        [262_144, 0, 16_384, 0].into_iter().for_each(|limit| answer.put_u64(limit));
        limits(answer.freeze(), 255 * 1024, &mut limited).unwrap();
        assert_eq!((limited.read_bytes, limited.write_bytes), (255 * 1024, 16_384));
    }
}
