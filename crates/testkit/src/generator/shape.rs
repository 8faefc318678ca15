//! Whether generated profiles have the shape of real ones, by the corpus.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;

use cairn_model::{Location, Profile};

use super::{Generator, Spec};
use crate::corpus;

/// What a profile's size depends on.
#[derive(Clone, Copy, Debug)]
struct Shape {
    stacks: usize,
    /// Frames of a stack.
    depth: f64,
    /// Nodes of a trie of all stacks, per stack.
    nodes: f64,
    /// Distinct pairs of caller and callee, per node.
    calls: f64,
    /// Distinct locations, per stack.
    locations: f64,
    /// Functions per location; 0 if there are no names.
    functions: f64,
    /// Bytes of the sorted names of all functions and their files, in zlib, per name.
    text: f64,
}

impl Shape {
    fn figures(&self) -> [(&'static str, f64); 6] {
        [
            ("depth", self.depth),
            ("nodes per stack", self.nodes),
            ("calls per node", self.calls),
            ("locations per stack", self.locations),
            ("functions per location", self.functions),
            ("bytes of text per name", self.text),
        ]
    }
}

type Frame = (u32, u64, Vec<(u32, i64)>);

fn stacks(profile: &Profile) -> BTreeSet<Vec<Frame>> {
    // Some profilers give every location a function of its own.
    let mut first = HashMap::new();
    let content = |at: usize| {
        let function = &profile.tables.functions[at];
        (
            profile.str(function.name),
            profile.str(function.file),
            function.start_line,
        )
    };
    let same: Vec<u32> = (0..profile.tables.functions.len())
        .map(|at| *first.entry(content(at)).or_insert(at as u32))
        .collect();
    let frame = |at: &u32| {
        let Location {
            mapping, address, ..
        } = profile.tables.locations[*at as usize];
        let lines: Vec<_> = profile
            .lines(*at)
            .iter()
            .map(|line| (same[line.function as usize], line.line))
            .collect();
        match lines.is_empty() {
            true => (mapping, address, lines),
            false => (0, 0, lines),
        }
    };
    (0..profile.samples.len())
        .map(|at| profile.stack(at).iter().rev().map(frame).collect())
        .collect()
}

fn shape(profile: &Profile) -> Shape {
    let stacks = stacks(profile);
    let mut nodes: HashSet<&[Frame]> = HashSet::new();
    for stack in &stacks {
        nodes.extend((1..=stack.len()).map(|depth| &stack[..depth]));
    }
    let last = |node: &[Frame]| node[node.len() - 1].clone();
    let calls: HashSet<(Option<Frame>, Frame)> = nodes
        .iter()
        .map(|node| {
            (
                node.len().checked_sub(2).map(|at| node[at].clone()),
                last(node),
            )
        })
        .collect();
    let locations: HashSet<Frame> = nodes.iter().map(|node| last(node)).collect();
    let named = locations.iter().all(|(_, _, lines)| !lines.is_empty());
    let functions: BTreeSet<u32> = locations
        .iter()
        .filter(|_| named)
        .flat_map(|(_, _, lines)| lines.iter().map(|line| line.0))
        .collect();
    let texts = |id: fn(&cairn_model::Function) -> u32| -> BTreeSet<&str> {
        let functions = functions
            .iter()
            .map(|at| &profile.tables.functions[*at as usize]);
        functions
            .map(|function| profile.str(id(function)))
            .collect()
    };
    let (names, files) = (texts(|f| f.name), texts(|f| f.file));
    let per = |a: usize, b: usize| a as f64 / b.max(1) as f64;
    Shape {
        stacks: stacks.len(),
        depth: per(stacks.iter().map(Vec::len).sum(), stacks.len()),
        nodes: per(nodes.len(), stacks.len()),
        calls: per(calls.len(), nodes.len()),
        locations: per(locations.len(), stacks.len()),
        functions: per(functions.len(), locations.len()),
        text: per(packed(&names) + packed(&files), names.len()),
    }
}

fn packed(texts: &BTreeSet<&str>) -> usize {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    if texts.is_empty() {
        return 0;
    }
    for text in texts {
        writeln!(encoder, "{text}").expect("a vector takes all");
    }
    encoder.finish().expect("a vector takes all").len()
}

/// CPU and wall profiles of the corpus with enough stacks to have a shape.
fn real() -> Vec<(String, Shape)> {
    let limits = Default::default();
    let mut found = Vec::new();
    for pprof in corpus::pprofs() {
        let Ok(decoded) = cairn_pprof::decode(&pprof.bytes, &limits, &Default::default()) else {
            continue;
        };
        let profile = decoded.profile;
        let times = |kind: &str| matches!(kind, "cpu" | "wall");
        if !profile.types.iter().any(|of| times(profile.str(of.kind))) {
            continue;
        }
        let shape = shape(&profile);
        if shape.stacks >= 50 {
            found.push((pprof.name, shape));
        }
    }
    found
}

/// A profile of a service with about as many stacks.
fn generated(service: u32, stacks: usize) -> Shape {
    let mut samples = stacks as u32;
    loop {
        let spec = Spec {
            services: 4,
            samples,
            ..Spec::default()
        };
        let shape = shape(&Generator::new(spec).profile(service, 0, 0));
        if shape.stacks >= stacks {
            return shape;
        }
        samples += samples / 4;
    }
}

/// Neither simpler than real profiles, which flatters what is measured with them, nor harder.
#[test]
fn generated_profiles_have_the_shape_of_real_ones() {
    let real = real();
    assert!(real.len() >= 10, "{real:?}");
    for like in [57, 355] {
        for service in 0..4 {
            let made = generated(service, like);
            for (at, (name, found)) in made.figures().into_iter().enumerate() {
                let all = real.iter().map(|(_, real)| real.figures()[at].1);
                // Native profiles have no names.
                let mut all: Vec<f64> = all.filter(|figure| *figure > 0.0).collect();
                all.sort_by(f64::total_cmp);
                let (min, max) = (all[0] * 0.9, all[all.len() - 1] * 1.1);
                let fits = found == 0.0 || (min..=max).contains(&found);
                assert!(fits, "{name}: {found:.2} is not among {all:.2?}; {made:?}");
            }
            let mut nodes: Vec<f64> = real.iter().map(|(_, real)| real.nodes).collect();
            nodes.sort_by(f64::total_cmp);
            let median = nodes[nodes.len() / 2];
            assert!(made.nodes >= median, "{made:?} has less than {median:.2}");
        }
    }
}

/// Programs of one language have names in common: in the corpus 5 to 28 of a hundred for Go, 48
/// for Node.
#[test]
fn services_share_some_functions() {
    let names = |profiles: &[Profile]| -> BTreeSet<String> {
        let named = |profile: &Profile| -> Vec<String> {
            let functions = profile.tables.functions.iter();
            functions.map(|f| profile.str(f.name).to_owned()).collect()
        };
        profiles.iter().flat_map(named).collect()
    };
    let common = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.intersection(b).count() as f64 / a.len().min(b.len()) as f64
    };
    let of = |begin: &str| -> Vec<Profile> {
        let pprofs = corpus::pprofs();
        let found = pprofs.iter().filter(|pprof| pprof.name.starts_with(begin));
        let limits = Default::default();
        found
            .filter_map(|pprof| {
                cairn_pprof::decode(&pprof.bytes, &limits, &Default::default()).ok()
            })
            .map(|decoded| decoded.profile)
            .collect()
    };
    let go = ["prometheus2.42", "go1.27-cpu", "go1.27-compiler-cpu"];
    let go = go.map(|name| names(&of(&format!("generated/go/{name}"))));
    let node = ["datadog", "google"].map(|name| names(&of(&format!("generated/node/{name}"))));
    let pairs = [(&go[0], &go[1]), (&go[0], &go[2]), (&go[1], &go[2])];
    let real = pairs.into_iter().chain([(&node[0], &node[1])]);
    let real: Vec<f64> = real.map(|(a, b)| common(a, b)).collect();
    let (min, max) = real.iter().fold((1.0f64, 0.0f64), |(min, max), one| {
        (min.min(*one), max.max(*one))
    });
    let spec = Spec {
        services: 3,
        ..Spec::default()
    };
    let generator = Generator::new(spec);
    let made = [0, 1, 2].map(|service| names(&[generator.profile(service, 0, 0)]));
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let made = common(&made[a], &made[b]);
        assert!(
            (min..=max).contains(&made),
            "{made:.2} is not within {real:.2?}"
        );
    }
}
