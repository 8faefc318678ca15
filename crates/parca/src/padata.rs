//! The files that agents write when they are offline. Owns their frame; what a batch says is read
//! as if it had been sent.
//!
//! A file is a head of a magic number, a version (16 bits) and the number of records (16 bits), and
//! then batches: their length (32 bits) and an Arrow stream. Numbers are big endian. A record is one
//! batch of samples with their stacks (version 2 of the schema), or one of samples and one of those
//! of their stacks that are new in the file (version 1).
//!
//! An agent counts a record after it has written it, so the end of a file may be a part of one.

use cairn_model::Limits;

use crate::two_way::{self, Stacks};
use crate::{Decoded, Error};

const MAGIC: [u8; 4] = [0xa6, 0xe7, 0xcc, 0xca];
const VERSION: u16 = 0;
/// Bytes of the length of a batch.
const LENGTH: usize = 4;

/// A file whose frame is read.
#[derive(Debug)]
pub struct Padata<'a> {
    /// Batches of samples, one for each whole record.
    samples: Vec<&'a [u8]>,
    /// Where batches name their stacks, all stacks of the file.
    stacks: Option<Stacks>,
    cut_bytes: usize,
    limits: &'a Limits,
}

/// Whether bytes begin as these files do.
pub fn is_padata(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl<'a> Padata<'a> {
    /// Fails if the head is of no such file, or if the stacks of the file are malformed.
    pub fn open(bytes: &'a [u8], limits: &'a Limits) -> Result<Self, Error> {
        let (records, rest) = head(bytes)?;
        let is_named = whole(rest)
            .next()
            .is_some_and(|batch| two_way::samples(batch, limits).is_ok());
        let of_record = if is_named { 2 } else { 1 };
        let mut batches: Vec<&[u8]> = whole(rest).take(records * of_record).collect();
        batches.truncate(batches.len() / of_record * of_record);
        let used: usize = batches.iter().map(|batch| LENGTH + batch.len()).sum();
        // A stack is written once, and stands for later records too.
        let stacks: Vec<&[u8]> = batches.iter().skip(1).step_by(2).copied().collect();
        let stacks = match is_named && !stacks.is_empty() {
            false => None,
            true => Some(two_way::stacks(&stacks.concat(), limits)?),
        };
        Ok(Self {
            samples: batches.into_iter().step_by(of_record).collect(),
            stacks,
            cut_bytes: rest.len() - used,
            limits,
        })
    }

    /// Bytes at the end that are no whole record, and not read.
    pub fn cut_bytes(&self) -> usize {
        self.cut_bytes
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// What each record says, in the order of the file.
    pub fn records(&self) -> impl Iterator<Item = Result<Decoded, Error>> {
        self.samples.iter().map(|batch| match &self.stacks {
            None => crate::decode(batch, self.limits),
            Some(stacks) => two_way::samples(batch, self.limits)?.join(stacks, self.limits),
        })
    }
}

/// The number of records, and what follows the head.
fn head(bytes: &[u8]) -> Result<(usize, &[u8]), Error> {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(Error::undecodable("the head of the file is cut off"));
    };
    let [magic @ .., version_high, version_low, high, low] = *head;
    if magic != MAGIC {
        return Err(Error::undecodable(
            "it is no file of an agent that is offline",
        ));
    }
    let version = u16::from_be_bytes([version_high, version_low]);
    if version != VERSION {
        return Err(Error::undecodable(format!(
            "files of version {version} are not read, only those of {VERSION}"
        )));
    }
    Ok((u16::from_be_bytes([high, low]).into(), rest))
}

/// Batches, as far as they are whole.
fn whole(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<LENGTH>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (batch, after) = after.split_at_checked(length)?;
        rest = after;
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_model::Profile;

    use super::*;
    use crate::write::{Frame, Sample, v1_samples, v1_stacks, v2};
    use crate::{MISSING_FRAME, StackId};

    fn file(records: u16, batches: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(records.to_be_bytes());
        for batch in batches {
            let length = u32::try_from(batch.len()).expect("it is short");
            bytes.extend(length.to_be_bytes());
            bytes.extend(batch);
        }
        bytes
    }

    fn stack(file: &str) -> Arc<[Frame]> {
        Arc::from([Frame {
            address: 16,
            frame_type: "native".to_owned(),
            file: file.to_owned(),
            ..Frame::default()
        }])
    }

    fn sample(file: &str, value: i64) -> Sample {
        Sample {
            stack: stack(file),
            stack_id: id(file),
            value,
            ..Sample::default()
        }
    }

    fn id(file: &str) -> StackId {
        [file.as_bytes()[0]; 16]
    }

    /// Records of version 1; the second has no stack of its own but what the first one has.
    fn named() -> [Vec<u8>; 4] {
        let stacks = |files: &[&str]| {
            let stacks: Vec<_> = files.iter().map(|file| (id(file), stack(file))).collect();
            v1_stacks(&stacks)
        };
        [
            v1_samples(&[sample("a", 1), sample("b", 2)]),
            stacks(&["a", "b"]),
            v1_samples(&[sample("b", 4), sample("c", 8)]),
            stacks(&[]),
        ]
    }

    /// The binary of each sample's leaf, or its function, and its value.
    fn leaves(decoded: &Decoded) -> Vec<(String, i64)> {
        let name = |profile: &Profile, sample: usize| {
            let location = profile.stack(sample)[0];
            let text = match profile.lines(location) {
                [] => {
                    profile.tables.mappings
                        [profile.tables.locations[location as usize].mapping as usize]
                        .file
                }
                [line, ..] => profile.tables.functions[line.function as usize].name,
            };
            profile.str(text).to_owned()
        };
        let profile = &decoded.profiles[0].profile;
        let mut leaves: Vec<_> = (0..profile.samples.len())
            .map(|sample| (name(profile, sample), profile.values(sample)[0]))
            .collect();
        leaves.sort();
        leaves
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<(String, i64)>>, usize) {
        let limits = Limits::default();
        let padata = Padata::open(bytes, &limits).expect("its frame is whole");
        let records = padata
            .records()
            .map(|record| leaves(&record.expect("it is valid")));
        (records.collect(), padata.cut_bytes())
    }

    fn pairs(of: &[(&str, i64)]) -> Vec<(String, i64)> {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn records_with_their_stacks_are_one_batch_each() {
        let batches = [v2(&[sample("a", 1)]), v2(&[sample("b", 2)])];
        let expected = vec![pairs(&[("a", 1)]), pairs(&[("b", 2)])];
        assert_eq!(read(&file(2, &batches)), (expected, 0));
        assert_eq!(read(&file(0, &[])), (vec![], 0));
    }

    #[test]
    fn stacks_stand_for_later_records_too() {
        let expected = vec![
            pairs(&[("a", 1), ("b", 2)]),
            pairs(&[(MISSING_FRAME, 8), ("b", 4)]),
        ];
        assert_eq!(read(&file(2, &named())), (expected, 0));
    }

    #[test]
    fn the_end_may_be_a_part_of_a_record() {
        let whole = [v2(&[sample("a", 1)]), v2(&[sample("b", 2)])];
        let (named, lengths) = (named(), |batches: &[Vec<u8>]| -> usize {
            batches.iter().map(|batch| batch.len() + LENGTH).sum()
        });
        for (batches, of_record) in [(&whole[..], 1), (&named[..], 2)] {
            let bytes = file(2, batches);
            let second = 8 + lengths(&batches[..of_record]);
            for end in (8..bytes.len()).step_by(61) {
                let (records, cut) = read(&bytes[..end]);
                let expected = if end < second {
                    (0, end - 8)
                } else {
                    (1, end - second)
                };
                assert_eq!((records.len(), cut), expected, "{of_record} {end}");
            }
            // Written, but not counted.
            let (records, cut) = read(&file(1, batches));
            assert_eq!((records.len(), cut), (1, lengths(&batches[of_record..])));
        }
    }

    #[test]
    fn other_files_and_damaged_ones_are_refused() {
        let limits = Limits::default();
        let whole = file(1, &[v2(&[sample("a", 1)])]);
        let mut later = whole.clone();
        later[5] = 1;
        for (bytes, reason) in [
            (&whole[..7], "the head of the file is cut off"),
            (b"PAR1PAR1", "it is no file of an agent that is offline"),
            (&later, "files of version 1 are not read, only those of 0"),
        ] {
            let error = Padata::open(bytes, &limits).expect_err("it is not valid");
            assert_eq!(
                error.to_string(),
                format!("failed to parse record: {reason}")
            );
        }
        assert!(is_padata(&whole) && !is_padata(b"PAR1"));
        let empty = file(1, &[vec![]]);
        let padata = Padata::open(&empty, &limits).expect("its frame is whole");
        assert_eq!((padata.len(), padata.is_empty()), (1, false));
        assert!(padata.records().all(|record| record.is_err()));
        let [samples, _, _, stacks] = named();
        let swapped = file(1, &[samples.clone(), samples]);
        Padata::open(&swapped, &limits).expect_err("the second has no stacks");
        let alone = file(1, &[stacks]);
        let padata = Padata::open(&alone, &limits).expect("its frame is whole");
        let decoded: Vec<_> = padata.records().collect();
        assert!(
            decoded[0]
                .as_ref()
                .is_ok_and(|decoded| decoded.profiles.is_empty())
        );
    }
}
