//! What the jsonschema crate finds, in the words and at the places of the config. A secret's value is never repeated.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, ValidationError};
use serde_json::Value;

use super::examine::dotted;
use super::fields::{a, join};
use super::limit;
use super::pipeline::Entry;
use super::problem::Problem;
use super::shape::Shape;
use super::url::redact_url;
use super::value::{Origin, Table, origin_of};

/// What is needed to place a finding.
pub(super) struct Explain<'a> {
    pub entry: &'a Entry,
    /// The options as checked, for their places.
    pub options: &'a Table,
    pub shape: &'a Shape<'a>,
    /// Places whose value isn't known, so nothing is said of them and of what holds them.
    pub skipped: &'a [Vec<String>],
}

impl Explain<'_> {
    /// All that `document` has against `schema`.
    pub fn check(&self, schema: &Value, document: &Value) -> Vec<Problem> {
        let validator = match jsonschema::options().with_draft(Draft::Draft202012).build(schema) {
            Ok(validator) => validator,
            Err(error) => {
                let message =
                    format!("the plugin `{}` has a broken schema: {error}", self.entry.plugin.value);
                return vec![Problem::new(message).at(&self.entry.origin).key(&self.entry.key)];
            }
        };
        let mut problems: Vec<Problem> =
            validator.iter_errors(document).flat_map(|error| self.explain(&error)).collect();
        if self.shape.forgot_to_deny() {
            let keys = self.shape.keys();
            let unknown = self.options.keys().filter(|key| !keys.contains(&key.as_str()));
            problems.extend(unknown.map(|key| self.unknown(&[], key)));
        }
        problems
    }

    fn explain(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let path: Vec<String> = error.instance_path().iter().map(|part| part.to_string()).collect();
        if self.skipped.iter().any(|skipped| path.starts_with(skipped)) {
            return Vec::new();
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown(&path, key)).collect()
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![self.at(&path, format!("the option `{name}` is missing"))]
            }
            // Which alternative is meant may depend on what isn't known.
            Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } | Kind::OneOfMultipleValid { .. }
                if self.skipped.iter().any(|skipped| skipped.starts_with(&path)) =>
            {
                Vec::new()
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(&path, error, context)
            }
            _ => vec![self.plain(&path, error)],
        }
    }

    /// Of several alternatives the one that was meant says best what is wrong: the only one of the value's own type.
    fn alternatives(
        &self,
        path: &[String],
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
    ) -> Vec<Problem> {
        let place = error.instance_path().as_str();
        let other = |error: &ValidationError<'_>| {
            error.instance_path().as_str() == place
                && matches!(error.kind(), Kind::Type { .. } | Kind::Constant { .. })
        };
        let mut meant = context.iter().filter(|errors| !errors.iter().any(other));
        match (meant.next(), meant.next()) {
            (Some(errors), None) => errors.iter().flat_map(|error| self.explain(error)).collect(),
            _ => vec![self.plain(path, error)],
        }
    }

    fn unknown(&self, path: &[String], key: &str) -> Problem {
        let mut whole = path.to_vec();
        whole.push(key.to_owned());
        let mut known = self.shape.follow(path).keys();
        if path.is_empty() && limit::is_hosts(self.entry.kind, self.shape) {
            known.push(limit::LIMIT);
        }
        let mut problem = self.at(&whole, "unknown option".to_owned());
        problem.key = Some(join(&dotted(&self.entry.key, path), key));
        problem.suggest(key, known)
    }

    fn plain(&self, path: &[String], error: &ValidationError<'_>) -> Problem {
        let shape = self.shape.follow(path);
        let value = shown(error.instance(), &shape);
        let choices = shape.choices();
        if !choices.is_empty() {
            let problem = self.at(path, format!("{value} is not one of `{}`", choices.join("`, `")));
            let nearest = error.instance().as_str().and_then(|text| super::suggest::nearest(text, &choices));
            return nearest
                .into_iter()
                .fold(problem, |problem, name| problem.hint(format!("Did you mean `{name}`?")));
        }
        let message = match error.kind() {
            Kind::Type { .. } | Kind::AnyOf { .. } | Kind::OneOfNotValid { .. }
                if !shape.types().is_empty() =>
            {
                let wanted: Vec<String> = shape.types().into_iter().map(|name| a(toml_name(name))).collect();
                let found = type_name(error.instance());
                match wanted.contains(&found) {
                    true => "fits none of the forms that the option can have".to_owned(),
                    false => format!("expected {}, found {found}", wanted.join(" or ")),
                }
            }
            Kind::Minimum { limit } => format!("{value} is less than {limit}"),
            Kind::Maximum { limit } => format!("{value} is more than {limit}"),
            Kind::ExclusiveMinimum { limit } => format!("{value} must be more than {limit}"),
            Kind::ExclusiveMaximum { limit } => format!("{value} must be less than {limit}"),
            Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } => "must not be empty".to_owned(),
            Kind::Pattern { pattern } => format!("{value} doesn't match `{pattern}`"),
            _ => error.masked_with("the value").to_string(),
        };
        self.at(path, message)
    }

    fn at(&self, path: &[String], message: String) -> Problem {
        Problem::new(message).at(self.origin(path)).key(dotted(&self.entry.key, path))
    }

    fn origin(&self, path: &[String]) -> &Origin {
        origin_of(self.options, path).unwrap_or(&self.entry.origin)
    }
}

/// A value as an error may show it.
fn shown(value: &Value, shape: &Shape<'_>) -> String {
    match value {
        _ if shape.is_secret() => "the value".to_owned(),
        Value::String(text) if text.chars().count() <= 80 => format!("`{}`", redact_url(text)),
        Value::Number(_) | Value::Bool(_) => format!("`{value}`"),
        _ => "the value".to_owned(),
    }
}

fn type_name(value: &Value) -> String {
    a(match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    })
}

/// JSON's objects are TOML's tables.
fn toml_name(name: &str) -> &str {
    if name == "object" { "table" } else { name }
}
