//! Pyroscope's binary trees: every node is the length of its name, the name, its value and the
//! number of its children, which follow. Numbers are varints.
//!
//! In a tree a node is a frame; the first one stands for no frame and has no name. In a trie it is
//! a piece of a folded stack, and those from the root to a node make its stack.

use hashbrown::HashMap;

use crate::budget::{Budget, check_string};
use crate::calls::{Calls, ROOT};
use crate::text::lossy;
use crate::{Decoded, Error, Unit};

const EMPTY_FRAME: &str = "frames without a name";

struct Node<'a> {
    name: &'a [u8],
    value: i64,
    children: u64,
}

/// A call tree.
pub(crate) fn tree(bytes: &[u8], meaning: &Unit, mut budget: Budget<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut calls = meaning.calls();
    let mut names: HashMap<&[u8], u32, foldhash::fast::RandomState> = HashMap::default();
    // Nodes whose children are still to come, and how many.
    let mut open: Vec<(u32, u64)> = Vec::new();
    let mut reader = Reader { bytes, at: 0 };
    loop {
        let start = reader.at;
        let node = reader.node()?;
        let parent = open.last().map_or(ROOT, |(parent, _)| *parent);
        let mut at = parent;
        if !node.name.is_empty() {
            check_string(node.name.len(), budget.limits, || name_at(start))?;
            let location = *names.entry(node.name).or_insert_with(|| {
                let name = lossy(node.name, &mut decoded.replaced_strings);
                calls.builder.frame(&name)
            });
            at = calls.child(parent, location, &mut budget)?;
        } else if start > 0 {
            decoded.skip(EMPTY_FRAME, 1);
        }
        add(&mut calls, at, node.value, meaning, start)?;
        if open_next(&mut open, at, node.children, |_| {}) {
            break;
        }
    }
    reader.end()?;
    decoded.push(calls, &mut budget)?;
    Ok(decoded)
}

/// A radix tree of folded stacks. No bytes are no stacks.
pub(crate) fn trie(bytes: &[u8], meaning: &Unit, mut budget: Budget<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut key = Key {
        calls: meaning.calls(),
        budget: &mut budget,
        caller: ROOT,
        frame: Vec::new(),
        replaced: 0,
        empty_frames: 0,
    };
    let mut open: Vec<(Undo, u64)> = Vec::new();
    let mut reader = Reader { bytes, at: 0 };
    while !bytes.is_empty() {
        let start = reader.at;
        let node = reader.node()?;
        let undo = key.push(node.name, start)?;
        if node.value != 0 {
            let at = key.end()?;
            add(&mut key.calls, at, node.value, meaning, start)?;
        }
        if open_next(&mut open, undo, node.children, |undo| key.undo(undo)) {
            break;
        }
    }
    reader.end()?;
    decoded.replaced_strings = key.replaced;
    decoded.skip(EMPTY_FRAME, key.empty_frames);
    let calls = key.calls;
    decoded.push(calls, &mut budget)?;
    Ok(decoded)
}

/// Goes on to the next node: a child if there are any, else the next of the closest one that has
/// some left. Returns whether all are read.
fn open_next<T>(
    open: &mut Vec<(T, u64)>,
    node: T,
    children: u64,
    mut close: impl FnMut(T),
) -> bool {
    open.push((node, children));
    while let Some((_, left)) = open.last_mut() {
        if *left > 0 {
            *left -= 1;
            return false;
        }
        if let Some((node, _)) = open.pop() {
            close(node);
        }
    }
    true
}

fn add(calls: &mut Calls, at: u32, value: i64, meaning: &Unit, byte: usize) -> Result<(), Error> {
    let too_large =
        || Error::contradiction(format!("the value of the node at byte {byte} is too large"));
    let value = meaning.scaled(value).ok_or_else(too_large)?;
    calls.add(at, 0, value).map_err(|_| too_large())
}

fn name_at(byte: usize) -> String {
    format!("a frame of the node at byte {byte}")
}

/// The folded stack from the root to a node.
struct Key<'a, 'b> {
    calls: Calls,
    budget: &'a mut Budget<'b>,
    /// The frames that a `;` has ended.
    caller: u32,
    /// The one after them, as far as it is known.
    frame: Vec<u8>,
    replaced: u64,
    empty_frames: u64,
}

/// How the key was before a piece was added to it.
struct Undo {
    caller: u32,
    /// How long the frame was that was not ended yet, and all of it if it has ended since.
    len: u32,
    frame: Option<Box<[u8]>>,
}

impl Key<'_, '_> {
    fn push(&mut self, piece: &[u8], start: usize) -> Result<Undo, Error> {
        let mut undo = Undo {
            caller: self.caller,
            len: self.frame.len() as u32,
            frame: None,
        };
        let mut parts = piece.split(|byte| *byte == b';');
        let first = parts.next().unwrap_or_default();
        self.extend(first, start)?;
        for part in parts {
            self.caller = self.end()?;
            let ended = std::mem::take(&mut self.frame);
            undo.frame.get_or_insert(ended.into_boxed_slice());
            self.extend(part, start)?;
        }
        Ok(undo)
    }

    fn undo(&mut self, undo: Undo) {
        self.caller = undo.caller;
        if let Some(frame) = undo.frame {
            self.frame = frame.into_vec();
        }
        self.frame.truncate(undo.len as usize);
    }

    fn extend(&mut self, part: &[u8], start: usize) -> Result<(), Error> {
        self.frame.extend_from_slice(part);
        check_string(self.frame.len(), self.budget.limits, || name_at(start))
    }

    /// The stack of the key as it is.
    fn end(&mut self) -> Result<u32, Error> {
        if self.frame.is_empty() {
            self.empty_frames += 1;
            return Ok(self.caller);
        }
        self.budget.text(self.frame.len())?;
        let name = lossy(&self.frame, &mut self.replaced);
        let location = self.calls.builder.frame(&name);
        self.calls.child(self.caller, location, self.budget)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn node(&mut self) -> Result<Node<'a>, Error> {
        let start = self.at;
        let len = self.varint()?;
        let rest = &self.bytes[self.at..];
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= rest.len())
            .ok_or_else(|| {
                Error::undecodable(format!(
                    "the name of the node at byte {start} is longer than what is left"
                ))
            })?;
        self.at += len;
        let value = i64::try_from(self.varint()?).map_err(|_| {
            Error::contradiction(format!(
                "the value of the node at byte {start} is too large"
            ))
        })?;
        Ok(Node {
            name: &rest[..len],
            value,
            children: self.varint()?,
        })
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else {
                let len = self.bytes.len();
                return Err(Error::undecodable(format!(
                    "it ends within a node, after {len} bytes"
                )));
            };
            self.at += 1;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::undecodable(format!(
            "the number at byte {start} has more than 64 bits"
        )))
    }

    fn end(&self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(Error::undecodable(format!(
            "the tree ends at byte {}, but there are {}",
            self.at,
            self.bytes.len()
        )))
    }
}
