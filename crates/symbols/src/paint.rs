//! Which calls are active at which address: intervals painted over each other, widest first.
//!
//! Painting an inlined call over its caller makes the caller's location the parent of the new
//! one, which is how inline chains come out in their true order. Knows nothing of ELF or DWARF.

use std::collections::{BTreeMap, HashMap};

use symbolic_common::Language;

use crate::convert::Limits;
use crate::error::Error;
use crate::format::{Function, Location, NONE, Tables};
use crate::names;

/// A symbol and the addresses that it names.
pub(crate) struct SymbolSpan<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) name: &'a str,
    /// The table states its size; if not, it reaches to the next symbol.
    pub(crate) sized: bool,
    pub(crate) global: bool,
}

/// A line of a function, without the call that led to the function.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) function: u32,
    pub(crate) file: u32,
    pub(crate) line: u32,
}

pub(crate) struct Painter {
    limits: Limits,
    keep_suffixes: bool,
    strings: HashMap<String, u32>,
    string_list: Vec<String>,
    string_bytes: usize,
    readable: HashMap<u32, u32>,
    functions: HashMap<(u32, u32), u32>,
    function_list: Vec<Function>,
    locations: HashMap<Location, u32>,
    /// (location, how many calls lead to it).
    location_list: Vec<(Location, u32)>,
    /// Each key begins an interval that lasts to the next key.
    canvas: BTreeMap<u64, u32>,
}

impl Painter {
    pub(crate) fn new(limits: &Limits, keep_suffixes: bool) -> Self {
        Self {
            limits: *limits,
            keep_suffixes,
            strings: HashMap::new(),
            string_list: Vec::new(),
            string_bytes: 0,
            readable: HashMap::new(),
            functions: HashMap::new(),
            function_list: Vec::new(),
            locations: HashMap::new(),
            location_list: Vec::new(),
            canvas: BTreeMap::from([(0, NONE)]),
        }
    }

    pub(crate) fn string(&mut self, text: &str) -> Result<u32, Error> {
        if let Some(&id) = self.strings.get(text) {
            return Ok(id);
        }
        self.string_bytes += text.len();
        if self.string_bytes > self.limits.string_bytes_max {
            return Err(Error::TooMany {
                what: "bytes of names",
                max: self.limits.string_bytes_max as u64,
            });
        }
        let id = self.string_list.len() as u32;
        self.string_list.push(text.to_owned());
        self.strings.insert(text.to_owned(), id);
        Ok(id)
    }

    /// The function of this linkage name whose code begins in `file`.
    pub(crate) fn function(
        &mut self,
        raw_name: &str,
        language: Language,
        file: u32,
    ) -> Result<u32, Error> {
        let bare = match self.keep_suffixes {
            true => raw_name,
            false => names::bare(raw_name),
        };
        let bare = names::cut(bare);
        let system_name = self.string(bare)?;
        if let Some(&id) = self.functions.get(&(system_name, file)) {
            return Ok(id);
        }
        let name = match self.readable.get(&system_name) {
            Some(&name) => name,
            None => {
                let name = self.string(&names::readable(bare, language))?;
                self.readable.insert(system_name, name);
                name
            }
        };
        let id = self.function_list.len() as u32;
        self.function_list.push(Function {
            name,
            system_name,
            start_line: 0,
        });
        self.functions.insert((system_name, file), id);
        Ok(id)
    }

    /// Says where a function begins, once: all its copies share the answer.
    pub(crate) fn start_line(&mut self, function: u32, line: u32) {
        let known = &mut self.function_list[function as usize].start_line;
        if *known == 0 {
            *known = line;
        }
    }

    pub(crate) fn symbol(&mut self, span: &SymbolSpan<'_>) -> Result<(), Error> {
        let function = self.function(span.name, Language::Unknown, NONE)?;
        let place = Place {
            function,
            file: NONE,
            line: 0,
        };
        self.paint(span.start..span.end, place, 0)
    }

    /// Puts a place over a range of addresses. `depth` counts the inlined calls that lead to it:
    /// what lies below at `depth - 1` becomes its caller.
    pub(crate) fn paint(
        &mut self,
        range: std::ops::Range<u64>,
        place: Place,
        depth: u32,
    ) -> Result<(), Error> {
        if range.start >= range.end {
            return Ok(());
        }
        for edge in [range.end, range.start] {
            let below = self.canvas.range(..=edge).next_back().map(|(_, &at)| at);
            self.canvas.entry(edge).or_insert(below.unwrap_or(NONE));
        }
        let starts: Vec<(u64, u32)> = self
            .canvas
            .range(range)
            .map(|(&start, &below)| (start, below))
            .collect();
        for (start, below) in starts {
            let location = self.location(place, below, depth)?;
            self.canvas.insert(start, location);
        }
        Ok(())
    }

    fn location(&mut self, place: Place, mut below: u32, depth: u32) -> Result<u32, Error> {
        while below != NONE && self.location_list[below as usize].1 >= depth {
            below = self.location_list[below as usize].0.parent;
        }
        let location = Location {
            function: place.function,
            file: place.file,
            line: place.line,
            parent: below,
        };
        if let Some(&id) = self.locations.get(&location) {
            return Ok(id);
        }
        if self.location_list.len() >= self.limits.locations_max {
            return Err(Error::TooMany {
                what: "locations",
                max: self.limits.locations_max as u64,
            });
        }
        let above_below = match below {
            NONE => 0,
            below => self.location_list[below as usize].1 + 1,
        };
        let id = self.location_list.len() as u32;
        self.location_list.push((location, above_below));
        self.locations.insert(location, id);
        Ok(id)
    }

    /// The finished tables, without what was painted over.
    pub(crate) fn finish(self) -> Result<Tables, Error> {
        let mut used = vec![false; self.location_list.len()];
        for &top in self.canvas.values() {
            let mut at = top;
            while at != NONE && !used[at as usize] {
                used[at as usize] = true;
                at = self.location_list[at as usize].0.parent;
            }
        }
        let mut tables = Tables {
            strings: self.string_list,
            functions: self.function_list,
            ..Tables::default()
        };
        // A parent was made before its child, so its new number is known in time.
        let mut renumbered = vec![NONE; used.len()];
        for (old, (location, _)) in self.location_list.into_iter().enumerate() {
            if !used[old] {
                continue;
            }
            let parent = match location.parent {
                NONE => NONE,
                parent => renumbered[parent as usize],
            };
            renumbered[old] = tables.locations.len() as u32;
            tables.locations.push(Location { parent, ..location });
        }
        let mut last = NONE;
        for (start, top) in self.canvas {
            let top = match top {
                NONE => NONE,
                top => renumbered[top as usize],
            };
            if top != last {
                if tables.ranges.is_empty() {
                    tables.base = start;
                }
                let delta = u32::try_from(start - tables.base).map_err(|_| Error::TooWide)?;
                tables.ranges.push((delta, top));
                last = top;
            }
        }
        Ok(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(painter: Painter) -> Vec<(u64, Vec<u32>)> {
        let tables = painter.finish().expect("narrow");
        let chain = |mut at: u32| {
            let mut lines = Vec::new();
            while at != NONE {
                lines.push(tables.locations[at as usize].line);
                at = tables.locations[at as usize].parent;
            }
            lines
        };
        tables
            .ranges
            .iter()
            .map(|&(delta, top)| (tables.base + u64::from(delta), chain(top)))
            .collect()
    }

    #[test]
    fn inlined_calls_keep_their_order_and_end_where_they_end() {
        let mut painter = Painter::new(&Limits::default(), false);
        let function = painter
            .function("f", Language::C, NONE)
            .expect("few strings");
        let mut paint = |range, line, depth| {
            let place = Place {
                function,
                file: NONE,
                line,
            };
            painter.paint(range, place, depth).expect("few locations");
        };
        paint(10..50, 1, 0);
        paint(20..30, 2, 0);
        // The function calls itself inlined, twice nested, over a line's edge.
        paint(15..40, 3, 1);
        paint(25..35, 4, 2);
        // A second inlined call side by side must not become a child of the first.
        paint(38..45, 5, 1);
        assert_eq!(
            chains(painter),
            [
                (10, vec![1]),
                (15, vec![3, 1]),
                (20, vec![3, 2]),
                (25, vec![4, 3, 2]),
                (30, vec![4, 3, 1]),
                (35, vec![3, 1]),
                (38, vec![5, 1]),
                (45, vec![1]),
                (50, vec![]),
            ]
        );
    }
}
