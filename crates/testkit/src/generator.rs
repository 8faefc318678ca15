//! Seeded profiles that look like real ones: deep call trees that share their roots, few hot stacks
//! and a long tail. The same seed gives the same bytes on every machine.
//!
//! What a profile's size depends on, in the CPU and wall profiles of the corpus with at least 50
//! stacks, and here. `shape.rs` computes both and compares them.
//!
//! | | corpus | median | with 57 stacks | with 355 |
//! |---|---|---|---|---|
//! | frames of a stack | 5.9-16.3 | 12 | 13-16 | 14-16 |
//! | trie nodes per stack | 1.5-7.3 | 2.0 | 3.2-3.7 | 2.5-2.7 |
//! | pairs of caller and callee per node | 0.61-0.99 | 0.78 | 0.8-0.9 | 0.7-0.8 |
//! | locations per stack | 1.1-3.4 | 1.5 | 2.3-3.1 | 1.6-1.8 |
//! | functions per location | 0.51-0.77 | 0.74 | 0.7-0.8 | 0.6 |
//! | zlib bytes of names and files per function | 8.7-16.5 | 12 | 15-17 | 11 |
//! | functions that two services share | 5-48 % | | 8-18 % | |

mod code;
mod rng;
#[cfg(test)]
mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::{
    Addressing, Attr, AttrValue, Function, Labels, Line, Link, Location, Mapping, NONE, Profile,
    StrId, Tables, ValueType,
};

pub use rng::Rng;

use code::{Frame, Service};

/// What to generate. The default is one CPU profile of 152 samples per service, pod and step.
#[derive(Clone, Debug)]
pub struct Spec {
    pub seed: u64,
    pub services: u32,
    /// Pods per service.
    pub pods: u32,
    /// Samples drawn per profile; equal stacks are added up, so there are fewer rows.
    pub samples: u32,
    /// Distinct stacks of one service.
    pub stacks: u32,
    /// Tail of the stack frequencies: the stack of rank r has weight (r + 20)^(-1/d). The larger,
    /// the more stacks are seen. Real services lie between 0.7 and 0.8.
    pub tail: f64,
    /// Time of step 0 in nanoseconds since the epoch.
    pub start: i64,
    /// Nanoseconds between steps, and covered by one profile.
    pub step: i64,
    /// Nanoseconds of CPU per sample.
    pub period: i64,
    /// Values of the sample label `endpoint`; `0` for no such label.
    pub endpoints: u32,
    /// Of a hundred samples, how many belong to a traced request.
    pub traced_percent: u32,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            seed: 1,
            services: 1,
            pods: 1,
            samples: 152,
            stacks: 100_000,
            tail: 0.7,
            start: 1_700_000_000_000_000_000,
            step: 10_000_000_000,
            period: 10_000_000,
            endpoints: 0,
            traced_percent: 0,
        }
    }
}

/// Draws profiles of a whole fleet, in any order.
#[derive(Debug)]
pub struct Generator {
    spec: Spec,
    services: Vec<Service>,
    /// Cumulative weights of the stack ranks.
    weights: Vec<f64>,
}

impl Generator {
    pub fn new(spec: Spec) -> Self {
        let services = (0..spec.services)
            .map(|at| Service::new(spec.seed, at))
            .collect();
        let weights = (0..spec.stacks.max(1))
            .scan(0.0, |sum, rank| {
                *sum += (f64::from(rank) + 20.0).powf(-1.0 / spec.tail);
                Some(*sum)
            })
            .collect();
        Self {
            spec,
            services,
            weights,
        }
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub fn service_name(&self, service: u32) -> &str {
        &self.services[service as usize].name
    }

    /// Labels of the profiles of a pod, without `__name__`.
    pub fn labels(&self, service: u32, pod: u32) -> Labels {
        let name = self.service_name(service);
        let hash = rng::mix(self.spec.seed ^ u64::from(service) << 32 ^ u64::from(pod));
        Labels::from_pairs([
            ("service_name", name.to_owned()),
            ("namespace", format!("team-{}", service % 7)),
            ("pod", format!("{name}-{:08x}-{pod}", hash as u32)),
            ("node", format!("node-{:03}", hash >> 40 & 0xff)),
        ])
        .expect("generated names are valid and distinct")
    }

    /// The CPU profile of one pod in one step. Every fourth service is native: its frames are
    /// addresses in binaries.
    pub fn profile(&self, service: u32, pod: u32, step: u32) -> Profile {
        let spec = &self.spec;
        let place = u64::from(service) << 48 ^ u64::from(pod) << 32 ^ u64::from(step);
        let mut rng = Rng::new(rng::mix(spec.seed) ^ place);
        let total = *self.weights.last().expect("there is at least one stack");
        let mut counts: HashMap<(u32, u32, Link), i64> = HashMap::new();
        for _ in 0..spec.samples {
            let drawn = rng.unit() * total;
            let rank = self.weights.partition_point(|sum| *sum < drawn);
            let endpoint = rng.below(spec.endpoints.max(1).into()) as u32;
            let link = if rng.below(100) < u64::from(spec.traced_percent) {
                trace(&mut rng)
            } else {
                Link::default()
            };
            *counts.entry((rank as u32, endpoint, link)).or_default() += 1;
        }
        let mut rows: Vec<_> = counts.into_iter().collect();
        rows.sort_unstable();
        let mut builder = Builder::new(&self.services[service as usize]);
        for ((rank, endpoint, link), count) in rows {
            builder.stack(rank);
            builder.values([count, count * spec.period]);
            let has_endpoint = spec.endpoints > 0;
            builder.labels(has_endpoint.then_some(endpoint), link);
        }
        let mut profile = builder.profile;
        profile.tables = Arc::new(builder.tables);
        profile.time = spec.start + i64::from(step) * spec.step;
        profile.duration = spec.step;
        profile.period = spec.period;
        profile
    }

    /// The same as a pprof file in gzip, as agents send it.
    pub fn pprof(&self, service: u32, pod: u32, step: u32) -> Vec<u8> {
        cairn_pprof::encode_gzip(&self.profile(service, pod, step))
    }
}

fn trace(rng: &mut Rng) -> Link {
    let mut link = Link::default();
    link.trace_id[..8].copy_from_slice(&rng.next().to_be_bytes());
    link.trace_id[8..].copy_from_slice(&(rng.next() | 1).to_be_bytes());
    link.span_id = (rng.next() | 1).to_be_bytes();
    link
}

/// Fills the tables of one profile with what its stacks need.
struct Builder<'a> {
    service: &'a Service,
    profile: Profile,
    tables: Tables,
    strings: HashMap<String, StrId>,
    functions: HashMap<u32, u32>,
    locations: HashMap<u64, u32>,
    mappings: HashMap<u64, u32>,
    links: HashMap<Link, u32>,
}

impl<'a> Builder<'a> {
    fn new(service: &'a Service) -> Self {
        let mut builder = Self {
            service,
            profile: Profile::default(),
            tables: Tables::default(),
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            mappings: HashMap::new(),
            links: HashMap::new(),
        };
        let mut kind = |kind, unit| ValueType {
            kind: builder.string(kind),
            unit: builder.string(unit),
        };
        let (samples, cpu) = (kind("samples", "count"), kind("cpu", "nanoseconds"));
        builder.profile.types = vec![samples, cpu];
        builder.profile.period_type = cpu;
        builder
    }

    fn string(&mut self, text: &str) -> StrId {
        if let Some(id) = self.strings.get(text) {
            return *id;
        }
        let id = self.tables.strings.push(text);
        self.strings.insert(text.to_owned(), id);
        id
    }

    fn stack(&mut self, rank: u32) {
        let service = self.service;
        for frame in service.stack(rank).iter().rev() {
            let location = self.location(frame);
            self.tables.stacks.locations.push(location);
        }
        let stack = self.tables.stacks.end();
        self.profile.samples.stacks.push(stack);
    }

    fn values(&mut self, values: [i64; 2]) {
        self.profile.samples.values.extend(values);
    }

    fn labels(&mut self, endpoint: Option<u32>, link: Link) {
        if let Some(endpoint) = endpoint {
            let key = self.string("endpoint");
            let value = AttrValue::Str(self.string(&format!("/api/v1/resource-{endpoint}")));
            let samples = &mut self.profile.samples;
            samples.attrs.push(Attr { key, value });
            samples.attr_ends.push(samples.attrs.len() as u32);
        }
        let samples = &mut self.profile.samples;
        if link == Link::default() {
            if !samples.links.is_empty() {
                samples.links.push(NONE);
            }
            return;
        }
        samples.links.resize(samples.stacks.len() - 1, NONE);
        let links = &mut self.tables.links;
        let at = *self.links.entry(link).or_insert_with(|| {
            links.push(link);
            links.len() as u32 - 1
        });
        samples.links.push(at);
    }

    fn location(&mut self, frame: &Frame) -> u32 {
        if let Some(at) = self.locations.get(&frame.id) {
            return *at;
        }
        let service = self.service;
        let start = self.tables.lines.len() as u32;
        let mapping = match service.binary(frame) {
            None => NONE,
            Some(binary) => self.mapping(binary),
        };
        if service.has_names() {
            let inlined = frame.inlined.into_iter();
            for (function, line) in inlined.chain([(frame.function, frame.line)]) {
                let function = self.function(function);
                let line = Line {
                    function,
                    line,
                    column: 0,
                };
                self.tables.lines.push(line);
            }
        }
        let at = self.tables.locations.len() as u32;
        self.tables.locations.push(Location {
            mapping,
            address: frame.address,
            lines: (start, self.tables.lines.len() as u32),
        });
        self.locations.insert(frame.id, at);
        at
    }

    fn mapping(&mut self, binary: u64) -> u32 {
        if let Some(at) = self.mappings.get(&binary) {
            return *at;
        }
        let (file, build_id) = self.service.binary_names(binary);
        let mapping = Mapping {
            file: self.string(&file),
            build_id: self.string(&build_id),
            addressing: Addressing::FileOffset,
        };
        let at = self.tables.mappings.len() as u32;
        self.tables.mappings.push(mapping);
        self.mappings.insert(binary, at);
        at
    }

    fn function(&mut self, id: u32) -> u32 {
        if let Some(at) = self.functions.get(&id) {
            return *at;
        }
        let (name, file) = self.service.function_names(id);
        let name = self.string(&name);
        let function = Function {
            name,
            system_name: name,
            file: self.string(&file),
            start_line: code::start_line(id),
        };
        let at = self.tables.functions.len() as u32;
        self.tables.functions.push(function);
        self.functions.insert(id, at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            services: 4,
            pods: 3,
            endpoints: 5,
            traced_percent: 10,
            ..Spec::default()
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (one, two) = (Generator::new(spec()), Generator::new(spec()));
        assert_eq!(one.pprof(2, 1, 7), two.pprof(2, 1, 7));
        assert_ne!(one.pprof(2, 1, 7), one.pprof(2, 1, 8));
        assert_ne!(one.pprof(2, 1, 7), one.pprof(2, 2, 7));
        let other = Generator::new(Spec { seed: 2, ..spec() });
        assert_ne!(one.pprof(2, 1, 7), other.pprof(2, 1, 7));
    }

    #[test]
    fn profiles_look_real_and_survive_encoding() {
        let generator = Generator::new(spec());
        for service in 0..4 {
            let profile = generator.profile(service, 0, 0);
            let samples = &profile.samples;
            let counts: i64 = (0..samples.len()).map(|at| profile.values(at)[0]).sum();
            assert_eq!(counts, 152);
            for at in 0..samples.len() {
                let depth = profile.stack(at).len();
                assert!((5..=60).contains(&depth), "depth {depth}");
                assert_eq!(profile.values(at)[1], profile.values(at)[0] * 10_000_000);
            }
            let raw = generator.pprof(service, 0, 0);
            let decoded = cairn_pprof::decode(&raw, &Default::default(), &Default::default());
            let decoded = decoded.expect("generated profiles are valid").profile;
            assert_eq!(
                cairn_pprof::canonical(&decoded),
                cairn_pprof::canonical(&profile)
            );
        }
    }

    #[test]
    fn a_larger_tail_shows_more_stacks() {
        let rows = |tail| {
            let spec = Spec {
                samples: 20_000,
                tail,
                ..Spec::default()
            };
            Generator::new(spec).profile(0, 0, 0).samples.len()
        };
        assert!(rows(0.8) > rows(0.7) * 5 / 4, "{} {}", rows(0.8), rows(0.7));
    }
}
