//! When a query is given up.

use std::time::{Duration, Instant};

use cairn_chassis::Clock;

use crate::error::Error;

/// The end of one request's time. Passed on to everyone the request asks.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    clock: Clock,
    end: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(clock: &Clock, limit: Duration) -> Self {
        Self {
            clock: clock.clone(),
            end: clock.instant() + limit,
            limit,
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(self.clock.instant())
    }

    /// This or an earlier one.
    pub(crate) fn within(&self, limit: Duration) -> Self {
        Self {
            end: self.end.min(self.clock.instant() + limit),
            ..self.clone()
        }
    }

    /// Drops the work, and with it all its calls, when time is up.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.clock.sleep(self.left()) => Err(Error::Timeout(self.limit)),
        }
    }
}

/// What `grpc-timeout` says: up to eight digits and a unit.
pub(crate) fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_spells_them() {
        assert_eq!(grpc_timeout("3000m"), Some(Duration::from_secs(3)));
        assert_eq!(grpc_timeout("1H"), Some(Duration::from_secs(3600)));
        for bad in ["", "5", "m", "123456789S", "-1S", "5é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }
}
