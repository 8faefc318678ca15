//! Swift's names, without their types: the module, the types around a function, and its name.
//!
//! Only what begins with such a path is read; closures, accessors and witnesses of protocols keep
//! their mangled names.

use super::Mode;

/// Words of identifiers that later ones refer to.
const WORDS_MAX: usize = 26;

pub(super) fn demangle(name: &str, _: Mode) -> Option<String> {
    let rest = ["$s", "$S", "_T0"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let mut reader = Reader {
        rest,
        words: Vec::new(),
    };
    let mut parts = vec![reader.module()?];
    // (identifier) (kind of type)* ... until something else than a name follows.
    while let Some(part) = reader.identifier() {
        parts.push(part);
        if let Some(after) = reader.rest.strip_prefix(['C', 'V', 'O', 'P']) {
            reader.rest = after;
        }
    }
    // The type of a function ends in `F`, with what the compiler appended behind.
    let is_function = reader.rest.trim_end_matches('Z').contains('F');
    (parts.len() > 1 && is_function).then(|| parts.join("."))
}

struct Reader<'a> {
    rest: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn module(&mut self) -> Option<String> {
        if let Some(after) = self.rest.strip_prefix('s') {
            self.rest = after;
            return Some("Swift".to_owned());
        }
        for (code, name) in [
            ("SS", "Swift.String"),
            ("Sa", "Swift.Array"),
            ("SD", "Swift.Dictionary"),
            ("Si", "Swift.Int"),
            ("Sd", "Swift.Double"),
            ("Sb", "Swift.Bool"),
            ("So", "__C"),
        ] {
            if let Some(after) = self.rest.strip_prefix(code) {
                self.rest = after;
                return Some(name.to_owned());
            }
        }
        self.identifier()
    }

    /// A length and as many bytes; or `0`, references to words before (the last one a capital),
    /// and then the same.
    fn identifier(&mut self) -> Option<String> {
        let mut rest = self.rest;
        let mut text = String::new();
        if let Some(mut after) = rest.strip_prefix('0') {
            loop {
                let letter = after.chars().next().filter(char::is_ascii_alphabetic)?;
                after = &after[1..];
                let word = letter.to_ascii_lowercase() as usize - 'a' as usize;
                text.push_str(self.words.get(word)?);
                if letter.is_ascii_uppercase() {
                    break;
                }
            }
            rest = after;
            // Nothing but words: a zero says so.
            if let Some(after) = rest.strip_prefix('0') {
                self.rest = after;
                return Some(text);
            }
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let bytes: usize = rest[..digits].parse().ok()?;
        let own = rest.get(digits..digits.checked_add(bytes)?)?;
        if own.is_empty() {
            return None;
        }
        self.rest = &rest[digits + bytes..];
        self.note_words(own);
        text.push_str(own);
        Some(text)
    }

    /// Words begin at capitals that follow small letters, and at underscores.
    fn note_words(&mut self, text: &'a str) {
        let bytes = text.as_bytes();
        let mut start = 0;
        for at in 1..=bytes.len() {
            let ends = match bytes.get(at) {
                None => true,
                Some(b'_') => true,
                Some(byte) => byte.is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase(),
            };
            if !ends {
                continue;
            }
            if at - start >= 2 && self.words.len() < WORDS_MAX && text.is_char_boundary(at) {
                self.words.extend(text.get(start..at));
            }
            start = match bytes.get(at) {
                Some(b'_') => at + 1,
                _ => at,
            };
        }
    }
}
