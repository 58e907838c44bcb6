//! placeholder
use crate::sibling::Sibling;
use windlass_plugin_api::*;
pub fn into_sibling(_: &Context, _: &mut dyn std::io::Read, _: &Sibling) -> Result<()> {
    Err(Error::failed("soon"))
}
