//! Moments as people write them.

use anyhow::Context;

/// Nanoseconds since the epoch of `now`, `now-15m`, `2026-11-22T10:00:00Z` or Unix seconds.
pub(super) fn parse(text: &str, now: i64) -> anyhow::Result<i64> {
    let usage =
        || format!("{text:?} is not a time; use now-15m, 2026-11-22T10:00:00Z or Unix seconds");
    let nanos =
        |duration: std::time::Duration| i64::try_from(duration.as_nanos()).with_context(usage);
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.split_at_checked(1) {
            None => Ok(now),
            Some(("-", ago)) => {
                Ok(now.saturating_sub(nanos(humantime::parse_duration(ago).with_context(usage)?)?))
            }
            Some(("+", ahead)) => Ok(now.saturating_add(nanos(
                humantime::parse_duration(ahead).with_context(usage)?,
            )?)),
            Some(_) => anyhow::bail!(usage()),
        };
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000_000).with_context(usage);
    }
    // What a parser of dates misses in other texts is of no help.
    let moment: Option<jiff::Timestamp> = text.parse().ok();
    let moment = moment.with_context(usage)?;
    i64::try_from(moment.as_nanosecond()).with_context(usage)
}

/// In the form that [`parse`] reads.
pub(super) fn show(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| nanos.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = 1_700_000_000_000_000_000;
        let read = |text: &str| parse(text, now).map_err(|error| error.to_string());
        assert_eq!(read("now"), Ok(now));
        assert_eq!(read("now-15m"), Ok(now - 900_000_000_000));
        assert_eq!(read("now+1h"), Ok(now + 3_600_000_000_000));
        assert_eq!(read("1700000000"), Ok(now));
        assert_eq!(read("2023-11-14T22:13:20Z"), Ok(now));
        assert_eq!(read(&show(now + 1)), Ok(now + 1));
        for bad in [
            "",
            "yesterday",
            "now-",
            "now-x",
            "now*2",
            "99999999999999999",
            "2023-13-01T00:00:00Z",
        ] {
            assert!(read(bad).expect_err(bad).contains("is not a time"), "{bad}");
        }
    }
}
