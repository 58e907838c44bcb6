//! `restore --set KEY=VALUE`: one option of an entry, from the command line.

use super::Known;
use super::convert::from_text;
use super::examine::plugin;
use super::pipeline::Entry;
use super::problem::Problem;
use super::shape::Shape;
use super::text::parse_value;
use super::value::{Data, Located, Origin};

/// Sets one option of `entry` to this text, whatever it looks like: a name that somebody else chose is never a reference.
pub fn set_text(entry: &mut Entry, key: &str, text: &str) {
    entry.options.set(key, Located::new(Data::String(text.to_owned()), Origin::CommandLine));
}

/// Sets one option of `entry`; the value becomes what the plugin's schema wants (a list is written `["a", "b"]`, anything
/// else is a list of one). A value such as `{ env = "X" }` is a reference, as in a config. The option is checked when the
/// entry is resolved; here only its name is.
pub fn set(entry: &mut Entry, assignment: &str, known: &dyn Known) -> Result<(), Problem> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Problem::new("`--set` needs `KEY=VALUE`"));
    };
    let key = key.trim();
    let info = plugin(entry, known)?;
    let shape = Shape::of(&info.options);
    let key = info.renamed_options.get(key).map_or(key, String::as_str);
    let keys = shape.keys();
    if !keys.contains(&key) && shape.is_closed() {
        let message = format!("the {} plugin `{}` has no option `{key}`", entry.kind, info.short_name());
        return Err(Problem::new(message).key(format!("--set {key}")).suggest(key, keys));
    }
    let origin = Origin::CommandLine;
    let reference = value.trim_start().starts_with('{').then(|| parse_value(value.trim(), &origin)).flatten();
    let reference = reference.filter(|node| matches!(node.value, Data::Table(_)));
    let node = reference.unwrap_or_else(|| from_text(value, &shape.property(key), &origin));
    // An old name in the config would otherwise be set beside it.
    entry.options.0.retain(|old, _| info.renamed_options.get(old).is_none_or(|new| new != key));
    entry.options.set(key, node);
    Ok(())
}
