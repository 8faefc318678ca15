//! What was sent, what was acknowledged, and whether an answer agrees with it.
//!
//! Every attempt is a profile of its own: one sample in a function that tells the attempt's number,
//! with a value that follows from the number. So one merged answer says of every attempt whether it
//! is there, and how often. Owns no clients: whoever sends says how it went.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cairn_model::{Profile, Samples, Tables, ValueType};

/// The number of an attempt; no two are alike.
pub type Attempt = u64;

/// What a sender knows of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Under way, or nobody can say: it may be there, once and wholly.
    Unknown,
    /// It must be there from now on, once.
    Acknowledged,
    /// It was refused for good: it must never be there.
    Refused,
}

/// All attempts of one run, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Vec<Outcome>);

/// How an answer contradicts the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged and not there.
    Lost(Attempt),
    /// There with another value than was sent: more than once, or in part.
    Wrong { attempt: Attempt, found: i64 },
    /// Refused, and there all the same.
    Undead(Attempt),
}

impl Ledger {
    /// Notes a new attempt, which is unknown until its outcome is set.
    pub fn begin(&mut self) -> Attempt {
        self.0.push(Outcome::Unknown);
        self.0.len() as Attempt - 1
    }

    /// What was acknowledged once stays so, whatever comes of sending it again.
    ///
    /// # Panics
    ///
    /// If the attempt never began.
    pub fn set(&mut self, attempt: Attempt, outcome: Outcome) {
        let known = &mut self.0[attempt as usize];
        if *known != Outcome::Acknowledged {
            *known = outcome;
        }
    }

    /// Attempts with this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|known| **known == outcome).count()
    }

    pub fn attempts(&self) -> usize {
        self.0.len()
    }

    /// Everything in which an answer (attempt -> value) disagrees. The ledger must be one of before
    /// the question was asked: attempts that began later may be there or not.
    pub fn check(&self, found: &BTreeMap<Attempt, i64>) -> Vec<Violation> {
        let judge = |(attempt, outcome): (Attempt, &Outcome)| match (found.get(&attempt), outcome) {
            (None, Outcome::Acknowledged) => Some(Violation::Lost(attempt)),
            (Some(_), Outcome::Refused) => Some(Violation::Undead(attempt)),
            (None | Some(_), _) => None,
        };
        let missing = (0..).zip(&self.0).filter_map(judge);
        let wrong = found
            .iter()
            .filter(|(attempt, found)| **found != value(**attempt));
        let wrong = wrong.map(|(&attempt, &found)| Violation::Wrong { attempt, found });
        missing.chain(wrong).collect()
    }
}

/// In what an answer with warnings disagrees: it may lack a profile, but has more of one than there
/// is only if it says so.
pub fn excess(found: &BTreeMap<Attempt, i64>, warnings: &[String]) -> Vec<Violation> {
    let mut warnings = warnings.iter();
    if warnings.any(|warning| warning.contains("may count twice")) {
        return Vec::new();
    }
    let more = found.iter().filter(|(of, found)| **found > value(**of));
    let more = more.map(|(&attempt, &found)| Violation::Wrong { attempt, found });
    more.collect()
}

/// What an attempt's only sample counts.
pub fn value(attempt: Attempt) -> i64 {
    (attempt % 1000 + 1).cast_signed()
}

/// The attempt's profile: `cpu` in `count`, one sample in the function `f<attempt>`, at `time`.
pub fn profile(attempt: Attempt, time: i64) -> Profile {
    let mut tables = Tables::default();
    let kind = tables.strings.push("cpu");
    let unit = tables.strings.push("count");
    let frame = tables.push_frame(&format!("f{attempt}"));
    let stack = tables.stacks.push(&[frame]);
    Profile {
        time,
        duration: 1,
        period_type: ValueType { kind, unit },
        period: 1,
        types: vec![ValueType { kind, unit }],
        tables: Arc::new(tables),
        samples: Samples {
            stacks: vec![stack],
            values: vec![value(attempt)],
            ..Samples::default()
        },
    }
}

/// The type under which profiles of attempts are stored, if they are sent as `name`.
pub fn profile_type(name: &str) -> String {
    format!("{name}:cpu:count:cpu:count:delta")
}

/// What a merged answer holds: attempt -> value.
///
/// # Panics
///
/// If it holds a function that no attempt has.
pub fn found(answer: &Profile) -> BTreeMap<Attempt, i64> {
    let mut found = BTreeMap::new();
    for sample in 0..answer.samples.len() {
        let line = answer.lines(answer.stack(sample)[0])[0];
        let name = answer.str(answer.tables.functions[line.function as usize].name);
        let attempt = name
            .strip_prefix('f')
            .and_then(|number| number.parse().ok());
        let attempt = attempt.unwrap_or_else(|| panic!("no attempt has a function {name:?}"));
        *found.entry(attempt).or_default() += answer.values(sample)[0];
    }
    found
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(attempt) => write!(f, "{attempt} was acknowledged and is lost"),
            Self::Wrong { attempt, found } => {
                let sent = value(*attempt);
                write!(f, "{attempt} is there with {found}, and {sent} was sent")
            }
            Self::Undead(attempt) => write!(f, "{attempt} was refused and is there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contradiction_is_found() {
        let mut ledger = Ledger::default();
        let attempts: Vec<Attempt> = (0..5).map(|_| ledger.begin()).collect();
        ledger.set(0, Outcome::Acknowledged);
        ledger.set(1, Outcome::Acknowledged);
        ledger.set(2, Outcome::Refused);
        ledger.set(3, Outcome::Acknowledged);
        assert_eq!(attempts, [0, 1, 2, 3, 4]);
        let right = BTreeMap::from([(0, 1), (1, 2), (3, 4), (9, 10)]);
        assert_eq!(ledger.check(&right), []);
        let wrong = BTreeMap::from([(0, 2), (2, 3), (3, 4), (9, 11)]);
        let not_once = |attempt, found| Violation::Wrong { attempt, found };
        let expected = [
            Violation::Lost(1),
            Violation::Undead(2),
            not_once(0, 2),
            not_once(9, 11),
        ];
        assert_eq!(ledger.check(&wrong), expected);
        assert_eq!(
            (ledger.count(Outcome::Acknowledged), ledger.attempts()),
            (3, 5)
        );
    }

    #[test]
    fn profiles_tell_their_attempts() {
        let attempts = [0, 7, 2_500];
        let all = attempts.map(|attempt| found(&profile(attempt, 5)));
        assert_eq!(
            all,
            attempts.map(|attempt| BTreeMap::from([(attempt, value(attempt))]))
        );
    }
}
