//! What a recording says about how it was made: the sampled event and its period.

use cairn_model::Limits;

use crate::Error;
use crate::chunk::Chunk;
use crate::reader::Reader;
use crate::slot::Slot;

const WALL: &str = "wall";

/// Settings hold until others come, in later chunks too: async-profiler writes them once.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// async-profiler's event.
    event: Option<String>,
    /// async-profiler's period of its event, in the event's own unit.
    interval: Option<i64>,
    /// async-profiler's period of wall clock samples beside another event, in nanoseconds.
    wall: Option<i64>,
    /// The JDK's period of execution samples, in nanoseconds.
    period: Option<i64>,
}

impl Settings {
    /// Reads a setting; `sampled` is the id of the type of execution samples.
    pub(crate) fn read<'a>(
        &mut self,
        chunk: &Chunk<'a>,
        class: u32,
        mut fields: Reader<'a>,
        sampled: Option<i64>,
    ) -> Result<(), Error> {
        let wanted = [Slot::Id, Slot::Name, Slot::Value];
        let [id, name, value] = chunk.types.read(class, &mut fields, wanted)?;
        let name = chunk.pools.text(&chunk.types, name)?;
        let of_samples = sampled == Some(id.int());
        let positive = |number: Option<i64>| number.filter(|number| *number > 0);
        match &*name {
            "event" => {
                let event = chunk.pools.text(&chunk.types, value)?;
                self.event = Some(event.into_owned()).filter(|event| !event.is_empty());
            }
            "interval" if of_samples => {
                let value = chunk.pools.text(&chunk.types, value)?;
                self.interval = positive(value.parse().ok());
            }
            WALL if of_samples => {
                let value = chunk.pools.text(&chunk.types, value)?;
                self.wall = positive(value.parse().ok());
            }
            "period" if of_samples => {
                let value = chunk.pools.text(&chunk.types, value)?;
                self.period = positive(nanoseconds(&value));
            }
            _ => {}
        }
        Ok(())
    }

    /// The value of the label `jfr_event`.
    pub(crate) fn label(&self, limits: &Limits) -> Result<&str, Error> {
        let label = self.event.as_deref().unwrap_or("itimer");
        let max = limits.label_value_bytes_max;
        if label.len() > max {
            return Err(Error::over(
                "the event's name",
                "label_value_bytes_max",
                max,
            ));
        }
        Ok(label)
    }

    /// Whether execution samples are taken by the wall clock.
    pub(crate) fn samples_wall(&self) -> bool {
        self.event.as_deref() == Some(WALL)
    }

    /// Nanoseconds that one execution sample stands for, if the recording says so.
    pub(crate) fn cpu_period(&self) -> Option<i64> {
        match self.event.as_deref() {
            Some(WALL) => self.wall_period(),
            Some("cpu" | "itimer" | "ctimer") => self.interval,
            // The interval of other events is a number of them.
            Some(_) => None,
            None => self.period.or(self.interval),
        }
    }

    /// Nanoseconds that one wall clock sample stands for, if the recording says so.
    pub(crate) fn wall_period(&self) -> Option<i64> {
        let interval = if self.samples_wall() {
            self.interval
        } else {
            None
        };
        self.wall.or(interval)
    }
}

/// A duration as the JDK writes it, such as `20 ms`.
fn nanoseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("20 ms", Some(20_000_000)),
            ("1us", Some(1_000)),
            ("1 d", Some(86_400_000_000_000)),
            ("everyChunk", None),
            ("20", None),
            ("", None),
            ("9223372036854775807 s", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn periods_follow_the_event() {
        let mut settings = Settings {
            event: None,
            interval: Some(5),
            wall: None,
            period: Some(7),
        };
        let mut periods = |event: Option<&str>, wall: Option<i64>| {
            settings.event = event.map(str::to_owned);
            settings.wall = wall;
            (settings.cpu_period(), settings.wall_period())
        };
        assert_eq!(periods(None, None), (Some(7), None));
        assert_eq!(periods(Some("ctimer"), None), (Some(5), None));
        assert_eq!(periods(Some("cpu"), Some(9)), (Some(5), Some(9)));
        assert_eq!(periods(Some("wall"), None), (Some(5), Some(5)));
        assert_eq!(periods(Some("wall"), Some(9)), (Some(9), Some(9)));
        assert_eq!(periods(Some("cache-misses"), None), (None, None));
    }
}
