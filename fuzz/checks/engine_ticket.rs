//! What must hold of any bytes that arrive as the ticket of a scan.

use cairn_engine::exchange::{Asked, decode, encode};
use cairn_wire::cairn::query::v1::ScanTicket;
use prost::Message;

/// Whether the bytes ask something.
pub(crate) fn check(raw: &[u8]) -> bool {
    let asked = ScanTicket::decode(raw).ok().map(decode);
    let Some(Ok(asked)) = asked else {
        return false;
    };
    let Asked {
        tenant,
        query,
        source,
        repeats,
    } = &asked;
    let again = decode(encode(tenant, query, source.clone(), repeats));
    assert_eq!(again.as_ref(), Ok(&asked), "we encode valid tickets");
    true
}
