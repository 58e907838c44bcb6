//! The restore: the stream into a sibling, the proof, and only then the target.
//!
//! Nothing is touched before the stream has been read to its end-of-file and the sibling has been checked. How the
//! sibling becomes the target depends on what is there, and is in `apply`.

use std::thread;

use windlass_plugin_api::{
    Context, During, Error, ErrorKind, Inputs, RestoreMode, RestoreOptions, Restored, Result,
};

use crate::apply;
use crate::image::Image;
use crate::options::Options;
use crate::place::Place;
use crate::sibling::{self, Sibling};
use crate::target::{Found, accept};
use crate::{PAGES, SQL, load, pages};

/// Restores the snapshot's one stream.
pub fn restore(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    accept(how)?;
    let (name, format) = the_stream(input)?;
    let place = Place::wanted(&options.path)?;
    sibling::sweep(&place);
    let found = Found::at(cx, &place, options)?;
    if how.mode == RestoreMode::Fail && !found.is_empty() {
        return Err(not_empty(&place, &found));
    }
    let sibling = Sibling::create(cx, &place, "")?;
    let mut reader = input.open(&name)?;
    if format == PAGES {
        pages::into_file(cx, &mut *reader, &sibling.file)?;
    } else {
        load::into_sibling(cx, &mut *reader, &sibling)?;
    }
    drop(reader);
    let image = Image::new(sibling, how.contents.as_ref())?;
    let mut notes = check(cx, &image, &found)?;
    let work = apply::Work { cx, options, how, place: &place };
    notes.extend(work.apply(image)?);
    Ok(Restored { place: place.path.display().to_string(), notes, ..Restored::default() })
}

/// Checks the image. Where it will be renamed into place it must be durable too, and that waits for the disk, not for us.
fn check(cx: &Context, image: &Image, found: &Found) -> Result<Vec<String>> {
    thread::scope(|scope| {
        let renamed = matches!(found, Found::Missing { .. });
        let durable = renamed.then(|| scope.spawn(|| image.sibling.file.sync_all()));
        let notes = image.check(cx)?;
        // The kernel tells a failed write once: a later sync would know nothing of it.
        match durable.map(thread::ScopedJoinHandle::join) {
            Some(Ok(synced)) => synced.during("can't make the restored file durable")?,
            Some(Err(_)) => return Err(Error::failed("the syncing thread panicked")),
            None => {}
        }
        Ok(notes)
    })
}

/// The only stream, and its format.
fn the_stream(input: &dyn Inputs) -> Result<(String, &'static str)> {
    let mut streams = input.streams();
    let (Some((name, info)), true) = (streams.pop(), streams.is_empty()) else {
        return Err(Error::new(ErrorKind::Unsupported, "a SQLite snapshot has exactly one stream"));
    };
    match [PAGES, SQL].into_iter().find(|format| *format == info.stream_format) {
        Some(format) => Ok((name, format)),
        None => {
            let text = format!("can't restore a stream of format `{}`", info.stream_format);
            Err(Error::new(ErrorKind::Unsupported, text))
        }
    }
}

fn not_empty(place: &Place, found: &Found) -> Error {
    let what = match found {
        Found::Missing { .. } => "has companions of a database that is gone",
        Found::Database { .. } => "is a database with something in it",
        Found::Foreign { .. } => "is there and isn't a sound database",
    };
    Error::new(ErrorKind::Refused, format!("`{}` {what}", place.path.display()))
        .hint("Use `--mode replace`, or restore to another path.")
}
