//! What else a case asks for: which stacks, how much of them, and in which form.

use cairn_engine::KeyBy;
use cairn_model::Matcher;
use cairn_wire::parca::query::v1alpha1 as wire;
use proptest::prelude::*;

use super::expected::Paths;
use super::filters::{self, Filter, filters};
use super::stacks::{Stack, halves};
use crate::model::matchers;

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) filters: Vec<Filter>,
    /// To cut stacks at.
    pub(crate) function: Option<&'static str>,
    pub(crate) inverted: bool,
    /// Percent of the parent below which calls are hidden.
    pub(crate) trim: f32,
    pub(crate) labels: Vec<String>,
    pub(crate) key_by: KeyBy,
    /// Whether sides of a comparison are not put on one scale.
    pub(crate) absolute: bool,
    /// Of a file whose lines are asked for.
    pub(crate) build_id: &'static str,
    pub(crate) file: &'static str,
    /// Nodes to show at most.
    pub(crate) nodes_max: usize,
    /// Which row's outermost calls to look below, and how many of them.
    pub(crate) below: (usize, usize),
    /// What Go's compiler is to get.
    pub(crate) keep: usize,
    pub(crate) without_line: bool,
    /// First bytes of a trace id and a span id.
    pub(crate) ids: (u8, u8),
    /// Series to show at most; 0 is all.
    pub(crate) limit: usize,
    /// Besides the case's own selector.
    pub(crate) other: Vec<Matcher>,
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let function = prop::sample::select(vec!["f", "g", "sys", "read", "syscall", "absent"]);
    let stacks = (
        prop_oneof![1 => Just(Vec::new()), 2 => filters()],
        prop::option::weighted(0.4, function),
        any::<bool>(),
        prop::sample::select(vec![0.0f32, 5.0, 30.0, 60.0, 99.0]),
    );
    let labels = prop::sample::subsequence(vec!["thread", "size", "c", "a", "trace_id"], 1..4);
    let key_by = (any::<bool>(), any::<bool>(), any::<bool>());
    let lines = (
        prop::sample::select(vec!["", "app", "lib", "absent"]),
        prop::sample::select(vec!["a.c", "src/a.c", "b.c", "absent"]),
    );
    let sizes = ((0usize..10, 0usize..4), 1usize..7, 0usize..4, 0usize..4);
    let rest = (any::<bool>(), any::<bool>(), (0u8..3, 0u8..2), matchers());
    (stacks, (labels, key_by), lines, sizes, rest).prop_map(
        |(stacks, (labels, key_by), (build_id, file), sizes, rest)| {
            let (filters, function, inverted, trim) = stacks;
            let (below, nodes_max, keep, limit) = sizes;
            let (absolute, without_line, ids, mut other) = rest;
            other.retain(|matcher| matcher.name() != "__name__");
            Shape {
                filters,
                function,
                inverted,
                trim,
                labels: labels.into_iter().map(str::to_owned).collect(),
                key_by: KeyBy {
                    file: key_by.0,
                    address: key_by.1,
                    mapping: key_by.2,
                },
                absolute,
                build_id,
                file,
                nodes_max,
                below,
                keep,
                without_line,
                ids,
                limit,
                other,
            }
        },
    )
}

impl Shape {
    /// The parts of stacks that reports of Parca's API are about.
    pub(crate) fn cut<'a>(&self, stacks: &[Stack<'a>]) -> Vec<Stack<'a>> {
        let left = filters::left(&self.filters, stacks);
        match self.function {
            None => left,
            Some(function) => halves(&left, function, self.inverted),
        }
    }

    pub(crate) fn request(&self) -> wire::QueryRequest {
        wire::QueryRequest {
            filter: self.filters.iter().map(Filter::wire).collect(),
            sandwich_by_function: self.function.map(str::to_owned),
            invert_call_stack: Some(self.inverted),
            ..wire::QueryRequest::default()
        }
    }

    /// Calls that some stacks begin with.
    pub(crate) fn prefix(&self, stacks: &[Stack<'_>]) -> Vec<String> {
        let (at, len) = self.below;
        let Some(stack) = stacks.get(at % stacks.len().max(1)) else {
            return vec!["absent".to_owned()];
        };
        let mut names = stack.names();
        names.truncate(len);
        names
    }

    /// The nodes that are larger than a part of their parents, from the root down, and the value of
    /// all others. No value may be below zero.
    pub(crate) fn trimmed(&self, whole: &Paths) -> (Paths, i64) {
        let fraction = f64::from(self.trim) / 100.0;
        let mut shown = Paths::new();
        let mut trimmed = 0;
        // Parents come before their children.
        for (path, sums) in whole {
            let Some((_, above)) = path.split_last() else {
                shown.insert(path.clone(), *sums);
                continue;
            };
            let Some((parent, _)) = shown.get(above) else {
                continue;
            };
            if fraction <= 0.0 || sums.0 > (*parent as f64 * fraction) as i64 {
                shown.insert(path.clone(), *sums);
            } else {
                trimmed += sums.0;
            }
        }
        (shown, trimmed)
    }
}

/// As fields to group by.
pub(crate) fn fields(labels: &[String], key_by: KeyBy) -> Vec<String> {
    let KeyBy {
        file,
        address,
        mapping,
    } = key_by;
    let wanted = [
        (file, "function_file_name"),
        (address, "location_address"),
        (mapping, "mapping_file"),
    ];
    let keys = wanted.iter().filter(|(wanted, _)| *wanted);
    let keys = keys.map(|(_, field)| (*field).to_owned());
    let labels = labels.iter().map(|label| format!("labels.{label}"));
    labels.chain(keys).collect()
}
