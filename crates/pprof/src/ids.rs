//! Ids of a pprof table to positions in ours. Owns uniqueness, not the rows.

use hashbrown::HashMap;

use crate::Error;

/// Most writers number rows 1, 2, 3 ...; then no map is needed.
#[derive(Debug)]
pub(crate) struct Ids {
    table: &'static str,
    len: u32,
    map: Option<HashMap<u64, u32, foldhash::fast::RandomState>>,
}

impl Ids {
    pub(crate) fn new(table: &'static str) -> Self {
        Self {
            table,
            len: 0,
            map: None,
        }
    }

    /// Gives the next position to `id`.
    pub(crate) fn push(&mut self, id: u64) -> Result<(), Error> {
        let table = self.table;
        if id == 0 {
            return Err(Error::contradiction(format!("a {table} has no id")));
        }
        let at = self.len;
        self.len += 1;
        if self.map.is_none() && id == u64::from(at) + 1 {
            return Ok(());
        }
        let map = self
            .map
            .get_or_insert_with(|| (0..at).map(|at| (u64::from(at) + 1, at)).collect());
        match map.insert(id, at) {
            None => Ok(()),
            Some(_) => Err(Error::contradiction(format!("two {table}s have id {id}"))),
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<u32> {
        match &self.map {
            None => id
                .checked_sub(1)
                .filter(|at| *at < u64::from(self.len))
                .map(|at| at as u32),
            Some(map) => map.get(&id).copied(),
        }
    }

    /// Like [`Ids::get`]; an unknown id is the fault of what `asker` describes.
    #[inline]
    pub(crate) fn find(&self, id: u64, asker: impl FnOnce() -> String) -> Result<u32, Error> {
        match self.get(id) {
            Some(at) => Ok(at),
            None => Err(self.unknown(id, &asker())),
        }
    }

    #[cold]
    fn unknown(&self, id: u64, asker: &str) -> Error {
        Error::contradiction(format!("{asker} names unknown {} {id}", self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_of_ids_is_found_again() {
        for ids in [&[1, 2, 3][..], &[1, 2, 9, 3], &[7, 1, u64::MAX], &[2, 1]] {
            let mut table = Ids::new("location");
            for id in ids {
                table.push(*id).expect("unique");
            }
            for (at, id) in ids.iter().enumerate() {
                assert_eq!(table.get(*id), Some(at as u32), "{ids:?}");
            }
            assert_eq!(table.get(0), None);
            assert_eq!(table.get(77), None);
        }
    }

    #[test]
    fn zero_and_twice_are_refused() {
        let mut table = Ids::new("location");
        assert!(table.push(0).is_err());
        table.push(1).expect("unique");
        let error = table.push(1).expect_err("twice").to_string();
        assert_eq!(error, "invalid profile: two locations have id 1");
    }
}
