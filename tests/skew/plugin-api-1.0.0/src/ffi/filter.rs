//! [`Filter`] across the boundary.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROption, RStr, RString};
use serde_json::{Map, Value};

use super::context::{ContextBox, FfiContext, ForeignContext};
use super::guard::Shared;
use super::stream::{FfiReader, FfiSink, ForeignReader, ForeignSink, ReaderBox, SinkBox};
use super::{AbiResult, document, received};
use crate::context::Context;
use crate::error::Result;
use crate::filter::Filter;
use crate::stream::{Reader, Sink};

#[sabi_trait]
pub trait AbiFilter: Send + Sync {
    fn encode(&self, cx: ContextBox, stream: RStr<'_>, next: SinkBox) -> AbiResult<SinkBox>;
    fn decode(
        &self,
        cx: ContextBox,
        stream: RStr<'_>,
        params: RString,
        input: ReaderBox,
    ) -> AbiResult<ReaderBox>;
    #[sabi(last_prefix_field)]
    fn by_hand(&self) -> AbiResult<ROption<RString>>;
}

pub type FilterBox = AbiFilter_TO<'static, RBox<()>>;

pub struct FfiFilter(Shared<Box<dyn Filter>>);

impl FfiFilter {
    pub fn boxed(filter: Box<dyn Filter>) -> FilterBox {
        AbiFilter_TO::from_value(Self(Shared::new(filter)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiFilter for FfiFilter {
    fn encode(&self, cx: ContextBox, stream: RStr<'_>, next: SinkBox) -> AbiResult<SinkBox> {
        let cx = ForeignContext::context(cx);
        self.0.call("encode", |filter| {
            Ok(FfiSink::boxed(filter.encode(&cx, stream.as_str(), Box::new(ForeignSink(next)))?))
        })
    }

    fn decode(
        &self,
        cx: ContextBox,
        stream: RStr<'_>,
        params: RString,
        input: ReaderBox,
    ) -> AbiResult<ReaderBox> {
        let cx = ForeignContext::context(cx);
        self.0.call("decode", |filter| {
            let params: Params = document::read(&params)?;
            let input = Box::new(ForeignReader(input));
            Ok(FfiReader::boxed(filter.decode(&cx, stream.as_str(), &params.params, input)?))
        })
    }

    fn by_hand(&self) -> AbiResult<ROption<RString>> {
        self.0.call("by_hand", |filter| Ok(filter.by_hand().map(RString::from).into()))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Params {
    #[serde(default)]
    params: Map<String, Value>,
}

pub struct ForeignFilter(pub FilterBox);

impl Filter for ForeignFilter {
    fn encode(&self, cx: &Context, stream: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let sink = received(self.0.encode(FfiContext::boxed(cx), stream.into(), FfiSink::boxed(next)))?;
        Ok(Box::new(ForeignSink(sink)))
    }

    fn decode(
        &self,
        cx: &Context,
        stream: &str,
        params: &Map<String, Value>,
        input: Reader,
    ) -> Result<Reader> {
        let params = document::write(&Params { params: params.clone() });
        let input = FfiReader::boxed(input);
        let reader = received(self.0.decode(FfiContext::boxed(cx), stream.into(), params, input))?;
        Ok(Box::new(ForeignReader(reader)))
    }

    fn by_hand(&self) -> Option<String> {
        received(self.0.by_hand()).ok()?.into_option().map(String::from)
    }
}
