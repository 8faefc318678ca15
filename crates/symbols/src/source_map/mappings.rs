//! The text that says which position of generated text comes from where: numbers in base 64, each
//! relative to the one before.

use crate::Error;

/// One position of generated text, all numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) line: u32,
    pub(super) column: u32,
    /// None of text that no source has.
    pub(super) original: Option<Original>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Original {
    /// Position in the map's sources.
    pub(super) source: u32,
    pub(super) line: u32,
    pub(super) column: u32,
    /// Position in the map's names.
    pub(super) name: Option<u32>,
}

const MALFORMED: Error = Error::SourceMap("its mappings are malformed");

/// Numbers of one segment.
const NUMBERS_MAX: usize = 5;
/// Bits that a number may have besides its sign.
const BITS_MAX: u32 = 32;

/// Hands out the segments in the order in which they are written: by line, but in any order within.
pub(super) fn read(
    mappings: &[u8],
    mut each: impl FnMut(Segment) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut line, mut column) = (0u32, 0);
    let [mut source, mut original_line, mut original_column, mut name] = [0u32; 4];
    let mut at = 0;
    while let Some(&byte) = mappings.get(at) {
        match byte {
            b';' => {
                line = line.checked_add(1).ok_or(MALFORMED)?;
                column = 0;
                at += 1;
            }
            b',' => at += 1,
            _ => {
                let (numbers, count) = numbers(mappings, &mut at)?;
                column = moved(column, numbers[0])?;
                let original = match count {
                    1 => None,
                    4 | 5 => {
                        source = moved(source, numbers[1])?;
                        original_line = moved(original_line, numbers[2])?;
                        original_column = moved(original_column, numbers[3])?;
                        if count == 5 {
                            name = moved(name, numbers[4])?;
                        }
                        Some(Original {
                            source,
                            line: original_line,
                            column: original_column,
                            name: (count == 5).then_some(name),
                        })
                    }
                    _ => return Err(MALFORMED),
                };
                each(Segment {
                    line,
                    column,
                    original,
                })?;
            }
        }
    }
    Ok(())
}

fn moved(from: u32, by: i64) -> Result<u32, Error> {
    u32::try_from(i64::from(from) + by).map_err(|_| MALFORMED)
}

/// The numbers up to the next comma, semicolon or end.
fn numbers(mappings: &[u8], at: &mut usize) -> Result<([i64; NUMBERS_MAX], usize), Error> {
    let mut numbers = [0; NUMBERS_MAX];
    let mut count = 0;
    while !matches!(mappings.get(*at), None | Some(b';' | b',')) {
        *numbers.get_mut(count).ok_or(MALFORMED)? = number(mappings, at)?;
        count += 1;
    }
    Ok((numbers, count))
}

/// Five bits a digit, lowest first; the sixth says that more follow. The lowest bit is the sign.
fn number(mappings: &[u8], at: &mut usize) -> Result<i64, Error> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let digit = mappings.get(*at).and_then(|&byte| digit(byte));
        let digit = digit.ok_or(MALFORMED)?;
        *at += 1;
        if shift > BITS_MAX {
            return Err(MALFORMED);
        }
        value |= u64::from(digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            let size = (value >> 1) as i64;
            return Ok(if value & 1 == 1 { -size } else { size });
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Result<Vec<Segment>, Error> {
        let mut all = Vec::new();
        read(text.as_bytes(), |segment| {
            all.push(segment);
            Ok(())
        })?;
        Ok(all)
    }

    fn segment(line: u32, column: u32, original: Option<(u32, u32, u32, Option<u32>)>) -> Segment {
        Segment {
            line,
            column,
            original: original.map(|(source, line, column, name)| Original {
                source,
                line,
                column,
                name,
            }),
        }
    }

    #[test]
    fn numbers_are_relative_and_columns_begin_anew_with_each_line() {
        let all = segments(";;AAAA,IACKA;C,ECDFC,,G;ADCCD").expect("well formed");
        let want = [
            segment(2, 0, Some((0, 0, 0, None))),
            segment(2, 4, Some((0, 1, 5, Some(0)))),
            segment(3, 1, None),
            segment(3, 3, Some((1, 0, 3, Some(1)))),
            segment(3, 6, None),
            segment(4, 0, Some((0, 1, 4, Some(0)))),
        ];
        assert_eq!(all, want);
        // As far as numbers go.
        let far = segments("+/////HAAA").expect("well formed");
        assert_eq!(far, [segment(0, u32::MAX, Some((0, 0, 0, None)))]);
    }

    #[test]
    fn malformed_mappings_are_refused() {
        for text in [
            "AA",
            "AAA",
            "AAAAAA",
            "g",
            "A A",
            "AAA\u{e9}",
            "=",
            // Below zero, and beyond what numbers have.
            "D",
            "AADA",
            "AAAAD",
            "ggggggI",
            "+/////H,C",
            "gggggggA",
        ] {
            assert_eq!(segments(text), Err(MALFORMED), "{text}");
        }
    }
}
