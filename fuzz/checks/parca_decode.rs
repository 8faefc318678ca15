//! What must hold of any bytes that are sent as Arrow by Parca's agents.

use cairn_parca::{StackId, decode, request, samples, stacks};

#[path = "sound.rs"]
mod sound;

/// Whether the bytes are a record: a whole one, or one of a conversation.
pub(crate) fn check(raw: &[u8]) -> bool {
    let limits = sound::LIMITS();
    let whole = decode(raw, &limits);
    if let Ok(decoded) = &whole {
        for described in &decoded.profiles {
            sound::check(&described.profile);
        }
    }
    let (first, second) = (samples(raw, &limits), stacks(raw, &limits));
    let is_read = whole.is_ok() || first.is_ok() || second.is_ok();
    if let Ok(first) = first {
        let ids: Vec<StackId> = first.stack_ids().collect();
        request(&ids);
        if let Ok(joined) = second.and_then(|second| first.join(&second, &limits)) {
            for described in &joined.profiles {
                sound::check(&described.profile);
            }
        }
    }
    is_read
}
