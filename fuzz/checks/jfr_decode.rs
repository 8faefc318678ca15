//! What must hold of any bytes that are sent as a flight recording or as labels of its contexts.

use cairn_jfr::{Options, decode, labels_snapshot};

#[path = "sound.rs"]
mod sound;

/// Whether the bytes are a recording.
pub(crate) fn check(raw: &[u8]) -> bool {
    let limits = sound::LIMITS();
    let snapshot = labels_snapshot(raw, &limits).ok();
    let options = Options {
        sample_rate: 100,
        threads: true,
    };
    let Ok(decoded) = decode(raw, snapshot.as_ref(), &options, &limits) else {
        return false;
    };
    for described in &decoded.profiles {
        sound::check(&described.profile);
    }
    true
}
