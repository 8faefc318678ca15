//! Stacks as they were made, and what filters, sandwiches and selections leave of them.

use cairn_engine::KeyBy;

use super::names;
use super::read::keyed;
use crate::model::{LOCATIONS, Row, shown_binary, source};

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) system_name: String,
    pub(crate) line: i64,
}

impl Call {
    /// As reports name it.
    pub(crate) fn shown(&self) -> &str {
        match self.name.as_str() {
            "" => &self.system_name,
            name => name,
        }
    }

    pub(crate) fn file(&self) -> &'static str {
        source(self.line)
    }
}

/// One location: its calls innermost first, none if it has no name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// File and build id of the binary, which are the same here.
    pub(crate) binary: &'static str,
    pub(crate) address: u64,
    pub(crate) calls: Vec<Call>,
}

/// One row's stack, innermost place first.
#[derive(Clone, Debug)]
pub(crate) struct Stack<'a> {
    pub(crate) row: &'a Row,
    pub(crate) places: Vec<Place>,
}

impl Place {
    fn of(location: u32) -> Self {
        let (binary, address, calls) = LOCATIONS[location as usize];
        let call = |name: &str, system_name: &str, line| Call {
            name: name.to_owned(),
            system_name: system_name.to_owned(),
            line,
        };
        let mut calls: Vec<Call> = calls.iter().map(|(n, s, line)| call(n, s, *line)).collect();
        if (binary, address) == names::NAMED {
            let named = names::FRAMES.iter();
            calls = named
                .map(|(name, line)| call(name, &format!("_{name}"), *line))
                .collect();
        }
        Self {
            binary,
            address,
            calls,
        }
    }

    /// As the model writes it down.
    pub(crate) fn text(&self) -> String {
        let call = |call: &Call| {
            let Call {
                name,
                system_name,
                line,
            } = call;
            format!("{name}/{system_name}:{}:{line}", call.file())
        };
        let calls: Vec<String> = self.calls.iter().map(call).collect();
        format!("{} {:x} {}", self.binary, self.address, calls.join(","))
    }

    pub(crate) fn shown_binary(&self) -> &'static str {
        shown_binary(self.binary)
    }

    /// What it is called if it has no calls.
    pub(crate) fn unnamed(&self) -> String {
        match self.shown_binary() {
            "" => format!("{:#x}", self.address),
            binary => format!("{binary}+{:#x}", self.address),
        }
    }
}

impl Stack<'_> {
    /// What flame graphs show, outermost first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.keyed(KeyBy::default())
    }

    /// The same with what else tells calls apart.
    pub(crate) fn keyed(&self, key_by: KeyBy) -> Vec<String> {
        let mut names = Vec::new();
        for place in self.places.iter().rev() {
            for call in place.calls.iter().rev() {
                let of = (call.file(), place.address, place.shown_binary());
                names.push(keyed(key_by, call.shown(), of));
            }
            if place.calls.is_empty() {
                names.push(place.unnamed());
            }
        }
        names
    }

    /// Innermost first.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.places.iter().map(Place::text).collect()
    }

    pub(crate) fn value(&self) -> i64 {
        self.row.value()
    }
}

/// The stacks of all rows that have one.
pub(crate) fn stacks<'a>(rows: &[&'a Row]) -> Vec<Stack<'a>> {
    let sampled = rows.iter().filter(|row| row.sample.is_some());
    let stack = |row: &&'a Row| Stack {
        row,
        places: row.stack().iter().map(|id| Place::of(*id)).collect(),
    };
    sampled.map(stack).collect()
}

pub(crate) fn total(stacks: &[Stack<'_>]) -> i64 {
    stacks.iter().map(Stack::value).sum()
}

/// Those that begin with these calls.
pub(crate) fn below<'a>(stacks: &[Stack<'a>], calls: &[String]) -> Vec<Stack<'a>> {
    let begins = |stack: &&Stack<'_>| stack.names().starts_with(calls);
    stacks.iter().filter(begins).cloned().collect()
}

/// The halves on one side of the outermost call of this name, which is in both.
pub(crate) fn halves<'a>(
    stacks: &[Stack<'a>],
    function: &str,
    wants_callers: bool,
) -> Vec<Stack<'a>> {
    let is_met = |call: &Call| call.shown() == function;
    let mut out = Vec::new();
    for stack in stacks {
        let mut outer = stack.places.clone();
        let Some(at) = outer.iter().rposition(|p| p.calls.iter().any(is_met)) else {
            continue;
        };
        let call = outer[at].calls.iter().rposition(is_met).unwrap();
        let (mut above, mut below) = (outer[at].clone(), outer[at].clone());
        above.calls.drain(..call);
        below.calls.truncate(call + 1);
        let mut inner: Vec<Place> = outer.drain(..at).collect();
        outer[0] = above;
        inner.push(below);
        out.push(Stack {
            row: stack.row,
            places: if wants_callers { outer } else { inner },
        });
    }
    out
}

/// What Go's compiler reads: so many innermost places, all if 0, the innermost call without line.
pub(crate) fn innermost<'a>(
    stacks: &[Stack<'a>],
    keep: usize,
    without_line: bool,
) -> Vec<(Vec<String>, i64)> {
    let mut out = Vec::new();
    for stack in stacks {
        let mut places = stack.places.clone();
        if keep > 0 {
            places.truncate(keep);
        }
        let mut texts: Vec<String> = places.iter().map(Place::text).collect();
        if let Some(innermost) = places.first_mut().filter(|place| !place.calls.is_empty())
            && without_line
        {
            innermost.address = 0;
            let call = &innermost.calls[0];
            let lined = format!(":{}:{}", call.file(), call.line);
            let unlined = format!(":{}:0", call.file());
            texts[0] = innermost.text().replacen(&lined, &unlined, 1);
        }
        out.push((texts, stack.value()));
    }
    out
}
