//! What the host does for a plugin.

use std::sync::Arc;

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RStr, RString};

use super::guard::{Shared, guard};
use super::storage::{FfiStorage, ForeignStorage, StorageBox};
use super::{AbiResult, document, received};
use crate::context::{Context, Progress, Services};
use crate::error::Result;
use crate::storage::Storage;

#[sabi_trait]
pub trait AbiCallback: Send + Sync {
    #[sabi(last_prefix_field)]
    fn call(&self);
}

pub type CallbackBox = AbiCallback_TO<'static, RBox<()>>;

struct FfiCallback(Shared<Box<dyn Fn() + Send + Sync>>);

impl AbiCallback for FfiCallback {
    fn call(&self) {
        let _ = self.0.call("on_cancel", |callback| {
            callback();
            Ok(())
        });
    }
}

#[sabi_trait]
pub trait AbiContext: Send + Sync {
    fn cancelled(&self) -> bool;
    fn on_cancel(&self, callback: CallbackBox) -> u64;
    fn forget(&self, callback: u64);
    fn progress(&self, progress: RString);
    fn reveal(&self, name: RStr<'_>) -> AbiResult<RString>;
    fn storage(&self, name: RStr<'_>) -> AbiResult<StorageBox>;
    #[sabi(last_prefix_field)]
    fn run(&self) -> RString;
}

pub type ContextBox = AbiContext_TO<'static, RBox<()>>;

pub struct FfiContext(Arc<dyn Services>);

impl FfiContext {
    pub fn boxed(cx: &Context) -> ContextBox {
        AbiContext_TO::from_value(Self(cx.services()), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiContext for FfiContext {
    fn cancelled(&self) -> bool {
        // A host that panics here is done for: the plugin should stop.
        received(guard("cancelled", || Ok(self.0.cancelled()))).unwrap_or(true)
    }

    fn on_cancel(&self, callback: CallbackBox) -> u64 {
        received(guard("on_cancel", || Ok(self.0.on_cancel(Box::new(move || callback.call()))))).unwrap_or(0)
    }

    fn forget(&self, callback: u64) {
        let _ = guard("forget", || Ok(self.0.forget(callback)));
    }

    fn progress(&self, progress: RString) {
        let _ = guard("progress", || Ok(self.0.progress(&document::read(&progress)?)));
    }

    fn reveal(&self, name: RStr<'_>) -> AbiResult<RString> {
        guard("reveal", || Ok(self.0.reveal(name.as_str())?.into()))
    }

    fn storage(&self, name: RStr<'_>) -> AbiResult<StorageBox> {
        guard("storage", || Ok(FfiStorage::boxed(self.0.storage(name.as_str())?)))
    }

    fn run(&self) -> RString {
        received(guard("run", || Ok(self.0.run().into()))).unwrap_or_default()
    }
}

pub struct ForeignContext(ContextBox);

impl ForeignContext {
    /// The author's context over one that crossed.
    pub fn context(abi: ContextBox) -> Context {
        Context::new(Arc::new(Self(abi)))
    }
}

impl Services for ForeignContext {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn on_cancel(&self, callback: Box<dyn Fn() + Send + Sync>) -> u64 {
        let callback = FfiCallback(Shared::new(callback));
        self.0.on_cancel(AbiCallback_TO::from_value(callback, abi_stable::sabi_trait::TD_Opaque))
    }

    fn forget(&self, callback: u64) {
        self.0.forget(callback);
    }

    fn progress(&self, progress: &Progress) {
        self.0.progress(document::write(progress));
    }

    fn reveal(&self, name: &str) -> Result<String> {
        Ok(received(self.0.reveal(name.into()))?.into())
    }

    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(ForeignStorage(received(self.0.storage(name.into()))?)))
    }

    fn run(&self) -> String {
        self.0.run().into()
    }
}
