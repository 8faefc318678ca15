//! What must hold of any bytes that are opened as a symbol file.

use cairn_model::Addressing;
use cairn_symbols::SymbolFile;

/// Bytes of the head, and of those before what its own checksum covers; it is the last four of them.
const HEAD: usize = 72;
const HEAD_UNCHECKED: usize = 16;

/// Calls at one address: the deepest inlining that is kept, and the function itself.
const FRAMES_MAX: usize = 513;

/// Opens the bytes as they are, then with a checksum that fits, since nearly all damage ends there.
/// Whether they are a whole symbol file as they are.
pub(crate) fn check(raw: &[u8]) -> bool {
    let mut sealed = raw.to_vec();
    if let Some(head) = sealed.get_mut(..HEAD) {
        let crc = crc32fast::hash(&head[HEAD_UNCHECKED..]);
        head[HEAD_UNCHECKED - 4..HEAD_UNCHECKED].copy_from_slice(&crc.to_le_bytes());
        check_bytes(&sealed);
    }
    check_bytes(raw)
}

fn check_bytes(raw: &[u8]) -> bool {
    let Ok(file) = SymbolFile::open(raw.to_vec()) else {
        return false;
    };
    let addresses = addresses(raw);
    for addressing in [Addressing::FileOffset, Addressing::Virtual] {
        file.lookup_all(addressing, &addresses, |at, frames| {
            let alone = file.lookup(addressing, addresses[at]);
            let is_same = match (&frames, &alone) {
                (Ok(frames), Ok(alone)) => frames.id() == alone.id(),
                (frames, alone) => frames.is_err() && alone.is_err(),
            };
            assert!(is_same, "an address means something else among others");
            let frames = frames.into_iter().flatten();
            let read = frames.map(|f| (f.function(), f.system_name(), f.file()));
            assert!(read.count() <= FRAMES_MAX);
        });
    }
    file.verify().is_ok()
}

/// Where something may begin or end: every number of the file, alone and above its first address.
fn addresses(raw: &[u8]) -> Vec<u64> {
    let (words, _) = raw[HEAD_UNCHECKED + 4..].as_chunks::<4>();
    let words = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)));
    let words: Vec<u64> = words.take(1 << 10).collect();
    let base = words[0] | words[1] << 32;
    let each = |word: &u64| {
        [
            *word,
            base.wrapping_add(*word),
            base.wrapping_add(*word).wrapping_sub(1),
        ]
    };
    words.iter().flat_map(each).collect()
}
