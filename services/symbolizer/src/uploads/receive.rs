//! Bytes from a client into a scratch file: bounded, counted, hashed.

use bytes::Bytes;
use cairn_model::ContentHash;
use futures::Stream;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use twox_hash::XxHash64;

use super::MAX_SETTING;
use crate::error::Error;
use crate::scratch;

/// What was said of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    /// 0 if nothing was.
    pub(crate) bytes: u64,
    /// Empty if nothing was.
    pub(crate) hash: String,
}

/// A file that came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path: TempPath,
    pub(crate) bytes: u64,
    pub(crate) content: ContentHash,
}

/// A hash of all bytes that a claim can be compared with. `parca-debuginfo` claims XXH64, our own
/// command SHA-256. Parca's agents claim a hash of the executable from which they made the file that
/// they send, which can't be computed from that.
enum Hasher {
    Xxh64(XxHash64),
    Sha256(Sha256),
    Unknown,
}

impl Hasher {
    fn of(claimed: &str) -> Self {
        let is_hex = claimed.bytes().all(|b| b.is_ascii_hexdigit());
        match claimed.len() {
            16 if is_hex => Self::Xxh64(XxHash64::with_seed(0)),
            64 if is_hex => Self::Sha256(Sha256::new()),
            _ => Self::Unknown,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Xxh64(hasher) => std::hash::Hasher::write(hasher, bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Unknown => {}
        }
    }

    fn check(self, claimed: &str) -> Result<(), Error> {
        let found = match self {
            Self::Xxh64(hasher) => format!("{:016x}", std::hash::Hasher::finish(&hasher)),
            Self::Sha256(hasher) => ContentHash(hasher.finalize().into()).to_string(),
            Self::Unknown => return Ok(()),
        };
        match found.eq_ignore_ascii_case(claimed) {
            true => Ok(()),
            false => Err(Error::Mismatch(format!(
                "the file that came has the hash {found}, not {claimed}"
            ))),
        }
    }
}

impl Claim {
    /// Whether a file of this size is what was announced.
    pub(crate) fn check_size(&self, bytes: u64, max: u64) -> Result<(), Error> {
        let said = match self.bytes {
            0 if bytes > max => format!("more than the {max} that {MAX_SETTING} allows"),
            0 => return Ok(()),
            same if same == bytes => return Ok(()),
            other => format!("not the {other} that were announced"),
        };
        let text = format!("the file that came has {bytes} bytes, {said}");
        Err(Error::Mismatch(text))
    }
}

/// Receives a file. More than was announced, or than `max`, is refused as soon as it comes.
pub(crate) async fn receive<S>(
    parts: S,
    path: TempPath,
    claim: Claim,
    max: u64,
) -> Result<Received, Error>
where
    S: Stream<Item = Result<Bytes, Error>> + Unpin,
{
    let mut hasher = Hasher::of(&claim.hash);
    let mut sha256 = Sha256::new();
    let mut bytes = 0;
    let see = |part: &Bytes| {
        bytes += part.len() as u64;
        if bytes > max {
            let text = format!("the file has more than the {max} bytes that {MAX_SETTING} allows");
            return Err(Error::Mismatch(text));
        }
        if claim.bytes > 0 && bytes > claim.bytes {
            let text = format!(
                "more came than the {} bytes that were announced",
                claim.bytes
            );
            return Err(Error::Mismatch(text));
        }
        // A few megabytes at most, as a message may be: some milliseconds.
        hasher.update(part);
        sha256.update(part);
        Ok(())
    };
    scratch::write(parts, &path, see).await?;
    claim.check_size(bytes, max)?;
    hasher.check(&claim.hash)?;
    Ok(Received {
        path,
        bytes,
        content: ContentHash(sha256.finalize().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(claim: Claim) -> Result<Received, Error> {
        let parts = ["he", "", "llo"].map(|part| Ok(Bytes::from_static(part.as_bytes())));
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let parts = futures::stream::iter(parts);
        receive(parts, file.into_temp_path(), claim, 10).await
    }

    #[tokio::test]
    async fn hashes_are_compared_where_they_can_be() {
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        // As `xxhsum -H64` and `sha256sum` print them of "hello".
        for right in [
            "26c7827d889f6da3",
            "26C7827D889F6DA3",
            sha256,
            // The hash of something else, or no hash at all.
            "0ea5ac675e9628556a1c0cca44e33d0f",
            "nothing of the sort",
            "",
        ] {
            let claim = Claim {
                bytes: 5,
                hash: right.to_owned(),
            };
            let file = received(claim).await.expect("right or not to be told");
            let content = file.content.to_string();
            assert_eq!((file.bytes, content.as_str()), (5, sha256));
            assert_eq!(std::fs::read(&file.path).expect("there"), b"hello");
        }
        for wrong in ["26c7827d889f6da4", &"0".repeat(64)] {
            let claim = Claim {
                bytes: 5,
                hash: wrong.to_owned(),
            };
            let error = received(claim).await.expect_err("another hash");
            assert!(error.to_string().contains(wrong), "{error}");
        }
        let claim = Claim::default();
        claim.check_size(11, 10).expect_err("more than is allowed");
        for wrong in [3, 4, 6] {
            let claim = Claim {
                bytes: wrong,
                ..Claim::default()
            };
            let error = received(claim).await.expect_err("another size");
            assert!(matches!(error, Error::Mismatch(_)), "{error}");
        }
    }
}
