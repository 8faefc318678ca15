//! A part of the profiles that share tables, on its own. Owns how rows are chosen and renumbered.

use std::sync::Arc;

use crate::profile::{
    Attr, AttrValue, Function, Line, Location, Mapping, NONE, Profile, Stacks, Strings, Tables,
};

/// Gives profiles that share their tables with others new ones, which hold what these profiles need
/// and no more. They still share them with each other.
pub fn own_tables<'a>(profiles: impl IntoIterator<Item = &'a mut Profile>) {
    let mut group: Vec<&mut Profile> = Vec::new();
    for profile in profiles {
        let is_same = |last: &&mut Profile| Arc::ptr_eq(&last.tables, &profile.tables);
        if !group.last().is_none_or(is_same) {
            of_one(std::mem::take(&mut group));
        }
        group.push(profile);
    }
    of_one(group);
}

/// Profiles with the same tables.
fn of_one(mut profiles: Vec<&mut Profile>) {
    let Some(first) = profiles.first() else {
        return;
    };
    let from = Arc::clone(&first.tables);
    let mut kept = Kept::new(&from);
    for profile in &mut profiles {
        kept.renumber(profile);
    }
    let tables = Arc::new(kept.tables(&from));
    for profile in profiles {
        profile.tables = Arc::clone(&tables);
    }
}

/// Rows of a table that are needed.
struct Rows {
    /// The new number of each row, or [`NONE`].
    numbers: Vec<u32>,
    /// The rows in the order of their new numbers.
    kept: Vec<u32>,
}

impl Rows {
    fn new(rows: usize) -> Self {
        Self {
            numbers: vec![NONE; rows],
            kept: Vec::new(),
        }
    }

    /// The new number of a row.
    fn keep(&mut self, row: u32) -> u32 {
        let number = &mut self.numbers[row as usize];
        if *number == NONE {
            *number = self.kept.len() as u32;
            self.kept.push(row);
        }
        *number
    }

    fn keep_any(&mut self, row: u32) -> u32 {
        match row {
            NONE => NONE,
            row => self.keep(row),
        }
    }
}

struct Kept {
    strings: Rows,
    functions: Rows,
    mappings: Rows,
    locations: Rows,
    stacks: Rows,
    links: Rows,
}

impl Kept {
    fn new(from: &Tables) -> Self {
        let mut strings = Rows::new(from.strings.len());
        // The empty one is always the first.
        strings.keep(0);
        Self {
            strings,
            functions: Rows::new(from.functions.len()),
            mappings: Rows::new(from.mappings.len()),
            locations: Rows::new(from.locations.len()),
            stacks: Rows::new(from.stacks.len()),
            links: Rows::new(from.links.len()),
        }
    }

    /// Keeps what a profile refers to, by its new numbers.
    fn renumber(&mut self, profile: &mut Profile) {
        for of in profile.types.iter_mut().chain([&mut profile.period_type]) {
            of.kind = self.strings.keep(of.kind);
            of.unit = self.strings.keep(of.unit);
        }
        let samples = &mut profile.samples;
        for stack in &mut samples.stacks {
            *stack = self.stacks.keep(*stack);
        }
        for link in &mut samples.links {
            *link = self.links.keep_any(*link);
        }
        for Attr { key, value } in &mut samples.attrs {
            *key = self.strings.keep(*key);
            let (AttrValue::Str(text) | AttrValue::Num { unit: text, .. }) = value;
            *text = self.strings.keep(*text);
        }
    }

    fn tables(mut self, from: &Tables) -> Tables {
        let mut stacks = Stacks::default();
        for stack in &self.stacks.kept {
            let locations = from.stacks.get(*stack).iter();
            let locations = locations.map(|location| self.locations.keep(*location));
            stacks.locations.extend(locations);
            stacks.end();
        }
        let mut lines = Vec::new();
        let mut location = |row: &u32| {
            let location = from.locations[*row as usize];
            let start = lines.len() as u32;
            lines.extend(from.lines(*row).iter().map(|line| Line {
                function: self.functions.keep(line.function),
                ..*line
            }));
            Location {
                mapping: self.mappings.keep_any(location.mapping),
                lines: (start, lines.len() as u32),
                ..location
            }
        };
        let locations = self.locations.kept.iter().map(&mut location).collect();
        let mut string = |id: u32| self.strings.keep(id);
        let mut function = |row: &u32| {
            let function = from.functions[*row as usize];
            Function {
                name: string(function.name),
                system_name: string(function.system_name),
                file: string(function.file),
                ..function
            }
        };
        let functions = self.functions.kept.iter().map(&mut function).collect();
        let mut mapping = |row: &u32| {
            let mapping = from.mappings[*row as usize];
            Mapping {
                file: string(mapping.file),
                build_id: string(mapping.build_id),
                ..mapping
            }
        };
        let mappings = self.mappings.kept.iter().map(&mut mapping).collect();
        let texts = self.strings.kept.iter().skip(1);
        let mut strings = Strings::default();
        texts.for_each(|id| {
            strings.push(from.str(*id));
        });
        let links = self.links.kept.iter();
        Tables {
            strings,
            functions,
            mappings,
            locations,
            lines,
            stacks,
            links: links.map(|link| from.links[*link as usize]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::{Addressing, Link};
    use crate::{About, ProfileBuilder};

    use super::*;

    /// Two profiles with the same tables: samples 0 and 2, and sample 1.
    fn two() -> [Profile; 2] {
        let mut builder = ProfileBuilder::default();
        builder.value_type("samples", "count");
        builder.set_period("cpu", "nanoseconds", 10);
        let file = builder.str("app");
        let mapping = builder.mapping(Mapping {
            file,
            build_id: 0,
            addressing: Addressing::Virtual,
        });
        let (main, work) = (builder.frame("main"), builder.frame("work"));
        let unnamed = builder.location(mapping, 7, &[]);
        let (key, value) = (builder.str("thread"), AttrValue::Str(builder.str("gc")));
        let link = |id| {
            Some(Link {
                trace_id: [id; 16],
                span_id: [0; 8],
            })
        };
        fn about(attrs: &[Attr], link: Option<Link>) -> About<'_> {
            About {
                attrs,
                link,
                points: &[],
            }
        }
        builder.sample(&[work, main], &[1], about(&[], link(1)));
        let attrs = [Attr { key, value }];
        builder.sample(&[unnamed], &[2], about(&attrs, link(2)));
        builder.sample(&[main], &[4], about(&[], None));
        let all = builder.finish();
        let mut parts = [all.clone(), all];
        let [a, b] = &mut parts;
        a.samples.stacks.remove(1);
        a.samples.values.remove(1);
        a.samples.links.remove(1);
        (a.samples.attrs, a.samples.attr_ends) = (vec![], vec![]);
        let samples = &mut b.samples;
        for list in [&mut samples.stacks, &mut samples.links] {
            *list = vec![list[1]];
        }
        (samples.values, samples.attr_ends) = (vec![2], vec![1]);
        parts
    }

    #[test]
    fn each_part_has_what_it_needs() {
        let [mut a, mut b] = two();
        own_tables([&mut a]);
        own_tables([&mut b]);
        let texts = |profile: &Profile| -> Vec<String> {
            let mut texts: Vec<_> = profile.tables.strings.iter().map(str::to_owned).collect();
            texts.sort();
            texts
        };
        let common = ["", "count", "cpu", "nanoseconds", "samples"];
        let mut expected = [&common[..], &["main", "work"]].concat();
        expected.sort_unstable();
        assert_eq!(texts(&a), expected);
        let mut expected = [&common[..], &["app", "gc", "thread"]].concat();
        expected.sort_unstable();
        assert_eq!(texts(&b), expected);
        let sizes = |of: &Tables| {
            let (functions, mappings) = (of.functions.len(), of.mappings.len());
            (functions, mappings, of.locations.len(), of.stacks.len())
        };
        assert_eq!(sizes(&a.tables), (2, 0, 2, 2));
        assert_eq!(sizes(&b.tables), (0, 1, 1, 1));
        let name = |profile: &Profile, location| {
            let line = profile.lines(location)[0];
            let function = profile.tables.functions[line.function as usize];
            profile.str(function.name).to_owned()
        };
        let names = a.stack(0).iter().map(|at| name(&a, *at));
        assert_eq!(names.collect::<Vec<_>>(), ["work", "main"]);
        assert_eq!(name(&a, a.stack(1)[0]), "main");
        assert_eq!(a.tables.links[0].trace_id, [1; 16]);
        assert_eq!(
            (a.samples.link(1), a.str(a.period_type.kind)),
            (None, "cpu")
        );
        let location = b.tables.locations[b.stack(0)[0] as usize];
        assert_eq!(location.address, 7);
        let mapping = b.tables.mappings[location.mapping as usize];
        assert_eq!((b.str(mapping.file), b.str(mapping.build_id)), ("app", ""));
        assert_eq!(
            b.tables.links[b.samples.links[0] as usize].trace_id,
            [2; 16]
        );
        let Attr { key, value } = b.samples.attrs(0)[0];
        let AttrValue::Str(value) = value else {
            panic!("it is a text");
        };
        assert_eq!((b.str(key), b.str(value)), ("thread", "gc"));
    }

    #[test]
    fn parts_of_a_part_stay_together() {
        let [mut a, mut b] = two();
        let before = Arc::clone(&a.tables);
        b.tables = Arc::clone(&before);
        let mut other = ProfileBuilder::default().finish();
        own_tables([&mut a, &mut b, &mut other]);
        assert!(Arc::ptr_eq(&a.tables, &b.tables));
        assert!(!Arc::ptr_eq(&b.tables, &other.tables));
        assert_eq!(a.tables.stacks.len(), before.stacks.len());
    }
}
