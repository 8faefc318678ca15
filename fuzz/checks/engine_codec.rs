//! What must hold of any bytes that arrive as the Flight messages of an answer.

use arrow_flight::FlightData;
use cairn_engine::codec::{DecodeLimits, decode, encode};
use cairn_engine::{Answer, Flame, Scanned, exchange};
use cairn_trie::Merger;
use futures::executor::block_on;
use prost::Message;

const LIMITS: DecodeLimits = DecodeLimits { bytes_max: 1 << 20 };

/// Reads messages, each after its length: the answer that they are, if they are one.
pub(crate) fn check(raw: &[u8]) -> Option<Scanned> {
    let scanned = read(raw)?;
    let again = decode(&encode(&scanned), DecodeLimits::default());
    assert_eq!(again.as_ref(), Ok(&scanned), "we encode valid answers");
    if let Answer::Stacks(partial) = &scanned.answer {
        let total = partial.total();
        let flame = Flame::build(partial, Default::default());
        assert_eq!(flame.nodes[0].cumulative, total, "a flame lost a value");
        let mut merger = Merger::default();
        merger.add(partial.clone());
        merger.add(partial.clone());
        let twice = total.wrapping_mul(2);
        assert_eq!(merger.finish().total(), twice, "a merge lost a value");
    }
    Some(scanned)
}

fn read(mut raw: &[u8]) -> Option<Scanned> {
    let mut messages = Vec::new();
    while !raw.is_empty() {
        let message = FlightData::decode_length_delimited(&mut raw).ok()?;
        // The trailer stands alone, in a message without data.
        if !message.data_header.is_empty() {
            messages.push(Ok(message));
        }
    }
    block_on(exchange::read(futures::stream::iter(messages), LIMITS)).ok()
}
