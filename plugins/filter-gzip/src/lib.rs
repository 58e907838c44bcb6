//! probe
use windlass_plugin_api::{*};
use serde_json::{Map, Value};
/// o
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options { #[serde(default)] /// level
pub level: u32 }
/// x
pub struct Gzip;
impl Plugin for Gzip { type Options = Options; fn new(_: Options, _: &Context) -> Result<Self> { Ok(Self) } }
impl Filter for Gzip {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> { Ok(next) }
    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> { Ok(input) }
}
export_plugin! { filter Gzip { "name": "gzip", "suffix": ".gz", "compresses": true, "aliases": ["gz"], } options: "../options.schema.json" }
