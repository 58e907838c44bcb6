//! Makes a plugin file run. The only room of the host with `unsafe`.
//!
//! What is loaded stays loaded: a plugin has threads, thread-locals and a panic hook, and none of them survives being
//! unmapped. Each file has an entry symbol of its own, so two plugins of a kind don't meet in a cache.
#![allow(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use windlass_plugin_api::ffi::logging::LogLines;
use windlass_plugin_api::ffi::root::{LibHeader, Root, SYMBOL};
use windlass_plugin_api::{API_VERSION, Error, ErrorKind, PluginInfo, Result};

/// Loads the plugin at `path`, a canonical absolute path whose description `info` was read from it, and routes its log to
/// `log` (levels up to `level`).
///
/// Loading runs code of the file: owner, mode and description must have been checked before.
pub fn load(path: &Path, info: &PluginInfo, log: Arc<dyn LogLines>, level: u8) -> Result<Root> {
    // A bare name would search LD_LIBRARY_PATH.
    debug_assert!(path.is_absolute());
    let broken = |why: &dyn std::error::Error| {
        Error::new(ErrorKind::Unsupported, format!("can't load the plugin file `{}`", path.display()))
            .because(why)
    };
    // SAFETY: the file's constructors run here. That they are sound is the plugin's to uphold, as it is for any library;
    // its owner is one whom this process trusts, and its description says that it is for this host.
    let library =
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| broken(&error))?;
    // SAFETY: the symbol is used as an address only; `Root::from_header` checks what stands there.
    let header = unsafe { library.get::<*const LibHeader>(SYMBOL.as_bytes()) }
        .map_err(|error| broken(&error))?
        .into_raw();
    // Never unloaded, on no path: see above.
    std::mem::forget(library);
    // SAFETY: the symbol's address is that of the exported header, and the library stays loaded.
    let root = unsafe { Root::from_header(header.cast(), is_older(info)) }
        .map_err(|error| error.during(format!("can't use the plugin file `{}`", path.display())))?;
    root.attach(log, level);
    Ok(root)
}

/// Whether the plugin was built against this host's api version or an earlier one.
fn is_older(info: &PluginInfo) -> bool {
    let version = |text: &str| semver::Version::parse(text).ok();
    version(&info.api) <= version(API_VERSION)
}
