//! Reading small objects ahead: several at once, handed out in their order.
//!
//! A storage far away answers after tens of milliseconds however small the object is. Large ones come in parallel parts by the
//! storage's own doing; they are left to who takes them.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use windlass_plugin_api::{Context, Error, Object, Result};

use crate::place::{Place, is_name};

/// What is no larger is read whole before its turn.
pub const SMALL_BYTES: u64 = 256 * 1024;

/// How many objects are known ahead for each worker.
const AHEAD: usize = 2;

/// An object in its turn.
pub struct Turn {
    pub object: Object,
    /// Its bytes, or why there are none; `None` for a large one.
    pub bytes: Option<Result<Vec<u8>>>,
}

struct Slot {
    object: Object,
    answer: Option<Receiver<Result<Vec<u8>>>>,
}

struct Work {
    key: String,
    answer: SyncSender<Result<Vec<u8>>>,
}

/// Calls `take` for each object of `place` in order. Ends with the first error of a listing or of `take`.
pub fn each(cx: &Context, place: &Place, mut take: impl FnMut(Turn) -> Result<()>) -> Result<()> {
    let (slots_in, slots) = sync_channel::<Slot>(place.workers * AHEAD);
    let (work_in, work) = sync_channel::<Work>(place.workers * AHEAD);
    let work = Mutex::new(work);
    thread::scope(|scope| {
        let lister = scope.spawn(move || list(cx, place, &slots_in, &work_in));
        for _ in 0..place.workers {
            scope.spawn(|| read_all(cx, place, &work));
        }
        let mut result = Ok(());
        for Slot { object, answer } in &slots {
            let gone = || Err(Error::failed("a thread that reads ahead has ended"));
            let bytes = answer.map(|answer| answer.recv().unwrap_or_else(|_| gone()));
            result = cx.go_on().and_then(|()| take(Turn { object, bytes }));
            if result.is_err() {
                break;
            }
        }
        // The lister ends with its channel, and the readers with the lister.
        drop(slots);
        let listed = lister.join().unwrap_or_else(|_| Err(Error::failed("the listing has ended")));
        result.and(listed)
    })
}

fn list(cx: &Context, place: &Place, slots: &SyncSender<Slot>, work: &SyncSender<Work>) -> Result<()> {
    place.each(cx, |object| {
        let mut answer = None;
        if object.size_bytes <= SMALL_BYTES && is_name(place.name(&object.key)) {
            let (answer_in, answers) = sync_channel(1);
            let one = Work { key: object.key.clone(), answer: answer_in };
            work.send(one).map_err(|_| Error::cancelled())?;
            answer = Some(answers);
        }
        slots.send(Slot { object, answer }).map_err(|_| Error::cancelled())
    })
}

fn read_all(cx: &Context, place: &Place, work: &Mutex<Receiver<Work>>) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { key, answer }) = next else { return };
        // Nobody may want it any more.
        let _ = answer.send(read(cx, place, &key));
    }
}

/// At most a byte more than is small: it may have grown since it was listed.
fn read(cx: &Context, place: &Place, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    place.storage.open(cx, key, None)?.take(SMALL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
