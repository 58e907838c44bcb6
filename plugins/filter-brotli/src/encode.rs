//! The encoder: the codec's state, driven without its own writer, whose destructor would write an end.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation as Operation, BrotliEncoderParameter as Parameter,
    BrotliEncoderStateStruct,
};
use windlass_codec::{Compress, Ran, Until};
use windlass_plugin_api::{Error, Result};

use crate::STANDARD_WINDOW;

/// A stream being compressed.
pub struct Encoder(BrotliEncoderStateStruct<StandardAlloc>);

impl Encoder {
    pub fn new(level: u32, window: u32) -> Self {
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        state.set_parameter(Parameter::BROTLI_PARAM_QUALITY, level);
        state.set_parameter(Parameter::BROTLI_PARAM_LGWIN, window);
        let is_large = u32::from(window > STANDARD_WINDOW);
        state.set_parameter(Parameter::BROTLI_PARAM_LARGE_WINDOW, is_large);
        Self(state)
    }
}

impl Compress for Encoder {
    fn run(&mut self, input: &[u8], output: &mut [u8], until: Until) -> Result<Ran> {
        let operation = match until {
            Until::Taken => Operation::BROTLI_OPERATION_PROCESS,
            Until::Flushed => Operation::BROTLI_OPERATION_FLUSH,
            Until::Ended => Operation::BROTLI_OPERATION_FINISH,
        };
        let (mut left, mut read) = (input.len(), 0);
        let (mut room, mut written) = (output.len(), 0);
        let is_well = self.0.compress_stream(
            operation,
            &mut left,
            input,
            &mut read,
            &mut room,
            output,
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !is_well {
            return Err(Error::failed("brotli can't compress"));
        }
        let is_there = !self.0.has_more_output() && (until != Until::Ended || self.0.is_finished());
        Ok(Ran { read, written, is_there })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}
