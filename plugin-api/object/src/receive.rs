//! The body of an answer that holds an object's bytes, put where they belong, as they arrive.
//!
//! It knows HTTP's ranges and no service: which header names the version is the service's business.

use windlass_plugin_api::{Error, Result};

use crate::http::Answer;
use crate::service::Received;

impl Answer {
    /// Appends the bytes of an answer to a GET with `range: bytes=<from>-…` to `into`, at most `length` of them. The status
    /// is one of success, or 416.
    pub async fn receive(mut self, from: u64, length: u64, into: &mut Received) -> Result<()> {
        let range = self.header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        if self.status.as_u16() == 416 {
            into.total = range.unwrap_or(from.min(into.total));
            return Ok(());
        }
        let is_part = self.status.as_u16() == 206;
        let whole = self.header("content-length").and_then(|length| length.parse().ok());
        let total: Option<u64> = if is_part { range } else { whole };
        into.total = total.ok_or_else(|| Error::failed("the service didn't say how large the object is"))?;
        // A service that doesn't know ranges sends all of it.
        let mut skipped = if is_part { 0 } else { from };
        let mut wanted = length;
        while let Some(mut chunk) = self.chunk().await? {
            let skip = skipped.min(chunk.len() as u64);
            skipped -= skip;
            chunk = chunk.slice(skip as usize..);
            let taken = wanted.min(chunk.len() as u64);
            into.bytes.extend_from_slice(&chunk[..taken as usize]);
            wanted -= taken;
            if wanted == 0 {
                break;
            }
        }
        Ok(())
    }
}
