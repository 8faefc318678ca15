//! Filters: which stacks stay, and which frames of them.
//!
//! Of the conditions of one filter, the positive ones must all hold for one frame, the negative
//! ones for every frame. (Parca looks at nothing else once a filter names a function; its page sets
//! one condition per filter, of which both make the same.) Texts compare without regard to ASCII
//! case.

use cairn_engine::shown_binary;
use cairn_model::{Line, NONE};
use cairn_trie::{Interner, LocationMap, Partial, Symbols, Trie, TrieBuilder, Value};
use cairn_wire::parca::query::v1alpha1::{
    self as wire, FilterCriteria, NumberCondition, StringCondition, filter, frame_filter,
    number_condition, stack_filter, string_condition,
};
use hashbrown::HashMap;

use crate::error::Error;

/// All filters of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filters {
    stacks: Vec<Criteria>,
    frames: Vec<Criteria>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Criteria {
    positive: Vec<Condition>,
    negative: Vec<Condition>,
}

/// A condition in its positive form.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Text(Field, How, String),
    AnyBinary(Vec<String>),
    Address(u64),
    Line(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Function,
    SystemName,
    Binary,
    File,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Equal,
    Contains,
    StartsWith,
}

// === impl Filters ===

impl Filters {
    pub(super) fn read(filters: Vec<wire::Filter>) -> Result<Self, Error> {
        let mut out = Self::default();
        for filter in filters {
            match filter.filter {
                Some(filter::Filter::StackFilter(stack)) => match stack.filter {
                    Some(stack_filter::Filter::Criteria(criteria)) => {
                        out.stacks.push(Criteria::read(criteria));
                    }
                    Some(stack_filter::Filter::FunctionNameStackFilter(by_name)) => {
                        out.stacks.push(Criteria::of_function(by_name));
                    }
                    None => return Err(empty("stack_filter")),
                },
                Some(filter::Filter::FrameFilter(frame)) => match frame.filter {
                    Some(frame_filter::Filter::Criteria(criteria)) => {
                        out.frames.push(Criteria::read(criteria));
                    }
                    Some(frame_filter::Filter::BinaryFrameFilter(binaries)) => {
                        out.frames.push(Criteria::of_binaries(binaries));
                    }
                    None => return Err(empty("frame_filter")),
                },
                None => return Err(empty("filter")),
            }
        }
        out.stacks.retain(|criteria| !criteria.is_empty());
        out.frames.retain(|criteria| !criteria.is_empty());
        Ok(out)
    }

    /// What stays.
    pub(super) fn apply(&self, partial: Partial) -> Partial {
        let partial = match self.stacks.as_slice() {
            [] => partial,
            _ => self.keep_stacks(partial),
        };
        match self.frames.as_slice() {
            [] => partial,
            _ => self.keep_frames(&partial),
        }
    }

    fn keep_stacks(&self, mut partial: Partial) -> Partial {
        let mut keep = vec![true; partial.trie.len()];
        for criteria in &self.stacks {
            let passes = criteria.stacks(&partial);
            keep.iter_mut()
                .zip(passes)
                .for_each(|(keep, passes)| *keep &= passes);
        }
        partial.values.retain(|value| keep[value.node as usize]);
        partial
    }

    /// The frames that do not match are gone; the values of their stacks stay.
    fn keep_frames(&self, partial: &Partial) -> Partial {
        let symbols = &partial.symbols;
        let mut interner = Interner::default();
        let mut map = LocationMap::default();
        let mut locations = Vec::with_capacity(symbols.locations.len());
        for id in 0..symbols.locations.len() as u32 {
            locations.push(self.kept_location(symbols, id, &mut interner, &mut map));
        }
        let mut builder = TrieBuilder::default();
        let mut nodes = vec![Trie::ROOT; partial.trie.len()];
        for node in 1..partial.trie.len() as u32 {
            let parent = nodes[partial.trie.parent(node) as usize];
            nodes[node as usize] = match locations[partial.trie.frame(node) as usize] {
                Some(location) => builder.child(parent, location),
                None => parent,
            };
        }
        let mut sums: HashMap<(u32, u32), i64, foldhash::fast::RandomState> = HashMap::default();
        for Value { node, group, value } in &partial.values {
            let sum = sums.entry((nodes[*node as usize], *group)).or_default();
            *sum = sum.wrapping_add(*value);
        }
        let values = sums.into_iter().filter(|(_, value)| *value != 0);
        let values = values.map(|((node, group), value)| Value { node, group, value });
        Partial {
            symbols: interner.into_symbols(),
            trie: builder.into_trie(),
            groups: partial.groups.clone(),
            values: values.collect(),
        }
    }

    fn kept_location(
        &self,
        symbols: &Symbols,
        id: u32,
        interner: &mut Interner,
        map: &mut LocationMap,
    ) -> Option<u32> {
        let passes = |frame: &Frame<'_>| self.frames.iter().all(|c| c.frame(frame));
        let mut lines: Vec<Line> = Vec::new();
        let mut kept = false;
        for frame in Frame::of(symbols, id).filter(passes) {
            kept = true;
            if let Some(line) = frame.line {
                let function = map.function_of(interner, symbols, line.function);
                lines.push(Line { function, ..line });
            }
        }
        let location = symbols.locations[id as usize];
        kept.then(|| {
            let mapping = match location.mapping {
                NONE => NONE,
                mapping => map.mapping_of(interner, symbols, mapping),
            };
            interner.location(mapping, location.address, &lines)
        })
    }
}

fn empty(what: &str) -> Error {
    Error::Invalid(format!("an empty {what} says nothing"))
}

// === impl Criteria ===

impl Criteria {
    fn read(criteria: FilterCriteria) -> Self {
        let FilterCriteria {
            function_name,
            system_name,
            binary,
            filename,
            address,
            line_number,
        } = criteria;
        let mut out = Self::default();
        out.text(Field::Function, function_name);
        out.text(Field::SystemName, system_name);
        out.text(Field::Binary, binary);
        out.text(Field::File, filename);
        out.number(Condition::Address, address);
        out.number(Condition::Line, line_number);
        out
    }

    fn of_function(filter: wire::FunctionNameStackFilter) -> Self {
        let wire::FunctionNameStackFilter {
            function_to_filter,
            exclude,
        } = filter;
        let text = function_to_filter.to_ascii_lowercase();
        let condition = vec![Condition::Text(Field::Function, How::Contains, text)];
        if exclude {
            Self {
                negative: condition,
                ..Self::default()
            }
        } else {
            Self {
                positive: condition,
                ..Self::default()
            }
        }
    }

    /// Frames of no binary go, too.
    fn of_binaries(filter: wire::BinaryFrameFilter) -> Self {
        let wire::BinaryFrameFilter { include_binaries } = filter;
        let mut names = include_binaries;
        names
            .iter_mut()
            .for_each(|name| name.make_ascii_lowercase());
        Self {
            positive: vec![Condition::AnyBinary(names)],
            ..Self::default()
        }
    }

    fn text(&mut self, field: Field, condition: Option<StringCondition>) {
        use string_condition::Condition as Wire;
        let Some(condition) = condition.and_then(|condition| condition.condition) else {
            return;
        };
        let (list, how, text) = match condition {
            Wire::Equal(text) => (&mut self.positive, How::Equal, text),
            Wire::NotEqual(text) => (&mut self.negative, How::Equal, text),
            Wire::Contains(text) => (&mut self.positive, How::Contains, text),
            Wire::NotContains(text) => (&mut self.negative, How::Contains, text),
            Wire::StartsWith(text) => (&mut self.positive, How::StartsWith, text),
            Wire::NotStartsWith(text) => (&mut self.negative, How::StartsWith, text),
        };
        list.push(Condition::Text(field, how, text.to_ascii_lowercase()));
    }

    fn number(&mut self, of: fn(u64) -> Condition, condition: Option<NumberCondition>) {
        use number_condition::Condition as Wire;
        match condition.and_then(|condition| condition.condition) {
            Some(Wire::Equal(number)) => self.positive.push(of(number)),
            Some(Wire::NotEqual(number)) => self.negative.push(of(number)),
            None => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.positive.is_empty() && self.negative.is_empty()
    }

    fn wanted(&self, frame: &Frame<'_>) -> bool {
        self.positive.iter().all(|condition| condition.holds(frame))
    }

    fn unwanted(&self, frame: &Frame<'_>) -> bool {
        self.negative.iter().any(|condition| condition.holds(frame))
    }

    fn frame(&self, frame: &Frame<'_>) -> bool {
        self.wanted(frame) && !self.unwanted(frame)
    }

    /// Whether the stack that ends at each node passes.
    fn stacks(&self, partial: &Partial) -> Vec<bool> {
        let symbols = &partial.symbols;
        let count = symbols.locations.len() as u32;
        let any = |test: &dyn Fn(&Frame<'_>) -> bool| -> Vec<bool> {
            (0..count)
                .map(|id| Frame::of(symbols, id).any(|frame| test(&frame)))
                .collect()
        };
        let (wanted, unwanted) = (any(&|f| self.wanted(f)), any(&|f| self.unwanted(f)));
        let mut seen = vec![(self.positive.is_empty(), false); partial.trie.len()];
        for node in 1..partial.trie.len() {
            let above = seen[partial.trie.parents()[node] as usize];
            let frame = partial.trie.frames()[node] as usize;
            seen[node] = (above.0 || wanted[frame], above.1 || unwanted[frame]);
        }
        seen.into_iter()
            .map(|(wanted, unwanted)| wanted && !unwanted)
            .collect()
    }
}

// === impl Condition ===

impl Condition {
    /// What is not known is not equal to anything.
    fn holds(&self, frame: &Frame<'_>) -> bool {
        match self {
            Self::Text(field, how, wanted) => frame.text(*field).is_some_and(|text| {
                let text = text.to_ascii_lowercase();
                match how {
                    How::Equal => text == *wanted,
                    How::Contains => text.contains(wanted),
                    How::StartsWith => text.starts_with(wanted),
                }
            }),
            Self::AnyBinary(names) => frame.text(Field::Binary).is_some_and(|binary| {
                let binary = binary.to_ascii_lowercase();
                names.contains(&binary)
            }),
            Self::Address(address) => frame.address == *address,
            Self::Line(wanted) => frame
                .line
                .is_some_and(|line| u64::try_from(line.line) == Ok(*wanted)),
        }
    }
}

/// One call at a location, or the location itself if it has no name.
struct Frame<'a> {
    symbols: &'a Symbols,
    mapping: u32,
    address: u64,
    line: Option<Line>,
}

impl<'a> Frame<'a> {
    fn of(symbols: &'a Symbols, location: u32) -> impl Iterator<Item = Frame<'a>> {
        let at = symbols.locations[location as usize];
        let lines = symbols.lines(location);
        let unnamed = lines.is_empty().then_some(None);
        let lines = lines.iter().map(|line| Some(*line)).chain(unnamed);
        lines.map(move |line| Frame {
            symbols,
            mapping: at.mapping,
            address: at.address,
            line,
        })
    }

    fn text(&self, field: Field) -> Option<&'a str> {
        let symbols = self.symbols;
        let function = || Some(symbols.functions[self.line?.function as usize]);
        match field {
            // As graphs show it.
            Field::Function => {
                let function = function()?;
                Some(match symbols.str(function.name) {
                    "" => symbols.str(function.system_name),
                    name => name,
                })
            }
            Field::SystemName => Some(symbols.str(function()?.system_name)),
            Field::File => Some(symbols.str(function()?.file)),
            Field::Binary if self.mapping == NONE => None,
            Field::Binary => {
                let file = symbols.str(symbols.mappings[self.mapping as usize].file);
                let file = shown_binary(file);
                Some(file.rsplit('/').next().unwrap_or(file))
            }
        }
    }
}

#[cfg(test)]
mod tests;
