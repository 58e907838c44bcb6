//! placeholder
use rusqlite::Connection;
use windlass_plugin_api::*;
pub fn write(_: &Context, _: &Connection, _: &mut dyn Sink) -> Result<()> {
    Err(Error::failed("soon"))
}
