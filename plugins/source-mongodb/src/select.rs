//! Which collections: `include` and `exclude` of a backup, `--only` of a restore.

use globset::{Glob, GlobMatcher};
use windlass_plugin_api::{Error, ErrorKind, RawName, Result};

use crate::catalog::Found;
use crate::options::Options;

/// What a backup takes of `found`. A pattern that fits nothing is an error: it is a slip of the pen.
pub(crate) fn chosen(options: &Options, found: Vec<Found>) -> Result<Vec<Found>> {
    let include = patterns(&options.include, "include", &found)?;
    let exclude = patterns(&options.exclude, "exclude", &found)?;
    let fits = |patterns: &[GlobMatcher], one: &Found| patterns.iter().any(|pattern| fits(pattern, one));
    let keep = |one: &Found| (include.is_empty() || fits(&include, one)) && !fits(&exclude, one);
    Ok(found.into_iter().filter(keep).collect())
}

fn patterns(given: &[String], option: &str, found: &[Found]) -> Result<Vec<GlobMatcher>> {
    let mut patterns = Vec::new();
    for text in given {
        let pattern = Glob::new(text).map_err(|error| {
            Error::new(ErrorKind::Config, format!("`{text}` in `{option}` is no pattern")).because(&error)
        })?;
        let pattern = pattern.compile_matcher();
        if !found.iter().any(|one| fits(&pattern, one)) {
            let error = Error::new(ErrorKind::NotFound, format!("no collection fits `{text}` in `{option}`"));
            return Err(error.hint(near(text, found)));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

/// A collection can be meant by its name alone, or with its database and a dot in front.
fn fits(pattern: &GlobMatcher, one: &Found) -> bool {
    let whole = pattern.glob().glob().contains('.');
    pattern.is_match(&one.name) || (whole && pattern.is_match(one.namespace()))
}

fn near(text: &str, found: &[Found]) -> String {
    let names: Vec<_> = found.iter().take(10).map(|one| format!("`{}`", one.name)).collect();
    if names.is_empty() {
        return format!("There are no collections at all, so leave `{text}` out.");
    }
    format!("There are {}{}.", names.join(", "), if found.len() > 10 { " and others" } else { "" })
}

/// The places in `names` (database and collection) that `only` chooses; all of them if it is empty.
pub(crate) fn only(only: &[RawName], names: &[(&str, &str)]) -> Result<Vec<usize>> {
    if only.is_empty() {
        return Ok((0..names.len()).collect());
    }
    let mut places = Vec::new();
    for wanted in only {
        let wanted = wanted.to_string();
        let whole = |(db, name): &(&str, &str)| format!("{db}.{name}") == wanted;
        let mut fit: Vec<_> = (0..names.len()).filter(|&place| whole(&names[place])).collect();
        if fit.is_empty() {
            fit = (0..names.len()).filter(|&place| names[place].1 == wanted).collect();
        }
        match fit[..] {
            [place] => places.push(place),
            [] => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("no collection `{wanted}` in the snapshot"),
                ));
            }
            _ => {
                let message = format!("several databases of the snapshot have a collection `{wanted}`");
                return Err(Error::new(ErrorKind::Config, message).hint("Write `database.collection`."));
            }
        }
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Found {
        Found {
            db: "shop".into(),
            name: name.into(),
            kind: "collection".into(),
            options: bson::doc! {},
            uuid: None,
            buckets: None,
        }
    }

    fn names(include: &[&str], exclude: &[&str]) -> Result<Vec<String>> {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let options = Options { include: own(include), exclude: own(exclude), ..Options::default() };
        let all = ["log", "log_old", "orders"].map(found).to_vec();
        Ok(chosen(&options, all)?.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn patterns_choose_and_one_that_fits_nothing_is_an_error() {
        assert_eq!(names(&[], &[]).unwrap(), ["log", "log_old", "orders"]);
        assert_eq!(names(&["log*"], &["shop.log_old"]).unwrap(), ["log"]);
        assert_eq!(names(&[], &["orders"]).unwrap(), ["log", "log_old"]);
        // Not because `shop` begins with it.
        assert_eq!(names(&["s*"], &[]).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(names(&["lgo"], &[]).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(names(&[], &["orders2"]).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn only_takes_names_with_and_without_a_database() {
        let names = [("a", "x"), ("a", "b.c"), ("b", "x"), ("b", "c")];
        let places = |wanted: &str| only(&[RawName::Text(wanted.into())], &names);
        assert_eq!(places("a.x").unwrap(), [0]);
        // `b.c` is the collection `c` of `b` before it is the collection `b.c` of `a`.
        assert_eq!(places("b.c").unwrap(), [3]);
        assert_eq!(places("a.b.c").unwrap(), [1]);
        assert_eq!(places("x").unwrap_err().kind, ErrorKind::Config);
        assert_eq!(places("nothing").unwrap_err().kind, ErrorKind::NotFound);
    }
}
