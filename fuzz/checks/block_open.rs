//! What must hold of any bytes that are opened as a block.

use bytes::Bytes;
use cairn_block::{Block, Loaded, SampleColumns, Stacks, merge};
use futures::executor::block_on;

/// Rows of one input, so that a few bytes that claim many are no slow input.
const ROWS_MAX: u64 = 1 << 16;

/// What a merge may take, so that a few bytes that claim many stacks are no slow input either.
const STACKS_BYTES_MAX: usize = 64 << 20;

/// What one profile of an accepted block says that its samples add up to, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) said: i64,
    pub(crate) found: i64,
}

/// Opens the bytes as they are, then with checksums that fit, since nearly all damage ends there.
/// Gives what the block holds, if it is accepted as it is.
pub(crate) fn check(raw: &[u8]) -> Option<Vec<Total>> {
    let mut sealed = raw.to_vec();
    if seal(&mut sealed).is_some() {
        // Whoever can write checksums can write lies: only that they are read calmly is asked for.
        check_bytes(sealed.into());
    }
    check_bytes(Bytes::copy_from_slice(raw))
}

fn check_bytes(bytes: Bytes) -> Option<Vec<Total>> {
    let loaded = load(bytes)?;
    let merged = merge(std::slice::from_ref(&loaded), 1, STACKS_BYTES_MAX);
    let totals = read(&loaded)?;
    if let Ok(merged) = merged {
        let profiles = merged.info.profiles;
        let again = load(merged.bytes).and_then(|loaded| read(&loaded));
        let again = again.expect("we write valid blocks");
        // A batch that came twice counts once, so a merge may have fewer.
        if profiles == totals.len() as u64 {
            assert_eq!(sum(&again), sum(&totals), "merging changed a value");
        }
    }
    Some(totals)
}

fn sum(totals: &[Total]) -> i64 {
    let found = totals.iter().map(|total| total.found);
    found.fold(0, i64::wrapping_add)
}

fn load(bytes: Bytes) -> Option<Loaded> {
    let block = Block::from_bytes(bytes).ok()?;
    if block.info().rows > ROWS_MAX {
        return None;
    }
    block_on(block.load()).ok()
}

/// Reads everything and follows every reference.
fn read(loaded: &Loaded) -> Option<Vec<Total>> {
    let stacks = loaded.stacks.unpack().ok()?;
    let mut values = Vec::new();
    for rows in &loaded.rows {
        let mut visit = |first: u64, run: &SampleColumns| {
            assert_eq!(first, values.len() as u64, "rows come in order");
            (0..run.len()).for_each(|row| follow(loaded, &stacks, run, row));
            values.extend(&run.values);
        };
        rows.visit(&mut visit).ok()?;
    }
    let mut values = values.into_iter();
    let profiles = loaded.index.profiles.iter();
    let totals = profiles.map(|profile| {
        let stored = values.by_ref().take(profile.rows.len as usize);
        let real = stored.map(|value: i64| value.wrapping_mul(profile.scale));
        Total {
            said: profile.total,
            found: real.fold(0, i64::wrapping_add),
        }
    });
    let totals = totals.collect();
    assert_eq!(values.next(), None, "every row is of a profile");
    Some(totals)
}

fn follow(loaded: &Loaded, stacks: &Stacks, run: &SampleColumns, row: usize) {
    let symbols = &stacks.symbols;
    for location in stacks.trie.stack(stacks.nodes[run.stacks[row] as usize]) {
        for line in symbols.lines(location) {
            symbols.str(symbols.functions[line.function as usize].name);
        }
    }
    let (index, links) = (&loaded.index, &loaded.links);
    let _ = &index.attr_sets[run.attr(row) as usize];
    let link = run.link(row) as usize;
    let _ = &links.list[link];
    if links.has_profiles() {
        for profile in links.profiles(link) {
            let _ = &index.profiles[*profile as usize];
        }
    }
}

/// Makes the checksums of an object fit, if it is whole enough to say where they are.
fn seal(object: &mut [u8]) -> Option<()> {
    const TRAILER_BYTES: usize = 24;
    let end = object.len().checked_sub(TRAILER_BYTES)?;
    let word = |at: usize| {
        let bytes = object[end + at..end + at + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes are a word")) as usize
    };
    let text = end.checked_sub(word(4))?;
    let sums = text.checked_sub(word(0))?;
    let toc: serde_json::Value = serde_json::from_slice(&object[text..end]).ok()?;
    let mut at = sums;
    for section in toc["sections"].as_array()? {
        let start = section["offset"].as_u64()? as usize;
        let stop = start.checked_add(section["bytes"].as_u64()? as usize)?;
        let chunks = object.get(start..stop)?.chunks(64 << 10);
        for sum in chunks.map(crc32fast::hash).collect::<Vec<u32>>() {
            if at + 4 <= text {
                object[at..at + 4].copy_from_slice(&sum.to_le_bytes());
                at += 4;
            }
        }
    }
    let sum = crc32fast::hash(&object[sums..end + 12]);
    object[end + 12..end + 16].copy_from_slice(&sum.to_le_bytes());
    Some(())
}
