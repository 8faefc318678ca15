//! JavaScript source maps to symbol files: from positions of generated text to functions, files and
//! lines of what it was generated from.
//!
//! A symbol file knows addresses only. So each line of generated text is a segment whose place in
//! the file is its number, and columns are addresses in it.
//!
//! A map knows what identifiers were called, and nothing of functions. That of a function stands just
//! before its parameters, where it begins for V8. So the function of a position is that identifier: the
//! name is what it was called, and the system name what it is called in the generated code, if that
//! came along. Who asks must not believe a name whose function has another one for V8.

mod code;
mod envelope;
mod json;
mod mappings;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::de::IgnoredAny;

use self::code::{Code, Word};
use self::envelope::Opened;
use self::json::{Map, Offset, Text};
use self::mappings::Original;
use crate::convert::Limits;
use crate::format::{self, Function, Location, Lost, NONE, Segment};
use crate::layers::Piece;
use crate::tables::Tables;
use crate::{Error, names, paths};

pub use self::envelope::is_source_map;

/// Words that some tools take for names of what follows. V8 calls a constructor as its class.
const NO_NAMES: [&str; 6] = ["async", "constructor", "function", "get", "set", "static"];

/// What a source map says that it is of, in any spelling; none if it does not say.
pub fn debug_id(bytes: &[u8]) -> Result<Option<String>, Error> {
    json::debug_id(envelope::opened(bytes).json)
}

/// Makes a symbol file of a source map, alone or with the code that it is of in one file.
pub fn convert_source_map(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    check_size(bytes, limits)?;
    let Opened { json, code } = envelope::opened(bytes);
    let maps = json::read::<IgnoredAny>(json)?;
    let mut tables = Tables::new(limits, true);
    let mut positions = Vec::new();
    for (offset, map) in &maps {
        read_map((*offset, map), &mut tables, &mut positions)?;
    }
    drop(maps);
    let (pieces, lines) = placed(positions, code.map(Code::new), &mut tables)?;
    format::encode(tables, pieces, &lines, Lost::default())
}

/// Hands out the sources that a map carries, by the names that its frames have.
pub fn source_map_texts<E: From<Error>>(
    bytes: &[u8],
    limits: &Limits,
    mut each: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    check_size(bytes, limits)?;
    for (_, map) in json::read::<Vec<Option<Text<'_>>>>(envelope::opened(bytes).json)? {
        let sources = map.sources.iter().flatten();
        let contents = map.sources_content.iter().flatten();
        for (source, content) in sources.zip(contents) {
            if let (Some(source), Some(content)) = (source, content) {
                each(&path(&map, source), content.bytes())?;
            }
        }
    }
    Ok(())
}

fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let (bytes, max) = (bytes.len() as u64, limits.file_bytes_max);
    match bytes > max {
        true => Err(Error::TooLarge { bytes, max }),
        false => Ok(()),
    }
}

/// A place in generated text from which on something else holds.
struct Position {
    at: Offset,
    /// None if no source has what follows.
    from: Option<Source>,
}

/// A place in a source; file and name by their strings, or [`NONE`].
#[derive(Clone, Copy)]
struct Source {
    file: u32,
    line: u32,
    column: u32,
    name: u32,
}

/// Appends what one map says.
fn read_map<C>(
    (offset, map): (Offset, &Map<'_, C>),
    tables: &mut Tables,
    positions: &mut Vec<Position>,
) -> Result<(), Error> {
    // Where one map begins, the one before ends.
    if offset != Offset::default() {
        positions.push(Position {
            at: offset,
            from: None,
        });
    }
    let mappings = map.mappings.as_ref();
    let mappings = mappings.ok_or(Error::SourceMap("it has no mappings"))?;
    let (mut files, mut names) = (HashMap::new(), HashMap::new());
    mappings::read(mappings.bytes(), |segment| {
        let line = segment.line.checked_add(offset.line);
        let column = match segment.line {
            0 => segment.column.checked_add(offset.column),
            _ => Some(segment.column),
        };
        let (Some(line), Some(column)) = (line, column) else {
            return Err(Error::SourceMap("its mappings lead too far"));
        };
        let original = |original: Original| {
            Ok(Source {
                file: once(&mut files, original.source, || {
                    file(map, original.source, tables)
                })?,
                line: original.line,
                column: original.column,
                name: match original.name {
                    Some(name) => once(&mut names, name, || identifier(map, name, tables))?,
                    None => NONE,
                },
            })
        };
        positions.push(Position {
            at: Offset { line, column },
            from: segment.original.map(original).transpose()?,
        });
        Ok(())
    })
}

type Known = HashMap<u32, u32>;

/// What was made of this number before, or is made now.
fn once(
    known: &mut Known,
    number: u32,
    make: impl FnOnce() -> Result<u32, Error>,
) -> Result<u32, Error> {
    match known.entry(number) {
        Entry::Occupied(entry) => Ok(*entry.get()),
        Entry::Vacant(entry) => Ok(*entry.insert(make()?)),
    }
}

fn file<C>(map: &Map<'_, C>, source: u32, tables: &mut Tables) -> Result<u32, Error> {
    let sources = map.sources.as_deref().unwrap_or_default();
    match sources.get(source as usize) {
        Some(Some(source)) => tables.string(&path(map, source)),
        Some(None) | None => Ok(NONE),
    }
}

fn identifier<C>(map: &Map<'_, C>, name: u32, tables: &mut Tables) -> Result<u32, Error> {
    let all = map.names.as_deref().unwrap_or_default();
    let text = all.get(name as usize).map(Text::get).unwrap_or_default();
    match text.is_empty() || NO_NAMES.contains(&&*text) {
        true => Ok(NONE),
        false => tables.string(names::cut(&text)),
    }
}

/// A source's name below the folder of all, in one spelling; that of a URL keeps what it begins with.
fn path<C>(map: &Map<'_, C>, source: &Text<'_>) -> String {
    let source = source.get();
    let root = map.source_root.as_ref().map(Text::get).unwrap_or_default();
    let (source, root) = (names::cut(&source), names::cut(&root));
    let whole = match source.contains("://") {
        true => source.to_owned(),
        false => paths::join(root, source),
    };
    let tidy = match whole.split_once("://") {
        Some(("file", path)) => paths::tidy(path),
        Some((scheme, path)) => format!("{scheme}://{}", paths::tidy(path.trim_start_matches('/'))),
        None => paths::tidy(&whole),
    };
    names::cut(&tidy).to_owned()
}

/// The positions as ranges of addresses, and the segment of each line.
fn placed(
    mut positions: Vec<Position>,
    mut code: Option<Code<'_>>,
    tables: &mut Tables,
) -> Result<(Vec<Piece>, Vec<Segment>), Error> {
    // Of several at one place the last counts, so they must stay in order.
    positions.sort_by_key(|position| position.at);
    let (mut pieces, mut lines) = (Vec::new(), Vec::new());
    let mut base = 0u64;
    for line in positions.chunk_by(|a, b| a.at.line == b.at.line) {
        let last = line.last().expect("a line has a position");
        // Behind the last position, however far, it is as right behind it.
        let bytes = u64::from(last.at.column) + 2;
        lines.push(Segment {
            offset: u64::from(last.at.line),
            address: base,
            bytes,
        });
        pieces_of((line, base), code.as_mut(), tables, &mut pieces)?;
        base += bytes;
        if base > u64::from(u32::MAX) {
            return Err(Error::SourceMap("the lines of its text are too long"));
        }
    }
    Ok((pieces, lines))
}

/// What the identifier at a position was called, and what it is called, by their strings; both
/// [`NONE`] if that is not known.
#[derive(Clone, Copy)]
struct Name {
    was: u32,
    is: u32,
    /// What follows belongs to it.
    is_given: bool,
}

const NAMELESS: Name = Name {
    was: NONE,
    is: NONE,
    is_given: false,
};

/// If a position is where the parameters begin, its name is that of a parameter, and the function's
/// may stand before. That it does, only the code tells.
fn pieces_of(
    (line, base): (&[Position], u64),
    mut code: Option<&mut Code<'_>>,
    tables: &mut Tables,
    pieces: &mut Vec<Piece>,
) -> Result<(), Error> {
    let mut before = NAMELESS;
    for (at, position) in line.iter().enumerate() {
        let start = base + u64::from(position.at.column);
        let end = match line.get(at + 1) {
            Some(next) => base + u64::from(next.at.column),
            None => start + 2,
        };
        // One behind it holds the same place.
        if start == end {
            continue;
        }
        let Some(from) = position.from else {
            before = NAMELESS;
            continue;
        };
        let own = match (from.name, &mut code) {
            (NONE, _) => NAMELESS,
            (was, None) => Name { was, ..NAMELESS },
            (was, Some(code)) => name(was, code.word(position.at), tables)?,
        };
        let beside = if before.is_given { before } else { NAMELESS };
        let within = if own.was == NONE { beside } else { own };
        for (start, end, name) in [(start, start + 1, beside), (start + 1, end, within)] {
            if start < end {
                let id = location(from, name, tables)?;
                push(pieces, Piece { start, end, id });
            }
        }
        before = own;
    }
    Ok(())
}

fn name(was: u32, word: Option<Word<'_>>, tables: &mut Tables) -> Result<Name, Error> {
    let Some(Word { text, is_given }) = word else {
        return Ok(NAMELESS);
    };
    Ok(Name {
        was,
        is: tables.string(text)?,
        is_given,
    })
}

fn location(from: Source, name: Name, tables: &mut Tables) -> Result<u32, Error> {
    let nothing = tables.string("")?;
    let known = |string| if string == NONE { nothing } else { string };
    let function = tables.function_of(Function {
        name: known(name.was),
        system_name: known(name.is),
        start_line: 0,
    })?;
    let location = tables.location(Location {
        function,
        file: from.file,
        line: from.line.saturating_add(1),
        column: u16::try_from(u64::from(from.column) + 1).unwrap_or(0),
        ..Location::UNKNOWN
    })?;
    Ok(location.expect("no call leads to it"))
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.id == piece.id && last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}
