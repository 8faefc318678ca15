//! Times as people and pages write them in URLs.

use std::time::Duration;

use cairn_model::TimeRange;

use crate::error::Error;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// What is asked for when the request does not say: the last hour.
const DEFAULT_SPAN: i64 = 3600 * NANOS_PER_SECOND;

/// From and until; `now` is in nanoseconds since the epoch.
pub(crate) fn range(from: Option<&str>, until: Option<&str>, now: i64) -> Result<TimeRange, Error> {
    let end = until.map_or(Ok(now), |text| instant(text, now))?;
    let start = match from {
        Some(text) => instant(text, now)?,
        None => end.saturating_sub(DEFAULT_SPAN),
    };
    if start > end {
        return Err(Error::Invalid(format!(
            "the range ends before it begins: from {} until {}",
            from.unwrap_or_default(),
            until.unwrap_or("now"),
        )));
    }
    Ok(TimeRange { start, end })
}

/// `now`, `now-15m`, or a number of seconds since the epoch. Numbers too large for seconds are
/// milli-, micro- or nanoseconds.
pub(crate) fn instant(text: &str, now: i64) -> Result<i64, Error> {
    let invalid = || {
        Error::Invalid(format!(
            "invalid time {text:?}: use seconds since 1970, now, or now-15m"
        ))
    };
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.strip_prefix('-') {
            None if rest.is_empty() => Ok(now),
            None => Err(invalid()),
            Some(ago) => Ok(now.saturating_sub(nanos(span(ago).ok_or_else(invalid)?))),
        };
    }
    if let Ok(whole) = text.parse::<i64>() {
        let digits = whole
            .unsigned_abs()
            .checked_ilog10()
            .map_or(1, |log| log + 1);
        let unit = match digits {
            0..=11 => NANOS_PER_SECOND,
            12..=14 => 1_000_000,
            15..=17 => 1_000,
            _ => 1,
        };
        return Ok(whole.saturating_mul(unit));
    }
    let seconds: f64 = text.parse().map_err(|_| invalid())?;
    if !seconds.is_finite() || seconds.abs() > 9e9 {
        return Err(invalid());
    }
    Ok((seconds * NANOS_PER_SECOND as f64) as i64)
}

/// `90`, `15s`, `5m`, `1.5h`; a bare number is seconds.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

pub(crate) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        let now = 1_700_000_000_000_000_000;
        let read = |text| instant(text, now).ok();
        assert_eq!(read("now"), Some(now));
        assert_eq!(read("now-1h"), Some(now - 3_600_000_000_000));
        assert_eq!(read("1700000000"), Some(now));
        assert_eq!(read("1700000000.5"), Some(now + 500_000_000));
        assert_eq!(read("1700000000000"), Some(now));
        assert_eq!(read("1700000000000000000"), Some(now));
        assert_eq!(read("0"), Some(0));
        for bad in ["", "later", "now+1h", "now-1x", "nan", "1e300", "now-é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_default_to_the_last_hour() {
        let now = DEFAULT_SPAN * 5;
        let default = range(None, None, now).expect("valid");
        assert_eq!(default.end - default.start, DEFAULT_SPAN);
        assert!(range(Some("now"), Some("now-1h"), now).is_err());
    }
}
