//! A service in memory that counts what is under way, and fails or hangs as it is told.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use windlass_object::{
    Begun, How, Limits, Listed, Listing, Objects, Part, Received, Retry, Service, Settings, unavailable,
};
use windlass_plugin_api::{Error, ErrorKind, Leftover, Object, Result, Stored};

pub const MIB: u64 = 1024 * 1024;

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Vec<u8>>,
    /// By handle: key and parts.
    pub halves: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    pub under_way: usize,
    pub most_under_way: usize,
    pub most_bytes: usize,
    /// Of the parts, by number.
    pub sizes: BTreeMap<u32, u64>,
    bytes: usize,
    /// So many answers to `begin` are lost.
    pub lose_begins: u32,
    /// This part is refused for good.
    pub refuse_part: Option<u32>,
    /// Objects are refused in a way that may pass, and never does.
    pub is_busy: bool,
    /// Names of requests in their order.
    pub asked: Vec<&'static str>,
    /// Pages of listings, in place of the real one.
    pub pages: Vec<Listed>,
    /// How, and of how many bytes, each object was stored at once.
    pub puts: Vec<(How, usize)>,
    /// Nothing may be deleted, nor read, nor listed.
    pub create_only: bool,
    /// What is there may not be deleted.
    pub locks: bool,
    /// What is deleted stays as a version.
    pub has_versions: bool,
}

fn refused<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Denied, "no"))
}

#[derive(Clone)]
pub struct Double {
    state: Arc<Mutex<State>>,
    pub limits: Limits,
    /// Parts wait for a permit each.
    pub gate: Arc<Semaphore>,
}

impl Double {
    pub fn new() -> Self {
        let limits = Limits {
            key_bytes: 1024,
            object_bytes: 1 << 40,
            put_bytes: 1 << 30,
            part_min: 1,
            part_max: 1 << 30,
            parts: 10_000,
            equal_parts: false,
            in_order: false,
            delete_batch: 2,
            page: 10,
        };
        Self { state: Arc::default(), limits, gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }

    /// One whose parts wait until [`gate`](Self::gate) gets permits.
    pub fn closed() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::new() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A storage over it with parts of a MiB, `concurrency` at a time.
    pub fn storage(&self, concurrency: u32) -> Objects<Double> {
        let mut retry = Retry::default();
        retry.first_wait = Duration::from_millis(1);
        Objects::with_retry(self.clone(), Settings { concurrency, part_bytes: MIB }, retry)
    }
}

impl Service for Double {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn judge(&self, key: &str) -> Result<()> {
        match key.ends_with('.') {
            true => Err(Error::new(ErrorKind::Config, format!("the key `{key}` ends in a dot"))),
            false => Ok(()),
        }
    }

    fn place(&self) -> String {
        "double:".to_owned()
    }

    async fn put(&self, key: &str, how: &How, bytes: Bytes) -> Result<Stored> {
        self.state().asked.push("put");
        self.state().puts.push((how.clone(), bytes.len()));
        if self.state().is_busy {
            return Err(unavailable("busy"));
        }
        self.state().objects.insert(key.to_owned(), bytes.to_vec());
        Ok(Stored::default())
    }

    async fn clear(&self, key: &str, _: &str) -> Result<()> {
        assert_eq!(key, "a");
        self.state().asked.push("clear");
        Ok(())
    }

    async fn begin(&self, key: &str, _: &How) -> Result<String> {
        let mut state = self.state();
        state.asked.push("begin");
        let handle = format!("half-{}", state.asked.len());
        state.halves.insert(handle.clone(), (key.to_owned(), BTreeMap::new()));
        if state.lose_begins > 0 {
            state.lose_begins -= 1;
            return Err(unavailable("the answer was lost"));
        }
        Ok(handle)
    }

    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let length = part.bytes.len();
        {
            let mut state = self.state();
            state.under_way += 1;
            state.sizes.insert(part.number, length as u64);
            state.bytes += length;
            state.most_under_way = state.most_under_way.max(state.under_way);
            state.most_bytes = state.most_bytes.max(state.bytes);
        }
        self.gate.acquire().await.unwrap().forget();
        let mut state = self.state();
        state.under_way -= 1;
        state.bytes -= length;
        if state.refuse_part == Some(part.number) {
            return Err(Error::new(ErrorKind::Denied, "no"));
        }
        state.halves.get_mut(upload.handle).unwrap().1.insert(part.number, part.bytes);
        Ok(part.number.to_string())
    }

    async fn complete(&self, upload: Begun<'_>, _: &How, tags: &[String]) -> Result<Stored> {
        let mut state = self.state();
        let (key, parts) = state.halves.remove(upload.handle).unwrap();
        let wanted: Vec<String> = parts.keys().map(u32::to_string).collect();
        assert_eq!(tags, wanted, "tags in another order than the parts");
        state.objects.insert(key, parts.into_values().flatten().collect());
        Ok(Stored::default())
    }

    async fn abort(&self, _: &str, handle: &str) -> Result<()> {
        self.state().halves.remove(handle);
        Ok(())
    }

    async fn is_published(&self, _: &str, _: &str) -> Result<Option<Stored>> {
        Ok(None)
    }

    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        _: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let state = self.state();
        if state.create_only {
            return refused();
        }
        let object = state.objects.get(key).ok_or_else(|| Error::new(ErrorKind::NotFound, "no"))?;
        let start = (from as usize).min(object.len());
        let end = (from.saturating_add(length) as usize).min(object.len());
        into.total = object.len() as u64;
        into.bytes.extend_from_slice(&object[start..end]);
        Ok(())
    }

    async fn stat(&self, _: &str) -> Result<Option<Object>> {
        Ok(None)
    }

    async fn list(&self, what: &Listing<'_>) -> Result<Listed> {
        let mut state = self.state();
        if state.create_only {
            return refused();
        }
        if !state.pages.is_empty() {
            return Ok(state.pages.remove(0));
        }
        let keys = state.objects.keys().filter(|key| key.starts_with(what.prefix));
        let entries = keys.map(|key| Object { key: key.clone(), ..Object::default() }).collect();
        Ok(Listed { entries, ..Listed::default() })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        assert!(keys.len() <= self.limits.delete_batch);
        let mut state = self.state();
        state.asked.push("delete");
        let mut delete = |key: &String| {
            if key == "locked" || state.create_only || state.locks && state.objects.contains_key(key) {
                return refused();
            }
            state.objects.remove(key);
            Ok(())
        };
        Ok(keys.iter().map(&mut delete).collect())
    }

    async fn unfinished(&self, _: &str) -> Result<Vec<Leftover>> {
        let left = |(handle, (key, _)): (&String, &(String, _))| Leftover {
            key: key.clone(),
            handle: handle.clone(),
            ..Leftover::default()
        };
        Ok(self.state().halves.iter().map(left).collect())
    }

    fn keeps_deleted(&self) -> bool {
        self.state().has_versions
    }
}
