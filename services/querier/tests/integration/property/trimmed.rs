//! What must hold of a call tree of which only the largest nodes are shown.

use super::expected::Paths;

/// What is not shown.
pub(crate) struct Hidden {
    /// Values of the nodes that stand for the others of their parents.
    pub(crate) summed: i64,
    /// The largest value of a node that is not shown.
    pub(crate) largest: i64,
}

/// Of values none of which is below zero. `other` is the name of the nodes that stand for others.
pub(crate) fn check(
    found: &Paths,
    whole: &Paths,
    (nodes_max, other): (usize, &str),
    said: &str,
) -> Hidden {
    let is_other = |path: &[String]| path.last().is_some_and(|name| name == other);
    let shown: Vec<&Vec<String>> = found.keys().filter(|path| !is_other(path)).collect();
    assert!(shown.len() <= nodes_max, "{said}: {found:?}");
    let mut hidden = Hidden {
        summed: 0,
        largest: 0,
    };
    for (path, sums) in found {
        if is_other(path) {
            hidden.summed += sums.0;
            continue;
        }
        let is_child = |of: &&(&Vec<String>, &(i64, i64))| {
            of.0.len() == path.len() + 1 && of.0.starts_with(path)
        };
        let all: Vec<(&Vec<String>, &(i64, i64))> = found.iter().collect();
        let below: i64 = all.iter().filter(is_child).map(|(_, sums)| sums.0).sum();
        assert_eq!(
            sums.0,
            sums.1 + below,
            "{said}: nothing is lost at {path:?}"
        );
        assert_eq!(Some(sums), whole.get(path), "{said}: {path:?}");
    }
    let smallest = shown.iter().map(|path| found[*path].0).min();
    for (path, sums) in whole {
        if found.contains_key(path) {
            continue;
        }
        hidden.largest = hidden.largest.max(sums.0);
        assert!(Some(sums.0) <= smallest, "{said}: {path:?} is not shown");
    }
    // Everything that may be shown is.
    let is_full = shown.len() == nodes_max.max(1).min(whole.len());
    assert!(is_full, "{said}: {} nodes of {}", shown.len(), whole.len());
    hidden
}
