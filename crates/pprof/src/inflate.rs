//! Bounded inflating. Owns the scratch buffer's size, not what is in it.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use crate::Error;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const GROWTH_MIN: usize = 64 << 10;
/// A larger buffer is given back after use, so that one giant does not stay for good.
const KEPT_MAX: usize = 32 << 20;

/// Room to inflate into, kept between profiles.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    /// The plain bytes of `raw`, which may be gzip with any number of members.
    pub(crate) fn plain<'a>(&'a mut self, raw: &'a [u8], max: usize) -> Result<&'a [u8], Error> {
        if !raw.starts_with(&MAGIC) {
            if raw.len() > max {
                return Err(over(raw.len(), max));
            }
            return Ok(raw);
        }
        let filled = self.inflate(raw, max)?;
        Ok(&self.0[..filled])
    }

    fn inflate(&mut self, raw: &[u8], max: usize) -> Result<usize, Error> {
        let mut gzip = MultiGzDecoder::new(raw);
        let mut filled = 0;
        loop {
            if filled == self.0.len() {
                // One byte more than allowed tells "exactly full" from "too large".
                let grown = (self.0.len() * 2)
                    .max(raw.len().saturating_mul(4))
                    .max(GROWTH_MIN)
                    .min(max.saturating_add(1));
                if grown <= filled {
                    return Err(over(filled, max));
                }
                self.0.reserve_exact(grown - filled);
                self.0.resize(grown, 0);
            }
            match gzip.read(&mut self.0[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::undecodable(format!("gzip: {error}"))),
            }
        }
        if filled > max {
            return Err(over(filled, max));
        }
        Ok(filled)
    }

    pub(crate) fn trim(&mut self) {
        if self.0.len() > KEPT_MAX {
            self.0 = Vec::new();
        }
    }
}

fn over(at_least: usize, max: usize) -> Error {
    Error::over(
        format!("at least {at_least} bytes after inflating"),
        "profile_bytes_max",
        max,
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(plain).expect("memory takes every write");
        out.finish().expect("memory takes every write")
    }

    #[test]
    fn members_are_joined() {
        let raw = [gzip(b"ab"), gzip(b""), gzip(b"c")].concat();
        assert_eq!(Scratch::default().plain(&raw, 3), Ok(&b"abc"[..]));
    }

    #[test]
    fn a_bomb_is_refused_within_the_limit() {
        let raw = gzip(&vec![0; 10 << 20]);
        assert!(raw.len() < 100 << 10);
        let mut scratch = Scratch::default();
        let error = scratch.plain(&raw, 100_000).expect_err("too large");
        assert!(
            error.to_string().contains("profile_bytes_max=100000"),
            "{error}"
        );
        assert!(scratch.0.capacity() <= 100_001, "{}", scratch.0.capacity());
    }

    #[test]
    fn exactly_the_limit_is_accepted() {
        let plain = vec![7; 100_000];
        let raw = gzip(&plain);
        let mut scratch = Scratch::default();
        assert_eq!(scratch.plain(&raw, 100_000), Ok(&plain[..]));
        assert!(scratch.plain(&raw, 99_999).is_err());
        assert_eq!(scratch.plain(&plain, 100_000), Ok(&plain[..]));
        assert!(scratch.plain(&plain, 99_999).is_err());
    }

    #[test]
    fn cut_and_trailing_bytes_are_errors() {
        let raw = gzip(b"hello hello hello");
        for cut in 2..raw.len() {
            assert!(
                Scratch::default().plain(&raw[..cut], 100).is_err(),
                "cut at {cut}"
            );
        }
        assert!(
            Scratch::default()
                .plain(&[raw, vec![1]].concat(), 100)
                .is_err()
        );
    }
}
