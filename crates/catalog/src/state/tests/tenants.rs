//! Tenants and tokens.

use super::tenant;
use crate::state::*;

pub(super) fn token(tenant: TenantId) -> Token {
    Token {
        tenant,
        name: "ci".to_owned(),
        scopes: [Scope::Write].into(),
        expires_unix_ms: Some(100),
    }
}

#[test]
fn a_token_speaks_for_one_known_tenant_until_it_expires_or_is_revoked() {
    let mut state = State::default();
    let hash = TokenHash([0xab; 32]);
    let put = |token| Command::PutToken { hash, token };
    let unknown = Err(Refused::UnknownTenant(tenant("t")));
    assert_eq!(apply(&mut state, put(token(tenant("t")))), unknown);
    for name in ["t", "u"] {
        let put = Command::PutTenant {
            tenant: tenant(name),
            settings: Tenant::default(),
        };
        apply(&mut state, put).expect("valid");
    }
    assert!(state.tenant(&tenant("t")).is_some());
    let mut powerless = token(tenant("t"));
    powerless.scopes.clear();
    let mut nameless = token(tenant("t"));
    nameless.name = "x".repeat(1000);
    for bad in [powerless, nameless] {
        assert!(matches!(
            apply(&mut state, put(bad)),
            Err(Refused::Invalid(_))
        ));
    }
    apply(&mut state, put(token(tenant("t")))).expect("valid");
    let stolen = apply(&mut state, put(token(tenant("u"))));
    assert!(matches!(stolen, Err(Refused::Invalid(_))));
    assert_eq!(state.token(&hash, 99), Some(&token(tenant("t"))));
    assert_eq!(state.token(&hash, 100), None);
    apply(&mut state, Command::RevokeToken { hash }).expect("always");
    assert_eq!(state.token(&hash, 0), None);
}

#[test]
fn hashes_are_read_as_they_are_written_and_nothing_else_is() {
    let hash = TokenHash(std::array::from_fn(|at| at as u8 * 8));
    let text = serde_json::to_string(&hash).expect("plain data");
    assert_eq!(text.len(), 66);
    assert_eq!(serde_json::from_str::<TokenHash>(&text).expect("own"), hash);
    for bad in [
        "\"\"",
        "\"ab\"",
        &format!("\"{}\"", "é".repeat(32)),
        &format!("\"{}\"", "+f".repeat(32)),
    ] {
        assert!(serde_json::from_str::<TokenHash>(bad).is_err(), "{bad}");
    }
}
