//! What must hold of any bytes that are sent as OTLP profiles.

use cairn_otlp::{Request, decode, decode_json};

#[path = "sound.rs"]
mod sound;

/// Whether the bytes are a request, as protobuf or as JSON.
pub(crate) fn check(raw: &[u8]) -> bool {
    let limits = sound::LIMITS();
    let read = [decode(raw, &limits), decode_json(raw, &limits)];
    let read: Vec<Request> = read.into_iter().flatten().collect();
    for request in &read {
        for decoded in request.profiles.iter().flatten() {
            sound::check(&decoded.described.profile);
        }
    }
    !read.is_empty()
}
