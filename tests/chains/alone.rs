//! A chain without the hashes of a snapshot: what each format proves by itself.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use windlass_host::catalog::AppliedFilter;
use windlass_host::pipeline::chain::{Stacked, decoders, encoders};
use windlass_host::pipeline::faults::Faults;
use windlass_host::pipeline::meter::Slate;
use windlass_plugin_api::{Context, Error, ErrorKind, Reader, Result};
use windlass_testkit::streams::TestSink;

use crate::bits::{Plain, any_length, flipped, short};
use crate::common::Sandbox;
use crate::common::filters::Proves;
use crate::engine::Workshop;
use crate::random;

/// A stream that has passed a chain, and the way back.
struct Encoded<'a> {
    workshop: &'a Workshop,
    applied: Vec<AppliedFilter>,
    bytes: Vec<u8>,
}

fn context(workshop: &Workshop) -> (Context, Faults) {
    let cancel = &workshop.engine.cancel;
    (workshop.engine.context("20261122T000000Z-test", cancel), Faults::new(cancel))
}

/// Sends `plain` through the filters, in pieces of `piece` bytes; `is_small`: without threads between them.
fn encode<'a>(
    workshop: &'a Workshop,
    picks: &[usize],
    plain: &[u8],
    piece: usize,
    is_small: bool,
) -> Encoded<'a> {
    let (cx, faults) = context(workshop);
    let chain = workshop.chain(picks);
    let filters: Vec<Stacked> =
        chain.iter().map(|chosen| workshop.engine.open_filter(chosen, &cx).unwrap()).collect();
    let ((last, kept), slate) = (TestSink::new(), Slate::default());
    let mut sink = encoders(&filters, &cx, "data", Box::new(last), &slate, &faults, is_small).unwrap();
    plain.chunks(piece).for_each(|piece| sink.write_all(piece).unwrap());
    sink.finish().unwrap();
    drop(sink);
    let params = slate.lock().params.clone();
    let applied =
        filters.into_iter().zip(params).map(|(filter, params)| filter.applied.recorded(params)).collect();
    let bytes = kept.seen().bytes;
    Encoded { workshop, applied, bytes }
}

impl Encoded<'_> {
    /// What these bytes decode to, read in pieces of `piece` bytes. What a decoder leaves unread is an error, as it is
    /// on a restore.
    fn decode(&self, bytes: Vec<u8>, piece: usize) -> Result<Vec<u8>> {
        let (cx, faults) = context(self.workshop);
        let filters = self.workshop.engine.open_decoders(&self.applied, &cx).unwrap();
        let input: Reader = Box::new(io::Cursor::new(bytes));
        let (mut reader, rest) = decoders(&filters, &cx, "data", input, &faults)?;
        let (mut plain, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => plain.extend_from_slice(&buffer[..count]),
            }
        }
        match rest.drain()? {
            0 => Ok(plain),
            left => Err(Error::damaged(format!("{left} bytes follow"))),
        }
    }
}

/// What a chain proves: the last filter sees every stored bit, the others what it lets pass.
fn proves(workshop: &Workshop, picks: &[usize]) -> Proves {
    let all: Vec<Proves> =
        picks.iter().map(|pick| workshop.filters[pick % workshop.filters.len()].0.proves).collect();
    match all.last() {
        Some(Proves::Everything) => Proves::Everything,
        _ if all.iter().any(|one| *one != Proves::Nothing) => Proves::Content,
        _ => Proves::Nothing,
    }
}

/// What came of a changed bit, against what the chain claims. `Ok(true)`: the bit carries no information.
fn judge(claim: Proves, plain: &[u8], decoded: Result<Vec<u8>>) -> std::result::Result<bool, String> {
    match (decoded, claim) {
        (Err(error), _) if error.kind == ErrorKind::Broken => Err(format!("a plugin broke: {error}")),
        (Err(_), _) => Ok(false),
        (Ok(_), Proves::Everything) => Err("it wasn't noticed".to_owned()),
        (Ok(other), Proves::Content) if other != plain => Err("other bytes came out".to_owned()),
        (Ok(other), _) => Ok(other == plain),
    }
}

fn picks(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..1_000_usize, 0..=most)
}

#[test]
fn what_went_in_comes_out_of_every_chain() {
    let sandbox = Sandbox::new();
    let workshop = Workshop::new(&sandbox.path(""));
    let pieces = || prop_oneof![Just(1_usize), 1..400_usize, Just(65_536_usize), Just(1 << 20)];
    let values = (picks(4), any_length(), pieces(), pieces(), any::<bool>());
    random(120, values, |(picks, plain, write, read, is_small)| {
        let plain = plain.bytes();
        // A million calls through four plugins say nothing that a thousand don't.
        let (write, read) = (write.max(plain.len() / 1_000), read.max(plain.len() / 1_000));
        let encoded = encode(&workshop, &picks, &plain, write, is_small);
        let decoded = encoded.decode(encoded.bytes.clone(), read);
        prop_assert!(decoded.as_ref() == Ok(&plain), "{:?}", decoded.map(|bytes| bytes.len()));
        Ok(())
    });
}

#[test]
fn a_changed_bit_is_an_error_or_changes_nothing_where_a_filter_of_the_chain_proves_its_content() {
    let sandbox = Sandbox::new();
    let workshop = Workshop::new(&sandbox.path(""));
    let bits = prop::collection::vec(any::<prop::sample::Index>(), 8);
    random(120, (picks(4), short(), bits), |(picks, plain, bits)| {
        let plain = plain.bytes();
        let encoded = encode(&workshop, &picks, &plain, 200, true);
        if encoded.bytes.is_empty() {
            return Ok(());
        }
        let claim = proves(&workshop, &picks);
        for bit in bits.iter().map(|bit| bit.index(encoded.bytes.len() * 8)) {
            let decoded = encoded.decode(flipped(&encoded.bytes, bit), 100);
            let judged = judge(claim, &plain, decoded);
            prop_assert!(judged.is_ok(), "bit {} of byte {}: {:?}", bit % 8, bit / 8, judged);
            prop_assert!(!picks.is_empty() || judged == Ok(false), "without a filter each bit is content");
        }
        Ok(())
    });
}

/// So many bits of a stream may be anything: time, flags and system in the header of gzip, and what pads its last byte; with
/// OpenPGP the number of the key.
const MOST_FREE_BITS: usize = 8 * 8;

#[test]
fn each_single_bit_of_a_short_stream_is_proved_as_its_format_promises() {
    let sandbox = Sandbox::new();
    let workshop = Workshop::new(&sandbox.path(""));
    for (index, (filter, _)) in workshop.filters.iter().enumerate() {
        let plain = Plain { shape: crate::bits::Shape::Text, length: 40 }.bytes();
        let encoded = encode(&workshop, &[index], &plain, 100, true);
        let mut free = Vec::new();
        for bit in 0..encoded.bytes.len() * 8 {
            match judge(filter.proves, &plain, encoded.decode(flipped(&encoded.bytes, bit), 100)) {
                Ok(false) => {}
                Ok(true) => free.push((bit / 8, bit % 8)),
                Err(what) => panic!("{}: bit {} of byte {}: {what}", filter.name, bit % 8, bit / 8),
            }
        }
        assert!(free.len() <= MOST_FREE_BITS, "{}: {free:?}", filter.name);
    }
}
