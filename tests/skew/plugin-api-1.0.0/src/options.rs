//! Options of a plugin, and secrets among them.
//!
//! A plugin's options are one serde type that also derives `schemars::JsonSchema`. The schema is a committed file
//! that [`export_plugin!`](crate::export_plugin) embeds: the host validates a config against it before it loads anything,
//! and the testkit proves that it is what the type derives.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A password or key among the options.
///
/// In a config it is a string or `{ env | file | command }`. The plugin gets a name, and the value only from
/// [`Context::reveal`](crate::Context::reveal). `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    value: Option<String>,
}

impl Secret {
    /// The key under which the host hands a secret's name to a plugin: `{"$secret": "source.shop.password"}`.
    pub const KEY: &'static str = "$secret";

    /// A secret that the host keeps under `name`.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: None }
    }

    /// A secret with its value: for tests.
    pub fn of(value: impl Into<String>) -> Self {
        Self { name: String::new(), value: Some(value.into()) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn held(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;
        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Secret, E> {
                Ok(Secret::of(value))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let mut name = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == Secret::KEY {
                        name = Some(map.next_value::<String>()?);
                    } else {
                        map.next_value::<de::IgnoredAny>()?;
                    }
                }
                name.map(Secret::named).ok_or_else(|| de::Error::missing_field(Secret::KEY))
            }
        }
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// In a schema a secret is a string with `"format": "secret"`: that is how the host knows what to hide.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    #[test]
    fn debug_shows_neither_name_nor_value() {
        assert_eq!(format!("{:?} {:?}", Secret::of("hunter2"), Secret::named("n")), "Secret(…) Secret(…)");
    }

    #[test]
    fn a_secret_is_read_from_a_string_or_a_name() {
        let held: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(Context::default().reveal(&held).unwrap(), "hunter2");
        let named: Secret = serde_json::from_str(r#"{"$secret":"source.shop.password"}"#).unwrap();
        let error = Context::default().reveal(&named).unwrap_err();
        assert!(error.to_string().contains("source.shop.password"), "{error}");
    }
}
