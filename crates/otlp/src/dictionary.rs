//! The tables that all profiles of a request share. Owns where their rows are and what index 0
//! means; rows are read by who uses them, so a profile costs what it uses.

use cairn_protobuf::{Malformed, Reader, Value};

use crate::Error;

/// The tables, by their field numbers in the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mapping = 1,
    Location = 2,
    Function = 3,
    Link = 4,
    String = 5,
    Attribute = 6,
    /// Stacks; units of attributes in release 1.7.
    Stack = 7,
}

const KINDS: [Kind; 7] = [
    Kind::Mapping,
    Kind::Location,
    Kind::Function,
    Kind::Link,
    Kind::String,
    Kind::Attribute,
    Kind::Stack,
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Mapping => "mapping_table",
            Self::Location => "location_table",
            Self::Function => "function_table",
            Self::Link => "link_table",
            Self::String => "string_table",
            Self::Attribute => "attribute_table",
            Self::Stack => "stack_table",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Dictionary<'a> {
    request: &'a [u8],
    /// Start and length of every row in the request.
    rows: [Vec<(u32, u32)>; 7],
    /// The first row says nothing, as the protocol demands.
    zero_first: [bool; 7],
}

impl<'a> Dictionary<'a> {
    /// An empty one. The request has less than 4 GiB.
    pub(crate) fn new(request: &'a [u8]) -> Self {
        Self {
            request,
            rows: Default::default(),
            zero_first: [false; 7],
        }
    }

    /// Adds the rows of a dictionary message, which lies in the request.
    pub(crate) fn add(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            let Some(kind) = KINDS.get((field as usize).wrapping_sub(1)) else {
                continue;
            };
            let row = value.bytes()?;
            let start = row.as_ptr() as usize - self.request.as_ptr() as usize;
            let rows = &mut self.rows[*kind as usize - 1];
            rows.push((start as u32, row.len() as u32));
            if rows.len() == 1 {
                self.zero_first[*kind as usize - 1] = says_nothing(*kind, row);
            }
        }
        Ok(())
    }

    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.rows[kind as usize - 1].len()
    }

    /// An index that was checked.
    pub(crate) fn row(&self, kind: Kind, index: u32) -> &'a [u8] {
        let (start, len) = self.rows[kind as usize - 1][index as usize];
        &self.request[start as usize..][..len as usize]
    }

    pub(crate) fn rows(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len(kind) as u32).map(move |index| self.row(kind, index))
    }

    /// Checks an index. `None` is "not set": index 0, unless a producer put a real row there.
    #[inline]
    pub(crate) fn find(&self, kind: Kind, index: u64) -> Result<Option<u32>, Error> {
        let len = self.len(kind);
        if index >= len as u64 {
            return if index == 0 {
                Ok(None)
            } else {
                Err(out_of_range(kind, index, len))
            };
        }
        if index == 0 && self.zero_first[kind as usize - 1] {
            return Ok(None);
        }
        Ok(Some(index as u32))
    }

    /// The bytes of a string, UTF-8 or not.
    pub(crate) fn string(&self, index: u64) -> Result<&'a [u8], Error> {
        let found = self.find(Kind::String, index)?;
        Ok(found.map_or(&[][..], |index| self.row(Kind::String, index)))
    }
}

#[cold]
fn out_of_range(kind: Kind, index: u64, len: usize) -> Error {
    Error::contradiction(format!(
        "index {} of {}, which has {len} rows",
        index.cast_signed(),
        kind.name()
    ))
}

/// Whether a row is what the protocol demands at index 0, by its meaning: numbers that are zero
/// and empty values may be written out.
fn says_nothing(kind: Kind, row: &[u8]) -> bool {
    if kind == Kind::String {
        return row.is_empty();
    }
    let mut reader = Reader::new(row);
    loop {
        match reader.field() {
            Ok(None) => return true,
            Ok(Some((_, Value::Varint(0) | Value::Fixed64(0)))) => {}
            Ok(Some((_, Value::Bytes(bytes))))
                if bytes.is_empty() || kind == Kind::Link && bytes.iter().all(|b| *b == 0) => {}
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

/// What became of the rows of a table that profiles use.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    rows: Vec<Option<u32>>,
}

impl Slots {
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<u32> {
        self.rows.get(index as usize).copied().flatten()
    }

    /// `len` is the table's length.
    pub(crate) fn set(&mut self, index: u32, id: u32, len: usize) {
        if self.rows.is_empty() {
            self.rows = vec![None; len];
        }
        self.rows[index as usize] = Some(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_zero_is_not_set_unless_something_is_there() {
        // An attribute with an empty value, a stack, a link of zeros, no mapping.
        let message = [
            &[0x32, 2, 0x12, 0][..],
            &[0x3a, 3, 0x0a, 1, 0],
            &[0x22, 4, 0x0a, 2, 0, 0],
        ]
        .concat();
        let mut dictionary = Dictionary::new(&message);
        dictionary.add(&message).expect("well-formed");
        assert_eq!(dictionary.find(Kind::Attribute, 0), Ok(None));
        assert_eq!(dictionary.find(Kind::Stack, 0), Ok(Some(0)));
        assert_eq!(dictionary.find(Kind::Link, 0), Ok(None));
        assert_eq!(dictionary.find(Kind::Mapping, 0), Ok(None));
        assert_eq!(dictionary.row(Kind::Stack, 0), [0x0a, 1, 0]);
        let error = dictionary.find(Kind::Stack, 7).expect_err("out of range");
        assert_eq!(
            error.to_string(),
            "invalid profile: index 7 of stack_table, which has 1 rows"
        );
        let error = dictionary.find(Kind::Mapping, u64::MAX).expect_err("-1");
        assert!(
            error.to_string().contains("index -1 of mapping_table"),
            "{error}"
        );
    }
}
