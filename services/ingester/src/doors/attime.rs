//! Points in time as Pyroscope's senders spell them.

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Nanoseconds since the epoch of `now`, `now-1h`, `20260131`, or a Unix time of which the number
/// of digits tells the unit.
pub(super) fn parse(text: &str, now: i64) -> Result<i64, String> {
    let text = text.trim();
    let refused = |why: &str| Err(format!("invalid time {:?}: {why}", shown(text)));
    if let Some(offset) = text.strip_prefix("now") {
        return match offset_nanos(offset) {
            Some(offset) => Ok(now.saturating_add(offset)),
            None => refused("an offset looks like now-1h, with s, m, h, d, w, M or y"),
        };
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return refused("use a Unix time or now-1h");
    }
    if let Some(date) = date_nanos(text) {
        return Ok(date);
    }
    let unit = match text.len() {
        0..=12 => SECOND,
        13..=15 => 1_000_000,
        16..=18 => 1_000,
        _ => 1,
    };
    let nanos = text.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
    nanos.map_or_else(|| refused("it is after the year 2262"), Ok)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// `-1h`, `+5min`, or nothing.
fn offset_nanos(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = rest.split_at(digits);
    let unit = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        "M" | "mon" | "month" | "months" => 30 * DAY,
        "y" | "year" | "years" => 365 * DAY,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(sign * unit)
}

/// Midnight of `YYYYMMDD`.
fn date_nanos(text: &str) -> Option<i64> {
    if text.len() != 8 {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    if !(1970..=2261).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_363_608 * SECOND;

    #[test]
    fn times_are_read_in_every_unit() {
        for (text, nanos) in [
            ("now", NOW),
            ("now-1h", NOW - 3_600 * SECOND),
            ("now-15min", NOW - 900 * SECOND),
            ("now+2s", NOW + 2 * SECOND),
            ("1795363604", 1_795_363_604 * SECOND),
            ("1795363604123", 1_795_363_604_123_000_000),
            ("1795363604123456", 1_795_363_604_123_456_000),
            ("1795363604123456789", 1_795_363_604_123_456_789),
            ("19700101", 0),
            ("20000301", 951_868_800 * SECOND),
            ("20261122", 1_795_305_600 * SECOND),
            ("0", 0),
        ] {
            assert_eq!(parse(text, NOW), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "yesterday",
            "-5",
            "now-",
            "now-1x",
            "nowhere",
            "1.5",
            "é",
        ] {
            assert!(parse(text, NOW).is_err(), "{text:?} was accepted");
        }
        assert!(parse("99999999999999999999", NOW).is_err());
        assert!(parse("now-99999999999y", NOW).is_err());
        assert!(parse("999999999999", NOW).is_err());
    }
}
