//! How much one buffer may cost. Owns the accounts that keep a small hostile buffer from becoming
//! a large one; does not know what is counted.

use cairn_model::Limits;

use crate::Error;

/// Positions and lengths of texts have 32 bits, and a replaced byte takes three.
const BYTES_MAX: usize = 1 << 30;

/// Bytes that may be looked at for each byte that may be held, since some are read repeatedly.
const READS_PER_BYTE: usize = 4;

/// So much of something is left.
#[derive(Debug)]
pub(crate) struct Account {
    what: &'static str,
    left: usize,
    max: usize,
}

impl Account {
    fn new(what: &'static str, max: usize, per_byte: usize) -> Self {
        Self {
            what,
            left: max.saturating_mul(per_byte),
            max,
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, amount: usize) -> Result<(), Error> {
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.overdrawn()),
        }
    }

    #[cold]
    fn overdrawn(&self) -> Error {
        Error::over(self.what, "profile_bytes_max", self.max)
    }
}

/// The accounts of one buffer, and what had to be changed to keep it.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    pub(crate) limits: &'a Limits,
    /// Bytes after inflating.
    pub(crate) plain: Account,
    /// Bytes and rows that are looked at.
    pub(crate) read: Account,
    /// Bytes of tables.
    pub(crate) tables: Account,
    /// Bytes of all profiles without their tables.
    pub(crate) profiles: Account,
    /// Texts that were not UTF-8.
    pub(crate) replaced: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        let max = limits.profile_bytes_max.min(BYTES_MAX);
        Self {
            limits,
            plain: Account::new("its bytes after inflating", max, 1),
            read: Account::new("the bytes that it refers to", max, READS_PER_BYTE),
            tables: Account::new("the bytes of its tables", max, 1),
            profiles: Account::new("the bytes of its profiles", max, 1),
            replaced: 0,
        }
    }

    /// A text of a table, as UTF-8.
    pub(crate) fn text<'b>(&mut self, bytes: &'b [u8]) -> Result<std::borrow::Cow<'b, str>, Error> {
        let max = self.limits.string_bytes_max;
        if bytes.len() > max {
            let what = format!("a text has {} bytes", bytes.len());
            return Err(Error::over(what, "string_bytes_max", max));
        }
        let text = String::from_utf8_lossy(bytes);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.replaced += 1;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_gives_what_it_has_and_names_its_limit() {
        let limits = Limits {
            profile_bytes_max: 10,
            ..Limits::default()
        };
        let mut meter = Meter::new(&limits);
        assert_eq!(meter.plain.take(10), Ok(()));
        let error = meter.plain.take(1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid record: its bytes after inflating: more than profile_bytes_max=10"
        );
        assert_eq!(meter.read.take(40), Ok(()));
        assert!(meter.read.take(1).is_err());
    }
}
