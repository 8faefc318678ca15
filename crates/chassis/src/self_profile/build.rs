//! From what was noted in this process to profiles like anybody's. Names come from `names`.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_model::{
    Attr, AttrValue, Function, Line, Location, NONE, Profile, StrId, Tables, ValueType,
};

use super::names::{Call, Names};
use super::sampler::{PERIOD, Sampled};

/// Functions and files that do nothing but allocate. Whose memory it is, say their callers.
const ALLOCATING: [&str; 8] = [
    "_rjem_",
    "__rust_alloc",
    "__rust_realloc",
    "prof_",
    "imalloc",
    "iralloc",
    "ixalloc",
    "do_ralloc",
];
const ALLOCATING_FILES: [&str; 4] = [
    "/tikv-jemallocator-",
    "/library/alloc/src/alloc.rs",
    "/library/alloc/src/boxed.rs",
    "/library/alloc/src/raw_vec/",
];

/// The heap at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Bytes between two notes, on average.
    pub(super) period: i64,
    pub(super) held: Vec<Held>,
}

/// What is allocated from one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) objects: i64,
    pub(super) bytes: i64,
    /// Return addresses, innermost first.
    pub(super) stack: Vec<usize>,
}

/// What ran.
pub(super) fn cpu(names: &mut Names, sampled: &Sampled) -> Profile {
    let frames = sampled.stacks.data.keys().flat_map(|stack| &stack.frames);
    names.learn(frames.map(|frame| frame.ip));
    let types = [("samples", "count"), ("cpu", "nanoseconds")];
    let period = PERIOD.as_nanos() as i64;
    let mut builder = Builder::new(names, types, types[1], period);
    builder.profile.time = sampled.time;
    builder.profile.duration = sampled.duration;
    for (stack, count) in &sampled.stacks.data {
        let count = *count as i64;
        builder.values([count, count * period]);
        builder.stack(stack.frames.iter().map(|frame| frame.ip));
        builder.thread(&stack.thread_name[..stack.thread_name_length]);
    }
    builder.finish()
}

/// Who holds memory, at this time.
pub(super) fn heap(names: &mut Names, snapshot: &Snapshot, time: i64) -> Profile {
    let addresses = snapshot.held.iter().flat_map(|held| &held.stack);
    names.learn(addresses.copied());
    let types = [("inuse_objects", "count"), ("inuse_space", "bytes")];
    let mut builder = Builder::new(names, types, ("space", "bytes"), snapshot.period);
    builder.profile.time = time;
    builder.hidden = allocates;
    for held in &snapshot.held {
        builder.values([held.objects, held.bytes]);
        builder.stack(held.stack.iter().copied());
    }
    builder.finish()
}

fn allocates(call: &Call) -> bool {
    let in_file = |part: &&str| call.file.contains(*part);
    let is_named = |start: &&str| call.system_name.starts_with(*start);
    ALLOCATING.iter().any(is_named) || ALLOCATING_FILES.iter().any(in_file)
}

// === Builder ===

struct Builder<'a> {
    names: &'a Names,
    profile: Profile,
    tables: Tables,
    strings: HashMap<&'a str, StrId>,
    functions: HashMap<(StrId, StrId, StrId), u32>,
    locations: HashMap<usize, u32>,
    threads: HashMap<String, StrId>,
    thread_key: StrId,
    /// Calls that are left out where they are innermost.
    hidden: fn(&Call) -> bool,
}

impl<'a> Builder<'a> {
    fn new(
        names: &'a Names,
        types: [(&str, &str); 2],
        period_type: (&str, &str),
        period: i64,
    ) -> Self {
        let mut profile = Profile::default();
        let mut tables = Tables::default();
        let mut value_type = |(kind, unit)| ValueType {
            kind: tables.strings.push(kind),
            unit: tables.strings.push(unit),
        };
        profile.types = types.map(&mut value_type).to_vec();
        profile.period_type = value_type(period_type);
        profile.period = period;
        let thread_key = tables.strings.push("thread");
        Self {
            names,
            profile,
            tables,
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            threads: HashMap::new(),
            thread_key,
            hidden: |_| false,
        }
    }

    fn finish(mut self) -> Profile {
        self.profile.tables = Arc::new(self.tables);
        self.profile
    }

    fn values(&mut self, values: [i64; 2]) {
        self.profile.samples.values.extend(values);
    }

    /// Leaf first.
    fn stack(&mut self, ips: impl Iterator<Item = usize>) {
        for ip in ips {
            if let Some(location) = self.location(ip) {
                self.tables.stacks.locations.push(location);
            }
        }
        let stack = self.tables.stacks.end();
        self.profile.samples.stacks.push(stack);
    }

    fn thread(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        let strings = &mut self.tables.strings;
        let value = *self
            .threads
            .entry(name)
            .or_insert_with_key(|name| strings.push(name));
        self.profile.samples.attrs.push(Attr {
            key: self.thread_key,
            value: AttrValue::Str(value),
        });
        let end = self.profile.samples.attrs.len() as u32;
        self.profile.samples.attr_ends.push(end);
    }

    /// Addresses differ from start to start, so only the names go into the profile.
    fn location(&mut self, ip: usize) -> Option<u32> {
        if let Some(known) = self.locations.get(&ip) {
            return Some(*known);
        }
        let calls = self.names.get(ip);
        let hidden = calls.iter().take_while(|call| (self.hidden)(call)).count();
        let calls = &calls[hidden..];
        if calls.is_empty() {
            return None;
        }
        let start = self.tables.lines.len() as u32;
        for call in calls {
            let function = self.function(call);
            self.tables.lines.push(Line {
                function,
                line: i64::from(call.line),
                column: 0,
            });
        }
        self.tables.locations.push(Location {
            mapping: NONE,
            address: 0,
            lines: (start, self.tables.lines.len() as u32),
        });
        let location = self.tables.locations.len() as u32 - 1;
        self.locations.insert(ip, location);
        Some(location)
    }

    fn function(&mut self, call: &'a Call) -> u32 {
        let name = self.string(&call.name);
        let system_name = self.string(&call.system_name);
        let file = self.string(&call.file);
        let functions = &mut self.tables.functions;
        *self
            .functions
            .entry((name, system_name, file))
            .or_insert_with(|| {
                functions.push(Function {
                    name,
                    system_name,
                    file,
                    start_line: 0,
                });
                functions.len() as u32 - 1
            })
    }

    fn string(&mut self, text: &'a str) -> StrId {
        if text.is_empty() {
            return 0;
        }
        let strings = &mut self.tables.strings;
        *self
            .strings
            .entry(text)
            .or_insert_with(|| strings.push(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use cairn_model::Limits;
    use cairn_pprof::Options;

    use super::super::sampler::Sampler;
    use super::*;

    /// The only test that samples: a process has one profiler.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_busy_function_is_in_the_profile_under_its_name() {
        let clock = crate::Clock::real();
        let mut sampler = Sampler::start(&clock).expect("profiling is allowed");
        let stop = Arc::new(AtomicBool::new(false));
        let busy = tokio::task::spawn_blocking({
            let stop = Arc::clone(&stop);
            move || spin_until(&stop)
        });
        // Where others want the cores, too, few of a hundred samples come of it.
        clock.sleep(Duration::from_secs(1)).await;
        let sampled = sampler.take(&clock).expect("sampled");
        stop.store(true, Ordering::Relaxed);
        busy.await.expect("it only spins");
        let profile = cpu(&mut Names::default(), &sampled);

        let counts: i64 = (0..profile.samples.len())
            .map(|i| profile.values(i)[0])
            .sum();
        let cpu: i64 = (0..profile.samples.len())
            .map(|i| profile.values(i)[1])
            .sum();
        assert!(counts > 0, "nothing was sampled");
        assert_eq!(cpu, counts * 10_000_000);
        let mut functions = profile.tables.functions.iter().map(|f| profile.str(f.name));
        assert!(functions.any(|name| name.contains("spin_until")));
        let bytes = cairn_pprof::encode(&profile);
        let decoded = cairn_pprof::decode(&bytes, &Limits::default(), &Options::default());
        assert_eq!(
            decoded.expect("our own").profile.samples.len(),
            profile.samples.len()
        );
    }

    /// The only test that looks at the heap: a process has one allocator.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_held_is_in_the_profile_under_the_name_of_its_holder() {
        let mut heap = super::super::heap::Heap::start().expect("the allocator is ours");
        let held = hold_64_mebibytes();
        let snapshot = heap.take().expect("a dump");
        let profile = super::heap(&mut Names::default(), &snapshot, 1);
        drop(held);

        let name = |function: u32| profile.str(profile.tables.functions[function as usize].name);
        let is_ours = |sample: &usize| {
            let stack = profile.stack(*sample).iter();
            let mut calls = stack.flat_map(|location| profile.lines(*location));
            calls.any(|call| name(call.function).contains("hold_64_mebibytes"))
        };
        let ours: Vec<_> = (0..profile.samples.len()).filter(is_ours).collect();
        let bytes: i64 = ours.iter().map(|sample| profile.values(*sample)[1]).sum();
        assert!((32 << 20..128 << 20).contains(&bytes), "{bytes} of 64 MiB");
        for sample in ours {
            let innermost = profile.lines(profile.stack(sample)[0])[0];
            // What a generic function works on may well be the allocator's.
            let innermost = name(innermost.function).split('<').next();
            assert!(!innermost.expect("the first part").contains("alloc"));
        }
    }

    #[cfg(target_os = "linux")]
    #[inline(never)]
    fn hold_64_mebibytes() -> Vec<Box<[u8; 4096]>> {
        std::hint::black_box((0..16_384).map(|_| Box::new([1; 4096])).collect())
    }

    #[inline(never)]
    fn spin_until(stop: &AtomicBool) -> u64 {
        let mut sum = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        sum
    }
}
