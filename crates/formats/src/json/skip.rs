//! Values that nobody asks for. Checks them like any others.

use super::Reader;
use crate::Error;

impl Reader<'_> {
    /// Goes behind the next value, however deep it is.
    pub(crate) fn skip(&mut self) -> Result<(), Error> {
        // What ends the lists around the place: a byte for each level.
        let mut ends: Vec<u8> = Vec::new();
        loop {
            let mut is_new = self.skip_start(&mut ends)?;
            loop {
                let Some(end) = ends.last().copied() else {
                    return Ok(());
                };
                if self.eat(end) {
                    ends.pop();
                    is_new = false;
                    continue;
                }
                if !is_new {
                    self.expect(b',')?;
                }
                if end == b'}' {
                    self.skip_string()?;
                    self.expect(b':')?;
                }
                break;
            }
        }
    }

    /// A value, or the beginning of a list; returns whether it was that.
    fn skip_start(&mut self, ends: &mut Vec<u8>) -> Result<bool, Error> {
        match self.peek() {
            Some(b'{') => ends.push(b'}'),
            Some(b'[') => ends.push(b']'),
            Some(b'"') => return self.skip_string().map(|()| false),
            Some(b't') => return self.word(b"true").map(|()| false),
            Some(b'f') => return self.word(b"false").map(|()| false),
            Some(b'n') => return self.word(b"null").map(|()| false),
            _ => return self.number().map(|_| false),
        }
        self.at += 1;
        Ok(true)
    }

    /// Escapes and control characters are not looked at, since nobody sees them.
    fn skip_string(&mut self) -> Result<(), Error> {
        self.expect(b'"')?;
        self.string_end().map(drop)
    }
}
