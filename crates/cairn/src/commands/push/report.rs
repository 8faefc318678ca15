//! What was stored, and how to look at it.

use std::collections::HashMap;
use std::io::Write;

use cairn_model::{Profile, ProfileType};

use crate::commands::time;

/// Queries that are shown: files of agents have profiles of many processes.
const SHOWN_MAX: usize = 20;

/// What became of a file.
pub(super) struct Pushed {
    pub(super) stored: Vec<Stored>,
    pub(super) notes: Vec<String>,
}

/// A profile that was stored.
pub(super) struct Stored {
    /// One for each type of value.
    selectors: Vec<String>,
    samples: usize,
    /// Of the first and the last one, where several have the same selectors; 0 if it is not known.
    times: (i64, i64),
}

impl Stored {
    pub(super) fn new(name: &str, labels: &[(String, String)], profile: &Profile) -> Self {
        let matchers: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let matchers = matchers.join(",");
        let selector = |value: &cairn_model::ValueType| {
            let profile_type = ProfileType {
                name: name.to_owned(),
                sample_type: profile.str(value.kind).to_owned(),
                sample_unit: profile.str(value.unit).to_owned(),
                period_type: profile.str(profile.period_type.kind).to_owned(),
                period_unit: profile.str(profile.period_type.unit).to_owned(),
                delta: profile.duration != 0,
            };
            format!("{profile_type}{{{matchers}}}")
        };
        Self {
            selectors: profile.types.iter().map(selector).collect(),
            samples: profile.samples.len(),
            times: (profile.time, profile.time),
        }
    }
}

pub(super) fn write(out: &mut dyn Write, file: &str, pushed: &Pushed) -> std::io::Result<()> {
    let samples: usize = pushed.stored.iter().map(|one| one.samples).sum();
    for note in &pushed.notes {
        writeln!(out, "{file}: {note}")?;
    }
    writeln!(out, "{file}: stored {samples} samples; see them with")?;
    let queries = queries(&pushed.stored);
    for (selector, times) in queries.iter().take(SHOWN_MAX) {
        let (from, until) = match times {
            (0, _) => ("now-15m".to_owned(), "now".to_owned()),
            (from, until) => (time::show(*from), time::show(*until)),
        };
        writeln!(
            out,
            "  cairn query '{selector}' --from {from} --until {until}"
        )?;
    }
    match queries.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// Selectors, each once, and the times that they are needed for.
fn queries(stored: &[Stored]) -> Vec<(&str, (i64, i64))> {
    let mut queries: Vec<(&str, (i64, i64))> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for one in stored {
        for selector in &one.selectors {
            let at = *known.entry(selector).or_insert(queries.len());
            match queries.get_mut(at) {
                Some((_, (from, until))) => {
                    *from = one.times.0.min(*from);
                    *until = one.times.1.max(*until);
                }
                None => queries.push((selector, one.times)),
            }
        }
    }
    queries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(selectors: &[&str], time: i64) -> Stored {
        Stored {
            selectors: selectors.iter().map(|text| (*text).to_owned()).collect(),
            samples: 2,
            times: (time, time),
        }
    }

    #[test]
    fn equal_queries_are_shown_once_for_all_their_times() {
        let stored = [
            stored(&["a", "b"], 5),
            stored(&["a"], 3),
            stored(&["a", "c"], 9),
        ];
        let expected = [("a", (3, 9)), ("b", (5, 5)), ("c", (9, 9))];
        assert_eq!(queries(&stored), expected);
    }

    #[test]
    fn many_queries_are_cut_and_notes_come_first() {
        let names: Vec<String> = (0..SHOWN_MAX + 3).map(|at| format!("q{at}")).collect();
        let stored = names
            .iter()
            .map(|name| stored(&[name.as_str()], 0))
            .collect();
        let notes = vec!["something is cut".to_owned()];
        let mut out = Vec::new();
        write(&mut out, "f", &Pushed { stored, notes }).expect("memory takes all");
        let text = String::from_utf8(out).expect("it is UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "f: something is cut");
        assert_eq!(lines[1], "f: stored 46 samples; see them with");
        assert_eq!(lines[2], "  cairn query 'q0' --from now-15m --until now");
        assert_eq!(lines[2 + SHOWN_MAX..], ["  and 3 more"]);
    }
}
