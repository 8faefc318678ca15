//! Strings of a recording, kept as bytes until somebody reads them.

use std::borrow::Cow;

use crate::Error;
use crate::reader::Reader;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Text<'a> {
    Null,
    Utf8(&'a [u8]),
    Latin1(&'a [u8]),
    /// The reader is before the first unit and ends after the last.
    Utf16(Reader<'a>),
    /// A key of the table of strings.
    Constant(i64),
}

impl<'a> Text<'a> {
    /// What is no text becomes U+FFFD; a constant is looked up by the caller and empty here.
    pub(crate) fn decode(self, bytes_max: usize) -> Result<Cow<'a, str>, Error> {
        let too_long = || Error::over("a string", "string_bytes_max", bytes_max);
        let text = match self {
            Self::Null | Self::Constant(_) => Cow::Borrowed(""),
            Self::Utf8(bytes) | Self::Latin1(bytes) if bytes.len() > bytes_max => {
                return Err(too_long());
            }
            Self::Utf8(bytes) => String::from_utf8_lossy(bytes),
            Self::Latin1(bytes) if bytes.is_ascii() => String::from_utf8_lossy(bytes),
            Self::Latin1(bytes) => bytes.iter().map(|byte| char::from(*byte)).collect(),
            Self::Utf16(reader) if reader.rest().len() / 3 > bytes_max => return Err(too_long()),
            Self::Utf16(mut reader) => {
                let units = std::iter::from_fn(|| reader.short().ok());
                char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect()
            }
        };
        if text.len() > bytes_max {
            return Err(too_long());
        }
        Ok(text)
    }
}

/// At most `bytes_max` bytes of a text, whole characters only.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], compressed: bool) -> Result<String, Error> {
        let text = Reader::new(bytes, compressed).text()?;
        Ok(text.decode(8)?.into_owned())
    }

    #[test]
    fn each_encoding_is_read() {
        assert_eq!(read(&[0], true).as_deref(), Ok(""));
        assert_eq!(read(&[1], true).as_deref(), Ok(""));
        assert_eq!(read(&[3, 3, b'a', 0xc3, 0xa4], true).as_deref(), Ok("aä"));
        assert_eq!(read(&[3, 1, 0xff], true).as_deref(), Ok("\u{fffd}"));
        assert_eq!(read(&[5, 2, b'a', 0xe4], true).as_deref(), Ok("aä"));
        assert_eq!(read(&[4, 2, b'a', 0xe4, 0x01], true).as_deref(), Ok("aä"));
        let pair = [4, 0, 0, 0, 2, 0xd8, 0x3d, 0xde, 0x00];
        assert_eq!(read(&pair, false).as_deref(), Ok("\u{1f600}"));
        let half = [4, 0, 0, 0, 2, 0xd8, 0x3d, 0, b'a'];
        assert_eq!(read(&half, false).as_deref(), Ok("\u{fffd}a"));
    }

    #[test]
    fn unknown_encodings_and_long_strings_are_refused() {
        assert!(read(&[6, 0], true).is_err());
        assert!(read(&[3, 2, b'a'], true).is_err());
        let long = [3, 9, 65, 65, 65, 65, 65, 65, 65, 65, 65];
        let error = read(&long, true).expect_err("nine bytes").to_string();
        assert_eq!(
            error,
            "invalid recording: a string: more than string_bytes_max=8"
        );
        let grows = [5, 5, 0xe4, 0xe4, 0xe4, 0xe4, 0xe4];
        assert!(read(&grows, true).is_err());
    }
}
