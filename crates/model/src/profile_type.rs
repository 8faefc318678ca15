//! What a value measures.

use std::fmt;
use std::str::FromStr;

/// `name:sample_type:sample_unit:period_type:period_unit[:delta]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileType {
    pub name: String,
    pub sample_type: String,
    pub sample_unit: String,
    pub period_type: String,
    pub period_unit: String,
    /// The values are of a span of time (a CPU profile), not of an instant (a heap snapshot).
    pub delta: bool,
}

/// Why a profile type was refused; the text is compared by clients.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "profile-type selection must be of the form <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got({parts}): {text:?}"
)]
pub struct InvalidProfileType {
    parts: usize,
    text: String,
}

impl FromStr for ProfileType {
    type Err = InvalidProfileType;

    /// Five parts or six; a sixth part other than `delta` means not delta, as in Parca.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        let (five, sixth) = match parts.as_slice() {
            [five @ .., sixth] if five.len() == 5 => (five, Some(*sixth)),
            five if five.len() == 5 => (five, None),
            _ => {
                return Err(InvalidProfileType {
                    parts: parts.len(),
                    text: text.to_owned(),
                });
            }
        };
        Ok(Self {
            name: five[0].to_owned(),
            sample_type: five[1].to_owned(),
            sample_unit: five[2].to_owned(),
            period_type: five[3].to_owned(),
            period_unit: five[4].to_owned(),
            delta: sixth == Some("delta"),
        })
    }
}

impl fmt::Display for ProfileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            sample_type,
            sample_unit,
            period_type,
            period_unit,
            delta,
        } = self;
        write!(
            f,
            "{name}:{sample_type}:{sample_unit}:{period_type}:{period_unit}"
        )?;
        if *delta {
            f.write_str(":delta")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta",
            "memory:inuse_space:bytes:space:bytes",
            "a::::",
        ] {
            assert_eq!(
                text.parse::<ProfileType>().expect("valid").to_string(),
                text
            );
        }
        assert!(
            !"a:b:c:d:e:cumulative"
                .parse::<ProfileType>()
                .expect("valid")
                .delta
        );
    }

    #[test]
    fn wrong_part_counts_name_the_form() {
        let error = "a:b"
            .parse::<ProfileType>()
            .expect_err("two parts")
            .to_string();
        assert!(error.ends_with("got(2): \"a:b\""), "{error}");
        assert!("a:b:c:d:e:f:g".parse::<ProfileType>().is_err());
    }
}
