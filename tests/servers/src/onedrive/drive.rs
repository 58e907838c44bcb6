//! The drive of the double, and each request on it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{OneDriveDouble, refusal};
use crate::double::{Asked, Said};

const ROOT: &str = "root-id";

/// A folder, or a file with its bytes.
#[derive(Clone, Debug, Default)]
struct Node {
    name: String,
    parent: String,
    tag: u32,
    bytes: Option<Vec<u8>>,
    hash: String,
}

/// What the service keeps, for tests to look into and to change.
pub struct OneDriveState {
    nodes: BTreeMap<String, Node>,
    /// Those that are good.
    pub access: BTreeSet<String>,
    /// Words that tokens are given for.
    pub refresh: BTreeSet<String>,
    /// How many were given.
    pub tokens: u32,
    /// Entries a page.
    pub page: usize,
    /// How many bytes may be stored.
    pub space: usize,
    /// Checksums are given.
    pub has_hashes: bool,
    last: u32,
}

type Answer = Result<Said, Said>;

/// The whole of it in one go, bit by bit.
fn quick_xor(bytes: &[u8]) -> String {
    let mut bits = [false; 160];
    for (at, byte) in bytes.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            bits[(at * 11 + bit) % 160] ^= true;
        }
    }
    for bit in (0..64).filter(|bit| bytes.len() as u64 >> bit & 1 == 1) {
        bits[96 + bit] ^= true;
    }
    let bytes: Vec<u8> =
        bits.chunks(8).map(|eight| (0..8).fold(0, |byte, bit| byte | u8::from(eight[bit]) << bit)).collect();
    BASE64.encode(bytes)
}

fn is_forbidden(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_port = |name: &str| {
        name.len() == 4 && ["com", "lpt"].contains(&&name[..3]) && name.as_bytes()[3].is_ascii_digit()
    };
    name.is_empty()
        || name.chars().count() > 255
        || name.contains(['"', '*', ':', '<', '>', '?', '/', '\\', '|'])
        || name.chars().any(char::is_control)
        || name.starts_with([' '])
        || name.ends_with([' ', '.'])
        || ["con", "prn", "aux", "nul", ".lock", "desktop.ini"].contains(&lower.as_str())
        || is_port(&lower)
        || lower.starts_with("~$")
        || lower.contains("_vti_")
}

fn said(status: u16, document: &Value) -> Said {
    Said::status(status).header("content-type", "application/json").body(document.to_string())
}

impl OneDriveState {
    pub(super) fn new() -> Self {
        let root = Node { name: "root".to_owned(), ..Node::default() };
        Self {
            nodes: BTreeMap::from([(ROOT.to_owned(), root)]),
            access: BTreeSet::new(),
            refresh: BTreeSet::from([OneDriveDouble::REFRESH_TOKEN.to_owned()]),
            tokens: 0,
            page: 5,
            space: usize::MAX,
            has_hashes: true,
            last: 0,
        }
    }

    fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    fn path(&self, id: &str) -> String {
        let node = &self.nodes[id];
        if id == ROOT { String::new() } else { format!("{}/{}", self.path(&node.parent), node.name) }
    }

    /// Paths of files, sorted.
    pub fn paths(&self) -> Vec<String> {
        let files = self.nodes.iter().filter(|(_, node)| node.bytes.is_some());
        let mut paths: Vec<String> = files.map(|(id, _)| self.path(id)).collect();
        paths.sort();
        paths
    }

    /// Paths of folders, sorted.
    pub fn folders(&self) -> Vec<String> {
        let folders = self.nodes.iter().filter(|(id, node)| node.bytes.is_none() && *id != ROOT);
        let mut paths: Vec<String> = folders.map(|(id, _)| self.path(id)).collect();
        paths.sort();
        paths
    }

    /// The bytes of a file that is there.
    pub fn bytes(&mut self, path: &str) -> &mut Vec<u8> {
        let id = self.find(path.trim_start_matches('/')).unwrap();
        self.nodes.get_mut(&id).unwrap().bytes.as_mut().unwrap()
    }

    /// Stores a file by another door.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        assert!(self.store(path.trim_start_matches('/'), "replace", bytes.to_vec()).is_ok());
    }

    /// Removes a file by another door.
    pub fn take(&mut self, path: &str) {
        let id = self.find(path).unwrap();
        self.remove(&id);
    }

    fn child(&self, parent: &str, name: &str) -> Option<String> {
        let is = |node: &Node| node.parent == parent && node.name.to_lowercase() == name.to_lowercase();
        self.nodes.iter().find(|(id, node)| *id != ROOT && is(node)).map(|(id, _)| id.clone())
    }

    fn find(&self, path: &str) -> Result<String, Said> {
        let mut at = ROOT.to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.child(&at, name).ok_or_else(|| refusal(404, "itemNotFound"))?;
        }
        Ok(at)
    }

    fn size(&self, id: &str) -> usize {
        match &self.nodes[id].bytes {
            Some(bytes) => bytes.len(),
            None => {
                self.nodes.iter().filter(|(_, node)| node.parent == id).map(|(id, _)| self.size(id)).sum()
            }
        }
    }

    fn told(&self, id: &str) -> Value {
        let node = &self.nodes[id];
        let mut told = json!({
            "id": id,
            "name": node.name,
            "size": self.size(id),
            "eTag": format!("\"{{{id}}},{}\"", node.tag),
            "cTag": format!("c-{}", node.tag),
            "lastModifiedDateTime": "2026-01-02T03:04:05Z",
        });
        match &node.bytes {
            None => told["folder"] = json!({ "childCount": 7 }),
            Some(_) if self.has_hashes => {
                told["file"] = json!({ "hashes": { "quickXorHash": node.hash } });
            }
            Some(_) => told["file"] = json!({ "mimeType": "application/octet-stream" }),
        }
        told
    }

    fn folder(&mut self, parent: &str, name: &str) -> Result<String, Said> {
        if is_forbidden(name) {
            return Err(refusal(400, "invalidRequest"));
        }
        let id = format!("id!{}", self.next());
        let node =
            Node { name: name.to_owned(), parent: parent.to_owned(), tag: self.last, ..Node::default() };
        self.nodes.insert(id.clone(), node);
        Ok(id)
    }

    fn store(&mut self, path: &str, behavior: &str, bytes: Vec<u8>) -> Result<String, Said> {
        if path.chars().count() > 400 {
            return Err(refusal(400, "pathIsTooLong"));
        }
        if self.nodes.values().filter_map(|node| node.bytes.as_ref()).map(Vec::len).sum::<usize>()
            > self.space.saturating_sub(bytes.len())
        {
            return Err(refusal(507, "insufficientStorage"));
        }
        let names: Vec<&str> = path.split('/').collect();
        if names.iter().any(|name| is_forbidden(name)) {
            return Err(refusal(400, "invalidRequest"));
        }
        let mut at = ROOT.to_owned();
        for name in &names[..names.len() - 1] {
            at = match self.child(&at, name) {
                Some(id) if self.nodes[&id].bytes.is_some() => return Err(refusal(400, "invalidRequest")),
                Some(id) => id,
                None => self.folder(&at, name)?,
            };
        }
        let name = names[names.len() - 1];
        let tag = self.next();
        if let Some(id) = self.child(&at, name) {
            let node = self.nodes.get_mut(&id).unwrap();
            if node.bytes.is_none() || behavior != "replace" {
                return Err(refusal(409, "nameAlreadyExists"));
            }
            // The spelling that came first stays.
            (node.hash, node.bytes, node.tag) = (quick_xor(&bytes), Some(bytes), tag);
            return Ok(id);
        }
        let id = format!("id!{tag}");
        self.nodes.insert(
            id.clone(),
            Node { name: name.to_owned(), parent: at, tag, hash: quick_xor(&bytes), bytes: Some(bytes) },
        );
        Ok(id)
    }

    /// The item of a path of Graph, and what of it is asked.
    fn named<'p>(&self, path: &'p str) -> Result<(Result<String, String>, &'p str), Said> {
        let rest = path.strip_prefix("/v1.0/me/drive").ok_or_else(|| refusal(404, "itemNotFound"))?;
        if let Some(item) = rest.strip_prefix("/items/") {
            let (id, of) = item.find('/').map_or((item, ""), |at| item.split_at(at));
            return Ok((Ok(percent_decode_str(id).decode_utf8_lossy().into_owned()), of));
        }
        let (begin, rest) = match rest.strip_prefix("/special/approot") {
            Some(rest) => ("Apps/Windlass/", rest),
            None => ("", rest.strip_prefix("/root").ok_or_else(|| refusal(404, "itemNotFound"))?),
        };
        let Some(inner) = rest.strip_prefix(":/") else { return Ok((Err(begin.to_owned()), rest)) };
        let (place, of) = inner.split_once(':').unwrap_or((inner, ""));
        let place = percent_decode_str(place).decode_utf8_lossy().into_owned();
        Ok((Err(format!("{begin}{place}")), of))
    }

    pub(super) fn answer(
        &mut self,
        asked: &Asked,
        path: &str,
        query: &str,
        document: &Value,
        host: &str,
    ) -> Answer {
        if path.starts_with("/v1.0/me/drive/special/approot") && self.find("Apps/Windlass").is_err() {
            // The service makes it when it is asked for.
            let apps = self.folder(ROOT, "Apps")?;
            self.folder(&apps, "Windlass")?;
        }
        let (item, of) = self.named(path)?;
        if let ("PUT", "/content", Err(place)) = (asked.method.as_str(), of, &item) {
            if asked.body.len() > 250 << 20 {
                return Err(refusal(413, "requestTooLarge"));
            }
            let behavior = query.strip_prefix("@microsoft.graph.conflictBehavior=").unwrap_or("replace");
            let id = self.store(place, behavior, asked.body.clone())?;
            return Ok(said(201, &self.told(&id)));
        }
        let id = match item {
            Ok(id) if self.nodes.contains_key(&id) => id,
            Ok(_) => return Err(refusal(404, "itemNotFound")),
            Err(place) => self.find(&place)?,
        };
        match (asked.method.as_str(), of) {
            ("GET", "") => Ok(said(200, &self.told(&id))),
            ("GET", "/children") => self.children(&id, path, query, host),
            ("GET", "/content") if self.nodes[&id].bytes.is_none() => Err(refusal(400, "invalidRequest")),
            ("GET", "/content") => {
                let place = format!("http://{host}/download/{id}?tempauth={}", self.nodes[&id].tag);
                Ok(Said::status(302).header("location", place))
            }
            ("POST", "/children") => {
                let name = document["name"].as_str().unwrap_or_default();
                if self.nodes[&id].bytes.is_some() || document["folder"].is_null() {
                    return Err(refusal(400, "invalidRequest"));
                }
                if self.child(&id, name).is_some() {
                    return Err(refusal(409, "nameAlreadyExists"));
                }
                let id = self.folder(&id, name)?;
                Ok(said(201, &self.told(&id)))
            }
            ("PATCH", "") => {
                let name = document["name"].as_str().unwrap_or_default();
                let parent = self.nodes[&id].parent.clone();
                if is_forbidden(name) {
                    return Err(refusal(400, "invalidRequest"));
                }
                if self.child(&parent, name).is_some() {
                    return Err(refusal(409, "nameAlreadyExists"));
                }
                self.nodes.get_mut(&id).unwrap().name = name.to_owned();
                Ok(said(200, &self.told(&id)))
            }
            ("DELETE", "") => {
                let tag = asked.header("if-match");
                if !tag.is_empty() && self.told(&id)["eTag"] != tag {
                    return Err(refusal(412, "resourceModified"));
                }
                self.remove(&id);
                Ok(Said::status(204))
            }
            _ => Err(refusal(400, "invalidRequest")),
        }
    }

    /// With all that is in it.
    fn remove(&mut self, id: &str) {
        self.nodes.remove(id);
        let inside: Vec<String> =
            self.nodes.iter().filter(|(_, node)| node.parent == id).map(|(id, _)| id.clone()).collect();
        inside.iter().for_each(|id| self.remove(id));
    }

    fn children(&self, id: &str, path: &str, query: &str, host: &str) -> Answer {
        let skip: usize = query.rsplit_once("$skiptoken=").map_or(0, |(_, skip)| skip.parse().unwrap());
        // Not in any order that somebody could rely on.
        let all: Vec<&String> = self
            .nodes
            .iter()
            .rev()
            .filter(|(own, node)| *own != ROOT && node.parent == id)
            .map(|(id, _)| id)
            .collect();
        let page: Vec<Value> = all.iter().skip(skip).take(self.page).map(|id| self.told(id)).collect();
        let mut told = json!({ "value": page });
        if skip + self.page < all.len() {
            told["@odata.nextLink"] = format!("http://{host}{path}?$skiptoken={}", skip + self.page).into();
        }
        Ok(said(200, &told))
    }

    pub(super) fn download(&self, id: &str, query: &str, asked: &Asked) -> Said {
        let Some(node) = self.nodes.get(id).filter(|node| query == format!("tempauth={}", node.tag)) else {
            return Said::status(404);
        };
        let bytes = node.bytes.as_ref().unwrap();
        let range = asked.header("range").trim_start_matches("bytes=");
        let mut numbers = range.split('-').filter_map(|number| number.parse::<usize>().ok());
        let from = numbers.next().unwrap_or(0);
        let last = numbers.next().unwrap_or(usize::MAX).min(bytes.len().saturating_sub(1));
        if from >= bytes.len() {
            return Said::status(416).header("content-range", format!("bytes */{}", bytes.len()));
        }
        Said::status(206)
            .header("content-range", format!("bytes {from}-{last}/{}", bytes.len()))
            .body(&bytes[from..=last])
    }
}
