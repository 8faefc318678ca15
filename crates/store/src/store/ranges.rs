//! Reading parts of objects. Takes nobody's word for the size of an object: neither that of a
//! damaged one, nor that of a server.

use std::ops::Range;

use bytes::Bytes;
use object_store::{
    GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore as _, coalesce_ranges,
};

use super::Store;
use crate::{Error, Key};

impl Store {
    /// Reads exactly these bytes; an object that does not hold them all is [`Error::OutOfRange`].
    pub async fn get_range(&self, key: Key<'_>, range: Range<u64>) -> Result<Bytes, Error> {
        let mut parts = self.get_ranges(key, std::slice::from_ref(&range)).await?;
        Ok(parts.pop().expect("one range gives one part"))
    }

    /// Reads several ranges at once, in the order asked; near ones may share a request.
    pub async fn get_ranges(
        &self,
        key: Key<'_>,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        if let Some(reversed) = ranges.iter().find(|range| range.start > range.end) {
            return Err(out_of_range(key, reversed));
        }
        // Stores refuse to read nothing.
        let asked: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
        let parts = if self.is_folder || asked.is_empty() {
            self.read_file(key, ranges, &asked).await?
        } else {
            let fetch = |range| self.fetch(key, range);
            coalesce_ranges(&asked, fetch, OBJECT_STORE_COALESCE_DEFAULT).await?
        };
        let mut parts = parts.into_iter();
        let mut out = Vec::with_capacity(ranges.len());
        for range in ranges {
            let part = match range.is_empty() {
                true => Bytes::new(),
                false => parts.next().ok_or_else(|| out_of_range(key, range))?,
            };
            if part.len() as u64 != range.end - range.start {
                return Err(out_of_range(key, range));
            }
            out.push(part);
        }
        Ok(out)
    }

    /// Reads all parts of a file in one go.
    async fn read_file(
        &self,
        key: Key<'_>,
        ranges: &[Range<u64>],
        asked: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        // They are allocated as asked: one read from a damaged object must not become an allocation
        // of the size it claims.
        let size = self.size(key).await?;
        if let Some(bad) = ranges.iter().find(|range| range.end > size) {
            return Err(out_of_range(key, bad));
        }
        let parts = self.objects.get_ranges(&key.path(), asked).await;
        parts.map_err(|error| Error::new(key, error))
    }

    /// Reads one range with one request. What comes back has the length asked for.
    async fn fetch(&self, key: Key<'_>, range: Range<u64>) -> Result<Bytes, Error> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let found = match self.objects.get_opts(&key.path(), options).await {
            Ok(found) => found,
            Err(error) => return Err(self.why_not(key, range, error).await),
        };
        // A store sends what there is of the range; nothing is read of it then.
        if found.range != range {
            return Err(out_of_range(key, &range));
        }
        let bytes = found.bytes().await;
        let bytes = bytes.map_err(|error| Error::new(key, error))?;
        match bytes.len() as u64 == range.end - range.start {
            true => Ok(bytes),
            false => Err(out_of_range(key, &range)),
        }
    }

    /// Stores have no common word for a range that begins behind the end of an object.
    async fn why_not(&self, key: Key<'_>, range: Range<u64>, error: object_store::Error) -> Error {
        match Error::new(key, error) {
            error @ Error::Unavailable { .. } => match self.size(key).await {
                Ok(size) if range.start >= size => out_of_range(key, &range),
                _ => error,
            },
            error => error,
        }
    }
}

fn out_of_range(key: Key<'_>, range: &Range<u64>) -> Error {
    Error::OutOfRange {
        key: key.to_string(),
        start: range.start,
        end: range.end,
    }
}
