//! Which keys may be sent to a service.
//!
//! To a service a key is only a name, but clients and gateways read `..` and `//` as paths.

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::service::Limits;

/// Refuses what isn't a key, or too long for the service.
pub fn judge(key: &str, limits: &Limits) -> Result<()> {
    let is_name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    let wrong = |why: &str| Err(Error::new(ErrorKind::Config, format!("the key `{key}` {why}")));
    if !key.split('/').all(is_name) {
        return wrong("has a segment that is no name");
    }
    if key.len() > limits.key_bytes {
        return wrong(&format!("is longer than the {} bytes that the service takes", limits.key_bytes));
    }
    Ok(())
}
