//! Which limits hold for whom.

use std::collections::BTreeMap;

use anyhow::Context as _;
use cairn_model::{Limits, TenantId};

use crate::config::Config;

/// The limits of every tenant.
#[derive(Clone, Debug)]
pub(crate) struct TenantLimits {
    usual: Limits,
    own: BTreeMap<TenantId, Limits>,
}

impl TenantLimits {
    /// Fails by the name of a setting that no tenant can have.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let usual = config.limits;
        check(&usual).context("ingester.limits")?;
        let own = config.tenants.iter().map(|(tenant, of)| {
            let limits = of.limits.over(&usual);
            let limits = limits.and_then(|limits| check(&limits).map(|()| limits));
            let limits = limits.with_context(|| format!("ingester.tenants.{tenant}.limits"))?;
            Ok((tenant.clone(), limits))
        });
        let own = own.collect::<anyhow::Result<_>>()?;
        Ok(Self { usual, own })
    }

    pub(crate) fn of(&self, tenant: &TenantId) -> &Limits {
        self.own.get(tenant).unwrap_or(&self.usual)
    }

    /// The largest of all tenants: for servers that read before they know whose it is.
    pub(crate) fn max(&self, limit: impl Fn(&Limits) -> usize) -> usize {
        let own = self.own.values().map(&limit);
        own.fold(limit(&self.usual), usize::max)
    }
}

fn check(limits: &Limits) -> anyhow::Result<()> {
    anyhow::ensure!(
        limits.samples_max > 0 && limits.depth_max > 0,
        "samples_max and depth_max must be at least 1"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(limits: serde_json::Value) -> anyhow::Result<TenantLimits> {
        let json = serde_json::json!({
            "limits": {"samples_max": 7, "request_bytes_max": 1000},
            "tenants": {"acme": {"limits": limits}},
        });
        TenantLimits::new(&serde_json::from_value::<Config>(json)?)
    }

    fn acme() -> TenantId {
        TenantId::parse("acme").expect("valid")
    }

    #[test]
    fn a_tenant_has_the_usual_limits_besides_its_own() {
        let all = with(serde_json::json!({"samples_max": 3, "excess": "refuse"})).expect("valid");
        let own = all.of(&acme());
        assert_eq!((own.samples_max, own.request_bytes_max), (3, 1000));
        assert_eq!(own.excess, cairn_model::Excess::Refuse);
        assert_eq!(all.of(&TenantId::anonymous()).samples_max, 7);
        assert_eq!(all.max(|limits| limits.samples_max), 7);
    }

    #[test]
    fn what_can_not_be_a_limit_is_named() {
        for (limits, named) in [
            (serde_json::json!({"sample_max": 3}), "sample_max"),
            (serde_json::json!({"samples_max": 0}), "samples_max"),
            (serde_json::json!({"depth_max": "deep"}), "deep"),
        ] {
            let error = format!("{:#}", with(limits).expect_err("refused"));
            assert!(error.contains("ingester.tenants.acme.limits"), "{error}");
            assert!(error.contains(named), "{error}");
        }
    }
}
