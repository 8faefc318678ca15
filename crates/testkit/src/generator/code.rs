//! The programs that generated profiles seem to come from. Nothing is stored: a stack follows from
//! its rank by hashing, so a universe of any size costs no memory.
//!
//! A stack branches off from a more frequent one, mostly at the last call, as real stacks do whose
//! innermost calls differ by an instruction. Who calls whom follows from the caller.

use super::rng::{Rng, mix};

/// Functions of one program.
const FUNCTIONS: u32 = 10_240;
/// The first of them belong to the language and its libraries, the same in all programs.
const SHARED: u32 = 2_048;
/// Functions of one package, and of one file.
const PACKAGE: u32 = 48;
const FILE: u32 = 8;
/// Bytes of one function in a binary.
const TEXT: u64 = 0x180;

const DEPTH_MIN: usize = 5;
const DEPTH_MAX: usize = 60;

const SERVICES: [&str; 12] = [
    "cart",
    "checkout",
    "payment",
    "search",
    "catalog",
    "frontend",
    "shipping",
    "currency",
    "auth",
    "inventory",
    "email",
    "ads",
];
const PACKAGES: [&str; 24] = [
    "net/http",
    "encoding/json",
    "runtime",
    "database/sql",
    "cache",
    "store",
    "grpc/transport",
    "compress/flate",
    "crypto/tls",
    "strings",
    "api",
    "sort",
    "render",
    "pgx/pgconn",
    "bufio",
    "reflect",
    "sync",
    "time",
    "session",
    "queue",
    "metrics",
    "regexp",
    "template",
    "index",
];
const TYPES: [&str; 16] = [
    "Server", "conn", "Encoder", "Decoder", "Cache", "Client", "Pool", "Handler", "Reader",
    "writer", "Session", "Index", "state", "Buffer", "Tree", "iterator",
];
const VERBS: [&str; 20] = [
    "Serve", "Read", "Write", "Flush", "Lookup", "decode", "encode", "Get", "Put", "scan", "grow",
    "hash", "compare", "Handle", "next", "append", "lock", "alloc", "Close", "parse",
];
const NOUNS: [&str; 24] = [
    "", "", "", "All", "Value", "Header", "Frame", "Object", "Key", "Page", "Chunk", "Slow",
    "Fast", "Range", "Row", "String", "Bytes", "Type", "Field", "Map", "Batch", "Context",
    "Locked", "To",
];

/// One call of a stack.
#[derive(Debug)]
pub(super) struct Frame {
    /// Names the location: the same call site always has the same id.
    pub(super) id: u64,
    pub(super) function: u32,
    pub(super) line: i64,
    /// From the start of the binary.
    pub(super) address: u64,
    /// A call that the compiler inlined here: function and line.
    pub(super) inlined: Option<(u32, i64)>,
}

/// What agents send of a program's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Names and addresses, as of Go.
    Compiled,
    /// Names alone, as of Python or Java.
    Interpreted,
    /// Addresses alone, as of C++.
    Native,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    seed: u64,
    kind: Kind,
}

/// Where one function calls another.
#[derive(Clone, Copy, Debug)]
struct Call {
    function: u32,
    site: u32,
}

impl Call {
    fn id(self) -> u64 {
        mix(u64::from(self.function) << 32 | u64::from(self.site))
    }
}

impl Service {
    pub(super) fn new(seed: u64, at: u32) -> Self {
        let word = SERVICES[at as usize % SERVICES.len()];
        let name = match at as usize / SERVICES.len() {
            0 => word.to_owned(),
            n => format!("{word}-{n}"),
        };
        Self {
            name,
            seed: mix(seed ^ u64::from(at) << 20),
            kind: match at % 4 {
                0 | 2 => Kind::Compiled,
                1 => Kind::Interpreted,
                _ => Kind::Native,
            },
        }
    }

    /// The calls of the stack of this rank, root first.
    pub(super) fn stack(&self, mut rank: u32) -> Vec<Frame> {
        // Every stack branches off from a more frequent one: the first first.
        let mut branches = Vec::with_capacity(32);
        loop {
            let mut rng = Rng::new(self.seed ^ mix(u64::from(rank)));
            let from = rng.below(u64::from(rank.max(1))) as u32;
            branches.push(rng);
            if rank == 0 {
                break;
            }
            rank = from;
        }
        let mut calls = Vec::with_capacity(DEPTH_MAX);
        for mut rng in branches.into_iter().rev() {
            self.branch(&mut calls, &mut rng);
        }
        calls.into_iter().map(|call| self.frame(call)).collect()
    }

    /// Goes back some calls and on with others.
    fn branch(&self, calls: &mut Vec<Call>, rng: &mut Rng) {
        let mut below = |end: usize| rng.below(end as u64) as usize;
        let (back, on) = match below(100) {
            _ if calls.is_empty() => (0, 8 + below(8)),
            // The innermost function at another instruction.
            0..45 => (1, 1),
            45..55 => (0, 1),
            55..87 => {
                let back = 1 + below(3);
                (back, back + below(3))
            }
            87..98 => (2 + below(6), 4 + below(8)),
            _ => (DEPTH_MAX, 8 + below(8)),
        };
        calls.truncate(calls.len().saturating_sub(back));
        let end = (calls.len() + on).clamp(DEPTH_MIN, DEPTH_MAX);
        while calls.len() < end {
            let function = match calls.last() {
                Some(caller) => self.callee(*caller, rng),
                None => rng.below(4) as u32,
            };
            // Where the stack ends any instruction is seen, elsewhere only calls.
            let site = match calls.len() + 1 == end {
                true => (rng.below(80) * rng.below(80) / 80) as u32,
                false => skewed(rng, 3),
            };
            calls.push(Call { function, site });
        }
    }

    /// A call mostly goes where it always goes. Libraries call the same functions in all programs.
    fn callee(&self, caller: Call, rng: &mut Rng) -> u32 {
        let other = match rng.below(100) {
            0..85 => 0,
            _ => 1 + rng.below(6),
        };
        let is_shared = caller.function < SHARED;
        let program = if is_shared { 0 } else { self.seed };
        let mut pick = Rng::new(caller.id() ^ program ^ other << 48);
        let stays = pick.below(100) < if is_shared { 65 } else { 73 };
        let (start, count) = if stays == is_shared {
            (0, SHARED)
        } else {
            (SHARED, FUNCTIONS - SHARED)
        };
        start + popular(&mut pick, count)
    }

    fn frame(&self, call: Call) -> Frame {
        let Call { function, site } = call;
        let id = call.id();
        let inlined = (id >> 32 & 7 == 0).then(|| {
            let function = popular(&mut Rng::new(id), SHARED);
            (function, start_line(function) + (id >> 16 & 15) as i64)
        });
        Frame {
            id,
            function,
            line: start_line(function) + i64::from(site) + 1,
            address: match self.kind {
                Kind::Interpreted => 0,
                _ => 0x1000 + u64::from(function) * TEXT + u64::from(site) * 5 + (id & 3),
            },
            inlined,
        }
    }

    pub(super) fn has_names(&self) -> bool {
        self.kind != Kind::Native
    }

    /// Which binary a frame is in; `None` if there is none.
    pub(super) fn binary(&self, frame: &Frame) -> Option<u64> {
        match self.kind {
            Kind::Interpreted => None,
            Kind::Compiled => Some(0),
            Kind::Native if frame.function < SHARED => Some(u64::from(frame.function) % 3 + 1),
            Kind::Native => Some(0),
        }
    }

    pub(super) fn binary_names(&self, binary: u64) -> (String, String) {
        match binary {
            0 => (
                format!("/app/bin/{}", self.name),
                format!("{:016x}{:016x}", mix(self.seed), mix(!self.seed)),
            ),
            library => {
                let name = ["libc.so.6", "libssl.so.3", "libstdc++.so.6"][library as usize - 1];
                let id = mix(library);
                (
                    format!("/usr/lib/x86_64-linux-gnu/{name}"),
                    format!("{id:016x}{id:016x}"),
                )
            }
        }
    }

    /// Name and file of a function.
    pub(super) fn function_names(&self, function: u32) -> (String, String) {
        let program = if function < SHARED { 0 } else { self.seed };
        let word = |of: u32, salt: u64, words: &[&'static str]| {
            let hash = mix(program ^ u64::from(of) ^ salt << 40);
            words[(hash % words.len() as u64) as usize]
        };
        let (package, file) = (function / PACKAGE, function / FILE);
        let mut path = format!("{}{}", word(package, 1, &PACKAGES), package);
        if function >= SHARED {
            path = format!("example.com/{}/internal/{path}", self.name);
        }
        let kind = word(file, 2, &TYPES);
        let name = format!(
            "{path}.(*{kind}).{}{}{}",
            word(function, 3, &VERBS),
            word(function, 4, &NOUNS),
            word(function, 5, &["", "", "", ".func1", "2"]),
        );
        (
            name,
            format!("/src/{path}/{}{}.go", kind.to_lowercase(), file % 6),
        )
    }
}

/// From `0..end`, mostly small.
fn skewed(rng: &mut Rng, end: u32) -> u32 {
    let end = u64::from(end);
    (0..2).fold(rng.below(end), |sum, _| sum * rng.below(end) / end) as u32
}

/// From `0..end`: few functions are called from everywhere, and they are spread over all packages.
fn popular(rng: &mut Rng, end: u32) -> u32 {
    let rank = skewed(rng, end);
    let rank = u64::from(rank) * rng.below(u64::from(end)) / u64::from(end);
    let together = u64::from(FILE / 2);
    let place = rank / together * 1_789 % (u64::from(end) / together);
    (place * together + rank % together) as u32
}

pub(super) fn start_line(function: u32) -> i64 {
    // Functions of one file follow each other.
    let before = mix(u64::from(function)) % 40;
    i64::from(function % FILE) * 60 + before as i64 + 1
}
