//! Tenants and the tokens that speak for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cairn_model::TenantId;
use serde::{Deserialize, Serialize};

use super::Refused;

/// Bytes of a token's name.
const NAME_BYTES_MAX: usize = 256;

/// The SHA-256 of a token. The token itself is shown once, to whoever made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

/// What a tenant pays for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// Profiles are kept so long; without, for ever.
    #[serde(default)]
    pub retention_ms: Option<i64>,
}

/// What somebody who shows a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    pub scopes: BTreeSet<Scope>,
    pub expires_unix_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Write,
    Read,
    Debuginfo,
    Admin,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Tenants {
    tenants: BTreeMap<TenantId, Tenant>,
    tokens: BTreeMap<TokenHash, Token>,
}

impl Tenants {
    pub(super) fn put(&mut self, id: TenantId, tenant: Tenant) {
        self.tenants.insert(id, tenant);
    }

    pub(super) fn put_token(&mut self, hash: TokenHash, token: Token) -> Result<(), Refused> {
        if token.name.len() > NAME_BYTES_MAX {
            return Err(Refused::Invalid(format!(
                "a token's name has at most {NAME_BYTES_MAX} bytes"
            )));
        }
        if token.scopes.is_empty() {
            let text = "a token without scopes allows nothing".to_owned();
            return Err(Refused::Invalid(text));
        }
        if !self.tenants.contains_key(&token.tenant) {
            return Err(Refused::UnknownTenant(token.tenant));
        }
        let known = self.tokens.get(&hash);
        if known.is_some_and(|known| known.tenant != token.tenant) {
            return Err(Refused::Invalid("the token is another tenant's".to_owned()));
        }
        self.tokens.insert(hash, token);
        Ok(())
    }

    pub(super) fn revoke(&mut self, hash: &TokenHash) {
        self.tokens.remove(hash);
    }

    pub(super) fn get(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenants.get(id)
    }

    pub(super) fn token(&self, hash: &TokenHash, at_unix_ms: i64) -> Option<&Token> {
        let valid = |token: &&Token| token.expires_unix_ms.is_none_or(|end| at_unix_ms < end);
        self.tokens.get(hash).filter(valid)
    }
}

// === impl TokenHash ===

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let invalid = || D::Error::custom("a token's hash is 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            let digits = &text[at * 2..at * 2 + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        }
        Ok(Self(hash))
    }
}
