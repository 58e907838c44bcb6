//! The encoder: a sink that writes one age file into the next sink.
//!
//! Chunks of 64 KiB are encrypted as they fill up. Dropped before `finish`, it leaves a file whose last chunk is missing,
//! which no decoder takes for whole.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::armor::{ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{EncryptError, Encryptor, scrypt};
use serde_json::Map;
use windlass_plugin_api::{Encoder, Error, ErrorKind, Finished, Result, Sink};

use crate::RECIPIENTS_PARAM;
use crate::recipients::{PASSPHRASE, Recipient};

/// Who can read what is written.
pub enum To<'a> {
    /// Each of these, alone.
    Recipients(&'a [Recipient]),
    /// Who knows the passphrase; the number is scrypt's N as a power of two.
    Passphrase(SecretString, u8),
}

/// Writes the header into `next` at once.
pub fn encoder(to: To<'_>, armor: bool, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
    let (encryptor, fingerprints) = match to {
        To::Recipients(recipients) => {
            let encryptor = Encryptor::with_recipients(recipients.iter().map(Recipient::as_age));
            (encryptor, recipients.iter().map(Recipient::fingerprint).collect())
        }
        To::Passphrase(passphrase, work_factor) => {
            let mut recipient = scrypt::Recipient::new(passphrase);
            recipient.set_work_factor(work_factor);
            let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
            (encryptor, vec![PASSPHRASE.to_owned()])
        }
    };
    let format = if armor { Format::AsciiArmor } else { Format::Binary };
    let failure = Failure::default();
    let next = Next { sink: next, failure: failure.clone() };
    let armored = ArmoredWriter::wrap_output(next, format).map_err(|error| failure.or(error))?;
    let writer = encryptor.map_err(failed)?.wrap_output(armored).map_err(|error| failure.or(error))?;
    let params = Map::from_iter([(RECIPIENTS_PARAM.to_owned(), fingerprints.into())]);
    Ok(Box::new(Encoder::new(writer, |writer| {
        let next = writer.finish()?.finish()?;
        Ok((next.sink, Finished { params, ..Finished::default() }))
    })))
}

/// The sink behind, whose error the library would turn into text while it writes the header.
struct Next {
    sink: Box<dyn Sink>,
    failure: Failure,
}

#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    fn or(&self, error: io::Error) -> Error {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| error.into())
    }
}

impl Write for Next {
    /// All of it: for the library a short write of the header is a failed one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes).map_err(|error| {
            let error = Error::from(error);
            *self.failure.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            error.into_io()
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn failed(error: EncryptError) -> Error {
    match error {
        EncryptError::Io(error) => error.into(),
        error => Error::new(ErrorKind::Config, "can't encrypt to these recipients together").because(&error),
    }
}
