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
    match mode {
        Mode::Simple => Some(without_templates(&out.text).unwrap_or(out.text)),
        Mode::None | Mode::Templates | Mode::Full => Some(out.text),
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
    let kept = kept.trim_end();
    (depth == 0 && !kept.is_empty()).then(|| kept.to_owned())
}
