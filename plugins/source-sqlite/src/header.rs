//! The first hundred bytes of a database file, as <https://www.sqlite.org/fileformat.html> gives them.

/// What stands in the header of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of a page: a power of two from 512 to 65536.
    pub page_size: u32,
    /// 2: WAL, 1: rollback journal. Also what a reader must know.
    pub version: [u8; 2],
    /// Bytes at the end of each page that an extension keeps for itself.
    pub reserved: u8,
    /// Grows with each transaction in rollback mode, seldom in WAL mode.
    pub change_counter: u32,
    /// Pages in the file, if whoever wrote last kept this field.
    pub page_count: Option<u32>,
    /// Grows with each change of the schema.
    pub schema_cookie: u32,
    /// 1: UTF-8, 2: UTF-16le, 3: UTF-16be; 0: nothing was ever written.
    pub encoding: u32,
}

/// Bytes of the header.
pub const LENGTH: usize = 100;

/// Where the schema cookie stands.
pub const SCHEMA_COOKIE: std::ops::Range<usize> = 40..44;

/// Where the two file format versions stand.
pub const VERSION: std::ops::Range<usize> = 18..20;

impl Header {
    /// The header in `bytes`; `None` if that isn't one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LENGTH)?;
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65536,
            size => u32::from(size),
        };
        if !bytes.starts_with(b"SQLite format 3\0") || !page_size.is_power_of_two() || page_size < 512 {
            return None;
        }
        let change_counter = number(24)?;
        // Old writers don't keep the page count; they don't copy the counter to 92 either.
        let page_count = number(28).filter(|&count| count > 0 && number(92) == Some(change_counter));
        Some(Self {
            page_size,
            version: [bytes[18], bytes[19]],
            reserved: bytes[20],
            change_counter,
            page_count,
            schema_cookie: number(40)?,
            encoding: number(56)?,
        })
    }

    /// The page that SQLite keeps its locks in (the byte at 1 GiB): never read, never written.
    pub fn lock_page(&self) -> u32 {
        0x4000_0000 / self.page_size + 1
    }
}
