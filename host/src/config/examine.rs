//! One entry against its plugin: is there such a plugin, in such a version, and do its options fit its schema? With
//! [`Secrets`] at hand it also resolves references and makes the options document.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;
use serde_json::{Map, Value};
use windlass_plugin_api::{ErrorKind, PluginInfo, Secret};

use super::Known;
use super::convert::from_text;
use super::explain::Explain;
use super::fields::join;
use super::limit;
use super::pipeline::Entry;
use super::problem::Problem;
use super::reference::{Reference, is_reference};
use super::secrets::{Kept, Secrets};
use super::shape::Shape;
use super::url;
use super::value::{Data, Located, Node, Table};

/// Where secrets go, and the beginning of their names.
#[derive(Clone, Copy)]
pub(super) struct Resolver<'a> {
    pub secrets: &'a Secrets,
    pub prefix: &'a str,
}

/// What came of it.
pub(super) struct Examined {
    /// For the plugin; only of an entry without errors that was resolved.
    pub document: Option<Value>,
    pub problems: Vec<Problem>,
}

/// Examines `entry`; without a `resolver` references are left alone and what depends on them isn't judged.
pub(super) fn examine(entry: &Entry, known: &dyn Known, resolver: Option<Resolver<'_>>) -> Examined {
    let info = match plugin(entry, known) {
        Ok(info) => info,
        Err(problem) => return Examined { document: None, problems: vec![problem] },
    };
    let mut problems = Vec::new();
    problems.extend(wrong_version(entry, &info));
    let mut options = renamed(entry, &info, &mut problems);
    let shape = Shape::of(&info.options);
    if let Some(field) = limit::take(entry, &shape, &mut options) {
        problems.extend(limit::problems(entry, &field));
    }
    let mut walk = Walk { entry, resolver, problems, skipped: Vec::new(), secrets: Vec::new() };
    let mut document = walk.table(&options, &shape, &mut Vec::new());
    let explain = Explain { entry, options: &options, shape: &shape, skipped: &walk.skipped };
    walk.problems.extend(explain.check(&info.options, &document));
    if walk.problems.iter().any(|problem| !problem.warning) || resolver.is_none() {
        return Examined { document: None, problems: walk.problems };
    }
    for (path, name) in &walk.secrets {
        replace(&mut document, path, Map::from_iter([(Secret::KEY.to_owned(), name.as_str().into())]).into());
    }
    Examined { document: Some(document), problems: walk.problems }
}

/// What the registry says of the plugin that the entry names.
pub(super) fn plugin(entry: &Entry, known: &dyn Known) -> Result<Arc<PluginInfo>, Problem> {
    let (kind, name) = (entry.kind, &entry.plugin);
    known.info(kind, name).map_err(|error| {
        let key = format!("{}.plugin", entry.key);
        if error.kind != ErrorKind::NotFound {
            let problem = Problem::new(error.one_line()).at(&name.origin).key(key);
            return error.hint.into_iter().fold(problem, Problem::hint);
        }
        let names = known.names(kind);
        Problem::new(format!("there is no {kind} plugin `{}`", name.value))
            .at(&name.origin)
            .key(key)
            .suggest(name, names.iter().map(String::as_str))
            .hint("`windlass plugins list` tells which there are and `windlass plugins path` where they are looked for.")
    })
}

fn wrong_version(entry: &Entry, info: &PluginInfo) -> Option<Problem> {
    let wanted = entry.version.as_ref()?;
    let fits = Version::parse(&info.version).is_ok_and(|version| wanted.matches(&version));
    (!fits).then(|| {
        let message =
            format!("the {} plugin `{}` is version {}", entry.kind, info.short_name(), info.version);
        let hint = format!("Install a version that matches `{}`, or change the requirement.", wanted.value);
        Problem::new(message).at(&wanted.origin).key(format!("{}.version", entry.key)).hint(hint)
    })
}

/// The options with old names replaced.
fn renamed(entry: &Entry, info: &PluginInfo, problems: &mut Vec<Problem>) -> Table {
    let mut options = entry.options.clone();
    for (old, new) in &info.renamed_options {
        let Some(field) = options.0.remove(old) else { continue };
        let problem =
            Problem::new(format!("is now called `{new}`")).at(&field.key).key(join(&entry.key, old));
        if options.contains_key(new) {
            problems.push(problem.hint(format!("Remove `{old}`: both are set.")));
        } else {
            problems.push(problem.warn());
            options.0.insert(new.clone(), field);
        }
    }
    options
}

fn replace(document: &mut Value, path: &[String], with: Value) {
    let place = path.iter().try_fold(document, |value, part| match value {
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        value => value.get_mut(part),
    });
    if let Some(place) = place {
        *place = with;
    }
}

/// Goes through the options and makes JSON of them. Secrets stand in it with their values until all is checked.
struct Walk<'a> {
    entry: &'a Entry,
    resolver: Option<Resolver<'a>>,
    problems: Vec<Problem>,
    /// Places whose value isn't known: unresolved, or wrong and told already.
    skipped: Vec<Vec<String>>,
    /// Places of secrets and their names.
    secrets: Vec<(Vec<String>, String)>,
}

impl Walk<'_> {
    fn table(&mut self, table: &Table, shape: &Shape<'_>, path: &mut Vec<String>) -> Value {
        let mut object = Map::new();
        for (key, field) in table.iter() {
            let inner = shape.property(key);
            // An unknown option is told by the schema's check. No command runs for it.
            if inner.is_empty() && shape.is_closed() {
                object.insert(key.clone(), Value::Null);
                continue;
            }
            path.push(key.clone());
            let value = self.node(&field.value, &inner, path, true);
            path.pop();
            object.insert(key.clone(), value);
        }
        object.into()
    }

    /// `literal`: it stands in the config itself, and not only its whereabouts.
    fn node(&mut self, node: &Node, shape: &Shape<'_>, path: &mut Vec<String>, literal: bool) -> Value {
        match &node.value {
            Data::Table(table) if literal && is_reference(table, shape) => {
                self.reference(table, node, shape, path)
            }
            Data::Table(table) => self.table(table, shape, path),
            Data::Array(items) => {
                let mut values = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    values.push(self.node(item, &shape.item(), path, literal));
                    path.pop();
                }
                values.into()
            }
            Data::String(text) => self.string(text, node, shape, path, literal),
            other => other.to_json(),
        }
    }

    fn string(
        &mut self,
        text: &str,
        node: &Node,
        shape: &Shape<'_>,
        path: &[String],
        literal: bool,
    ) -> Value {
        let secret = if shape.is_secret() { Some(text.to_owned()) } else { url::password(text) };
        if let Some(secret) = secret {
            if literal {
                self.exposed(node, path);
            }
            if let Some(Resolver { secrets, .. }) = self.resolver {
                secrets.hide(&secret);
            }
        }
        if shape.is_secret() {
            if literal {
                self.keep(path, Kept::Literal(text.to_owned()));
            }
        } else if let (true, Some(resolver)) = (shape.is_path(), self.resolver) {
            let folder = node.origin.folder().map_or(resolver.secrets.folder(), PathBuf::as_path);
            return self.absolute(folder, text, node, path);
        }
        text.into()
    }

    /// An empty path stays one, for the plugin to refuse.
    fn absolute(&mut self, folder: &Path, text: &str, node: &Node, path: &[String]) -> Value {
        if text.is_empty() {
            return text.into();
        }
        let absolute: PathBuf = folder.join(text).components().collect();
        match absolute.into_os_string().into_string() {
            Ok(path) => path.into(),
            Err(_) => {
                let problem = Problem::new("the folder that this is relative to has a name that isn't UTF-8");
                self.tell(problem.at(&node.origin).hint("Write an absolute path."), path);
                Value::Null
            }
        }
    }

    fn reference(&mut self, table: &Table, node: &Node, shape: &Shape<'_>, path: &mut Vec<String>) -> Value {
        // `identities = { file = "key.txt" }` where a list of secrets is wanted: a list of that one.
        if !shape.is_secret() && shape.types() == ["array"] && shape.item().is_secret() {
            path.push("0".to_owned());
            let item = self.reference(table, node, &shape.item(), path);
            path.pop();
            return Value::Array(vec![item]);
        }
        let here = self.resolver.map_or(Path::new(""), |resolver| resolver.secrets.folder());
        let reference = match Reference::read(table, &node.origin, here) {
            Ok(reference) => reference,
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.tell(problem, path));
                return Value::Null;
            }
        };
        let Some(Resolver { secrets, .. }) = self.resolver else {
            // A default that is a literal secret is told even so.
            reference.default.iter().for_each(|default| _ = self.node(default, shape, path, true));
            self.skipped.push(path.clone());
            return Value::Null;
        };
        match secrets.look_up(&reference) {
            Ok(Some(text)) if shape.is_secret() => {
                secrets.hide(&text);
                self.keep(path, Kept::Elsewhere(reference.how));
                text.into()
            }
            Ok(Some(text)) => self.node(&from_text(&text, shape, &node.origin), shape, path, false),
            Ok(None) => match &reference.default {
                Some(default) => self.node(default, shape, path, true),
                None => self.unresolved(reference.how.missing().one_line(), node, path),
            },
            Err(error) => self.unresolved(error.one_line(), node, path),
        }
    }

    fn unresolved(&mut self, message: String, node: &Node, path: &[String]) -> Value {
        self.tell(Problem::new(message).at(&node.origin), path);
        Value::Null
    }

    fn keep(&mut self, path: &[String], kept: Kept) {
        if let Some(Resolver { secrets, prefix }) = self.resolver {
            let name = format!("{prefix}.{}", path.join("."));
            secrets.keep(name.clone(), kept);
            self.secrets.push((path.to_owned(), name));
        }
    }

    fn exposed(&mut self, node: &Located<Data>, path: &[String]) {
        let Some(file) = node.origin.file().filter(|file| file.exposed) else { return };
        let hint = format!(
            "Run `chmod 600 {}`, or keep the secret elsewhere and write `{{ env = … }}` or `{{ file = … }}`.",
            file.name.display()
        );
        let problem = Problem::new("a secret stands here in a file that other users can read");
        self.problems.push(problem.at(&node.origin).key(dotted(&self.entry.key, path)).hint(hint));
    }

    /// Tells a problem with the value at `path`, which then isn't judged further.
    fn tell(&mut self, problem: Problem, path: &[String]) {
        self.problems.push(problem.key(dotted(&self.entry.key, path)));
        self.skipped.push(path.to_owned());
    }
}

/// `source.shop.roots[0]`
pub(super) fn dotted(key: &str, path: &[String]) -> String {
    path.iter().fold(key.to_owned(), |key, part| match part.parse::<usize>() {
        Ok(index) => format!("{key}[{index}]"),
        Err(_) => join(&key, part),
    })
}
