//! The limiter against a clock that stands still until somebody waits.

use super::*;
use crate::run::cancel::Cancel;
use crate::wrap::clock::hands::{Hands, alone};
use windlass_plugin_api::Error;

/// Keeps what is written, and gives zeros.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Storage for Shelf {
    fn create(&self, _: &Context, _: &str, _: &CreateOptions) -> Result<Box<dyn Upload>> {
        Ok(Box::new(self.clone()))
    }

    fn open(&self, _: &Context, _: &str, range: Option<ByteRange>) -> Result<Reader> {
        Ok(Box::new(io::repeat(0).take(range.and_then(|range| range.length).unwrap_or(1_000_000))))
    }

    fn stat(&self, _: &Context, _: &str) -> Result<Option<Object>> {
        Ok(None)
    }

    fn list(&self, _: &Context, _: &ListOptions) -> Result<Page> {
        Ok(Page::default())
    }

    fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        Ok(keys.iter().map(|_| Ok(())).collect())
    }

    fn check(&self, _: &Context) -> Result<StorageReport> {
        Ok(StorageReport { free_bytes: Some(7), ..StorageReport::default() })
    }
}

impl Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Shelf {
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<Stored> {
        Ok(Stored { size_bytes: lock(&self.0).len() as u64, ..Stored::default() })
    }
}

struct Fixture {
    limiters: Limiters,
    clock: Arc<Hands>,
    cx: Context,
    shelf: Shelf,
}

impl Fixture {
    fn new(patience: usize) -> Self {
        let cancel = Cancel::new();
        let clock = Hands::new(&cancel, patience);
        let limiters = Limiters::with(clock.clone());
        Self { limiters, clock, cx: alone(cancel), shelf: Shelf::default() }
    }

    fn limited(&self, identity: &str, up: u64, down: u64) -> Arc<dyn Storage> {
        let limit = Limit { up: Some(up), down: Some(down) };
        self.limiters.wrap(Arc::new(self.shelf.clone()), identity.to_owned(), limit, &self.cx.run())
    }

    fn upload(&self, storage: &Arc<dyn Storage>) -> Box<dyn Upload> {
        storage.create(&self.cx, "key", &CreateOptions::default()).unwrap()
    }
}

#[test]
fn an_upload_takes_as_long_as_its_bytes_and_arrives_whole() {
    let fixture = Fixture::new(usize::MAX);
    let storage = fixture.limited("nas", 1_000_000, 5_000_000);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut upload = fixture.upload(&storage);
    upload.write_all(&bytes).unwrap();
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap().size_bytes, 3_000_000);
    assert_eq!(*lock(&fixture.shelf.0), bytes);
    assert!((2.8..=3.0).contains(&fixture.clock.seconds()), "{}", fixture.clock.seconds());
    let longest = fixture.clock.waits().iter().max().copied().unwrap();
    assert!(longest <= Duration::from_millis(50), "not in one long wait: {longest:?}");
}

#[test]
fn a_download_has_a_speed_of_its_own() {
    let fixture = Fixture::new(usize::MAX);
    let storage = fixture.limited("nas", 1_000, 500_000);
    let count = io::copy(&mut storage.open(&fixture.cx, "key", None).unwrap(), &mut io::sink()).unwrap();
    assert_eq!(count, 1_000_000);
    assert!((1.8..=2.0).contains(&fixture.clock.seconds()), "{}", fixture.clock.seconds());
    assert_eq!(storage.check(&fixture.cx).unwrap().free_bytes, Some(7), "the rest is handed on");
}

#[test]
fn streams_and_pipelines_that_use_one_storage_share_its_speed_and_others_do_not() {
    let fixture = Fixture::new(usize::MAX);
    let (one, again) = (fixture.limited("nas", 1_000_000, 1), fixture.limited("nas", 1_000_000, 1));
    let mut uploads = [fixture.upload(&one), fixture.upload(&one), fixture.upload(&again)];
    for _ in 0..100 {
        uploads.iter_mut().for_each(|upload| upload.write_all(&[0; 10_000]).unwrap());
    }
    let shared = fixture.clock.seconds();
    assert!((2.8..=3.0).contains(&shared), "{shared}");
    let other = fixture.limited("offsite", 10_000_000, 1);
    fixture.upload(&other).write_all(&[0; 10_000_000]).unwrap();
    let alone = fixture.clock.seconds() - shared;
    assert!((0.8..=1.0).contains(&alone), "{alone}");
}

#[test]
fn what_was_not_used_is_not_saved_up() {
    let fixture = Fixture::new(usize::MAX);
    let storage = fixture.limited("nas", 1_000_000, 1);
    let mut upload = fixture.upload(&storage);
    fixture.clock.pass(Duration::from_secs(1000));
    upload.write_all(&[0; 2_000_000]).unwrap();
    let passed = fixture.clock.seconds() - 1000.0;
    assert!((1.8..=2.0).contains(&passed), "{passed}");
}

#[test]
fn a_cancelled_run_neither_waits_nor_writes_any_further() {
    let fixture = Fixture::new(3);
    let storage = fixture.limited("nas", 100_000, 100_000);
    let mut upload = fixture.upload(&storage);
    let error = Error::from(upload.write_all(&[0; 1_000_000]).unwrap_err());
    assert_eq!(error.kind, windlass_plugin_api::ErrorKind::Cancelled);
    // A burst, and a piece for each wait that was waited to its end.
    let landed = lock(&fixture.shelf.0).len();
    assert!((15_000..=30_000).contains(&landed), "{landed}");
    assert_eq!(fixture.clock.waits().len(), 4);
    let mut reader = storage.open(&fixture.cx, "key", None).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
    assert!(fixture.clock.waits().len() <= 5);
}

#[test]
fn the_slowest_speed_still_moves_and_each_piece_is_told_to_the_run_it_is_of() {
    let fixture = Fixture::new(usize::MAX);
    let storage = fixture.limited("nas", 1, 1);
    let (own, other) = (fixture.limiters.paced(&fixture.cx.run()), fixture.limiters.paced("another run"));
    let mut upload = fixture.upload(&storage);
    assert_eq!(upload.write(&[0; 100]).unwrap(), 1);
    upload.write_all(&[0; 9]).unwrap();
    assert_eq!((own.load(Ordering::Relaxed), other.load(Ordering::Relaxed)), (10, 0));
    assert!((8.0..=10.0).contains(&fixture.clock.seconds()), "{}", fixture.clock.seconds());
}
