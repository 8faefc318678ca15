//! Addresses to the wire's frames. Which files there are is decided before.

use std::collections::HashMap;

use cairn_model::javascript::Position;
use cairn_model::{Addressing, Ask};
use cairn_symbols::{Frames, Miss};
use cairn_wire::cairn::symbols::v1::{BinarySymbols, Frame, Function, SymbolizeResponse, Symbols};

use crate::cache::Absence;
use crate::files::Build;

/// Addresses of one binary, or positions of one script, and what can name them.
pub(crate) struct Asked {
    pub(crate) build: Build,
    pub(crate) ask: Ask,
    pub(crate) addresses: Vec<u64>,
}

/// What is known of each address.
pub(crate) fn symbolize(asked: &[Asked]) -> SymbolizeResponse {
    let mut tables = Tables::default();
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

    fn symbols(&mut self, frames: Frames<'a>) -> u32 {
        let frames = frames.map(|frame| self.frame(frame)).collect();
        self.symbols.push(Symbols {
            frames,
            ..Symbols::default()
        });
        (self.symbols.len() - 1) as u32
    }

    fn reason(&mut self, reason: Reason) -> u32 {
        if let Some(&id) = self.reason_ids.get(&reason) {
            return id;
        }
        let id = self.symbols.len() as u32;
        self.symbols.push(Symbols {
            frames: Vec::new(),
            reason: reason.0.clone(),
            passing: reason.1,
        });
        self.reason_ids.insert(reason, id);
        id
    }

    fn frame(&mut self, frame: cairn_symbols::Frame<'a>) -> Frame {
        let name = self.string(frame.function());
        let system_name = self.string(frame.system_name());
        let file = self.string(frame.file());
        let start_line = frame.start_line;
        let functions = &mut self.functions;
        let key = (name, system_name, file, start_line);
        let function = *self.function_ids.entry(key).or_insert_with(|| {
            functions.push(Function {
                name,
                system_name,
                file,
                start_line: i64::from(start_line),
            });
            (functions.len() - 1) as u32
        });
        Frame {
            function,
            line: i64::from(frame.line),
            column: i64::from(frame.column),
            inlined: frame.inlined,
        }
    }

    fn string(&mut self, text: &'a str) -> u32 {
        let strings = &mut self.strings;
        *self.string_ids.entry(text).or_insert_with(|| {
            strings.push(text.to_owned());
            (strings.len() - 1) as u32
        })
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
        (Err(Absence::NoFile), Err(absence)) | (Err(absence), Err(_)) => {
            (absence.to_string(), absence.is_passing())
        }
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
