//! The entry of a plugin: one table of constructors behind one versioned symbol.
//!
//! [`export_plugin!`](crate::export_plugin) exports [`SYMBOL`]; the host finds it with libloading, checks the layout,
//! calls [`PluginRoot::attach`] once and then a constructor for each instance. A second ABI would be a second symbol.

use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
pub use abi_stable::library::LibHeader;
use abi_stable::library::{
    __call_root_module_loader, AbiHeader, AbiHeaderRef, CheckTypeLayout, RootModule, RootModuleResult,
};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::RStr;

use super::context::{ContextBox, FfiContext, ForeignContext};
use super::filter::{FfiFilter, FilterBox, ForeignFilter};
use super::guard::guard;
use super::logging::{self, FfiLog, LogBox, LogLines};
use super::notifier::{FfiNotifier, ForeignNotifier, NotifierBox};
use super::source::{FfiSource, ForeignSource, SourceBox};
use super::storage::{FfiStorage, ForeignStorage, StorageBox};
use super::{AbiResult, document, received};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::info::Plugin;
use crate::{Filter, Notifier, Source, Storage};

/// The exported symbol, a [`LibHeader`].
pub const SYMBOL: &str = "windlass_plugin_root_v1";

/// What a plugin exports: a constructor for each kind (options as a document, and what the host does for the plugin).
/// Those of the kinds that it isn't answer with an error.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRootRef)))]
#[sabi(missing_field(option))]
#[derive(Clone, Copy)]
pub struct PluginRoot {
    /// Routes the plugin's log and panics to the host. Called once, before anything else.
    pub attach: extern "C" fn(LogBox, u8),
    /// Makes a source.
    pub source: extern "C" fn(RStr<'_>, ContextBox) -> AbiResult<SourceBox>,
    /// Makes a filter.
    pub filter: extern "C" fn(RStr<'_>, ContextBox) -> AbiResult<FilterBox>,
    /// Makes a storage.
    pub storage: extern "C" fn(RStr<'_>, ContextBox) -> AbiResult<StorageBox>,
    /// Makes a notifier.
    #[sabi(last_prefix_field)]
    pub notifier: extern "C" fn(RStr<'_>, ContextBox) -> AbiResult<NotifierBox>,
}

impl RootModule for PluginRootRef {
    abi_stable::declare_root_module_statics! {PluginRootRef}

    const BASE_NAME: &'static str = "windlass_plugin";
    const NAME: &'static str = "windlass plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

extern "C" fn attach<P>(log: LogBox, max_level: u8) {
    let _ = guard("attach", || Ok(logging::attach(log, max_level, logging::crate_of::<P>())));
}

extern "C" fn absent<T>(_: RStr<'_>, _: ContextBox) -> AbiResult<T> {
    AbiResult::RErr(Error::new(ErrorKind::Unsupported, "the plugin is of another kind").into())
}

/// A plugin of no kind and of no crate.
const NOTHING: PluginRoot = PluginRoot {
    attach: attach::<()>,
    source: absent::<SourceBox>,
    filter: absent::<FilterBox>,
    storage: absent::<StorageBox>,
    notifier: absent::<NotifierBox>,
};

/// An instance out of what crossed.
fn make<P: Plugin>(options: RStr<'_>, cx: ContextBox) -> Result<P> {
    let cx = ForeignContext::context(cx);
    P::new(read_options::<P>(options.as_str())?, &cx)
}

fn read_options<P: Plugin>(document: &str) -> Result<P::Options> {
    let options: serde_json::Value = document::read(document)?;
    serde_json::from_value(options)
        .map_err(|error| Error::new(ErrorKind::Config, "an option can't be read").because(&error))
}

// For each kind: the constructor, the loader of the root, and the header that the macro exports.
macro_rules! kind {
    ($kind:ident, $author:ident, $boxed:ty, $wrap:expr, $make:ident, $header:ident) => {
        extern "C" fn $make<P: Plugin + $author + 'static>(
            options: RStr<'_>,
            cx: ContextBox,
        ) -> AbiResult<$boxed> {
            guard("new", || Ok($wrap(make::<P>(options, cx)?)))
        }

        /// The header of a plugin of this kind, for `export_plugin!`.
        pub const fn $header<P: Plugin + $author + 'static>() -> LibHeader {
            extern "C" fn load<P: Plugin + $author + 'static>() -> RootModuleResult {
                fn root<P: Plugin + $author + 'static>() -> PluginRootRef {
                    PluginRoot { attach: attach::<P>, $kind: $make::<P>, ..NOTHING }.leak_into_prefix()
                }
                __call_root_module_loader(root::<P>)
            }
            // SAFETY: `load` returns what `__call_root_module_loader` made of a `PluginRootRef`, which is the type named
            // here; the host reads it as nothing else.
            unsafe { LibHeader::from_constructor::<PluginRootRef>(load::<P>, CheckTypeLayout::Yes) }
        }
    };
}

kind!(source, Source, SourceBox, |source: P| FfiSource::boxed(Box::new(source)), make_source, source_header);
kind!(filter, Filter, FilterBox, |filter: P| FfiFilter::boxed(Box::new(filter)), make_filter, filter_header);
kind!(
    storage,
    Storage,
    StorageBox,
    |storage: P| FfiStorage::boxed(Arc::new(storage)),
    make_storage,
    storage_header
);
kind!(
    notifier,
    Notifier,
    NotifierBox,
    |notifier: P| FfiNotifier::boxed(Box::new(notifier)),
    make_notifier,
    notifier_header
);

/// A plugin's entry, seen from the host: author traits out of the table of constructors.
#[derive(Clone, Copy)]
pub struct Root(PluginRootRef);

impl Root {
    /// The root behind an exported header, after its layout was found to fit.
    ///
    /// `plugin_is_older`: the plugin was built against this api version or an earlier one. abi_stable's own check goes one
    /// way only (an interface may have fewer fields than its implementation), so an older plugin is checked the other way
    /// round; fields it lacks then read as absent and methods it lacks run their default bodies.
    ///
    /// # Safety
    ///
    /// `header` must point to the [`SYMBOL`] of a shared library that stays loaded for the rest of the process.
    pub unsafe fn from_header(header: *const LibHeader, plugin_is_older: bool) -> Result<Self> {
        let misfit = |what: String| {
            // abi_stable's report of a misfit runs to thousands of lines; the first ones name the type.
            let start: Vec<&str> =
                what.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
            Error::new(ErrorKind::Unsupported, "its binary interface differs from this host's")
                .detail("layout", start.join(" "))
                .hint("Rebuild the plugin against the released windlass-plugin-api.")
        };
        // SAFETY: the caller vouches for the pointer. Only the header's first field is looked at here: its magic and its
        // abi_stable version are checked by `upgrade` before the rest is touched.
        let first: &'static AbiHeader = unsafe { &*header.cast::<AbiHeader>() };
        // SAFETY: `AbiHeaderRef` is `repr(transparent)` over abi_stable's own transparent reference; it has no constructor.
        let abi_header: AbiHeaderRef = unsafe { std::mem::transmute(first) };
        let header = abi_header.upgrade().map_err(|error| misfit(error.to_string()))?;
        let root = if plugin_is_older {
            let layout = header.layout().ok_or_else(|| misfit("no layout in it".to_owned()))?;
            check_layout_compatibility(layout, <PluginRootRef as StableAbi>::LAYOUT)
                .map_err(|error| misfit(error.to_string()))?;
            // SAFETY: the layouts were just found compatible, in the direction that fits an older implementation.
            unsafe { header.init_root_module_with_unchecked_layout::<PluginRootRef>() }
        } else {
            header.init_root_module::<PluginRootRef>()
        };
        root.map(Self).map_err(|error| misfit(error.to_string()))
    }

    /// The root behind a header that is linked into this process (the testkit, a vendor's static build).
    pub fn linked(header: &'static LibHeader) -> Result<Self> {
        // SAFETY: a `'static` header of this very process.
        unsafe { Self::from_header(header, true) }
    }

    /// See [`PluginRoot::attach`].
    pub fn attach(self, lines: Arc<dyn LogLines>, max_level: u8) {
        self.0.attach()(FfiLog::boxed(lines), max_level);
    }

    /// Makes a source.
    pub fn source(self, options: &serde_json::Value, cx: &Context) -> Result<Box<dyn Source>> {
        Ok(Box::new(ForeignSource::new(call(self.0.source(), options, cx)?)))
    }

    /// Makes a filter.
    pub fn filter(self, options: &serde_json::Value, cx: &Context) -> Result<Box<dyn Filter>> {
        Ok(Box::new(ForeignFilter(call(self.0.filter(), options, cx)?)))
    }

    /// Makes a storage.
    pub fn storage(self, options: &serde_json::Value, cx: &Context) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(ForeignStorage(call(self.0.storage(), options, cx)?)))
    }

    /// Makes a notifier.
    pub fn notifier(self, options: &serde_json::Value, cx: &Context) -> Result<Box<dyn Notifier>> {
        Ok(Box::new(ForeignNotifier(call(self.0.notifier(), options, cx)?)))
    }
}

type Make<T> = extern "C" fn(RStr<'_>, ContextBox) -> AbiResult<T>;

fn call<T>(make: Make<T>, options: &serde_json::Value, cx: &Context) -> Result<T> {
    received(make(document::write(options).as_rstr(), FfiContext::boxed(cx)))
}
