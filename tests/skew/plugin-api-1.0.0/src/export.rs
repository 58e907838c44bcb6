//! What turns a crate into a plugin.
//!
//! It doesn't decide anything at run time: it puts the description into the shared library and exports the entry.

/// Whether this crate was built for unwinding: a macro, for it must be judged where the plugin is compiled.
#[doc(hidden)]
#[macro_export]
macro_rules! __panic_mode {
    () => {
        if cfg!(panic = "abort") { "abort" } else { "unwind" }
    };
}

/// Exports a type that implements [`Plugin`](crate::Plugin) and one of the kinds as the plugin of this crate.
///
/// ```ignore
/// windlass_plugin_api::export_plugin! {
///     filter Zstd {
///         "name": "zstd",
///         "summary": "Zstandard compression",
///         "suffix": ".zst",
///         "compresses": true,
///     }
///     options: "../options.schema.json"
/// }
/// ```
///
/// The body is JSON: the fields of [`PluginInfo`](crate::PluginInfo) that aren't known otherwise. `vendor` defaults to
/// `windlass`: set your own. `options` names the committed schema file, relative to the source file. The version is the
/// crate's. The crate is a `cdylib` (and an `rlib`, for its tests) named `windlass_<kind>_<name>`, or
/// `windlass_<kind>_<vendor>__<name>`, and has a feature `export` in its defaults: without it the symbols aren't
/// exported, so that several plugins can be linked into one binary.
#[macro_export]
macro_rules! export_plugin {
    ($kind:ident $plugin:ident { $($key:literal : $value:tt),* $(,)? } options: $schema:literal) => {
        impl $crate::export::Described for $plugin {
            const DESCRIPTION: &'static [&'static str] = &[
                "windlass-plugin-1\n{\"kind\":\"", stringify!($kind),
                "\",\"version\":\"", env!("CARGO_PKG_VERSION"),
                "\",\"api\":\"", $crate::API_VERSION,
                "\",\"panic\":\"", $crate::__panic_mode!(),
                "\"", $(",", stringify!($key), ":", stringify!($value),)*
                ",\"options\":", include_str!($schema), "}\n",
            ];
        }

        #[cfg(feature = "export")]
        const _: () = {
            const LENGTH: usize =
                $crate::export::length(<$plugin as $crate::export::Described>::DESCRIPTION);

            #[unsafe(no_mangle)]
            #[unsafe(link_section = ".windlass.plugin")]
            #[used]
            pub static WINDLASS_PLUGIN_DESCRIPTION: [u8; LENGTH] =
                $crate::export::join(<$plugin as $crate::export::Described>::DESCRIPTION);

            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            pub static windlass_plugin_root_v1: $crate::ffi::root::LibHeader =
                $crate::export_plugin!(@header $kind $plugin);
        };
    };
    (@header source $plugin:ident) => { $crate::ffi::root::source_header::<$plugin>() };
    (@header filter $plugin:ident) => { $crate::ffi::root::filter_header::<$plugin>() };
    (@header storage $plugin:ident) => { $crate::ffi::root::storage_header::<$plugin>() };
    (@header notifier $plugin:ident) => { $crate::ffi::root::notifier_header::<$plugin>() };
}

/// Implemented by [`export_plugin!`](crate::export_plugin).
pub trait Described {
    /// The pieces of the description: [`MAGIC`](crate::info::MAGIC), then JSON.
    const DESCRIPTION: &'static [&'static str];

    /// The description as the host reads it.
    fn info() -> crate::Result<crate::PluginInfo> {
        read_description(Self::DESCRIPTION.concat().as_bytes())
    }
}

/// The description in the bytes of a section.
pub fn read_description(section: &[u8]) -> crate::Result<crate::PluginInfo> {
    let garbled = |why: &dyn std::error::Error| {
        crate::Error::damaged("its description can't be read")
            .because(why)
            .hint("Rebuild the plugin against a released windlass-plugin-api.")
    };
    let text = std::str::from_utf8(section).map_err(|error| garbled(&error))?;
    let Some(json) = text.strip_prefix(crate::info::MAGIC) else {
        return Err(crate::Error::new(
            crate::ErrorKind::Unsupported,
            "its description is of an unknown form: the plugin may be newer than this host",
        ));
    };
    serde_json::from_str(json.trim_end_matches(['\0', '\n'])).map_err(|error| garbled(&error))
}

/// The length of all pieces in bytes.
pub const fn length(pieces: &[&str]) -> usize {
    let mut sum = 0;
    let mut i = 0;
    while i < pieces.len() {
        sum += pieces[i].len();
        i += 1;
    }
    sum
}

/// All pieces, one behind the other. `N` must be their [`length`].
pub const fn join<const N: usize>(pieces: &[&str]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut i, mut at) = (0, 0);
    while i < pieces.len() {
        let bytes = pieces[i].as_bytes();
        let mut j = 0;
        while j < bytes.len() {
            joined[at] = bytes[j];
            at += 1;
            j += 1;
        }
        i += 1;
    }
    joined
}
