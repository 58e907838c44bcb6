//! FTP as far as the storage needs it: RFC 959 with what came later (`FEAT`, `MLSD`, `SIZE`, `REST STREAM`, `EPSV`, TLS by
//! RFC 4217). One [`Session`] is one connection with its user signed in; it does one thing at a time.
//!
//! Nothing is tried again here, and nothing is known of keys. Every wait has its limit, which counts from the last byte that
//! moved.

mod control;
mod facts;
mod session;
pub mod tls;
mod transfer;

use std::time::Duration;

pub use control::{Control, Reply};
pub use facts::{Facts, Kind};
pub use session::{Features, Session};
pub use transfer::Data;

/// What can go wrong with a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It refuses, with the code and the text of its reply.
    Reply { code: u16, text: String },
    /// The connection is gone.
    Lost(String),
    /// Nothing moved for so long.
    Silent(Duration),
    /// What it says isn't FTP, or not as far as we know it.
    Odd(String),
    /// TLS failed for good: a certificate that nobody vouches for.
    Untrusted(String),
    /// It doesn't speak the version of TLS that it was offered.
    Version,
}

impl Fault {
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Reply { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The connection, or the transfer, broke: with another one it may work.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Reply { code: 421 | 425 | 426, .. })
    }

    /// The server says that there is no such file or folder, or only that it can't get at it: who asks has to look.
    pub fn may_be_absent(&self) -> bool {
        matches!(self.code(), Some(450 | 550 | 553))
    }
}
