//! Names of functions: without what the compiler appended, and as people write them.

use crate::demangle::{Mode, demangle};

/// Longer names are cut: crafted ones demangle to sizes without bound.
const NAME_BYTES_MAX: usize = 16 << 10;

/// What optimisers append to the name of a function that they split, cloned or specialised.
const COMPILER_SUFFIXES: [&str; 9] = [
    "cold",
    "isra",
    "constprop",
    "part",
    "lto_priv",
    "localalias",
    "llvm",
    "clone",
    "__uniq",
];

/// The name without symbol version and compiler suffixes, which would split one function into
/// several nodes of a flame graph.
pub(crate) fn bare(name: &str) -> &str {
    let mut rest = match name.find('@') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    };
    while let Some((head, last)) = rest.rsplit_once('.') {
        let numbered = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
        let (head, word) = match numbered {
            true => head.rsplit_once('.').unwrap_or(("", "")),
            false => (head, last),
        };
        if head.is_empty() || !COMPILER_SUFFIXES.contains(&word) {
            break;
        }
        rest = head;
    }
    rest
}

/// The name of Go without the convention of calls, by which linkers tell functions from wrappers.
pub(crate) fn bare_go(name: &str) -> &str {
    [".abi0", ".abiinternal"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

/// The name as people write it: what a symbol file shows to those who ask for nothing else.
pub(crate) fn readable(bare: &str) -> String {
    cut(&demangle(bare, Mode::Simple)).to_owned()
}

/// The start of a text, at most as long as a name may be.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_suffixes_go_and_other_dots_stay() {
        for (name, want) in [
            ("work", "work"),
            ("work.cold", "work"),
            ("work.cold.7", "work"),
            ("work.isra.0.constprop.1.cold", "work"),
            ("work.part.0.lto_priv.3", "work"),
            ("_ZN1a1bEv.llvm.123456", "_ZN1a1bEv"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("main.main.func1", "main.main.func1"),
            ("x.7", "x.7"),
            (".cold", ".cold"),
            ("@", "@"),
            ("..", ".."),
            ("", ""),
        ] {
            assert_eq!(bare(name), want, "{name}");
        }
    }

    #[test]
    fn names_are_demangled_without_parameters() {
        assert_eq!(readable("_ZN3foo3barEiPKc"), "foo::bar");
        assert_eq!(
            readable("_ZN4core3fmt5write17h0123456789abcdefE"),
            "core::fmt::write"
        );
        assert_eq!(readable("_RNvC7mycrate4main"), "mycrate::main");
        assert_eq!(readable("plain_c"), "plain_c");
    }
}
