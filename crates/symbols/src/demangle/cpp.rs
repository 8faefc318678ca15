//! C++ names of the Itanium scheme.

use cpp_demangle::{BorrowedSymbol, DemangleOptions, ParseOptions};

use super::{Bounded, Mode};

/// Nested types and expressions in one name; more would ask for much stack.
const RECURSION_MAX: u32 = 96;

pub(super) fn demangle(name: &str, mode: Mode) -> Option<String> {
    let options = ParseOptions::default().recursion_limit(RECURSION_MAX);
    let symbol = BorrowedSymbol::new_with_options(name.as_bytes(), &options).ok()?;
    let mut options = DemangleOptions::new().recursion_limit(RECURSION_MAX);
    if mode != Mode::Full {
        options = options.no_params().no_return_type();
    }
    let mut out = Bounded::default();
    symbol.structured_demangle(&mut out, &options).ok()?;
    if let Some(thunk) = thunk(&out.text) {
        out.text = thunk;
    }
    let bare = |text: &str| without_qualifiers(text).to_owned();
    match mode {
        Mode::Simple => Some(without_templates(&out.text).unwrap_or(bare(&out.text))),
        Mode::Templates => Some(bare(&out.text)),
        Mode::None | Mode::Full => Some(out.text),
    }
}

/// Stubs that move `this` before a virtual function runs, in the words that everybody else uses.
fn thunk(name: &str) -> Option<String> {
    let inner = name.strip_prefix('{')?.strip_suffix(")}")?;
    let (_, rest) = inner.split_once("override thunk({")?;
    let (by, target) = rest.split_once("}, ")?;
    let kind = match by.starts_with("virtual") {
        true => "virtual",
        false => "non-virtual",
    };
    Some(format!("{kind} thunk to {target}"))
}

/// Qualifiers belong to the parameters, which are not there.
fn without_qualifiers(name: &str) -> &str {
    let qualifier = [" const", " volatile", " &&", " &"]
        .iter()
        .find_map(|qualifier| name.strip_suffix(qualifier));
    match qualifier {
        // `operator T const` says what it converts to.
        Some(rest) if !name.contains("operator ") => without_qualifiers(rest),
        _ => name,
    }
}

/// Operators that have the brackets of templates in their names, longest first.
const OPERATORS: [&str; 11] = [
    "<<=", ">>=", "<=>", "->*", "<<", ">>", "<=", ">=", "->", "<", ">",
];

/// The name without the arguments of templates; `None` if its brackets don't match.
fn without_templates(name: &str) -> Option<String> {
    let mut kept = String::with_capacity(name.len());
    let mut depth = 0usize;
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let operator = rest.strip_prefix("operator").and_then(|after| {
            let sign = OPERATORS.iter().find(|sign| after.starts_with(**sign))?;
            Some("operator".len() + sign.len())
        });
        let begins_word = kept.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let taken = match (operator, c) {
            (Some(bytes), _) if !begins_word => bytes,
            // What a comparison inside of an argument is written as.
            (_, '-' | '(') if rest.starts_with("->") || rest.starts_with("()") => 2,
            (_, '<') => {
                depth += 1;
                rest = &rest[1..];
                continue;
            }
            (_, '>') => {
                depth = depth.checked_sub(1)?;
                rest = &rest[1..];
                continue;
            }
            (_, c) => c.len_utf8(),
        };
        if depth == 0 {
            kept.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    // A space keeps the arguments of an operator's template apart from it.
    let kept = without_qualifiers(kept.trim_end());
    (depth == 0 && !kept.is_empty()).then(|| kept.to_owned())
}
