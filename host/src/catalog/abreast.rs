//! Many short requests at the same time.
//!
//! It is for waiting, not for computing: a storage far away answers each after tens of milliseconds, and bears many.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use windlass_plugin_api::{Error, Result};

/// Requests in flight at once.
const MOST: usize = 64;

/// A thread is worth its while for so many requests.
const EACH: usize = 4;

/// What `ask` says of each of `items`, in their order; the first error ends it.
pub fn abreast<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let threads = items.len().div_ceil(EACH).min(MOST);
    if threads <= 1 {
        return items.iter().map(ask).collect();
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answers: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let answer = ask(item);
            if answer.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut all = Vec::with_capacity(items.len());
    let mut is_whole = true;
    for answer in answers {
        match answer.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(answer)) => all.push(answer),
            Some(Err(error)) => return Err(error),
            // Stopped before its turn: the error stands further on.
            None => is_whole = false,
        }
    }
    if is_whole { Ok(all) } else { Err(Error::failed("not everything was asked for")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_what_was_asked() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(abreast(&items, |item| Ok(item * 2)).unwrap()[..3], [0, 2, 4]);
        assert_eq!(abreast(&[] as &[u32], |item| Ok(*item)).unwrap(), [0; 0]);
    }

    #[test]
    fn requests_are_in_flight_together() {
        // Each waits for all others.
        let together = Barrier::new(MOST);
        let items = [(); MOST * EACH];
        abreast(&items, |()| {
            together.wait();
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn an_error_ends_it() {
        let asked = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100_000).collect();
        let error = abreast(&items, |item| {
            asked.fetch_add(1, Ordering::Relaxed);
            if *item == 5 { Err(Error::failed("the fifth")) } else { Ok(()) }
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "the fifth");
        assert!(asked.load(Ordering::Relaxed) < items.len());
    }
}
