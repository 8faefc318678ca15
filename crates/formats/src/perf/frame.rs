//! The lines of a sample's stack.

use crate::text::hexadecimal;

/// `address symbol+0xoffset (file)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) address: u64,
    /// Without offset; `None` if unknown.
    pub(super) symbol: Option<&'a [u8]>,
    /// `None` if unknown.
    pub(super) file: Option<&'a [u8]>,
    /// Part of the next frame that is not.
    pub(super) is_inlined: bool,
}

const UNKNOWN: &[u8] = b"[unknown]";

impl<'a> Frame<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let space = text.iter().position(is_space)?;
        let (address, rest) = text.split_at(space);
        let rest = rest.trim_ascii();
        let address = hexadecimal(address)?;
        let open = bracket(rest)?;
        let file = &rest[open + 1..rest.len() - 1];
        let symbol = without_offset(rest[..open].trim_ascii());
        let is_inlined = file == b"inlined";
        Some(Self {
            address,
            symbol: (!symbol.is_empty() && symbol != UNKNOWN).then_some(symbol),
            file: (!file.is_empty() && file != UNKNOWN && !is_inlined).then_some(file),
            is_inlined,
        })
    }
}

/// Where the bracket opens that the last byte closes. The names of files may have some, too.
fn bracket(text: &[u8]) -> Option<usize> {
    if text.last() != Some(&b')') {
        return None;
    }
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    // Not balanced: the last one that stands alone.
    let is_alone = |at: &usize| *at == 0 || is_space(&text[at - 1]);
    let all = text.iter().enumerate().rev();
    let mut opening = all.filter(|(_, byte)| **byte == b'(').map(|(at, _)| at);
    opening.find(is_alone)
}

fn without_offset(symbol: &[u8]) -> &[u8] {
    let plus = symbol.iter().rposition(|byte| *byte == b'+');
    let is_offset = |plus: &usize| {
        let offset = symbol[plus + 1..].strip_prefix(b"0x");
        offset.is_some_and(|digits| hexadecimal(digits).is_some())
    };
    match plus.filter(is_offset) {
        Some(plus) => &symbol[..plus],
        None => symbol,
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_symbols_and_files() {
        for (text, symbol, file, is_inlined) in [
            (
                "130a main+0x13a (/bin/x)",
                Some("main"),
                Some("/bin/x"),
                false,
            ),
            (
                "1 [unknown] (/lib/y (deleted))",
                None,
                Some("/lib/y (deleted)"),
                false,
            ),
            ("1 [unknown] ([unknown])", None, None, false),
            (
                "1 a::b(int, (c))+0x2 (inlined)",
                Some("a::b(int, (c))"),
                None,
                true,
            ),
            ("1 operator+ (/x)", Some("operator+"), Some("/x"), false),
            (
                "1 f+0xzz ([kernel.kallsyms])",
                Some("f+0xzz"),
                Some("[kernel.kallsyms]"),
                false,
            ),
            ("1 (/x)", None, Some("/x"), false),
            ("1 f (/odd) name)", Some("f (/odd) name)"), None, false),
        ] {
            let frame = Frame::parse(text.as_bytes());
            if text.ends_with("name)") {
                // Not balanced.
                assert_eq!(frame.and_then(|frame| frame.file), Some(&b"/odd) name"[..]));
                continue;
            }
            let expected = Frame {
                address: frame.expect(text).address,
                symbol: symbol.map(str::as_bytes),
                file: file.map(str::as_bytes),
                is_inlined,
            };
            assert_eq!(frame, Some(expected), "{text}");
        }
        for bad in [
            "",
            "main (/x)",
            "12 main",
            "12345678901234567 f (/x)",
            "1 x)",
            "main.c:12",
        ] {
            assert_eq!(Frame::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
