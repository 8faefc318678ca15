//! The text of generated code at positions of a map, which count lines from 0 and columns in halves of
//! characters, as JavaScript does.

use super::json::Offset;

/// Walks along the text once: positions are asked for in order.
pub(super) struct Code<'a> {
    /// What is left of the text, from `at` on.
    rest: &'a [u8],
    at: Offset,
}

/// A name in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// Whether the name is given what follows: a value, or parameters.
    pub(super) is_given: bool,
}

/// Longer names are none.
const WORD_BYTES_MAX: usize = 1024;

impl<'a> Code<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            at: Offset::default(),
        }
    }

    /// The name that begins at a position, which does not lie before the last one.
    pub(super) fn word(&mut self, position: Offset) -> Option<Word<'a>> {
        while self.at.line < position.line {
            let end = self.rest.iter().position(|&byte| byte == b'\n')?;
            self.rest = &self.rest[end + 1..];
            self.at = Offset {
                line: self.at.line + 1,
                column: 0,
            };
        }
        while self.at.column < position.column {
            let (&byte, rest) = self.rest.split_first()?;
            // The first byte of a character says how long it is; a long one has two halves.
            self.at.column += match byte {
                b'\n' => return None,
                0x80..0xc0 => 0,
                0xf0.. => 2,
                _ => 1,
            };
            self.rest = rest;
        }
        if self.at != position {
            return None;
        }
        // Of the character before, whose last bytes count nothing.
        let more = |byte: &&u8| matches!(byte, 0x80..0xc0);
        let rest = &self.rest[self.rest.iter().take_while(more).count()..];
        let part =
            |byte: &&u8| byte.is_ascii_alphanumeric() || **byte >= 0x80 || b"_$#".contains(byte);
        let length = rest
            .iter()
            .take(WORD_BYTES_MAX + 1)
            .take_while(part)
            .count();
        let (word, after) = rest.split_at(length);
        let is_word = (1..=WORD_BYTES_MAX).contains(&length) && !word[0].is_ascii_digit();
        let text = std::str::from_utf8(word).ok().filter(|_| is_word)?;
        let after = after.trim_ascii_start();
        let is_value = after.starts_with(b"=") && !after.starts_with(b"==");
        let is_given = after.starts_with(b"(") || after.starts_with(b":") || is_value;
        Some(Word { text, is_given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_halves_of_characters() {
        let text = "let a=1\n\n\u{e4} = '\u{1f600}';b=($x)=>$x==\u{e4},#m(){}9x\n";
        let mut code = Code::new(text.as_bytes());
        let mut word = |line, column| {
            let word = code.word(Offset { line, column })?;
            Some((word.text, word.is_given))
        };
        for (line, column, want) in [
            (0, 0, Some(("let", false))),
            (0, 4, Some(("a", true))),
            (0, 4, Some(("a", true))),
            (0, 6, None),
            (0, 90, None),
            (2, 0, Some(("\u{e4}", true))),
            // The second half of a character.
            (2, 6, None),
            (2, 9, Some(("b", true))),
            (2, 12, Some(("$x", false))),
            (2, 17, Some(("$x", false))),
            (2, 21, Some(("\u{e4}", false))),
            (2, 23, Some(("#m", true))),
            (2, 29, None),
            (3, 0, None),
            (7, 0, None),
        ] {
            assert_eq!(word(line, column), want, "{line}:{column}");
        }
    }

    #[test]
    fn text_that_is_none_has_no_names() {
        let mut code = Code::new(b"\xff\xfe\x80(");
        assert_eq!(code.word(Offset::default()), None);
        let long = "x".repeat(WORD_BYTES_MAX + 1);
        let mut code = Code::new(long.as_bytes());
        assert_eq!(code.word(Offset::default()), None);
    }
}
