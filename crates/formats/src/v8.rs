//! The profiles of V8, as Chrome and Node.js save them. Owns what its nodes and frames mean; in
//! which shapes nodes are written is the business of [`nodes`].
//!
//! V8 tells where a function begins, so that is the line of its frames too.

mod cpu;
mod heap;
mod nodes;

use std::borrow::Cow;

use cairn_model::{Function, Line, NONE};

use crate::Error;
use crate::budget::{Budget, check_string};
use crate::calls::{Calls, ROOT};
use crate::json::Reader;

pub(crate) use cpu::cpu_profile;
pub(crate) use heap::heap_profile;
use nodes::{Node, Nodes};

/// The node above all others, which is no function.
const ROOT_NAME: &str = "(root)";
/// What V8's own tools call functions without a name.
const ANONYMOUS: &str = "(anonymous)";

/// The function of a node.
#[derive(Clone, Debug, Default)]
struct Frame<'a> {
    name: Option<Cow<'a, str>>,
    url: Cow<'a, str>,
    /// As written: from 0 in a `callFrame`, from 1 in older files.
    line: Option<i64>,
    column: Option<i64>,
    is_from_zero: bool,
}

impl<'a> Frame<'a> {
    /// A `callFrame`.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut frame = Self {
            is_from_zero: true,
            ..Self::default()
        };
        reader.object(|reader, key| {
            if !frame.member(reader, key)? {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(frame)
    }

    /// Takes a member as it is, if it is one of a frame.
    fn member(&mut self, reader: &mut Reader<'a>, key: &str) -> Result<bool, Error> {
        match key {
            "functionName" => self.name = Some(reader.string()?),
            "url" => self.url = reader.optional_string()?.unwrap_or_default(),
            "lineNumber" => self.line = Some(reader.whole()?),
            "columnNumber" => self.column = Some(reader.whole()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// From 1; 0 if unknown.
    fn counted(&self, number: Option<i64>) -> i64 {
        let add = i64::from(self.is_from_zero);
        number.map_or(0, |number| number.saturating_add(add).max(0))
    }

    fn location(&self, calls: &mut Calls) -> u32 {
        let (start, column) = (self.counted(self.line), self.counted(self.column));
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let builder = &mut calls.builder;
        let function = Function {
            name: builder.str(name.unwrap_or(ANONYMOUS)),
            file: builder.str(&self.url),
            start_line: start,
            ..Function::default()
        };
        let line = Line {
            function: builder.function(function),
            line: start,
            column,
        };
        builder.location(NONE, 0, &[line])
    }
}

/// Where each node is in the call tree. The root is left out of the stacks of others.
fn place(nodes: &Nodes<'_>, calls: &mut Calls, budget: &mut Budget<'_>) -> Result<Vec<u32>, Error> {
    let mut places = vec![ROOT; nodes.rows.len()];
    for at in nodes.callers_first()? {
        let node = &nodes.rows[at as usize];
        let what = || format!("a string of node {at}");
        let name = node.frame.name.as_deref().unwrap_or_default();
        check_string(name.len(), budget.limits, what)?;
        check_string(node.frame.url.len(), budget.limits, what)?;
        if node.is_root() && !node.has_value {
            continue;
        }
        let parent = match node.parent {
            NONE => ROOT,
            parent if nodes.rows[parent as usize].is_root() => ROOT,
            parent => places[parent as usize],
        };
        let location = node.frame.location(calls);
        places[at as usize] = calls.child(parent, location, budget)?;
    }
    Ok(places)
}
