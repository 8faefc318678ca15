//! Numbers, kept as they are written: seconds of a decimal fraction become whole nanoseconds
//! without a detour through binary fractions.

/// Digits that are looked at; what follows is below anything that is asked for.
const DIGITS_MAX: u32 = 30;

/// A number of JSON's grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    is_negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Number<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = split_digits(text)?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => split_digits(rest)?,
            None => (&rest[..0], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => parse_exponent(rest)?,
            _ => return None,
        };
        Some(Self {
            is_negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// Its value, if that is a whole number of 64 bits.
    pub(crate) fn whole(&self) -> Option<i64> {
        let (value, is_exact) = self.times_ten_to(0)?;
        is_exact.then_some(value)
    }

    /// The whole number next to it times a power of ten, halves away from zero.
    pub(crate) fn scaled(&self, power: u32) -> Option<i64> {
        self.times_ten_to(power).map(|(value, _)| value)
    }

    fn times_ten_to(&self, power: u32) -> Option<(i64, bool)> {
        let (mut sum, mut used, mut left_out, mut is_exact) = (0_u128, 0, 0_i64, true);
        for digit in self.whole.iter().chain(self.fraction) {
            if used == DIGITS_MAX {
                left_out += 1;
                is_exact &= *digit == b'0';
                continue;
            }
            sum = sum * 10 + u128::from(digit - b'0');
            used += u32::from(sum > 0);
        }
        if sum == 0 {
            return Some((0, true));
        }
        let shift = self.exponent + i64::from(power) + left_out - self.fraction.len() as i64;
        let ten = |power: i64| 10_u128.checked_pow(u32::try_from(power).ok()?);
        let value = if shift >= 0 {
            sum.checked_mul(ten(shift)?)?
        } else {
            match ten(-shift) {
                Some(divisor) => {
                    is_exact &= sum.is_multiple_of(divisor);
                    sum / divisor + u128::from(sum % divisor >= divisor / 2)
                }
                None => {
                    is_exact = false;
                    0
                }
            }
        };
        let value = i64::try_from(value).ok()?;
        Some((if self.is_negative { -value } else { value }, is_exact))
    }
}

fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0).then(|| text.split_at(len))
}

/// Absurd exponents are as good as very large ones.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, rest) = split_digits(digits)?;
    if !rest.is_empty() {
        return None;
    }
    let large = 1 << 40;
    let value = digits.iter().fold(0_i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(large)
    });
    Some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn decimal_fractions_are_exact() {
        for (text, power, expected) in [
            ("0.01", 9, Some(10_000_000)),
            ("1700000000.123456789", 9, Some(1_700_000_000_123_456_789)),
            ("0.0000000005", 9, Some(1)),
            (
                "0.0000000004999999999999999999999999999999999999",
                9,
                Some(0),
            ),
            ("-2.5", 0, Some(-3)),
            ("2.03", 3, Some(2_030)),
            ("1e-9", 9, Some(1)),
            ("12E+2", 0, Some(1_200)),
            ("9223372036854775807", 0, Some(i64::MAX)),
            ("9223372036854775808", 0, None),
            ("9223372036.854775807", 9, Some(i64::MAX)),
            ("1e400", 0, None),
            ("1e-400", 9, Some(0)),
            ("0e99999999999999999999", 9, Some(0)),
            ("-0", 0, Some(0)),
        ] {
            assert_eq!(number(text).scaled(power), expected, "{text}");
        }
        let zeros = format!("0.{}1", "0".repeat(100));
        assert_eq!(number(&zeros).scaled(9), Some(0));
        let long = format!("1.{}", "0".repeat(100));
        assert_eq!(number(&long).whole(), Some(1));
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_fraction() {
        assert_eq!(number("12.0").whole(), Some(12));
        assert_eq!(number("1.2e1").whole(), Some(12));
        assert_eq!(number("12.5").whole(), None);
        assert_eq!(number("1e-400").whole(), None);
        let barely = format!("1.{}1", "0".repeat(60));
        assert_eq!(number(&barely).whole(), None);
    }

    #[test]
    fn what_json_does_not_allow_is_no_number() {
        for bad in [
            "", "-", "01", "+1", ".5", "1.", "1e", "1e+", "1.2.3", "--1", "1-2", "e5", "1e5e5",
        ] {
            assert_eq!(Number::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
