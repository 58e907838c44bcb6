//! TOML text to located values: syntax only, no meaning.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};
use super::value::{Data, Field, Located, Node, Origin, Table, TextFile};

/// Reads `text` as a TOML document. Syntax errors are all added to `problems`; then there is no table, because what
/// could be guessed of the rest would only make false problems.
pub fn parse(file: &Arc<TextFile>, text: &str, problems: &mut Problems) -> Option<Table> {
    let reader = Reader { file, lines: line_starts(text), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let origin = reader.origin(&error.span().unwrap_or(0..0));
            problems.push(Problem::new(error.message().replace('\n', ", ")).at(&origin));
        }
        return None;
    }
    Some(reader.table(table.get_ref(), problems))
}

/// Reads one TOML value that isn't part of a file: `[1, 2]`, `{ env = "X" }`.
pub fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let file = Arc::new(TextFile { name: Default::default(), folder: Default::default(), exposed: false });
    let reader = Reader { file: &file, lines: Vec::new(), text };
    let mut problems = Problems::new();
    let mut node = reader.node(&value, &mut problems);
    relocate(&mut node, origin);
    problems.is_empty().then_some(node)
}

fn relocate(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Data::Array(items) => items.iter_mut().for_each(|item| relocate(item, origin)),
        Data::Table(table) => table.0.values_mut().for_each(|field| {
            field.key = origin.clone();
            relocate(&mut field.value, origin);
        }),
        _ => {}
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect()
}

struct Reader<'a> {
    file: &'a Arc<TextFile>,
    lines: Vec<usize>,
    text: &'a str,
}

impl Reader<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..span.start).map_or(0, |before| before.chars().count()) + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Origin::File { file: self.file.clone(), line: number(line), column: number(column) }
    }

    fn table(&self, table: &DeTable<'_>, problems: &mut Problems) -> Table {
        let field = |(key, value): (&Spanned<_>, _)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let field = Field { key: self.origin(&key.span()), value: self.node(value, problems) };
            (key.get_ref().to_string(), field)
        };
        Table(table.iter().map(field).collect())
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Node {
        let origin = self.origin(&value.span());
        let data = match value.get_ref() {
            DeValue::String(text) => Data::String(text.to_string()),
            DeValue::Boolean(yes) => Data::Bool(*yes),
            DeValue::Datetime(time) => Data::String(time.to_string()),
            DeValue::Array(items) => {
                Data::Array(items.iter().map(|item| self.node(item, problems)).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table, problems)),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Number::from);
                self.number(number, &integer.to_string(), &origin, problems)
            }
            DeValue::Float(float) => {
                let number = float.as_str().parse::<f64>().ok().and_then(Number::from_f64);
                self.number(number, float.as_str(), &origin, problems)
            }
        };
        Located::new(data, origin)
    }

    fn number(&self, number: Option<Number>, text: &str, origin: &Origin, problems: &mut Problems) -> Data {
        Data::Number(number.unwrap_or_else(|| {
            problems.push(Problem::new(format!("the number `{text}` is out of range")).at(origin));
            Number::from(0)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<TextFile> {
        Arc::new(TextFile { name: "a.toml".into(), folder: "/etc".into(), exposed: false })
    }

    #[test]
    fn keys_and_values_know_line_and_column() {
        let mut problems = Problems::new();
        let table =
            parse(&file(), "# ä\n\"höst\" = \"a\"\n[source.shop]\n  path = [1,\n 2.5]\n", &mut problems)
                .unwrap();
        assert!(problems.is_empty());
        assert_eq!(table["höst"].key.to_string(), "a.toml:2");
        let Origin::File { column, .. } = table["höst"].value.origin else { panic!() };
        assert_eq!(column, 10);
        let shop = table["source"].value.as_table().unwrap()["shop"].value.as_table().unwrap();
        assert_eq!(shop["path"].key.to_string(), "a.toml:4");
        let Data::Array(items) = &shop["path"].value.value else { panic!() };
        assert_eq!(items[1].origin.to_string(), "a.toml:5");
        assert_eq!(shop["path"].value.to_json(), serde_json::json!([1, 2.5]));
    }

    #[test]
    fn all_syntax_errors_are_told_with_their_lines() {
        let mut problems = Problems::new();
        assert!(parse(&file(), "a = \nb = 1\nb = 2\nc = [1\n", &mut problems).is_none());
        let lines: Vec<_> = problems.iter().filter_map(|problem| problem.line).collect();
        assert!(lines.contains(&1) && lines.contains(&3), "{problems}");
    }

    #[test]
    fn a_number_out_of_range_is_a_problem() {
        let mut problems = Problems::new();
        parse(&file(), "a = 99999999999999999999\nb = nan\nc = 0x1F\n", &mut problems);
        assert_eq!(problems.len(), 2, "{problems}");
    }
}
