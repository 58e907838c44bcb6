//! The nearest known name to a mistyped one: for keys, options, plugins, sources, storages and pipelines alike.

/// The candidate that `wanted` most likely meant, if one is near enough to be worth naming.
///
/// Near is: the same letters but for case, `-` and `_`; or at most a third of them mistyped; or one begins with the
/// whole of the other. Of several equally near the first in the order given.
pub fn nearest<I>(wanted: &str, candidates: I) -> Option<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let plain = |name: &str| name.to_lowercase().replace(['-', '_'], "");
    let meant = plain(wanted);
    let mut best: Option<(usize, String)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let Some(distance) = distance(&meant, &plain(candidate)) else { continue };
        if best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, candidate.to_owned()));
        }
    }
    best.map(|(_, name)| name)
}

/// How far apart, if not too far.
fn distance(meant: &str, candidate: &str) -> Option<usize> {
    let distance = strsim::damerau_levenshtein(meant, candidate);
    let allowed = (meant.chars().count().max(candidate.chars().count()) / 3).max(1);
    let (short, long) = if meant.len() < candidate.len() { (meant, candidate) } else { (candidate, meant) };
    // `keep-day` for `keep_daily`: a beginning counts as near, but after every real typo.
    let begins = short.len() >= 3 && long.starts_with(short);
    // A name of one or two letters is one typo away from every other.
    let tiny = meant.chars().count() < 3 && distance > 0 && !begins;
    match distance <= allowed && !tiny {
        true => Some(distance),
        false => begins.then_some(distance + allowed),
    }
}

/// The sentence that offers the nearest candidate, or the whole choice where it is short.
pub fn hint(wanted: &str, candidates: &[&str]) -> Option<String> {
    if let Some(name) = nearest(wanted, candidates) {
        return Some(format!("Did you mean `{name}`?"));
    }
    let mut names: Vec<String> = candidates.iter().map(|name| format!("`{name}`")).collect();
    names.sort();
    names.dedup();
    match names.len() {
        0 => None,
        1 => Some(format!("The only one known is {}.", names[0])),
        2..=12 => Some(format!("Known are {}.", names.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_a_swap_and_another_spelling_find_their_key() {
        let keys = ["path", "password", "keep_daily", "keep_last", "level"];
        for (wanted, meant) in [
            ("pth", "path"),
            ("passowrd", "password"),
            ("keep-daily", "keep_daily"),
            ("keep_day", "keep_daily"),
            ("Level", "level"),
        ] {
            assert_eq!(nearest(wanted, keys).as_deref(), Some(meant), "{wanted}");
        }
    }

    #[test]
    fn nothing_is_offered_for_what_is_unlike_everything() {
        assert_eq!(nearest("zzz", ["path", "mode"]), None);
        assert_eq!(nearest("x", ["fs", "s3"]), None);
        assert_eq!(hint("zzz", &["path", "mode"]).as_deref(), Some("Known are `mode`, `path`."));
        assert_eq!(hint("zzz", &[]), None);
    }
}
