//! Retries against a clock that counts waits and lets none pass.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::run::cancel::Cancel;
use crate::wrap::clock::hands::{Hands, alone};
use windlass_testkit::{Failure, Faulty, Memory, Operation};

struct Tried {
    storage: Retry,
    clock: Arc<Hands>,
    told: Arc<Mutex<Vec<String>>>,
    cx: Context,
}

impl Tried {
    fn waits(&self) -> Vec<Duration> {
        self.clock.waits()
    }
}

/// A storage with one object, `a`, of a thousand bytes, in which `failures` happen.
fn tried(failures: impl IntoIterator<Item = Failure>) -> Tried {
    let (memory, cx) = (Memory::empty(), Context::default());
    let mut upload = memory.create(&cx, "a", &CreateOptions::default()).unwrap();
    upload.write_all(&content()).unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    around(failures.into_iter().fold(Faulty::new(memory).short(100), Faulty::fail))
}

fn around(storage: impl Storage + 'static) -> Tried {
    with_patience(storage, usize::MAX)
}

/// The run is cancelled in the wait after so many.
fn with_patience(storage: impl Storage + 'static, patience: usize) -> Tried {
    let cancel = Cancel::new();
    let clock = Hands::new(&cancel, patience);
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = told.clone();
    let tell: Tell = Arc::new(move |message| heard.lock().unwrap().push(message));
    let storage = Retry::with(Arc::new(storage), clock.clone(), tell);
    Tried { storage, clock, told, cx: alone(cancel) }
}

/// What is read, a hundred bytes at a time, and what ends it.
fn read(tried: &Tried, range: Option<ByteRange>) -> (Vec<u8>, Option<Error>) {
    let (mut reader, mut bytes, mut buffer) =
        (tried.storage.open(&tried.cx, "a", range).unwrap(), Vec::new(), [0; 100]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (bytes, None),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, Some(error.into())),
        }
    }
}

fn content() -> Vec<u8> {
    (0..1_000_u32).map(|number| number as u8).collect()
}

fn times(operation: Operation, times: u64, kind: ErrorKind) -> Failure {
    Failure { times: Some(times), ..Failure::new(operation, 1, kind) }
}

#[test]
fn what_may_pass_is_tried_again_with_waits_that_double() {
    let tried = tried([times(Operation::Stat, 5, ErrorKind::Unavailable)]);
    assert_eq!(tried.storage.stat(&tried.cx, "a").unwrap().unwrap().size_bytes, 1_000);
    let waits = tried.waits();
    assert_eq!(waits.len(), 5);
    for (wait, longest) in waits.iter().zip([500, 1_000, 2_000, 4_000, 8_000]) {
        let longest = Duration::from_millis(longest);
        assert!(*wait <= longest && *wait >= longest / 2, "{wait:?} of {longest:?}");
    }
    let told = tried.told.lock().unwrap();
    assert!(told.len() == 5 && told[0].contains("looking at `a` failed"), "{told:?}");
}

#[test]
fn it_gives_up_after_six_attempts_and_says_so() {
    let tried = tried([Failure::new(Operation::List, 1, ErrorKind::TimedOut).for_ever()]);
    let error = tried.storage.list(&tried.cx, &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.one_line().contains("given up after 6 attempts: call 6 of `list`"), "{error}");
    assert_eq!(tried.waits().len(), 5);
}

#[test]
fn what_would_fail_again_is_told_at_once() {
    for kind in
        [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Full, ErrorKind::Damaged, ErrorKind::Failed]
    {
        let tried = tried([Failure::new(Operation::Open, 1, kind)]);
        assert_eq!(tried.storage.open(&tried.cx, "a", None).err().unwrap().kind, kind);
        assert_eq!(tried.waits(), []);
    }
    let tried = tried([Failure::new(Operation::Check, 1, ErrorKind::Unavailable)]);
    tried.storage.check(&tried.cx).unwrap_err();
    assert_eq!(tried.waits(), []);
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let breaks = [2, 3, 6, 11].map(|nth| Failure::new(Operation::Read, nth, ErrorKind::Unavailable));
    let tried = tried(breaks);
    assert_eq!(read(&tried, None), (content(), None));
    assert_eq!(tried.waits().len(), 4);
    assert!(tried.told.lock().unwrap()[0].contains("reading `a` from byte 100 failed"));
}

#[test]
fn a_range_that_breaks_goes_on_within_it() {
    let tried = tried([Failure::new(Operation::Read, 3, ErrorKind::TimedOut)]);
    let range = ByteRange { offset: 150, length: Some(500) };
    assert_eq!(read(&tried, Some(range)), (content()[150..650].to_vec(), None));
    assert_eq!(tried.waits().len(), 1);
}

#[test]
fn a_download_that_breaks_for_good_is_given_up() {
    let tried = tried([Failure::new(Operation::Read, 4, ErrorKind::Unavailable).for_ever()]);
    let (bytes, error) = read(&tried, None);
    assert!(error.unwrap().one_line().contains("given up after 6 attempts"));
    assert_eq!(bytes, content()[..300]);
}

#[test]
fn only_the_keys_whose_deletion_failed_are_deleted_again() {
    /// Two keys are busy at first, one is denied for good.
    #[derive(Clone, Default)]
    struct Busy(Arc<AtomicBool>, Arc<Mutex<Vec<Vec<String>>>>);

    impl Storage for Busy {
        fn create(&self, _: &Context, _: &str, _: &CreateOptions) -> Result<Box<dyn Upload>> {
            Err(Error::failed("not asked"))
        }
        fn open(&self, _: &Context, _: &str, _: Option<ByteRange>) -> Result<Reader> {
            Err(Error::failed("not asked"))
        }
        fn stat(&self, _: &Context, _: &str) -> Result<Option<Object>> {
            Ok(None)
        }
        fn list(&self, _: &Context, _: &ListOptions) -> Result<Page> {
            Ok(Page::default())
        }
        fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
            self.1.lock().unwrap().push(keys.to_vec());
            let is_first = !self.0.swap(true, Ordering::Relaxed);
            let answer = |key: &String| match key.as_str() {
                "denied" => Err(Error::new(ErrorKind::Denied, "no")),
                "busy" if is_first => {
                    Err(Error::new(ErrorKind::Unavailable, "slow down").detail(RETRY_AFTER, 7))
                }
                _ => Ok(()),
            };
            Ok(keys.iter().map(answer).collect())
        }
        fn check(&self, _: &Context) -> Result<StorageReport> {
            Ok(StorageReport::default())
        }
    }

    let busy = Busy::default();
    let tried = around(busy.clone());
    let keys = ["a", "busy", "denied"].map(str::to_owned);
    let results = tried.storage.delete(&tried.cx, &keys).unwrap();
    assert!(results[0].is_ok() && results[1].is_ok(), "{results:?}");
    assert_eq!(results[2].as_ref().unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(*busy.1.lock().unwrap(), [keys.to_vec(), vec!["busy".to_owned()]]);
    assert_eq!(tried.waits(), [Duration::from_secs(7)], "as long as the service asked for");
}

#[test]
fn a_service_that_asks_for_an_hour_is_not_waited_for_that_long() {
    let error = Error::new(ErrorKind::Unavailable, "later").detail(RETRY_AFTER, 3_600);
    assert_eq!(wait_before(1, &error), LONGEST_WAIT);
    for nonsense in [-1.0, f64::MAX] {
        let error = Error::new(ErrorKind::Unavailable, "later").detail(RETRY_AFTER, nonsense);
        assert!(wait_before(1, &error) <= FIRST_WAIT);
    }
}

#[test]
fn all_waits_of_a_run_come_out_of_one_budget() {
    let tried = tried([Failure::new(Operation::Stat, 1, ErrorKind::Unavailable).for_ever()]);
    let mut calls = 0;
    while tried.waits().iter().sum::<Duration>() + FIRST_WAIT * 64 < BUDGET {
        tried.storage.stat(&tried.cx, "a").unwrap_err();
        calls += 1;
        assert!(calls < 1_000, "the budget is never used up");
    }
    (0..20).for_each(|_| drop(tried.storage.stat(&tried.cx, "a")));
    let before = tried.waits();
    assert!(before.iter().sum::<Duration>() <= BUDGET);
    tried.storage.clone().stat(&tried.cx, "a").unwrap_err();
    assert_eq!(tried.waits(), before, "nothing is left to wait with");
}

#[test]
fn a_run_that_is_cancelled_while_it_waits_tries_nothing_more() {
    let calls = Faulty::new(Memory::empty())
        .fail(Failure::new(Operation::Stat, 1, ErrorKind::Unavailable).for_ever());
    let tried = with_patience(calls, 1);
    assert_eq!(tried.storage.stat(&tried.cx, "a").unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(tried.waits().len(), 2);
    assert!(tried.storage.stat(&tried.cx, "a").is_err());
    assert_eq!(tried.waits().len(), 2, "and waits for nothing more");
}

#[test]
fn what_says_that_it_will_not_pass_is_not_tried_again() {
    assert!(!may_pass(&Error::new(ErrorKind::Unavailable, "not mounted").detail(RETRY, false)));
    assert!(may_pass(&Error::new(ErrorKind::Unavailable, "refused").detail(RETRY, true)));
}
