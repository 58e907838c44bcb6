//! The encoder: liblzma's own, which cuts the stream into blocks and compresses them on its threads.

use liblzma::stream::{Action, Check, Error as LzmaError, MtStreamBuilder, Status, Stream};
use windlass_codec::{Compress, Ran, Until, threads};
use windlass_plugin_api::{Error, Result};

/// What as many threads as there are cores may take, unless more are asked for.
const USUAL_BYTES: u64 = 400 * 1024 * 1024;

/// A stream being compressed.
pub struct Encoder(Stream);

impl Encoder {
    /// At `level`, with `asked` threads; 0: as many as are good.
    pub fn new(level: u32, asked: u32) -> Result<Self> {
        let builder = |threads: u32| {
            let mut builder = MtStreamBuilder::new();
            builder.preset(level).threads(threads).check(Check::Crc64);
            builder
        };
        let mut count = threads(asked, 16)? as u32;
        while asked == 0 && count > 1 && builder(count).memusage() > USUAL_BYTES {
            count -= 1;
        }
        let stream = match count {
            // One long block needs no memory beside the dictionary.
            1 => Stream::new_easy_encoder(level, Check::Crc64),
            _ => builder(count).encoder(),
        };
        Ok(Self(stream.map_err(failed)?))
    }
}

impl Compress for Encoder {
    fn run(&mut self, input: &[u8], output: &mut [u8], until: Until) -> Result<Ran> {
        let action = match until {
            Until::Taken => Action::Run,
            Until::Flushed => Action::FullFlush,
            Until::Ended => Action::Finish,
        };
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let status = self.0.process(input, output, action).map_err(failed)?;
        Ok(Ran {
            read: (self.0.total_in() - read) as usize,
            written: (self.0.total_out() - written) as usize,
            is_there: status == Status::StreamEnd,
        })
    }
}

fn failed(error: LzmaError) -> Error {
    let failed = Error::failed("xz can't compress").because(&error);
    match error {
        LzmaError::Mem => failed.hint("Set a lower `level`, or fewer `threads`."),
        _ => failed,
    }
}
