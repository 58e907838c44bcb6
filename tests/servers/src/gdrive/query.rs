//! Searches of the double: the part of the query language that names, parents, kinds and the bin need.

use serde_json::{Value, json};

use super::{Answered, DriveState, Stored, described, ok, refuse};
use crate::double::{Asked, Said};
use crate::trouble::parameter;

#[derive(Debug, PartialEq)]
enum Term {
    Name(String),
    Parent(String),
    Kind(String, bool),
    NotTrashed,
}

pub fn list(state: &DriveState, asked: &Asked) -> Answered {
    let said = |name: &str| parameter(&asked.path, name);
    let terms = terms(&said("q").unwrap_or_default())?;
    if !terms.contains(&Term::NotTrashed) {
        return Err(refuse(400, "a client that shows what is in the bin"));
    }
    if let Some(drive) = &state.shared {
        let is_asked = said("driveId").as_ref() == Some(drive)
            && said("corpora").as_deref() == Some("drive")
            && said("includeItemsFromAllDrives").as_deref() == Some("true");
        if !is_asked {
            return Err(refuse(400, "invalid"));
        }
    }
    for term in &terms {
        if let Term::Parent(parent) = term {
            state.judge_parent(parent)?;
        }
    }
    let fits = |file: &&Stored| {
        file.listed_from <= state.requests
            && terms.iter().all(|term| match term {
                // Here names are compared as a service may that folds them.
                Term::Name(name) => file.name.eq_ignore_ascii_case(name),
                Term::Parent(parent) => file.parent == *parent,
                Term::Kind(kind, is) => (file.mime == *kind) == *is,
                Term::NotTrashed => true,
            })
    };
    // In no order that a client may rely on.
    let all: Vec<&Stored> = state.files.iter().rev().filter(fits).collect();
    let size: usize = said("pageSize").and_then(|size| size.parse().ok()).unwrap_or(100);
    if !(1..=1000).contains(&size) {
        return Err(refuse(400, "invalid"));
    }
    let size = size.min(state.page.unwrap_or(size));
    let from: usize = match said("pageToken") {
        Some(token) => {
            token.strip_prefix("~!!~").and_then(|at| at.parse().ok()).ok_or_else(|| refuse(400, "invalid"))?
        }
        None => 0,
    };
    let files: Vec<Value> = all.iter().skip(from).take(size).map(|file| described(file)).collect();
    let mut page = json!({ "files": files });
    if from + size < all.len() {
        page["nextPageToken"] = format!("~!!~{}", from + size).into();
    }
    Ok(ok(&page))
}

fn terms(query: &str) -> Result<Vec<Term>, Said> {
    let wrong = || refuse(400, "invalid");
    let (mut rest, mut terms) = (query, Vec::new());
    loop {
        if let Some(behind) = rest.strip_prefix('\'') {
            let (id, behind) = text(behind).ok_or_else(wrong)?;
            rest = behind.strip_prefix(" in parents").ok_or_else(wrong)?;
            terms.push(Term::Parent(id));
        } else if let Some(behind) = rest.strip_prefix("trashed = false") {
            rest = behind;
            terms.push(Term::NotTrashed);
        } else {
            let (field, behind) = rest.split_once(' ').ok_or_else(wrong)?;
            let (operator, behind) = behind.split_once(" '").ok_or_else(wrong)?;
            let (value, behind) = text(behind).ok_or_else(wrong)?;
            rest = behind;
            terms.push(match (field, operator) {
                ("name", "=") => Term::Name(value),
                ("mimeType", "=" | "!=") => Term::Kind(value, operator == "="),
                _ => return Err(wrong()),
            });
        }
        match rest {
            "" => return Ok(terms),
            _ => rest = rest.strip_prefix(" and ").ok_or_else(wrong)?,
        }
    }
}

/// A text up to the quote that ends it, and what is behind.
fn text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut signs = quoted.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\'' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(signs.next()?.1),
            _ => text.push(sign),
        }
    }
    None
}
