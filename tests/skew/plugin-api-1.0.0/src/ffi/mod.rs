//! The only room with `unsafe` and with types of abi_stable: how the author traits cross into a shared library and back.
//!
//! Each trait has a pair. `Ffi*` holds an author's object and offers it as a table of `extern "C"` functions; `Foreign*`
//! holds such a table and is the author trait again. Both sides use both: the host hands writers to a plugin's source in
//! the same form in which it gets writers from a plugin's storage. Rules that hold for all of them:
//!
//! - only handles, byte slices, counts and codes cross as values; everything compound crosses as a document
//!   ([`document`]), so that fields can come without a new ABI;
//! - no panic crosses: every entry, destructors too, catches it, drops the object (which aborts it) and answers with an
//!   error of kind `Broken`;
//! - a count that comes back is checked on both sides before anything is sliced by it;
//! - a table only grows at its end: a new method goes behind `#[sabi(last_prefix_field)]` and has a default body.
//!
//! Nothing here is public API for plugin authors: the items are public for the host and for what
//! [`export_plugin!`](crate::export_plugin) expands to.
// What `#[sabi_trait]` and `#[derive(StableAbi)]` expand to needs it; by hand it is used in `root` alone.
#![allow(unsafe_code)]
// abi_stable's expansions are old: they define impls inside of functions and elide lifetimes the old way.
#![allow(non_local_definitions, missing_docs, elided_lifetimes_in_paths, clippy::all)]

pub mod context;
pub mod document;
pub mod filter;
pub mod guard;
pub mod logging;
pub mod notifier;
pub mod root;
pub mod source;
pub mod storage;
pub mod stream;

use abi_stable::StableAbi;
use abi_stable::std_types::{RResult, RString};

use crate::error::Error;

/// An error on its way across: a code for the quick look, and [`Error`] as a document.
#[repr(C)]
#[derive(StableAbi)]
pub struct AbiError {
    /// Reserved: 0. The document's `kind` decides.
    pub code: u32,
    /// [`Error`].
    pub document: RString,
}

/// What every call across returns.
pub type AbiResult<T> = RResult<T, AbiError>;

impl From<Error> for AbiError {
    fn from(error: Error) -> Self {
        Self { code: 0, document: document::write(&error) }
    }
}

impl From<AbiError> for Error {
    fn from(error: AbiError) -> Self {
        document::read(&error.document).unwrap_or_else(|unreadable| {
            Error::new(crate::ErrorKind::Broken, "the other side returned an unreadable error")
                .because(&unreadable)
        })
    }
}

/// A plain result out of one that crossed.
pub fn received<T>(result: AbiResult<T>) -> crate::Result<T> {
    result.into_result().map_err(Error::from)
}
