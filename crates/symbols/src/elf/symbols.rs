//! What the symbol tables name, and which of several names wins.

use std::cmp::Reverse;
use std::ops::Range;

use object::read::{Object, ObjectSection, ObjectSymbol};
use object::{SectionIndex, SymbolKind};

use crate::Error;
use crate::elf::{Elf, is_code, plt};
use crate::layers::{self, Piece};
use crate::tables::Tables;

/// A symbol and the addresses that it names.
struct Span {
    start: u64,
    end: u64,
    /// The table states its size; if not, it reaches to the next symbol.
    sized: bool,
    global: bool,
    name: String,
}

/// A section that holds code.
struct CodeSection {
    index: SectionIndex,
    /// What to add to the addresses of its symbols.
    moved: u64,
    /// Its last address + 1.
    end: u64,
}

impl Elf<'_> {
    /// Names what the symbol tables name; ids are functions. A smaller symbol wins over one that
    /// holds it, and one that states its size over one that does not.
    pub(crate) fn symbols(&self, tables: &mut Tables) -> Result<Vec<Piece>, Error> {
        let code = self.code_sections();
        let mut spans = Vec::new();
        read(&self.file, &code, &mut spans);
        if let Some(mini) = self.mini_debuginfo()
            && let Some(mini) = self.companion(&mini)
        {
            // Its sections are numbered as it likes, but lie where ours do.
            read(&mini.file, &mini.code_sections(), &mut spans);
        }
        spans.sort_by_key(|span| span.start);
        end_at_next(&mut spans);
        // Listed last wins. The name decides between aliases, so that the order of the table
        // does not; names with leading underscores are the internal ones.
        spans.sort_by(|a, b| {
            let size = |span: &Span| span.end.saturating_sub(span.start);
            let rank = |span: &Span| (span.sized, Reverse(size(span)));
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.global.cmp(&b.global))
                .then_with(|| underscores(&b.name).cmp(&underscores(&a.name)))
                .then_with(|| b.name.cmp(&a.name))
        });
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut functions: Vec<u32> = Vec::new();
        for entry in plt::entries(&self.file) {
            ranges.push(entry.range);
            functions.push(tables.plt_function(&entry.name)?);
        }
        for span in &spans {
            ranges.push(span.start..span.end);
            functions.push(tables.function(&span.name, 0)?);
        }
        let mut pieces = layers::flatten(&ranges);
        for piece in &mut pieces {
            piece.id = functions[piece.id as usize];
        }
        Ok(pieces)
    }

    fn code_sections(&self) -> Vec<CodeSection> {
        let sections = self.file.sections();
        let code = sections.filter(|section| is_code(section.flags()));
        code.map(|section| {
            let start = self.start(&section);
            CodeSection {
                index: section.index(),
                // Symbols count from the section's start where nothing is linked.
                moved: start.wrapping_sub(section.address()),
                end: start.saturating_add(section.size()),
            }
        })
        .collect()
    }
}

/// Symbols without a size reach to the next symbol.
fn end_at_next(spans: &mut [Span]) {
    let starts: Vec<u64> = spans.iter().map(|span| span.start).collect();
    for span in spans.iter_mut().filter(|span| !span.sized) {
        let next = starts.partition_point(|&start| start <= span.start);
        let next = starts.get(next).copied().unwrap_or(u64::MAX);
        span.end = span.end.min(next);
    }
}

fn read(file: &object::File<'_>, code: &[CodeSection], spans: &mut Vec<Span>) {
    let symbols = file.symbols().chain(file.dynamic_symbols());
    spans.extend(symbols.filter_map(|symbol| span_of(&symbol, code)));
}

fn span_of(symbol: &object::Symbol<'_, '_>, code: &[CodeSection]) -> Option<Span> {
    let section = symbol.section_index()?;
    let at = code
        .binary_search_by_key(&section.0, |section| section.index.0)
        .ok()?;
    let (moved, section_end) = (code[at].moved, code[at].end);
    let name = String::from_utf8_lossy(symbol.name_bytes().ok()?);
    // ARM marks the kind of content with `$a`, `$x`; assemblers leave `.L` labels behind.
    let marks = name.is_empty() || name.starts_with('$') || name.starts_with(".L");
    let kind = matches!(
        symbol.kind(),
        SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label
    );
    if marks || !kind {
        return None;
    }
    let start = symbol.address().wrapping_add(moved);
    let sized = symbol.size() > 0;
    let end = match sized {
        true => start.saturating_add(symbol.size()).min(section_end),
        false => section_end,
    };
    (start < end).then(|| Span {
        start,
        end,
        sized,
        global: symbol.is_global() && !symbol.is_weak(),
        name: name.into_owned(),
    })
}

fn underscores(name: &str) -> usize {
    name.bytes().take_while(|&b| b == b'_').count()
}
