//! Large objects on their way down: which part holds which bytes.
//!
//! A folder of parts never changes once it has its name, so what it holds is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use windlass_object::{Received, replaced};
use windlass_plugin_api::{Error, Result};

use crate::documents::Item;
use crate::request::Ask;
use crate::service::Drive;

/// More folders than this are not remembered at once.
const REMEMBERED: usize = 256;

/// The parts of an object, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Parts {
    /// Where each begins, and its id.
    begins: Vec<(u64, String)>,
    pub total: u64,
}

/// By the ids of folders.
pub type Known = Mutex<BTreeMap<String, Arc<Parts>>>;

/// The name of a part, counted from 1.
pub fn part_name(number: u32) -> String {
    format!("{number:05}")
}

impl Parts {
    fn of(mut items: Vec<Item>) -> Result<Self> {
        items.sort_by(|one, other| one.name.cmp(&other.name));
        let mut parts = Self::default();
        for (number, item) in (1..).zip(items) {
            if item.name != part_name(number) || item.file.is_none() {
                return Err(Error::damaged(format!(
                    "`{}` is there where part {number} should be",
                    item.name
                )));
            }
            parts.begins.push((parts.total, item.id));
            parts.total += item.size;
        }
        Ok(parts)
    }

    /// The part that holds a byte, and where in it that byte is.
    fn at(&self, offset: u64) -> Option<(&str, u64)> {
        let part = self.begins.partition_point(|(begin, _)| *begin <= offset).checked_sub(1)?;
        let (begin, id) = &self.begins[part];
        Some((id.as_str(), offset - begin)).filter(|_| offset < self.total)
    }
}

impl Drive {
    /// The parts in a folder; `None` where it is gone.
    pub async fn parts(&self, folder: &str) -> Result<Option<Arc<Parts>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let url = self.requests.address.item(folder, "/children");
        let Some(items) = self.requests.children(url).await? else { return Ok(None) };
        let parts = Arc::new(Parts::of(items)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(folder.to_owned(), parts.clone());
        Ok(Some(parts))
    }

    /// Bytes of a large object, up to the end of the part that they begin in.
    pub async fn get_part(
        &self,
        key: &str,
        folder: &str,
        from: u64,
        length: u64,
        into: &mut Received,
    ) -> Result<()> {
        let parts = self.parts(folder).await?.ok_or_else(|| replaced(key))?;
        into.total = parts.total;
        let Some((id, offset)) = parts.at(from) else { return Ok(()) };
        let got = self.download(key, id, offset, length, into).await;
        into.total = parts.total;
        got
    }

    /// Bytes of a file.
    pub async fn download(
        &self,
        key: &str,
        id: &str,
        from: u64,
        length: u64,
        into: &mut Received,
    ) -> Result<()> {
        let range = format!("bytes={from}-{}", from.saturating_add(length).saturating_sub(1));
        let ask = Ask::new(Method::GET, self.requests.address.item(id, "/content"))
            .header("range", &range)
            .expect(&[301, 302, 307, 308, 404, 416]);
        let answer = self.requests.send(ask).await?;
        match answer.status.as_u16() {
            404 => Err(replaced(key)),
            301..=308 => {
                let place = answer.header("location").unwrap_or_default().to_owned();
                self.requests.fetch(&place, &range).await?.receive(from, length, into).await
            }
            _ => answer.receive(from, length, into).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::File;

    fn part(number: u32, size: u64) -> Item {
        let (id, name) = (format!("id-{number}"), part_name(number));
        Item { id, name, size, file: Some(File::default()), ..Item::default() }
    }

    #[test]
    fn a_byte_is_in_the_part_that_holds_it() {
        let parts = Parts::of(vec![part(2, 5), part(1, 10), part(3, 1)]).unwrap();
        assert_eq!(parts.total, 16);
        for (offset, wanted) in
            [(0, ("id-1", 0)), (9, ("id-1", 9)), (10, ("id-2", 0)), (14, ("id-2", 4)), (15, ("id-3", 0))]
        {
            assert_eq!(parts.at(offset), Some(wanted));
        }
        assert_eq!((parts.at(16), Parts::default().at(0)), (None, None));
    }

    #[test]
    fn a_part_that_is_missing_or_strange_is_damage() {
        let strange = Item { name: "notes.txt".to_owned(), ..part(2, 5) };
        for items in [vec![part(1, 5), part(3, 5)], vec![part(2, 5)], vec![part(1, 5), strange]] {
            assert_eq!(Parts::of(items).unwrap_err().kind, windlass_plugin_api::ErrorKind::Damaged);
        }
    }
}
