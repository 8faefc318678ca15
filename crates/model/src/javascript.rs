//! Frames of generated JavaScript, whose names carry where their functions begin.

use std::borrow::Cow;

/// The file of the mapping of such frames; its build id is the debug id of the source map.
pub const MAPPING_FILE: &str = "v8js";

/// What the agent writes where V8 has no name.
pub const ANONYMOUS: &str = "anonymous";

/// Where in generated code a function begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// From 1, in halves of characters.
    pub column: u32,
}

impl Position {
    /// Name and position of a function whose name ends in `:L#` line `:C#` column.
    pub fn split(name: &str) -> Option<(&str, Self)> {
        let (rest, column) = name.rsplit_once(":C#")?;
        let (name, line) = rest.rsplit_once(":L#")?;
        let (line, column) = (number(line)?, number(column)?);
        Some((name, Self { line, column }))
    }

    /// As one number, in the order of the text.
    pub fn address(self) -> u64 {
        u64::from(self.line) << 32 | u64::from(self.column)
    }

    pub fn of_address(address: u64) -> Self {
        Self {
            line: (address >> 32) as u32,
            column: address as u32,
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// What to call a function that V8 calls so, where a source map knows what an identifier beside it
/// was called, and perhaps what it is called now. An identifier that is not the function's says
/// nothing.
pub fn called<'a>(v8: &'a str, was: &'a str, is: &str) -> Cow<'a, str> {
    // "get size" is called size, and "Shop.pay" pay.
    let own = v8.rsplit([' ', '.']).next().unwrap_or(v8);
    // Code that no function has gets a name in angle brackets.
    let has_name = !v8.is_empty() && v8 != ANONYMOUS && !v8.starts_with('<');
    if was.is_empty() || !has_name || !(is.is_empty() || is == own) {
        return Cow::Borrowed(v8);
    }
    match v8[..v8.len() - own.len()].rsplit_once(' ') {
        Some((kind, _)) => Cow::Owned(format!("{kind} {was}")),
        None => Cow::Borrowed(was),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_off_names() {
        let at = |line, column| Position { line, column };
        for (name, want) in [
            ("t:L#2:C#814", Some(("t", at(2, 814)))),
            ("anonymous:L#1:C#1", Some(("anonymous", at(1, 1)))),
            (
                "a:L#1:C#2:L#4294967295:C#0",
                Some(("a:L#1:C#2", at(u32::MAX, 0))),
            ),
            (":L#1:C#2", Some(("", at(1, 2)))),
            ("t:L#2:C#", None),
            ("t:L#2:C#+8", None),
            ("t:L#2:C#4294967296", None),
            ("t:C#2:L#8", None),
            ("t:L#2", None),
            ("t", None),
            ("", None),
        ] {
            assert_eq!(Position::split(name), want, "{name}");
        }
        let position = at(7, 9);
        assert_eq!(Position::of_address(position.address()), position);
        assert!(at(1, u32::MAX).address() < at(2, 0).address());
    }

    #[test]
    fn functions_are_called_what_their_own_identifier_was() {
        for ((v8, was, is), want) in [
            (("t", "total", "t"), "total"),
            (("t", "total", ""), "total"),
            (("t", "", "t"), "t"),
            (("t", "other", "u"), "t"),
            (("get t", "total", "t"), "get total"),
            (("e.t", "total", "t"), "total"),
            (("async e.t", "total", "t"), "async total"),
            (("#t", "#total", "#t"), "#total"),
            (("anonymous", "total", ""), "anonymous"),
            (("", "total", ""), ""),
            (
                ("<instance_members_initializer>", "Cart", ""),
                "<instance_members_initializer>",
            ),
        ] {
            assert_eq!(called(v8, was, is), want, "{v8} {was} {is}");
        }
    }
}
