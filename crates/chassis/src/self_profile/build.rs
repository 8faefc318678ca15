//! From instruction addresses of this process to a named profile. Reads this binary's debug
//! information, which is slow once per address, so the answers are kept.

use std::collections::HashMap;

use cairn_model::{
    Attr, AttrValue, Function, Line, Location, NONE, Profile, Samples, StrId, ValueType,
};
use pprof::{Frames, UnresolvedReport};

use super::sampler::{PERIOD, Sampled};

/// Addresses whose names are kept; a busy process shows some ten thousand.
const NAMES_MAX: usize = 1 << 16;

/// One call; inlined calls share an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Call {
    name: String,
    system_name: String,
    file: String,
    line: u32,
}

/// Names of addresses, innermost call first.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<usize, Vec<Call>>);

/// The profile of what was sampled.
pub(super) fn profile(names: &mut Names, sampled: &Sampled) -> Profile {
    names.learn(&sampled.stacks);
    let mut builder = Builder::new(names);
    builder.profile.time = sampled.time;
    builder.profile.duration = sampled.duration;
    let nanoseconds_each = PERIOD.as_nanos() as i64;
    for (stack, count) in &sampled.stacks.data {
        let count = *count as i64;
        builder.values([count, count * nanoseconds_each]);
        builder.stack(stack.frames.iter().map(|frame| frame.ip));
        builder.thread(&stack.thread_name[..stack.thread_name_length]);
    }
    builder.profile
}

// === impl Names ===

impl Names {
    fn learn(&mut self, samples: &UnresolvedReport) {
        if self.0.len() > NAMES_MAX {
            self.0.clear();
        }
        for stack in samples.data.keys() {
            for frame in &stack.frames {
                if self.0.contains_key(&frame.ip) {
                    continue;
                }
                // The library names whole stacks only, so each address goes in as one.
                let mut alone = stack.clone();
                alone.frames.clear();
                alone.frames.push(frame.clone());
                self.0.insert(frame.ip, calls(&Frames::from(alone)));
            }
        }
    }
}

fn calls(named: &Frames) -> Vec<Call> {
    let symbols = named.frames.iter().flatten();
    symbols
        .map(|symbol| match symbol.name {
            Some(_) => Call {
                name: symbol.name(),
                system_name: symbol.sys_name().into_owned(),
                file: match symbol.filename {
                    Some(_) => symbol.filename().into_owned(),
                    None => String::new(),
                },
                line: symbol.lineno(),
            },
            None => Call {
                name: "[unknown]".to_owned(),
                system_name: String::new(),
                file: String::new(),
                line: 0,
            },
        })
        .collect()
}

// === Builder ===

struct Builder<'a> {
    names: &'a Names,
    profile: Profile,
    strings: HashMap<&'a str, StrId>,
    functions: HashMap<(StrId, StrId, StrId), u32>,
    locations: HashMap<usize, u32>,
    threads: HashMap<String, StrId>,
    thread_key: StrId,
}

impl<'a> Builder<'a> {
    fn new(names: &'a Names) -> Self {
        let mut profile = Profile::default();
        let mut word = |text| profile.strings.push(text);
        let [samples, count, cpu, nanoseconds] =
            ["samples", "count", "cpu", "nanoseconds"].map(&mut word);
        let thread_key = word("thread");
        let cpu = ValueType {
            kind: cpu,
            unit: nanoseconds,
        };
        profile.types = vec![
            ValueType {
                kind: samples,
                unit: count,
            },
            cpu,
        ];
        profile.period_type = cpu;
        profile.period = PERIOD.as_nanos() as i64;
        profile.samples = Samples::default();
        Self {
            names,
            profile,
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
            threads: HashMap::new(),
            thread_key,
        }
    }

    fn values(&mut self, values: [i64; 2]) {
        self.profile.samples.values.extend(values);
    }

    /// Leaf first.
    fn stack(&mut self, ips: impl Iterator<Item = usize>) {
        for ip in ips {
            if let Some(location) = self.location(ip) {
                self.profile.samples.stacks.push(location);
            }
        }
        let end = self.profile.samples.stacks.len() as u32;
        self.profile.samples.stack_ends.push(end);
    }

    fn thread(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        let strings = &mut self.profile.strings;
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
        let calls = self.names.0.get(&ip).filter(|calls| !calls.is_empty())?;
        let start = self.profile.lines.len() as u32;
        for call in calls {
            let function = self.function(call);
            self.profile.lines.push(Line {
                function,
                line: i64::from(call.line),
                column: 0,
            });
        }
        self.profile.locations.push(Location {
            mapping: NONE,
            address: 0,
            lines: (start, self.profile.lines.len() as u32),
        });
        let location = self.profile.locations.len() as u32 - 1;
        self.locations.insert(ip, location);
        Some(location)
    }

    fn function(&mut self, call: &'a Call) -> u32 {
        let name = self.string(&call.name);
        let system_name = self.string(&call.system_name);
        let file = self.string(&call.file);
        let functions = &mut self.profile.functions;
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
        let strings = &mut self.profile.strings;
        *self
            .strings
            .entry(text)
            .or_insert_with(|| strings.push(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
        clock.sleep(Duration::from_millis(600)).await;
        let sampled = sampler.take(&clock).expect("sampled");
        stop.store(true, Ordering::Relaxed);
        busy.await.expect("it only spins");
        let profile = profile(&mut Names::default(), &sampled);

        let counts: i64 = (0..profile.samples.len())
            .map(|i| profile.values(i)[0])
            .sum();
        let cpu: i64 = (0..profile.samples.len())
            .map(|i| profile.values(i)[1])
            .sum();
        assert!(counts > 5, "{counts} samples of 600 ms");
        assert_eq!(cpu, counts * 10_000_000);
        let mut functions = profile.functions.iter().map(|f| profile.str(f.name));
        assert!(functions.any(|name| name.contains("spin_until")));
        let bytes = cairn_pprof::encode(&profile);
        let decoded = cairn_pprof::decode(&bytes, &Limits::default(), &Options::default());
        assert_eq!(
            decoded.expect("our own").profile.samples.len(),
            profile.samples.len()
        );
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
