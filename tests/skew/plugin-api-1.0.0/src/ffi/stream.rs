//! Readers, sinks, and the places a source gets them from.

use std::io::{self, Read, Write};

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RSlice, RSliceMut, RStr, RString};

use super::guard::{Owned, Shared};
use super::{AbiResult, document, received};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::{Finished, Inputs, Outputs, Reader, Sink, StreamInfo};

/// `count` of `length`, if that can be: the other side's word is not taken for it.
pub(super) fn believable(what: &str, count: usize, length: usize) -> Result<usize> {
    if count <= length {
        return Ok(count);
    }
    Err(Error::new(ErrorKind::Broken, format!("`{what}` claims {count} bytes of a buffer of {length}"))
        .hint("This is a bug of the plugin: report it to its author."))
}

/// Calls `work` again while it is interrupted: the kind would be lost on the way across.
pub(super) fn uninterrupted(mut work: impl FnMut() -> io::Result<usize>) -> Result<usize> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}

#[sabi_trait]
pub trait AbiReader: Send {
    #[sabi(last_prefix_field)]
    fn read(&mut self, buffer: RSliceMut<'_, u8>) -> AbiResult<usize>;
}

pub type ReaderBox = AbiReader_TO<'static, RBox<()>>;

pub struct FfiReader(Owned<Reader>);

impl FfiReader {
    pub fn boxed(reader: Reader) -> ReaderBox {
        AbiReader_TO::from_value(Self(Owned::new(reader)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiReader for FfiReader {
    fn read(&mut self, mut buffer: RSliceMut<'_, u8>) -> AbiResult<usize> {
        self.0.call("read", |reader| {
            let buffer = buffer.as_mut_slice();
            let count = uninterrupted(|| reader.read(buffer))?;
            believable("read", count, buffer.len())
        })
    }
}

pub struct ForeignReader(pub ReaderBox);

impl Read for ForeignReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len();
        let count = received(self.0.read(RSliceMut::from_mut_slice(buffer)))?;
        Ok(believable("read", count, length)?)
    }
}

#[sabi_trait]
pub trait AbiSink: Send {
    fn write(&mut self, bytes: RSlice<'_, u8>) -> AbiResult<usize>;
    fn flush(&mut self) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn finish(&mut self) -> AbiResult<RString>;
}

pub type SinkBox = AbiSink_TO<'static, RBox<()>>;

pub struct FfiSink(Owned<Box<dyn Sink>>);

impl FfiSink {
    pub fn boxed(sink: Box<dyn Sink>) -> SinkBox {
        AbiSink_TO::from_value(Self(Owned::new(sink)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiSink for FfiSink {
    fn write(&mut self, bytes: RSlice<'_, u8>) -> AbiResult<usize> {
        self.0.call("write", |sink| {
            let count = uninterrupted(|| sink.write(bytes.as_slice()))?;
            believable("write", count, bytes.len())
        })
    }

    fn flush(&mut self) -> AbiResult<()> {
        self.0.call("flush", |sink| Ok(sink.flush()?))
    }

    fn finish(&mut self) -> AbiResult<RString> {
        self.0.call("finish", |sink| Ok(document::write(&sink.finish()?)))
    }
}

pub struct ForeignSink(pub SinkBox);

impl Write for ForeignSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = received(self.0.write(RSlice::from_slice(bytes)))?;
        Ok(believable("write", count, bytes.len())?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(received(self.0.flush())?)
    }
}

impl Sink for ForeignSink {
    fn finish(&mut self) -> Result<Finished> {
        document::read(&received(self.0.finish())?)
    }
}

#[sabi_trait]
pub trait AbiOutputs: Send + Sync {
    #[sabi(last_prefix_field)]
    fn create(&self, name: RStr<'_>, info: RString) -> AbiResult<SinkBox>;
}

pub type OutputsBox<'a> = AbiOutputs_TO<'a, RBox<()>>;

pub struct FfiOutputs<'a>(Shared<&'a dyn Outputs>);

impl<'a> FfiOutputs<'a> {
    pub fn boxed(outputs: &'a dyn Outputs) -> OutputsBox<'a> {
        AbiOutputs_TO::from_value(Self(Shared::new(outputs)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiOutputs for FfiOutputs<'_> {
    fn create(&self, name: RStr<'_>, info: RString) -> AbiResult<SinkBox> {
        self.0.call("create", |outputs| {
            Ok(FfiSink::boxed(outputs.create(name.as_str(), document::read(&info)?)?))
        })
    }
}

pub struct ForeignOutputs<'a>(pub OutputsBox<'a>);

impl Outputs for ForeignOutputs<'_> {
    fn create(&self, name: &str, info: StreamInfo) -> Result<Box<dyn Sink>> {
        Ok(Box::new(ForeignSink(received(self.0.create(name.into(), document::write(&info)))?)))
    }
}

#[sabi_trait]
pub trait AbiInputs: Send + Sync {
    fn streams(&self) -> AbiResult<RString>;
    #[sabi(last_prefix_field)]
    fn open(&self, name: RStr<'_>) -> AbiResult<ReaderBox>;
}

pub type InputsBox<'a> = AbiInputs_TO<'a, RBox<()>>;

pub struct FfiInputs<'a>(Shared<&'a dyn Inputs>);

impl<'a> FfiInputs<'a> {
    pub fn boxed(inputs: &'a dyn Inputs) -> InputsBox<'a> {
        AbiInputs_TO::from_value(Self(Shared::new(inputs)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiInputs for FfiInputs<'_> {
    fn streams(&self) -> AbiResult<RString> {
        self.0.call("streams", |inputs| Ok(document::write(&inputs.streams())))
    }

    fn open(&self, name: RStr<'_>) -> AbiResult<ReaderBox> {
        self.0.call("open", |inputs| Ok(FfiReader::boxed(inputs.open(name.as_str())?)))
    }
}

pub struct ForeignInputs<'a>(pub InputsBox<'a>);

impl Inputs for ForeignInputs<'_> {
    fn streams(&self) -> Vec<(String, StreamInfo)> {
        received(self.0.streams()).and_then(|text| document::read(&text)).unwrap_or_default()
    }

    fn open(&self, name: &str) -> Result<Reader> {
        Ok(Box::new(ForeignReader(received(self.0.open(name.into()))?)))
    }
}
