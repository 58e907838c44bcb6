//! [`Source`] across the boundary.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROption, RStr, RString};

use super::context::{ContextBox, FfiContext, ForeignContext};
use super::guard::Owned;
use super::stream::{FfiInputs, FfiOutputs, ForeignInputs, ForeignOutputs, InputsBox, OutputsBox};
use super::{AbiResult, document, received};
use crate::context::Context;
use crate::error::Result;
use crate::source::{Contents, Item, Probe, RestoreOptions, Restored, Source, Target};
use crate::stream::{Inputs, Outputs};

#[sabi_trait]
pub trait AbiSource: Send {
    fn probe(&mut self, cx: ContextBox) -> AbiResult<RString>;
    fn discover(&mut self, cx: ContextBox) -> AbiResult<RString>;
    fn backup(&mut self, cx: ContextBox, out: OutputsBox<'_>) -> AbiResult<RString>;
    fn target(&mut self, cx: ContextBox, how: RString) -> AbiResult<RString>;
    fn preview(&mut self, cx: ContextBox, input: InputsBox<'_>, how: RString) -> AbiResult<RString>;
    fn restore(&mut self, cx: ContextBox, input: InputsBox<'_>, how: RString) -> AbiResult<RString>;
    #[sabi(last_prefix_field)]
    fn by_hand(&mut self, stream: RStr<'_>, contents: RString) -> AbiResult<ROption<RString>>;
}

pub type SourceBox = AbiSource_TO<'static, RBox<()>>;

pub struct FfiSource(Owned<Box<dyn Source>>);

impl FfiSource {
    pub fn boxed(source: Box<dyn Source>) -> SourceBox {
        AbiSource_TO::from_value(Self(Owned::new(source)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiSource for FfiSource {
    fn probe(&mut self, cx: ContextBox) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("probe", |source| Ok(document::write(&source.probe(&cx)?)))
    }

    fn discover(&mut self, cx: ContextBox) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("discover", |source| Ok(document::write(&source.discover(&cx)?)))
    }

    fn backup(&mut self, cx: ContextBox, out: OutputsBox<'_>) -> AbiResult<RString> {
        let (cx, out) = (ForeignContext::context(cx), ForeignOutputs(out));
        self.0.call("backup", |source| Ok(document::write(&source.backup(&cx, &out)?)))
    }

    fn target(&mut self, cx: ContextBox, how: RString) -> AbiResult<RString> {
        let cx = ForeignContext::context(cx);
        self.0.call("target", |source| Ok(document::write(&source.target(&cx, &document::read(&how)?)?)))
    }

    fn preview(&mut self, cx: ContextBox, input: InputsBox<'_>, how: RString) -> AbiResult<RString> {
        let (cx, input) = (ForeignContext::context(cx), ForeignInputs(input));
        self.0.call("preview", |source| {
            Ok(document::write(&source.preview(&cx, &input, &document::read(&how)?)?))
        })
    }

    fn restore(&mut self, cx: ContextBox, input: InputsBox<'_>, how: RString) -> AbiResult<RString> {
        let (cx, input) = (ForeignContext::context(cx), ForeignInputs(input));
        self.0.call("restore", |source| {
            Ok(document::write(&source.restore(&cx, &input, &document::read(&how)?)?))
        })
    }

    fn by_hand(&mut self, stream: RStr<'_>, contents: RString) -> AbiResult<ROption<RString>> {
        self.0.call("by_hand", |source| {
            Ok(source.by_hand(stream.as_str(), &document::read(&contents)?).map(RString::from).into())
        })
    }
}

pub struct ForeignSource(std::sync::Mutex<SourceBox>);

impl ForeignSource {
    pub fn new(source: SourceBox) -> Self {
        Self(std::sync::Mutex::new(source))
    }

    fn abi(&mut self) -> &mut SourceBox {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Source for ForeignSource {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        document::read(&received(self.abi().probe(FfiContext::boxed(cx)))?)
    }

    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        document::read(&received(self.abi().discover(FfiContext::boxed(cx)))?)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        document::read(&received(self.abi().backup(FfiContext::boxed(cx), FfiOutputs::boxed(out)))?)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        document::read(&received(self.abi().target(FfiContext::boxed(cx), document::write(how)))?)
    }

    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        let (cx, input) = (FfiContext::boxed(cx), FfiInputs::boxed(input));
        document::read(&received(self.abi().preview(cx, input, document::write(how)))?)
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        let (cx, input) = (FfiContext::boxed(cx), FfiInputs::boxed(input));
        document::read(&received(self.abi().restore(cx, input, document::write(how)))?)
    }

    fn by_hand(&self, stream: &str, contents: &Contents) -> Option<String> {
        let mut abi = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        received(abi.by_hand(stream.into(), document::write(contents))).ok()?.into_option().map(String::from)
    }
}
