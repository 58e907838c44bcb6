//! A restore: each file of the archive becomes an object.
//!
//! Objects come to be one after the other, each whole: a restore that fails leaves those that were put. The host has
//! proved the whole stream before.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::thread;

use windlass_plugin_api::{
    Context, CreateOptions, Error, ErrorKind, Inputs, ListOptions, Progress, RestoreMode, RestoreOptions,
    Restored, Result, Target,
};

use crate::ahead::SMALL_BYTES;
use crate::archive::{self, Member, Other};
use crate::backup::FILLED;
use crate::place::{Place, is_name};
use crate::seen::Seen;

/// Keys that are deleted by one call.
const AT_ONCE: usize = 500;

/// So many things that were left out are named.
const NAMED: usize = 100;

/// Where a restore would put objects.
pub fn target(cx: &Context, place: &Place) -> Result<Target> {
    Ok(Target { place: place.shown(), empty: is_empty(cx, place)?, ..Target::default() })
}

fn is_empty(cx: &Context, place: &Place) -> Result<bool> {
    let first = ListOptions { limit: Some(1), ..place.listing() };
    Ok(place.storage.list(cx, &first)?.entries.is_empty())
}

/// What becomes of the objects that are there.
pub fn preview(cx: &Context, place: &Place, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
    let wanted = Wanted::new(cx, input, how)?;
    let mut seen = Seen::default();
    let note = |member: Member<'_>| {
        seen.add(&member.name);
        Ok(())
    };
    wanted.each(cx, input, note, |_| ())?;
    let (mut replaced, mut removed) = (0_u64, 0_u64);
    place.each(cx, |object| {
        let name = place.name(&object.key);
        replaced += u64::from(seen.has(name));
        removed += u64::from(!seen.has(name) && is_name(name) && wanted.covers(name));
        Ok(())
    })?;
    let mut told = vec![format!("replaces {replaced} objects")];
    if how.mode == RestoreMode::Replace {
        told.push(format!("removes {removed} objects that aren't in the snapshot"));
    }
    Ok(told)
}

/// Restores from `input`.
pub fn restore(cx: &Context, place: &Place, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
    if how.mode == RestoreMode::Fail && !is_empty(cx, place)? {
        return Err(Error::new(ErrorKind::Refused, format!("the target isn't empty: {}", place.shown()))
            .hint("Use `--mode merge` to add to it, or `--mode replace` to make it equal to the snapshot."));
    }
    let wanted = Wanted::new(cx, input, how)?;
    let mut restore = Restore { cx, place, how, seen: Seen::default(), small: Vec::new(), done: 0 };
    let (mut left_out, mut left) = (Vec::new(), 0_u64);
    let tell = |other: Other| {
        left += 1;
        if left_out.len() < NAMED {
            left_out.push(format!("`{}` is {}", other.name, other.what));
        }
    };
    wanted.each(cx, input, |member| restore.put(member), tell)?;
    restore.put_small()?;
    let mut restored = Restored { place: place.shown(), left_out, ..Restored::default() };
    if left > NAMED as u64 {
        restored.left_out.push(format!("and {} more", left - NAMED as u64));
    }
    restored.notes.push(format!("Put {} objects.", restore.seen.len()));
    if how.mode == RestoreMode::Replace {
        let removed = restore.remove_others(&wanted, &mut restored.left_out)?;
        restored.notes.push(format!("Removed {removed} objects that aren't in the snapshot."));
    }
    Ok(restored)
}

/// Which files of the archive are asked for.
struct Wanted {
    only: Vec<String>,
    /// Numbers of files that were filled up: a later one has the object.
    filled: BTreeSet<u64>,
}

impl Wanted {
    /// An error if a name that is asked for isn't there.
    fn new(cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Self> {
        let filled = how.contents.as_ref().and_then(|contents| contents.details.get(FILLED)?.as_array());
        let filled = filled.into_iter().flatten().filter_map(serde_json::Value::as_u64).collect();
        let only = how.only.iter().map(|name| name.to_string().trim_end_matches('/').to_owned()).collect();
        let wanted = Self { only, filled };
        if !wanted.only.is_empty() {
            let mut missing: BTreeSet<&str> = wanted.only.iter().map(String::as_str).collect();
            let find = |member: Member<'_>| {
                missing.retain(|name| !holds(name, &member.name));
                Ok(())
            };
            wanted.each(cx, input, find, |_| ())?;
            if let Some(name) = missing.first() {
                return Err(Error::new(ErrorKind::NotFound, format!("no `{name}` in the snapshot")).hint(
                    "Names are keys without the prefix; a folder's name stands for all that is in it.",
                ));
            }
        }
        Ok(wanted)
    }

    /// Whether `name` is asked for.
    fn covers(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| holds(only, name))
    }

    fn each(
        &self,
        cx: &Context,
        input: &dyn Inputs,
        mut take: impl FnMut(Member<'_>) -> Result<()>,
        mut tell: impl FnMut(Other),
    ) -> Result<()> {
        let take = |member: Member<'_>| {
            if !is_name(&member.name) {
                let message = format!("the name `{}` in the archive can't be a key", member.name);
                return Err(Error::damaged(message));
            }
            match self.covers(&member.name) && !self.filled.contains(&member.number) {
                true => take(member),
                false => Ok(()),
            }
        };
        archive::each(cx, input, take, |other| {
            if self.covers(&other.name) {
                tell(other);
            }
        })
    }
}

fn cut_off(missing: u64) -> Error {
    Error::damaged(format!("the archive ends {missing} bytes too early"))
}

/// Whether `name` is `outer` or lies in it.
fn holds(outer: &str, name: &str) -> bool {
    name.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Restore<'a> {
    cx: &'a Context,
    place: &'a Place,
    how: &'a RestoreOptions,
    seen: Seen,
    /// Small objects that are put together.
    small: Vec<(String, Vec<u8>)>,
    done: u64,
}

impl Restore<'_> {
    fn put(&mut self, member: Member<'_>) -> Result<()> {
        // Of two files of one name the later one is the object.
        let is_again = self.seen.has(&member.name);
        if is_again {
            self.put_small()?;
        }
        self.seen.add(&member.name);
        if member.size_bytes > SMALL_BYTES || is_again {
            return self.put_one(&member.name, member.size_bytes, member.bytes, is_again);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(member.size_bytes).unwrap_or_default());
        member.bytes.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != member.size_bytes {
            return Err(cut_off(member.size_bytes - bytes.len() as u64));
        }
        self.small.push((member.name, bytes));
        if self.small.len() == self.place.workers { self.put_small() } else { Ok(()) }
    }

    fn put_small(&mut self) -> Result<()> {
        let small = std::mem::take(&mut self.small);
        let this = &*self;
        let results: Vec<Result<()>> = thread::scope(|scope| {
            let put = |(name, bytes): &(String, Vec<u8>)| {
                this.put_one(name, bytes.len() as u64, &mut bytes.as_slice(), false)
            };
            let under_way: Vec<_> = small.iter().map(|one| scope.spawn(move || put(one))).collect();
            let ended = under_way.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|result| {
                    result.unwrap_or_else(|_| Err(Error::failed("a thread that puts objects has ended")))
                })
                .collect()
        });
        self.done += small.len() as u64;
        let (message, unit) = ("putting objects".to_owned(), "objects".to_owned());
        self.cx.progress(&Progress { message, done: self.done, unit, ..Progress::default() });
        results.into_iter().collect()
    }

    fn put_one(&self, name: &str, size_bytes: u64, bytes: &mut dyn Read, is_again: bool) -> Result<()> {
        let key = self.place.key(name);
        let how = CreateOptions {
            if_absent: self.how.mode == RestoreMode::Fail && !is_again,
            size_hint: Some(size_bytes),
            run: self.cx.run(),
            ..CreateOptions::default()
        };
        let mut put = || {
            let mut upload = self.place.storage.create(self.cx, &key, &how)?;
            let count = io::copy(bytes, &mut upload)?;
            if count != size_bytes {
                return Err(Error::damaged(format!(
                    "the archive ends {} bytes too early",
                    size_bytes - count
                )));
            }
            upload.finish()?;
            upload.publish().map(drop)
        };
        put().map_err(|error: Error| error.during(format!("can't put the object `{key}`")))
    }

    /// Deletes the objects that aren't in the snapshot. What can't be a name in one, such as a mark of a folder, stays.
    fn remove_others(&self, wanted: &Wanted, left_out: &mut Vec<String>) -> Result<u64> {
        let (mut extra, mut removed) = (Vec::new(), 0);
        self.place.each(self.cx, |object| {
            let name = self.place.name(&object.key);
            if is_name(name) && wanted.covers(name) && !self.seen.has(name) {
                extra.push(object.key);
            }
            if extra.len() == AT_ONCE {
                removed += self.remove(std::mem::take(&mut extra), left_out)?;
            }
            Ok(())
        })?;
        Ok(removed + self.remove(extra, left_out)?)
    }

    fn remove(&self, keys: Vec<String>, left_out: &mut Vec<String>) -> Result<u64> {
        let mut removed = 0;
        if !keys.is_empty() {
            let results = self.place.storage.delete(self.cx, &keys)?;
            for (key, result) in keys.iter().zip(results) {
                match result {
                    Ok(()) => removed += 1,
                    Err(error) => left_out.push(format!("`{key}` isn't removed: {}", error.one_line())),
                }
            }
        }
        Ok(removed)
    }
}
