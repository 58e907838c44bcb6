//! The stream format `tar/1`: POSIX pax tar, as GNU tar, bsdtar and others read and write it.
//!
//! [`mod@write`] makes ustar headers with pax records where ustar can't say it (long and non-ASCII names, nanoseconds, big
//! numbers, extended attributes, sparse files in GNU's form 1.0); [`read`] takes these and what others write (GNU long
//! names, all four GNU sparse forms, base-256 numbers, global pax headers). Nothing here touches a file tree.

pub mod header;
pub mod pax;
pub mod read;
pub mod sparse;
pub mod write;

use windlass_plugin_api::Error;

/// The unit of everything in a tar.
pub const BLOCK: usize = 512;

/// The largest header (pax records, a long name) that is written or read: all of one is in memory at once.
pub const MAX_HEADER: u64 = 16 << 20;

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// What a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; data follow.
    #[default]
    File,
    /// A further name of a member that came before.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Folder,
    /// A fifo.
    Fifo,
    /// A character or block device.
    Device,
}

/// A moment: seconds since 1970 and nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// A piece of a sparse file that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// One member of an archive, without its data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Its path, as bytes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
    /// When its content last changed.
    pub mtime: Time,
    /// The file's size in bytes, holes included.
    pub size: u64,
    /// What a link points to.
    pub link: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
    /// Of a sparse file: its pieces, in ascending order; the data of the archive are these one behind the other.
    pub extents: Option<Vec<Extent>>,
}

/// An archive that can't be what a tar program wrote, or that tries to get out.
pub fn broken(what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("hostile or broken archive: {what}"))
}

/// How many zeros follow `size` bytes of data.
pub fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}
