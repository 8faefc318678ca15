//! Cuts a journal into frames and tells a torn end from damage in the middle.

/// Length, checksum of the payload, checksum of both.
const HEAD: usize = 12;

/// What comes next in a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    Frame {
        payload: &'a [u8],
        rest: &'a [u8],
    },
    End,
    /// The frame is incomplete and nothing whole follows: a crash cut the last write short.
    Torn,
    Damaged(&'static str),
}

pub(super) fn encode(payload: &[u8]) -> Result<Vec<u8>, String> {
    let len = u32::try_from(payload.len())
        .map_err(|_| format!("{} bytes are too many for one frame", payload.len()))?;
    let mut out = Vec::with_capacity(HEAD + payload.len());
    out.extend(len.to_le_bytes());
    out.extend(crc32fast::hash(payload).to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out.extend(payload);
    Ok(out)
}

pub(super) fn next(bytes: &[u8]) -> Next<'_> {
    if bytes.is_empty() {
        return Next::End;
    }
    if let Some((payload, rest)) = whole(bytes) {
        return Next::Frame { payload, rest };
    }
    // One write is one frame and is synced before the next begins. So a torn frame is the last
    // one, and a whole frame behind this one means that this one was acknowledged and is damaged.
    if (1..bytes.len()).any(|skip| whole(&bytes[skip..]).is_some()) {
        Next::Damaged("a frame does not have its checksum, and whole frames follow")
    } else {
        Next::Torn
    }
}

fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let word = |at: usize| {
        let word: [u8; 4] = head[at..at + 4].try_into().expect("a head has three words");
        u32::from_le_bytes(word)
    };
    // An empty payload is never written; without this, no run of zeros could be mistaken either.
    if word(0) == 0 || crc32fast::hash(&head[..8]) != word(8) {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(word(0) as usize)?;
    (crc32fast::hash(payload) == word(4)).then_some((payload, rest))
}
