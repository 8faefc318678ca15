//! Partials and groups as columns, and back.

use cairn_model::{Addressing, Function, Line, Location, Mapping, NONE, Strings};
use cairn_trie::{Group, GroupValue, Partial, Symbols, Trie, Value};
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

use super::DecodeError;
use super::raw::{I64, Raw, Text, U32};

pub(super) fn put(raw: &mut Raw, partial: &Partial) {
    let Partial {
        symbols,
        trie,
        groups,
        values,
    } = partial;
    raw.u32(U32::NodeParent).extend_from_slice(trie.parents());
    raw.u32(U32::NodeFrame).extend_from_slice(trie.frames());
    let mut values = values.clone();
    if !values.is_sorted_by_key(order) {
        values.sort_unstable_by_key(order);
    }
    for value in values {
        raw.u32(U32::ValueNode).push(value.node);
        raw.u32(U32::ValueGroup).push(value.group);
        raw.i64(I64::Value).push(value.value);
    }
    put_symbols(raw, symbols);
    put_groups(raw, groups.iter());
}

fn order(value: &Value) -> (u32, u32) {
    (value.group, value.node)
}

fn put_symbols(raw: &mut Raw, symbols: &Symbols) {
    let strings = symbols.strings.iter().map(str::to_owned);
    raw.text(Text::Symbol).extend(strings);
    for function in &symbols.functions {
        let Function {
            name,
            system_name,
            file,
            start_line,
        } = *function;
        raw.u32(U32::FunctionName).push(name);
        raw.u32(U32::FunctionSystemName).push(system_name);
        raw.u32(U32::FunctionFile).push(file);
        raw.i64(I64::FunctionStartLine).push(start_line);
    }
    for mapping in &symbols.mappings {
        let Mapping {
            file,
            build_id,
            addressing,
        } = *mapping;
        raw.u32(U32::MappingFile).push(file);
        raw.u32(U32::MappingBuildId).push(build_id);
        raw.u32(U32::MappingAddressing).push(match addressing {
            Addressing::FileOffset => 0,
            Addressing::Virtual => 1,
        });
    }
    for (id, location) in symbols.locations.iter().enumerate() {
        let lines = symbols.lines(id as u32);
        raw.u32(U32::LocationMapping).push(location.mapping);
        raw.u32(U32::LocationLines).push(lines.len() as u32);
        raw.addresses.push(location.address);
        for line in lines {
            raw.u32(U32::LineFunction).push(line.function);
            raw.i64(I64::LineLine).push(line.line);
            raw.i64(I64::LineColumn).push(line.column);
        }
    }
}

/// Groups, and their texts as positions in the column of label strings.
pub(super) fn put_groups<'a>(raw: &mut Raw, groups: impl Iterator<Item = &'a Group>) {
    let mut known: HashMap<Arc<str>, u32> = HashMap::new();
    for group in groups {
        raw.u32(U32::GroupPairs).push(group.0.len() as u32);
        for (key, value) in &group.0 {
            let (text, number) = match value {
                GroupValue::Str(text) => (text, None),
                GroupValue::Num { value, unit } => (unit, Some(*value)),
            };
            for (column, text) in [(U32::PairKey, key), (U32::PairText, text)] {
                let texts = raw.text(Text::Label);
                let id = *known.entry(text.clone()).or_insert_with(|| {
                    texts.push(text.as_ref().to_owned());
                    texts.len() as u32 - 1
                });
                raw.u32(column).push(id);
            }
            raw.u32(U32::PairIsNumber).push(u32::from(number.is_some()));
            raw.i64(I64::PairNumber).push(number.unwrap_or(0));
        }
    }
}

pub(super) fn get(raw: &mut Raw) -> Result<Partial, DecodeError> {
    let symbols = symbols(raw)?;
    let parents = std::mem::take(raw.u32(U32::NodeParent));
    let frames = std::mem::take(raw.u32(U32::NodeFrame));
    let mut below_root = frames.iter().skip(1);
    check(
        below_root.all(|frame| (*frame as usize) < symbols.locations.len()),
        "a node without a location",
    )?;
    let trie = Trie::from_parts(parents, frames)
        .ok_or(DecodeError::Invalid("nodes that are not a trie"))?;
    let groups = groups(raw)?;
    check(
        groups.first().is_some_and(|group| group.0.is_empty()),
        "the first group is not the empty one",
    )?;
    let distinct = groups.iter().collect::<HashSet<&Group>>().len();
    check(distinct == groups.len(), "a group twice")?;
    let values = values(raw, trie.len(), groups.len())?;
    Ok(Partial {
        symbols,
        trie,
        groups,
        values,
    })
}

fn values(raw: &mut Raw, nodes: usize, groups: usize) -> Result<Vec<Value>, DecodeError> {
    let of_node = std::mem::take(raw.u32(U32::ValueNode));
    let of_group = std::mem::take(raw.u32(U32::ValueGroup));
    let values = std::mem::take(raw.i64(I64::Value));
    same_length(values.len(), &[of_node.len(), of_group.len()])?;
    let parts = of_node.into_iter().zip(of_group).zip(values);
    let values: Vec<Value> = parts
        .map(|((node, group), value)| Value { node, group, value })
        .collect();
    let known = |v: &Value| (v.node as usize) < nodes && (v.group as usize) < groups;
    check(
        values.iter().all(|v| known(v) && v.value != 0),
        "a value of nothing",
    )?;
    let ascending = values
        .windows(2)
        .all(|pair| order(&pair[0]) < order(&pair[1]));
    check(ascending, "values out of order")?;
    Ok(values)
}

fn symbols(raw: &mut Raw) -> Result<Symbols, DecodeError> {
    let texts = std::mem::take(raw.text(Text::Symbol));
    check(
        texts.first().is_some_and(String::is_empty),
        "the first string is not empty",
    )?;
    let mut strings = Strings::with_capacity(texts.len(), texts.iter().map(String::len).sum());
    for text in &texts[1..] {
        strings.push(text);
    }
    let functions = functions(raw)?;
    let mappings = mappings(raw)?;
    let known = |id: u32| (id as usize) < texts.len();
    let named = |f: &Function| known(f.name) && known(f.system_name) && known(f.file);
    let named_mapping = |m: &Mapping| known(m.file) && known(m.build_id);
    check(
        functions.iter().all(named) && mappings.iter().all(named_mapping),
        "a string that is not there",
    )?;
    let lines = lines(raw)?;
    let has_function = |line: &Line| (line.function as usize) < functions.len();
    check(lines.iter().all(has_function), "a line without a function")?;
    let locations = locations(raw, lines.len())?;
    let has_mapping = |l: &Location| l.mapping == NONE || (l.mapping as usize) < mappings.len();
    check(
        locations.iter().all(has_mapping),
        "a location without its mapping",
    )?;
    Ok(Symbols {
        strings,
        functions,
        mappings,
        locations,
        lines,
    })
}

fn functions(raw: &mut Raw) -> Result<Vec<Function>, DecodeError> {
    let name = std::mem::take(raw.u32(U32::FunctionName));
    let system_name = std::mem::take(raw.u32(U32::FunctionSystemName));
    let file = std::mem::take(raw.u32(U32::FunctionFile));
    let start_line = std::mem::take(raw.i64(I64::FunctionStartLine));
    same_length(
        name.len(),
        &[system_name.len(), file.len(), start_line.len()],
    )?;
    let function = |at: usize| Function {
        name: name[at],
        system_name: system_name[at],
        file: file[at],
        start_line: start_line[at],
    };
    Ok((0..name.len()).map(function).collect())
}

fn mappings(raw: &mut Raw) -> Result<Vec<Mapping>, DecodeError> {
    let file = std::mem::take(raw.u32(U32::MappingFile));
    let build_id = std::mem::take(raw.u32(U32::MappingBuildId));
    let addressing = std::mem::take(raw.u32(U32::MappingAddressing));
    same_length(file.len(), &[build_id.len(), addressing.len()])?;
    let mapping = |at: usize| {
        let addressing = match addressing[at] {
            0 => Addressing::FileOffset,
            1 => Addressing::Virtual,
            _ => return Err(DecodeError::Invalid("an unknown kind of address")),
        };
        Ok(Mapping {
            file: file[at],
            build_id: build_id[at],
            addressing,
        })
    };
    (0..file.len()).map(mapping).collect()
}

fn lines(raw: &mut Raw) -> Result<Vec<Line>, DecodeError> {
    let function = std::mem::take(raw.u32(U32::LineFunction));
    let line = std::mem::take(raw.i64(I64::LineLine));
    let column = std::mem::take(raw.i64(I64::LineColumn));
    same_length(function.len(), &[line.len(), column.len()])?;
    let of = |at: usize| Line {
        function: function[at],
        line: line[at],
        column: column[at],
    };
    Ok((0..function.len()).map(of).collect())
}

fn locations(raw: &mut Raw, lines: usize) -> Result<Vec<Location>, DecodeError> {
    let mapping = std::mem::take(raw.u32(U32::LocationMapping));
    let counts = std::mem::take(raw.u32(U32::LocationLines));
    let addresses = std::mem::take(&mut raw.addresses);
    same_length(mapping.len(), &[counts.len(), addresses.len()])?;
    let mut out = Vec::with_capacity(mapping.len());
    let mut end = 0u32;
    for ((mapping, count), address) in mapping.into_iter().zip(counts).zip(addresses) {
        let start = end;
        end = start
            .checked_add(count)
            .filter(|end| *end as usize <= lines)
            .ok_or(DecodeError::Invalid("a location without its lines"))?;
        out.push(Location {
            mapping,
            address,
            lines: (start, end),
        });
    }
    check(end as usize == lines, "lines without a location")?;
    Ok(out)
}

pub(super) fn groups(raw: &mut Raw) -> Result<Vec<Group>, DecodeError> {
    let counts = std::mem::take(raw.u32(U32::GroupPairs));
    let keys = std::mem::take(raw.u32(U32::PairKey));
    let texts = std::mem::take(raw.u32(U32::PairText));
    let are_numbers = std::mem::take(raw.u32(U32::PairIsNumber));
    let numbers = std::mem::take(raw.i64(I64::PairNumber));
    same_length(keys.len(), &[texts.len(), are_numbers.len(), numbers.len()])?;
    let strings: Vec<Arc<str>> = raw.text(Text::Label).drain(..).map(Arc::from).collect();
    let text = |id: u32| {
        let text = strings.get(id as usize).cloned();
        text.ok_or(DecodeError::Invalid("a label without its text"))
    };
    let mut pairs = (0..keys.len()).map(|at| {
        let value = match are_numbers[at] {
            0 => GroupValue::Str(text(texts[at])?),
            _ => GroupValue::Num {
                value: numbers[at],
                unit: text(texts[at])?,
            },
        };
        Ok((text(keys[at])?, value))
    });
    let mut out = Vec::with_capacity(counts.len());
    for count in counts {
        check(count as usize <= pairs.len(), "a group without its labels")?;
        let group: Vec<_> = pairs
            .by_ref()
            .take(count as usize)
            .collect::<Result<_, _>>()?;
        check(group.is_sorted(), "labels out of order")?;
        out.push(Group(group));
    }
    check(pairs.len() == 0, "labels without a group")?;
    Ok(out)
}

pub(super) fn check(holds: bool, what: &'static str) -> Result<(), DecodeError> {
    if holds {
        Ok(())
    } else {
        Err(DecodeError::Invalid(what))
    }
}

pub(super) fn same_length(len: usize, others: &[usize]) -> Result<(), DecodeError> {
    check(
        others.iter().all(|other| *other == len),
        "columns of one table that differ in length",
    )
}
