//! Shared profiles: kept in the object store under a name that nobody guesses, until they expire.
//!
//! Owns no deletion: what expired is refused here and deleted by the compactor.

use std::time::Duration;

use bytes::Bytes;
use cairn_model::{Code, ShareId};
use cairn_store::Key;
use cairn_wire::cairn::query::v1::SharedProfile;
use prost::Message;

use crate::error::{Error, chain};
use crate::querier::Session;

/// Bytes of a description: a few sentences.
const DESCRIPTION_BYTES_MAX: usize = 4096;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Not telling whether there was such a profile.
const NO_SHARE: &str = "there is no such shared profile, or it has expired";

impl Session {
    /// Keeps a profile for as long as settings say.
    pub(crate) async fn share(&self, shared: SharedProfile) -> Result<ShareId, Error> {
        let lifetime = self.querier.config().share.lifetime;
        if lifetime.is_zero() {
            return Err(Error::Unsupported("sharing profiles".to_owned()));
        }
        let bytes = shared.description.len();
        if bytes > DESCRIPTION_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "the description has {bytes} bytes; at most {DESCRIPTION_BYTES_MAX} are allowed"
            )));
        }
        let cx = self.querier.cx();
        let id = ShareId {
            expires_unix_s: expiry(cx.clock().now(), lifetime),
            nonce: cx.random().u128(),
        };
        let key = Key::Share {
            tenant: self.tenant(),
            id,
        };
        let bytes = Bytes::from(shared.encode_to_vec());
        let max = self.querier.config().limits.message_bytes_max;
        if bytes.len() > max {
            let what = "the shared profile";
            return Err(Error::TooLarge { what, max });
        }
        let created = self.querier.store().create_once(key, bytes).await;
        created.map_err(|error| stored(&error))?;
        Ok(id)
    }

    /// The profile that a link leads to.
    pub(crate) async fn shared(&self, id: &str) -> Result<SharedProfile, Error> {
        let id: ShareId = id
            .parse()
            .map_err(|error: cairn_model::InvalidShareId| Error::Invalid(error.to_string()))?;
        if is_over(id, self.querier.cx().clock().now()) {
            return Err(Error::NotFound(NO_SHARE));
        }
        let key = Key::Share {
            tenant: self.tenant(),
            id,
        };
        let bytes = match self.querier.store().get(key).await {
            Ok(bytes) => bytes,
            Err(cairn_store::Error::NotFound { .. }) => return Err(Error::NotFound(NO_SHARE)),
            Err(error) => return Err(stored(&error)),
        };
        SharedProfile::decode(bytes).map_err(|error| Error::Store {
            code: Code::Corrupt,
            text: error.to_string(),
        })
    }
}

fn stored(error: &cairn_store::Error) -> Error {
    Error::Store {
        code: error.code(),
        text: chain(error),
    }
}

/// In whole seconds; what can't be written down expires as late as can be.
fn expiry(now: i64, lifetime: Duration) -> u32 {
    let now = u64::try_from(now / NANOS_PER_SECOND).unwrap_or(0);
    u32::try_from(now.saturating_add(lifetime.as_secs())).unwrap_or(u32::MAX)
}

fn is_over(id: ShareId, now: i64) -> bool {
    i64::from(id.expires_unix_s) <= now / NANOS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_expire_on_the_second() {
        let now = 1_795_000_000 * NANOS_PER_SECOND;
        let id = ShareId {
            expires_unix_s: expiry(now, Duration::from_secs(60)),
            nonce: 1,
        };
        assert!(!is_over(id, now + 59 * NANOS_PER_SECOND));
        assert!(is_over(id, now + 60 * NANOS_PER_SECOND));
        assert_eq!(expiry(now, Duration::MAX), u32::MAX);
    }
}
