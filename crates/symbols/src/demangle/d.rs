//! D's names, without their types: `_D` and a path of identifiers and instances of templates.

use super::Mode;

/// Instances of templates inside of each other.
const DEPTH_MAX: usize = 32;

pub(super) fn demangle(name: &str, mode: Mode) -> Option<String> {
    if name == "_Dmain" {
        return Some("D main".to_owned());
    }
    let mut path = Path {
        name: name.as_bytes(),
        at: 2,
        mode,
        depth: 0,
    };
    let text = path.read()?;
    // A type follows, which begins with no digit.
    (path.at < name.len()).then_some(text)
}

struct Path<'a> {
    name: &'a [u8],
    at: usize,
    mode: Mode,
    depth: usize,
}

impl Path<'_> {
    fn read(&mut self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        loop {
            let part = match *self.name.get(self.at)? {
                b'0'..=b'9' => self.identifier()?,
                b'Q' => match self.back()? {
                    Some(part) => part,
                    None => break,
                },
                b'_' if self.name[self.at..].starts_with(b"__T") => self.instance()?,
                b'_' if self.name[self.at..].starts_with(b"__U") => self.instance()?,
                _ => break,
            };
            parts.push(part);
        }
        (!parts.is_empty()).then(|| parts.join("."))
    }

    fn number(&mut self) -> Option<usize> {
        let rest = &self.name[self.at..];
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        self.at += digits;
        Some(number)
    }

    /// A length and as many bytes, which may be an instance of a template in the older scheme.
    fn identifier(&mut self) -> Option<String> {
        let bytes = self.number()?;
        let end = self.at.checked_add(bytes)?;
        let text = self.name.get(self.at..end)?;
        if text.starts_with(b"__T") || text.starts_with(b"__U") {
            let instance = self.instance()?;
            self.at = end;
            return Some(instance);
        }
        self.at = end;
        if bytes == 0 {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(match text {
            "__ctor" => "this".to_owned(),
            "__dtor" => "~this".to_owned(),
            "__postblit" => "this(this)".to_owned(),
            text => text.to_owned(),
        })
    }

    /// A reference to an identifier before: its distance in base 26, the last digit in small
    /// letters. `None` inside if a type is referred to.
    fn back(&mut self) -> Option<Option<String>> {
        let here = self.at;
        let mut at = here + 1;
        let mut distance = 0usize;
        loop {
            let digit = *self.name.get(at)?;
            at += 1;
            let (value, last) = match digit {
                b'A'..=b'Z' => (digit - b'A', false),
                b'a'..=b'z' => (digit - b'a', true),
                _ => return None,
            };
            distance = distance.checked_mul(26)?.checked_add(usize::from(value))?;
            if last {
                break;
            }
        }
        let target = here.checked_sub(distance).filter(|_| distance > 0)?;
        if !self.name[target].is_ascii_digit() {
            return Some(None);
        }
        self.at = target;
        let text = self.identifier();
        self.at = at;
        text.map(Some)
    }

    /// `__T`, the template's name, its arguments, `Z`.
    fn instance(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.at += 3;
        let name = match *self.name.get(self.at)? {
            b'Q' => self.back()??,
            _ => self.identifier()?,
        };
        // Arguments are types and values, of which only the end matters.
        self.arguments()?;
        self.depth -= 1;
        Some(match self.mode {
            Mode::None | Mode::Simple => name,
            Mode::Templates | Mode::Full => format!("{name}!(...)"),
        })
    }

    /// Goes behind the `Z` that ends the arguments.
    fn arguments(&mut self) -> Option<()> {
        loop {
            match *self.name.get(self.at)? {
                b'Z' => {
                    self.at += 1;
                    return Some(());
                }
                b'0'..=b'9' => {
                    self.identifier()?;
                }
                b'Q' => {
                    self.back()?;
                }
                b'_' if self.name[self.at..].starts_with(b"__T") => {
                    self.instance()?;
                }
                _ => self.at += 1,
            }
        }
    }
}
