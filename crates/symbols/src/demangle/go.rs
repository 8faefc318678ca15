//! Names of Go, which are not mangled but for what linkers can't bear.

use super::Mode;

/// `None` if there is nothing to tidy.
pub(super) fn tidy(name: &str, mode: Mode) -> Option<String> {
    let escaped = name.contains("%2") && name.contains('.');
    // Arguments of type parameters: shapes that the compiler chose, or types.
    let generic = name.find('[').filter(|&at| at > 0 && name.contains('.'));
    if !escaped && generic.is_none() {
        return None;
    }
    let mut tidy = name.to_owned();
    if escaped {
        for (code, sign) in [
            ("%2e", "."),
            ("%2E", "."),
            ("%2f", "/"),
            ("%2F", "/"),
            ("%22", "\""),
        ] {
            tidy = tidy.replace(code, sign);
        }
    }
    if mode == Mode::Simple
        && let Some(short) = without_arguments(&tidy)
    {
        tidy = short;
    }
    (tidy != name).then_some(tidy)
}

/// With `[...]` for arguments, as Go's own profiles have it; `None` if brackets don't match.
fn without_arguments(name: &str) -> Option<String> {
    let mut kept = String::with_capacity(name.len());
    let mut depth = 0usize;
    for c in name.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    kept.push_str("[...]");
                }
                depth += 1;
            }
            ']' => depth = depth.checked_sub(1)?,
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    (depth == 0).then_some(kept)
}
