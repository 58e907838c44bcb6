//! `each = { database = "*", except = ["template*"] }`: every item that a source discovers is a snapshot of its own.
//!
//! What is read here says which items; [`crate::pipeline::each`] asks the source for them.

use glob::Pattern;

use super::fields::Fields;
use super::value::Origin;

/// Which items of a source are backed up, each by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// The source's option that an item's name is the value of.
    pub option: String,
    /// Where that stands.
    pub origin: Origin,
    patterns: Vec<Pattern>,
    except: Vec<Pattern>,
}

const EXCEPT: &str = "except";

impl Each {
    /// Reads the table.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let named: Vec<_> = fields.table.iter().filter(|(key, _)| *key != EXCEPT).collect();
        let [(option, field)] = named.as_slice() else {
            let hint = "Write it as `each = { database = \"*\", except = [\"template*\"] }`.";
            fields.problem_here("expected one option of the source, and `except`", hint);
            return None;
        };
        let (option, origin) = ((*option).clone(), field.key.clone());
        let wanted = patterns(fields, &option);
        if wanted.is_empty() {
            return None;
        }
        Some(Self { option, origin, patterns: wanted, except: patterns(fields, EXCEPT) })
    }

    /// Whether the item of this name is one of them.
    pub fn takes(&self, name: &str) -> bool {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        fits(&self.patterns) && !fits(&self.except)
    }
}

/// Those of `key`; none if it isn't there.
fn patterns(fields: &mut Fields<'_, '_>, key: &str) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for text in fields.strings(key) {
        match Pattern::new(&text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                fields.problem(
                    key,
                    &text.origin,
                    format!("`{}` is not a pattern: {}", text.value, error.msg),
                );
            }
        }
    }
    patterns
}
