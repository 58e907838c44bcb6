//! [`Storage`] and [`Upload`] across the boundary.

use std::io::{self, Write};
use std::sync::Arc;

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROption, RSlice, RStr, RString};

use super::context::{ContextBox, FfiContext, ForeignContext};
use super::guard::{Owned, Shared};
use super::stream::{FfiReader, ForeignReader, ReaderBox, believable, uninterrupted};
use super::{AbiResult, document, received};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::storage::{
    ByteRange, CreateOptions, Leftover, ListOptions, Object, Page, Storage, StorageReport, Stored, Upload,
};
use crate::stream::Reader;

#[sabi_trait]
pub trait AbiUpload: Send {
    fn write(&mut self, bytes: RSlice<'_, u8>) -> AbiResult<usize>;
    fn flush(&mut self) -> AbiResult<()>;
    fn finish(&mut self) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn publish(&mut self) -> AbiResult<RString>;
}

pub type UploadBox = AbiUpload_TO<'static, RBox<()>>;

pub struct FfiUpload(Owned<Box<dyn Upload>>);

impl FfiUpload {
    pub fn boxed(upload: Box<dyn Upload>) -> UploadBox {
        AbiUpload_TO::from_value(Self(Owned::new(upload)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiUpload for FfiUpload {
    fn write(&mut self, bytes: RSlice<'_, u8>) -> AbiResult<usize> {
        self.0.call("write", |upload| {
            let count = uninterrupted(|| upload.write(bytes.as_slice()))?;
            believable("write", count, bytes.len())
        })
    }

    fn flush(&mut self) -> AbiResult<()> {
        self.0.call("flush", |upload| Ok(upload.flush()?))
    }

    fn finish(&mut self) -> AbiResult<()> {
        self.0.call("finish", |upload| upload.finish())
    }

    fn publish(&mut self) -> AbiResult<RString> {
        self.0.consume("publish", |upload| Ok(document::write(&upload.publish()?)))
    }
}

pub struct ForeignUpload(pub UploadBox);

impl Write for ForeignUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = received(self.0.write(RSlice::from_slice(bytes)))?;
        Ok(believable("write", count, bytes.len())?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(received(self.0.flush())?)
    }
}

impl Upload for ForeignUpload {
    fn finish(&mut self) -> Result<()> {
        received(self.0.finish())
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        document::read(&received(self.0.publish())?)
    }
}

#[sabi_trait]
pub trait AbiStorage: Send + Sync {
    fn create(&self, cx: ContextBox, key: RStr<'_>, how: RString) -> AbiResult<UploadBox>;
    fn open(&self, cx: ContextBox, key: RStr<'_>, range: RString) -> AbiResult<ReaderBox>;
    fn stat(&self, cx: ContextBox, key: RStr<'_>) -> AbiResult<RString>;
    fn list(&self, cx: ContextBox, what: RString) -> AbiResult<RString>;
    fn delete(&self, cx: ContextBox, keys: RString) -> AbiResult<RString>;
    fn leftovers(&self, cx: ContextBox, prefix: RStr<'_>) -> AbiResult<RString>;
    fn discard(&self, cx: ContextBox, leftovers: RString) -> AbiResult<()>;
    fn check(&self, cx: ContextBox) -> AbiResult<RString>;
    #[sabi(last_prefix_field)]
    fn by_hand(&self, key: RStr<'_>) -> AbiResult<ROption<RString>>;
}

pub type StorageBox = AbiStorage_TO<'static, RBox<()>>;

pub struct FfiStorage(Shared<Arc<dyn Storage>>);

impl FfiStorage {
    pub fn boxed(storage: Arc<dyn Storage>) -> StorageBox {
        AbiStorage_TO::from_value(Self(Shared::new(storage)), abi_stable::sabi_trait::TD_Opaque)
    }
}

/// One key's fate in the answer to `delete`: null, or an error.
type Fate = Option<Error>;

impl AbiStorage for FfiStorage {
    fn create(&self, cx: ContextBox, key: RStr<'_>, how: RString) -> AbiResult<UploadBox> {
        let cx = ForeignContext::context(cx);
        self.0.call("create", |storage| {
            Ok(FfiUpload::boxed(storage.create(&cx, key.as_str(), &document::read(&how)?)?))
        })
    }

    fn open(&self, cx: ContextBox, key: RStr<'_>, range: RString) -> AbiResult<ReaderBox> {
        let cx = ForeignContext::context(cx);
        self.0.call("open", |storage| {
            let range: Option<ByteRange> = document::read(&range)?;
            Ok(FfiReader::boxed(storage.open(&cx, key.as_str(), range)?))
        })
    }

    fn stat(&self, cx: ContextBox, key: RStr<'_>) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("stat", |storage| Ok(document::write(&storage.stat(&cx, key.as_str())?)))
    }

    fn list(&self, cx: ContextBox, what: RString) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("list", |storage| Ok(document::write(&storage.list(&cx, &document::read(&what)?)?)))
    }

    fn delete(&self, cx: ContextBox, keys: RString) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("delete", |storage| {
            let keys: Vec<String> = document::read(&keys)?;
            let fates: Vec<Fate> = storage.delete(&cx, &keys)?.into_iter().map(Result::err).collect();
            Ok(document::write(&fates))
        })
    }

    fn leftovers(&self, cx: ContextBox, prefix: RStr<'_>) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("leftovers", |storage| Ok(document::write(&storage.leftovers(&cx, prefix.as_str())?)))
    }

    fn discard(&self, cx: ContextBox, leftovers: RString) -> AbiResult<()> {
        let cx = ForeignContext::context(cx);
        self.0.call("discard", |storage| {
            let leftovers: Vec<Leftover> = document::read(&leftovers)?;
            storage.discard(&cx, &leftovers)
        })
    }

    fn check(&self, cx: ContextBox) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("check", |storage| Ok(document::write(&storage.check(&cx)?)))
    }

    fn by_hand(&self, key: RStr<'_>) -> AbiResult<ROption<RString>> {
        self.0.call("by_hand", |storage| Ok(storage.by_hand(key.as_str()).map(RString::from).into()))
    }
}

pub struct ForeignStorage(pub StorageBox);

impl Storage for ForeignStorage {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        let upload = received(self.0.create(FfiContext::boxed(cx), key.into(), document::write(how)))?;
        Ok(Box::new(ForeignUpload(upload)))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let reader = received(self.0.open(FfiContext::boxed(cx), key.into(), document::write(&range)))?;
        Ok(Box::new(ForeignReader(reader)))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        document::read(&received(self.0.stat(FfiContext::boxed(cx), key.into()))?)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        document::read(&received(self.0.list(FfiContext::boxed(cx), document::write(what)))?)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let answer = received(self.0.delete(FfiContext::boxed(cx), document::write(&keys)))?;
        let fates: Vec<Fate> = document::read(&answer)?;
        Ok(fates.into_iter().map(|fate| fate.map_or(Ok(()), Err)).collect())
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        document::read(&received(self.0.leftovers(FfiContext::boxed(cx), prefix.into()))?)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        received(self.0.discard(FfiContext::boxed(cx), document::write(&leftovers)))
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        document::read(&received(self.0.check(FfiContext::boxed(cx)))?)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        received(self.0.by_hand(key.into())).ok()?.into_option().map(String::from)
    }
}
