//! What heaptrack writes of a program's heap. Owns what its lines mean; how numbers and texts are
//! written is the business of [`words`].
//!
//! Strings, instructions and traces are numbered as their lines come, from 1; 0 is none of them.
//! What is allocated (a size and a trace) is numbered from 0. Addresses are those of the running
//! process, so code without a name is known by its module alone.

mod words;

use cairn_model::{Function, Line, Mapping, NONE, StrId};

use crate::budget::{Budget, check_string};
use crate::calls::{Calls, ROOT};
use crate::text::{lines, lossy, shown};
use crate::{Decoded, Error};
use words::Words;

pub(crate) use words::is_version;

const NAME: &str = "memory";
/// As in Go's heap profiles.
const TYPES: [(&str, &str); 4] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
];
const UNKNOWN_FRAME: &str = "[unknown]";

/// Strings have their length before them since this version.
const VERSION_SIZED: u64 = 3;
const VERSION_MAX: u64 = 3;
/// The program's version whose files do not say theirs, and are of version 1.
const UNVERSIONED: u64 = 0x01_02_00;

const COMMENT: &str = "comment lines";
const PROCESS: &str = "lines about the process and the time";
const NO_ADDRESS: &str = "frames without an address";
const NOT_IN_USE: &str = "frees of what is not in use";

/// Bytes that are allocated in one place.
struct Allocation {
    size: i64,
    /// The stack that allocates.
    node: u32,
    allocated: i64,
    freed: i64,
}

/// What the lines up to here say.
struct Recording<'b, 'l> {
    budget: Budget<'b>,
    decoded: &'l mut Decoded,
    calls: Calls,
    /// `None` until it is known.
    version: Option<u64>,
    strings: Vec<StrId>,
    /// The frames of all instructions, innermost first.
    frames: Vec<u32>,
    /// Where those of each instruction end.
    instructions: Vec<u32>,
    /// The stack of each trace.
    traces: Vec<u32>,
    allocations: Vec<Allocation>,
}

pub(crate) fn decode(bytes: &[u8], budget: Budget<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut calls = Calls::new(&TYPES);
    // Every allocation is seen.
    calls.builder.set_period("space", "bytes", 1);
    let mut recording = Recording {
        budget,
        decoded: &mut decoded,
        calls,
        version: None,
        strings: Vec::new(),
        frames: Vec::new(),
        instructions: Vec::new(),
        traces: Vec::new(),
        allocations: Vec::new(),
    };
    for (number, line) in lines(bytes) {
        recording.line(number, line)?;
    }
    recording.finish()?;
    Ok(decoded)
}

impl Recording<'_, '_> {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), Error> {
        let mut words = Words::of(number, line);
        let letter = line.first().copied().unwrap_or(b'#');
        if self.version.is_none() && !matches!(letter, b'#' | b'v') {
            return Err(Error::undecodable(format!(
                "line {number}: {} comes before a version, so it is not of heaptrack",
                shown(line)
            )));
        }
        match letter {
            b'v' => self.version = Some(version(&mut words)?),
            b's' => self.string(&words)?,
            b'i' => self.instruction(&mut words)?,
            b't' => self.trace(&mut words)?,
            b'a' => self.allocation(&mut words)?,
            b'+' => self.used(&mut words)?.allocated += 1,
            b'-' => {
                let used = self.used(&mut words)?;
                let is_in_use = used.freed < used.allocated;
                used.freed += i64::from(is_in_use);
                self.decoded.skip(NOT_IN_USE, u64::from(!is_in_use));
            }
            b'#' => self.decoded.skip(COMMENT, 1),
            b'A' | b'I' | b'R' | b'S' | b'X' | b'c' => self.decoded.skip(PROCESS, 1),
            b'm' | b'x' => {
                return Err(Error::undecodable(
                    "it is a raw file of heaptrack, without names; make one with names of it: \
                     zstd -dc FILE.raw.zst | heaptrack_interpret | zstd > FILE.zst",
                ));
            }
            _ => {
                return Err(Error::undecodable(format!(
                    "line {number}: {} is no line of heaptrack",
                    shown(line)
                )));
            }
        }
        Ok(())
    }

    fn string(&mut self, words: &Words<'_>) -> Result<(), Error> {
        let is_sized = self.version >= Some(VERSION_SIZED);
        let text = words.text(is_sized)?;
        check_string(text.len(), self.budget.limits, || {
            format!("the string at line {}", words.line)
        })?;
        let text = lossy(text, &mut self.decoded.replaced_strings);
        self.strings.push(self.calls.builder.str(&text));
        Ok(())
    }

    /// An address, a module, and for each call there, innermost first, function, file and line, as
    /// far as they are known.
    fn instruction(&mut self, words: &mut Words<'_>) -> Result<(), Error> {
        let _address = words.number()?;
        let module = words.number()?;
        let mapping = match self.text(words.line, module)? {
            0 => NONE,
            file => self.calls.builder.mapping(Mapping {
                file,
                ..Mapping::default()
            }),
        };
        let mut next = Some(words.optional()?.unwrap_or_default());
        while let Some(function) = next {
            let name = self.text(words.line, function)?;
            let file = words.optional()?.unwrap_or_default();
            let file = self.text(words.line, file)?;
            let line = words.optional()?.unwrap_or_default();
            let builder = &mut self.calls.builder;
            let name = match name {
                0 => builder.str(UNKNOWN_FRAME),
                name => name,
            };
            let function = builder.function(Function {
                name,
                file,
                ..Function::default()
            });
            let line = Line {
                function,
                line: i32::try_from(line).map_or(0, i64::from),
                column: 0,
            };
            self.frames.push(builder.location(mapping, 0, &[line]));
            next = words.optional()?;
        }
        self.instructions.push(self.frames.len() as u32);
        Ok(())
    }

    /// An instruction, and the trace that calls it.
    fn trace(&mut self, words: &mut Words<'_>) -> Result<(), Error> {
        let (instruction, caller) = (words.number()?, words.number()?);
        let mut node = self.node(words.line, caller)?;
        match words::numbered(
            words.line,
            instruction,
            "instruction",
            self.instructions.len(),
        )? {
            None => self.decoded.skip(NO_ADDRESS, 1),
            Some(at) => {
                let start = if at == 0 {
                    0
                } else {
                    self.instructions[at - 1]
                };
                let range = start as usize..self.instructions[at] as usize;
                // Time that a short line takes: nodes that exist take no memory.
                self.budget.frames(range.len())?;
                for frame in self.frames[range].iter().rev() {
                    node = self.calls.child(node, *frame, &mut self.budget)?;
                }
            }
        }
        self.traces.push(node);
        Ok(())
    }

    /// A size, and the trace that allocates it.
    fn allocation(&mut self, words: &mut Words<'_>) -> Result<(), Error> {
        let (size, trace) = (words.number()?, words.number()?);
        let size = i64::try_from(size).map_err(|_| {
            Error::contradiction(format!("line {}: the size is too large", words.line))
        })?;
        let node = self.node(words.line, trace)?;
        self.allocations.push(Allocation {
            size,
            node,
            allocated: 0,
            freed: 0,
        });
        Ok(())
    }

    /// What a line says is allocated or freed once more.
    fn used(&mut self, words: &mut Words<'_>) -> Result<&mut Allocation, Error> {
        let number = words.number()?;
        let count = self.allocations.len();
        let found = usize::try_from(number).ok();
        let found = found.and_then(|at| self.allocations.get_mut(at));
        found.ok_or_else(|| words::missing(words.line, number, "allocation", count))
    }

    fn text(&self, line: usize, number: u64) -> Result<StrId, Error> {
        let at = words::numbered(line, number, "string", self.strings.len())?;
        Ok(at.map_or(0, |at| self.strings[at]))
    }

    fn node(&self, line: usize, trace: u64) -> Result<u32, Error> {
        let at = words::numbered(line, trace, "trace", self.traces.len())?;
        Ok(at.map_or(ROOT, |at| self.traces[at]))
    }

    fn finish(mut self) -> Result<(), Error> {
        if self.version.is_none() {
            return Err(Error::undecodable("it is empty"));
        }
        let too_large = || Error::contradiction("what a stack allocates is too large");
        for one in &self.allocations {
            for (column, count) in [(0, one.allocated), (2, one.allocated - one.freed)] {
                let bytes = count.checked_mul(one.size).ok_or_else(too_large)?;
                for (column, value) in [(column, count), (column + 1, bytes)] {
                    let added = self.calls.add(one.node, column, value);
                    added.map_err(|_| too_large())?;
                }
            }
        }
        let pushed = self.decoded.push(self.calls, &mut self.budget)?;
        pushed.name = Some(NAME.to_owned());
        Ok(())
    }
}

/// The version of the program, and that of its files.
fn version(words: &mut Words<'_>) -> Result<u64, Error> {
    let program = words.number()?;
    let version = match words.optional()? {
        Some(version) => version,
        None => u64::from(program == UNVERSIONED),
    };
    if version == 0 || version > VERSION_MAX {
        return Err(Error::undecodable(format!(
            "files of version {version:x} of heaptrack are not read, only those of 1 to {VERSION_MAX}"
        )));
    }
    Ok(version)
}
