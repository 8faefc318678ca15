//! What is pushed.

use std::sync::LazyLock;

use bytes::Bytes;
use cairn_model::{Labels, Limits};
use cairn_pprof::{Options, decode, encode_gzip};
use cairn_testkit::corpus;
use cairn_testkit::generator::{Generator, Spec};

/// What one request brings.
pub(crate) type Request = Vec<(Labels, Bytes)>;

pub(crate) struct Load {
    pub(crate) requests: Vec<Request>,
    pub(crate) gzip_bytes: usize,
    pub(crate) plain_bytes: usize,
    pub(crate) samples: usize,
}

/// What agents send: a few hundred samples of every process, several processes per request.
pub(crate) static AGENTS: LazyLock<Load> = LazyLock::new(|| {
    let spec = Spec {
        services: 4,
        pods: 10,
        samples: 152,
        endpoints: 8,
        ..Spec::default()
    };
    Load::new(generated(spec, 20), 10)
});

/// The same, one profile per request as SDKs send it.
pub(crate) static SDKS: LazyLock<Load> = LazyLock::new(|| {
    let all = AGENTS.requests.iter().flatten().cloned();
    Load::new(all.collect(), 1)
});

pub(crate) static LARGE: LazyLock<Load> = LazyLock::new(|| {
    let spec = Spec {
        services: 2,
        pods: 10,
        samples: 5000,
        stacks: 1_000_000,
        tail: 0.8,
        endpoints: 50,
        traced_percent: 2,
        ..Spec::default()
    };
    Load::new(generated(spec, 5), 4)
});

/// Real profiles. There are few, so each comes from many pods.
pub(crate) static CORPUS: LazyLock<Load> = LazyLock::new(|| {
    let pprofs = corpus::pprofs();
    let mut profiles = Vec::new();
    for pod in 0..4 {
        for pprof in &pprofs {
            let labels = [
                ("service_name", pprof.name.clone()),
                ("pod", format!("{pod}")),
            ];
            let labels = Labels::from_pairs(labels).unwrap();
            profiles.push((labels, pprof.bytes.clone().into()));
        }
    }
    Load::new(profiles, 1)
});

fn generated(spec: Spec, steps: u32) -> Request {
    let (services, pods) = (spec.services, spec.pods);
    let generator = Generator::new(spec);
    let mut profiles = Vec::new();
    for step in 0..steps {
        for pod in 0..pods {
            for service in 0..services {
                let raw = encode_gzip(&generator.profile(service, pod, step));
                profiles.push((generator.labels(service, pod), raw.into()));
            }
        }
    }
    profiles
}

impl Load {
    fn new(profiles: Request, per_request: usize) -> Self {
        let mut load = Self {
            requests: profiles.chunks(per_request).map(<[_]>::to_vec).collect(),
            gzip_bytes: 0,
            plain_bytes: 0,
            samples: 0,
        };
        for (_, raw) in &profiles {
            let decoded = decode(raw, &Limits::default(), &Options::default()).unwrap();
            load.gzip_bytes += raw.len();
            load.plain_bytes += decoded.plain_bytes;
            load.samples += decoded.profile.samples.len();
        }
        load
    }
}
