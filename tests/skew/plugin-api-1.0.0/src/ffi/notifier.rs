//! [`Notifier`] across the boundary.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RString};

use super::context::{ContextBox, FfiContext, ForeignContext};
use super::guard::Shared;
use super::{AbiResult, document, received};
use crate::context::Context;
use crate::error::Result;
use crate::notifier::{Event, Notifier};

#[sabi_trait]
pub trait AbiNotifier: Send + Sync {
    #[sabi(last_prefix_field)]
    fn notify(&self, cx: ContextBox, event: RString) -> AbiResult<()>;
}

pub type NotifierBox = AbiNotifier_TO<'static, RBox<()>>;

pub struct FfiNotifier(Shared<Box<dyn Notifier>>);

impl FfiNotifier {
    pub fn boxed(notifier: Box<dyn Notifier>) -> NotifierBox {
        AbiNotifier_TO::from_value(Self(Shared::new(notifier)), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiNotifier for FfiNotifier {
    fn notify(&self, cx: ContextBox, event: RString) -> AbiResult<()> {
        let cx = ForeignContext::context(cx);
        self.0.call("notify", |notifier| notifier.notify(&cx, &document::read(&event)?))
    }
}

pub struct ForeignNotifier(pub NotifierBox);

impl Notifier for ForeignNotifier {
    fn notify(&self, cx: &Context, event: &Event) -> Result<()> {
        received(self.0.notify(FfiContext::boxed(cx), document::write(event)))
    }
}
