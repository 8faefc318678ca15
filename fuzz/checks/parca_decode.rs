//! What must hold of any bytes that are sent as Arrow by Parca's agents, or kept in their files.

use cairn_model::Described;
use cairn_parca::padata::Padata;
use cairn_parca::{Known, decode, request, samples, stacks};

#[path = "sound.rs"]
mod sound;

/// Memory for stacks, so little that some are forgotten.
const KNOWN_BYTES_MAX: usize = 1 << 14;

/// Whether the bytes are a file, or a record: a whole one, or one of a conversation.
pub(crate) fn check(raw: &[u8]) -> bool {
    let limits = sound::LIMITS();
    let whole = decode(raw, &limits);
    if let Ok(decoded) = &whole {
        check_all(&decoded.profiles);
    }
    let file = Padata::open(raw, &limits);
    if let Ok(file) = &file {
        for record in file.records().flatten() {
            check_all(&record.profiles);
        }
    }
    let (first, second) = (samples(raw, &limits), stacks(raw, &limits));
    let is_read = whole.is_ok() || file.is_ok() || first.is_ok() || second.is_ok();
    let mut known = Known::new(KNOWN_BYTES_MAX);
    if let (Ok(first), Ok(second)) = (first, &second) {
        let asked = known.ask(first, &limits);
        request(asked.unknown());
        known.add(&asked, second);
        if let Ok(joined) = asked.join(second, &limits) {
            check_all(&joined.profiles);
        }
    }
    // Some of the stacks are known by now.
    if let (Ok(first), Ok(second)) = (samples(raw, &limits), &second) {
        let asked = known.ask(first, &limits);
        assert!(
            known.bytes() <= KNOWN_BYTES_MAX,
            "more memory than there may be"
        );
        if let Ok(joined) = asked.join(second, &limits) {
            check_all(&joined.profiles);
        }
    }
    is_read
}

fn check_all(profiles: &[Described]) {
    for described in profiles {
        sound::check(&described.profile);
    }
}
