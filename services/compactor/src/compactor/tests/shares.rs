//! Shared profiles are deleted once they have expired, and not before.

use cairn_model::ShareId;

use super::*;

#[tokio::test]
async fn shared_profiles_go_when_they_expire() {
    let mut world = World::new().await;
    let start = u32::try_from(START / 1_000_000_000).expect("in range");
    let tenants = ["a", "b"].map(|name| TenantId::parse(name).expect("valid"));
    let store = world.compactor.store.clone();
    for (nonce, tenant) in tenants.iter().enumerate() {
        for expires_unix_s in [start - 1, start + 5000, u32::MAX] {
            let id = ShareId {
                expires_unix_s,
                nonce: nonce as u128,
            };
            let key = Key::Share { tenant, id };
            let bytes = Bytes::from_static(b"x");
            store.create(key, bytes).await.expect("stored");
        }
    }
    let left = async || store.list_shares().await.expect("listed").len();
    world.compactor.round().await;
    assert_eq!(left().await, 4);
    // Expired by then, but it is not time to look again.
    for (seconds, expected) in [(3000, 4), (2500, 2), (10_000, 2)] {
        world.clock.advance(Duration::from_secs(seconds));
        world.compactor.round().await;
        assert_eq!(left().await, expected);
    }
    world.stop().await;
}
