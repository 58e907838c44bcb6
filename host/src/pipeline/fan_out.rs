//! One object on its way into every storage of a run.
//!
//! The stored bytes part here: each storage works on a thread of its own behind a bounded buffer, and a full one makes the rest
//! wait, so the slowest sets the pace. One storage alone gets the bytes as they come, without a thread and without a copy.

use std::io::{self, Write};
use std::sync::Arc;

use windlass_plugin_api::{CreateOptions, Finished, Result, Sink, Stored};

use super::fan::{Fan, Member};
use super::faults::Watched;
use super::hop::WriteHop;
use super::landing::Landing;
use super::lane::{Lane, LaneSink};

/// The upload of one object into one storage, in the host's hand.
pub struct Berth {
    fan: Arc<Fan>,
    /// Where to.
    pub member: Arc<Member>,
    hold: Hold,
}

enum Hold {
    Landing(Arc<Landing>),
    Lane(Arc<Lane>),
}

/// The writing end of a [`Berth`].
pub enum End {
    /// Written by whoever writes.
    Direct(Box<dyn Sink>),
    /// Written by a thread.
    Hop(WriteHop),
    /// Written by a thread of a storage that the run can do without.
    Lane(LaneSink),
}

impl Berth {
    /// Begins `key` in every storage that is in the run; `is_alone` says that no thread is worth it.
    pub fn begin(
        fan: &Arc<Fan>,
        key: &str,
        how: &CreateOptions,
        is_alone: impl Fn(usize) -> bool,
        faults: &super::faults::Faults,
    ) -> Result<(Vec<Self>, Vec<End>)> {
        let members: Vec<&Arc<Member>> = fan.in_it().collect();
        let is_alone = is_alone(members.len());
        let (mut berths, mut ends) = (Vec::new(), Vec::new());
        for member in members {
            let (hold, end) = if member.is_required() {
                let created = member.open.storage.create(&member.cx, key, how);
                let upload = created.inspect_err(|error| faults.note(&member.open.stage, error))?;
                let landing = Landing::new(upload);
                let sink: Box<dyn Sink> = Box::new(Watched::new(landing.sink(), &member.open.stage, faults));
                let end =
                    if is_alone { End::Direct(sink) } else { End::Hop(WriteHop::new(sink, "storage")?) };
                (Hold::Landing(landing), end)
            } else {
                let (lane, sink) = Lane::begin(fan, member, key.to_owned(), how.clone())?;
                (Hold::Lane(lane), End::Lane(sink))
            };
            berths.push(Self { fan: fan.clone(), member: member.clone(), hold });
            ends.push(end);
        }
        Ok((berths, ends))
    }

    /// Makes the finished object visible; `check` judges what the storage says of it.
    pub fn publish(&self, check: impl Fn(&Stored) -> Result<()>) -> Result<()> {
        if self.member.is_out() {
            return Ok(());
        }
        let stored = match &self.hold {
            Hold::Landing(landing) => landing.publish(),
            Hold::Lane(lane) => lane.publish(),
        };
        stored.and_then(|stored| check(&stored)).or_else(|error| self.fan.leave_out(&self.member, error))
    }

    /// Aborts what isn't published.
    pub fn abort(&self) {
        match &self.hold {
            Hold::Landing(landing) => landing.abort(),
            Hold::Lane(lane) => lane.abort(),
        }
    }
}

/// Writes everything to several ends.
pub struct FanOut(Vec<End>);

impl FanOut {
    /// A sink in front of all of `ends`.
    pub fn over(mut ends: Vec<End>) -> Box<dyn Sink> {
        match ends.pop() {
            Some(End::Direct(only)) if ends.is_empty() => only,
            Some(End::Hop(only)) if ends.is_empty() => Box::new(only),
            last => {
                ends.extend(last);
                Box::new(Self(ends))
            }
        }
    }
}

impl Write for FanOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for end in &mut self.0 {
            match end {
                End::Direct(sink) => sink.write_all(bytes)?,
                End::Hop(hop) => hop.write_all(bytes)?,
                End::Lane(lane) => lane.put(bytes)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for FanOut {
    /// All finish at the same time; the required ones are awaited first.
    fn finish(&mut self) -> Result<Finished> {
        for end in &mut self.0 {
            match end {
                End::Direct(_) => {}
                End::Hop(hop) => hop.ask_finish()?,
                End::Lane(lane) => lane.ask_finish()?,
            }
        }
        for end in &mut self.0 {
            match end {
                End::Direct(sink) => drop(sink.finish()?),
                End::Hop(hop) => drop(hop.await_finish()?),
                End::Lane(_) => {}
            }
        }
        for end in &mut self.0 {
            if let End::Lane(lane) = end {
                lane.await_finish()?;
            }
        }
        Ok(Finished::default())
    }
}
