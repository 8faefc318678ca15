//! Bodies of HTTP requests, bounded as sent and as inflated.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};

use super::caller::Caller;
use crate::admission::Permit;
use crate::error::Error;
use crate::ingester::Ingester;

/// A body that was read, and the memory it may take.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// Bytes after inflating.
    plain_max: usize,
    permit: Permit,
}

impl Received {
    /// A part of the body in place of it.
    pub(super) fn replaced(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }

    /// Undoes compression. How large that gets is known only afterwards, so bodies take turns.
    pub(super) async fn inflated(self, coding: Coding, ingester: &Ingester) -> Result<Self, Error> {
        if coding == Coding::Plain {
            return Ok(self);
        }
        let admission = ingester.admission();
        let _turn = admission.turn().await?;
        let Self {
            bytes,
            plain_max,
            permit,
        } = self;
        let inflate = move || coding.inflate(&bytes, plain_max);
        let bytes = ingester.cx().compute(inflate).await?;
        // Given back first: the sum of both may be more than there is.
        drop(permit);
        let permit = admission.body(bytes.len()).await?;
        Ok(Self {
            bytes,
            plain_max,
            permit,
        })
    }
}

/// What a body is, without parameters, in lower case; empty if it is not said.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}

/// A sender that is slower than this has given up or never meant it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a whole body.
pub(super) async fn read(
    ingester: &Ingester,
    (caller, headers): (&Caller, &HeaderMap),
    body: Body,
) -> Result<Received, Error> {
    let limits = ingester.limits().of(&caller.tenant);
    let max = limits.request_bytes_max;
    let too_large = Error::TooLarge {
        what: "the body",
        name: "request_bytes_max",
        max,
    };
    let length = headers.get(header::CONTENT_LENGTH);
    let length: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    // What is only claimed counts as just too much.
    let claimed = length.unwrap_or_default().min(max.saturating_add(1));
    caller.held.expect(claimed);
    if length.is_some_and(|length| length > max) {
        return Err(too_large);
    }
    // Who does not say how much comes is counted as sending the most until it is there.
    let mut permit = ingester.admission().body(length.unwrap_or(max)).await?;
    let collected = Limited::new(body, max).collect();
    let clock = ingester.cx().clock();
    let collected = tokio::select! {
        collected = collected => collected,
        () = clock.sleep(PATIENCE) => return Err(Error::SlowBody(PATIENCE)),
    };
    match collected {
        Ok(collected) => {
            let bytes = collected.to_bytes();
            permit.shrink(bytes.len());
            if length.is_none() {
                caller.held.expect(bytes.len());
            }
            Ok(Received {
                bytes,
                plain_max: limits.profile_bytes_max,
                permit,
            })
        }
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large),
        Err(error) => Err(Error::Interrupted(error.to_string())),
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// As the request says. Other codings are refused.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let coding = headers.get(header::CONTENT_ENCODING);
        let Some(coding) = coding.map(|coding| coding.as_bytes().to_ascii_lowercase()) else {
            return Ok(Self::Plain);
        };
        match &coding[..] {
            b"" | b"identity" => Ok(Self::Plain),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            _ => Err(Error::Malformed(format!(
                "content-encoding {:?} is not supported: use gzip, zstd or none",
                String::from_utf8_lossy(&coding[..coding.len().min(40)])
            ))),
        }
    }

    /// Of a body that says nothing about it.
    pub(super) fn guess(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Whether a pprof that came so may be left as it is, since it may be gzip by itself; not if it
    /// is that under the coding as well.
    pub(super) fn is_pprof_s_own(self, bytes: &[u8]) -> bool {
        match self {
            Self::Plain => true,
            Self::Zstd => false,
            Self::Gzip => {
                let mut first = [0; 2];
                let read = MultiGzDecoder::new(bytes).read_exact(&mut first);
                read.is_err() || first != [0x1f, 0x8b]
            }
        }
    }

    /// Undoes it, within `max` bytes.
    pub(super) fn inflate(self, bytes: &Bytes, max: usize) -> Result<Bytes, Error> {
        let mut out = Vec::new();
        let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let inflated = match self {
            Self::Plain => return Ok(bytes.clone()),
            Self::Gzip => MultiGzDecoder::new(&bytes[..])
                .take(bound)
                .read_to_end(&mut out),
            Self::Zstd => zstd::Decoder::with_buffer(&bytes[..])
                .and_then(|decoder| decoder.take(bound).read_to_end(&mut out)),
        };
        let name = if self == Self::Gzip { "gzip" } else { "zstd" };
        inflated.map_err(|e| Error::Malformed(format!("the body is not valid {name}: {e}")))?;
        if out.len() > max {
            return Err(Error::TooLarge {
                what: "the inflated body",
                name: "profile_bytes_max",
                max,
            });
        }
        Ok(out.into())
    }
}
