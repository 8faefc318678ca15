//! Addresses to the wire's frames. Which files there are is decided before.

use std::collections::HashMap;

use cairn_model::javascript::Position;
use cairn_model::{Addressing, Ask};
use cairn_symbols::{Frames, Miss};
use cairn_wire::cairn::symbols::v1::{BinarySymbols, Frame, Function, SymbolizeResponse, Symbols};

use crate::files::Build;

/// Addresses of one binary, or positions of one script, and what can name them.
pub(crate) struct Asked {
    pub(crate) build: Build,
    pub(crate) ask: Ask,
    pub(crate) addresses: Vec<u64>,
}

/// What the encoding of a list's element has besides its texts, at most.
const ELEMENT_BYTES: usize = 48;
/// Of a number that stands for an address.
const NUMBER_BYTES: usize = 5;

const LEFT: &str = "there was no room for it in an answer: ask again";
const TOO_LONG: &str = "the names of its calls are longer than an answer may be";

/// What is known of each address, in so many bytes; what does not fit is marked as left.
pub(crate) fn symbolize(asked: &[Asked], bytes_max: usize) -> SymbolizeResponse {
    let numbers: usize = asked.iter().map(|asked| asked.addresses.len()).sum();
    // With an empty text, and what stands for all that is left.
    let always = NUMBER_BYTES * numbers + ELEMENT_BYTES * (asked.len() + 3) + LEFT.len();
    let mut tables = Tables {
        room: bytes_max.saturating_sub(always),
        bytes_max,
        ..Tables::default()
    };
    tables.string("");
    let binaries = asked.iter().map(|asked| tables.binary(asked)).collect();
    let Tables {
        strings,
        functions,
        symbols,
        ..
    } = tables;
    SymbolizeResponse {
        strings,
        functions,
        symbols,
        binaries,
    }
}

/// An answer in the making: what addresses have in common is in it once.
#[derive(Default)]
struct Tables<'a> {
    strings: Vec<String>,
    string_ids: HashMap<&'a str, u32>,
    functions: Vec<Function>,
    function_ids: HashMap<(u32, u32, u32, u32), u32>,
    symbols: Vec<Symbols>,
    reason_ids: HashMap<Reason, u32>,
    /// The symbols of what is left, if something is.
    left: Option<u32>,
    /// Bytes that may still come.
    room: usize,
    /// Bytes of a whole answer.
    bytes_max: usize,
}

/// Why an address has no name, and whether that may pass.
type Reason = (String, bool);

/// Which file of a build the frames are of, and their number in it.
type FramesId = (usize, u32);

impl<'a> Tables<'a> {
    fn binary(&mut self, asked: &'a Asked) -> BinarySymbols {
        let mut known: HashMap<FramesId, u32> = HashMap::new();
        let symbols =
            asked
                .addresses
                .iter()
                .map(|&address| match frames(&asked.build, asked.ask, address) {
                    Ok((file, frames)) => *known
                        .entry((file, frames.id()))
                        .or_insert_with(|| self.symbols(frames)),
                    Err(reason) => self.reason(reason),
                });
        BinarySymbols {
            symbols: symbols.collect(),
        }
    }

    /// What is known of an address. What the tables have already takes no room, but whether all of
    /// it fits is decided before.
    fn symbols(&mut self, frames: Frames<'a>) -> u32 {
        let frames: Vec<_> = frames.collect();
        let bytes = frames.iter().map(|frame| {
            let texts = [frame.function(), frame.system_name(), frame.file()];
            // The call, its function, and each text.
            texts.map(str::len).iter().sum::<usize>() + 5 * ELEMENT_BYTES
        });
        let bytes = ELEMENT_BYTES + bytes.sum::<usize>();
        if bytes > self.room {
            return match bytes > self.bytes_max / 2 {
                true => self.reason((TOO_LONG.to_owned(), false)),
                false => self.left(),
            };
        }
        let frames = frames.into_iter().map(|frame| self.frame(frame)).collect();
        self.push(Symbols {
            frames,
            ..Symbols::default()
        })
    }

    fn reason(&mut self, reason: Reason) -> u32 {
        if let Some(&id) = self.reason_ids.get(&reason) {
            return id;
        }
        if reason.0.len() + ELEMENT_BYTES > self.room {
            return self.left();
        }
        let id = self.push(Symbols {
            reason: reason.0.clone(),
            passing: reason.1,
            ..Symbols::default()
        });
        self.reason_ids.insert(reason, id);
        id
    }

    fn left(&mut self) -> u32 {
        match self.left {
            Some(id) => id,
            None => {
                self.symbols.push(Symbols {
                    reason: LEFT.to_owned(),
                    passing: true,
                    left: true,
                    ..Symbols::default()
                });
                *self.left.insert((self.symbols.len() - 1) as u32)
            }
        }
    }

    fn push(&mut self, symbols: Symbols) -> u32 {
        self.take(symbols.reason.len() + symbols.frames.len() * ELEMENT_BYTES);
        self.symbols.push(symbols);
        (self.symbols.len() - 1) as u32
    }

    /// Takes the room of one element.
    fn take(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(ELEMENT_BYTES + bytes);
    }

    fn frame(&mut self, frame: cairn_symbols::Frame<'a>) -> Frame {
        let name = self.string(frame.function());
        let system_name = self.string(frame.system_name());
        let file = self.string(frame.file());
        let start_line = frame.start_line;
        let key = (name, system_name, file, start_line);
        let function = match self.function_ids.get(&key) {
            Some(&id) => id,
            None => {
                self.functions.push(Function {
                    name,
                    system_name,
                    file,
                    start_line: i64::from(start_line),
                });
                self.take(0);
                let id = (self.functions.len() - 1) as u32;
                *self.function_ids.entry(key).or_insert(id)
            }
        };
        Frame {
            function,
            line: i64::from(frame.line),
            column: i64::from(frame.column),
            inlined: frame.inlined,
        }
    }

    fn string(&mut self, text: &'a str) -> u32 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        self.strings.push(text.to_owned());
        self.take(text.len());
        let id = (self.strings.len() - 1) as u32;
        *self.string_ids.entry(text).or_insert(id)
    }
}

/// The calls at an address, and by which file of the build; or why it has no name.
fn frames(build: &Build, ask: Ask, address: u64) -> Result<(usize, Frames<'_>), Reason> {
    let addressing = match ask {
        Ask::Addresses(addressing) => addressing,
        Ask::Positions => return position(build, Position::of_address(address)),
    };
    // Where code lies in the executable, a separate debug file often no longer says.
    let by_place = [&build.executable, &build.debuginfo];
    let mut virtual_address = Err(Miss::NoSegment);
    for file in by_place.into_iter().flatten() {
        virtual_address = virtual_address.or_else(|_| file.virtual_address(addressing, address));
    }
    let mut found = Err(Miss::NoFunction);
    let by_names = [&build.debuginfo, &build.executable];
    if let Ok(address) = virtual_address {
        for (at, file) in by_names.into_iter().enumerate() {
            let Ok(file) = file else { continue };
            found = found.or_else(|_| {
                let frames = file.lookup(Addressing::Virtual, address)?;
                Ok((at, frames))
            });
        }
    }
    found.map_err(|miss| match (&build.debuginfo, &build.executable) {
        (Err(_), Err(_)) => build.why(),
        (Ok(debuginfo), Err(_)) if virtual_address.is_err() && !debuginfo.has_segments() => {
            let text =
                "the debug file does not say where code lies in the executable: upload that too";
            (text.to_owned(), false)
        }
        _ => (virtual_address.err().unwrap_or(miss).to_string(), false),
    })
}

/// The same of a position of a script.
fn position(build: &Build, at: Position) -> Result<(usize, Frames<'_>), Reason> {
    let map = build.debuginfo.as_ref();
    let map = map.map_err(|absence| (absence.to_string(), absence.is_passing()))?;
    let frames = map.at_position(at.line, at.column);
    let frames = frames.map_err(|miss| (miss.to_string(), false))?;
    Ok((0, frames))
}
