//! What a workload file says. Owns its form and its limits, not how it is carried out.

use std::time::Duration;

use bytesize::ByteSize;
use cairn_testkit::generator::Spec;
use serde::Deserialize;

/// A named mix of tenants, services and profiles. The same file sends the same profiles, but for
/// their times and the label `run`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// Requests under way at once.
    pub(crate) concurrency: usize,
    pub(crate) profiles_per_request: u64,
    pub(crate) total: Total,
    /// Profiles per second over all tenants; as fast as possible if absent.
    #[serde(default)]
    pub(crate) rate: Option<f64>,
    /// Time that one profile covers, and between two profiles of a pod.
    #[serde(with = "humantime_serde")]
    pub(crate) step: Duration,
    pub(crate) profile: Shape,
    pub(crate) tenants: Vec<Tenant>,
    /// Nobody asks if absent.
    #[serde(default)]
    pub(crate) queries: Option<Queries>,
}

/// Who asks while profiles are sent: about everything that this run has sent so far.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queries {
    /// Each asks one question after the other.
    pub(crate) readers: usize,
    /// Between an answer and the next question.
    #[serde(with = "humantime_serde")]
    pub(crate) pause: Duration,
}

/// When to stop.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Total {
    #[serde(default)]
    pub(crate) profiles: Option<u64>,
    /// Of pprof before compression.
    #[serde(default)]
    pub(crate) bytes: Option<ByteSize>,
}

/// See [`Spec`] for the fields.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) samples: u32,
    pub(crate) stacks: u32,
    pub(crate) tail: f64,
    #[serde(default)]
    pub(crate) endpoints: u32,
    #[serde(default)]
    pub(crate) traced_percent: u32,
}

/// Profiles are dealt to tenants in turn, one per pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    /// Sent as a bearer token; nothing is sent if absent.
    #[serde(default)]
    pub(crate) token: Option<String>,
    pub(crate) services: u32,
    /// Per service.
    pub(crate) pods: u32,
}

impl Workload {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let workload: Self = serde_yaml_ng::from_str(text)?;
        let has_total = workload.total.profiles.is_some() != workload.total.bytes.is_some();
        anyhow::ensure!(has_total, "total needs either profiles or bytes");
        anyhow::ensure!(workload.concurrency > 0, "concurrency is at least 1");
        anyhow::ensure!(
            workload.profiles_per_request > 0,
            "profiles_per_request is at least 1"
        );
        anyhow::ensure!(
            workload
                .rate
                .is_none_or(|rate| rate > 0.0 && rate.is_finite()),
            "rate is above 0"
        );
        anyhow::ensure!(!workload.step.is_zero(), "step is above 0");
        anyhow::ensure!(
            workload.profile.tail > 0.0 && workload.profile.tail < 1.0,
            "tail lies between 0 and 1"
        );
        let has_pods = workload
            .tenants
            .iter()
            .all(|tenant| tenant.services > 0 && tenant.pods > 0);
        anyhow::ensure!(
            has_pods && !workload.tenants.is_empty(),
            "there is at least one tenant, and each has services and pods"
        );
        Ok(workload)
    }

    /// What to generate for one tenant, with its last step at `start`.
    pub(crate) fn spec(&self, tenant: usize, start: i64) -> Spec {
        let shape = self.profile;
        Spec {
            seed: self.seed ^ (tenant as u64) << 40,
            services: self.tenants[tenant].services,
            pods: self.tenants[tenant].pods,
            samples: shape.samples,
            stacks: shape.stacks,
            tail: shape.tail,
            start,
            step: i64::try_from(self.step.as_nanos()).unwrap_or(i64::MAX),
            endpoints: shape.endpoints,
            traced_percent: shape.traced_percent,
            ..Spec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_workloads_are_understood() {
        for text in [
            include_str!("../workloads/small.yaml"),
            include_str!("../workloads/ten-gigabytes.yaml"),
            include_str!("../workloads/asked.yaml"),
        ] {
            Workload::parse(text).expect("shipped files are valid");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let small = include_str!("../workloads/small.yaml");
        for (from, to, why) in [
            ("seed: 1", "sed: 1", "sed"),
            ("{ profiles: 2000 }", "{}", "total needs"),
            ("tail: 0.7", "tail: 7", "tail lies"),
            ("services: 4", "services: 0", "at least one tenant"),
            ("tenants:", "queries: { readers: 1 }\ntenants:", "pause"),
        ] {
            let error = Workload::parse(&small.replace(from, to)).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
