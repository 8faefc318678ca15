//! The programs that generated profiles seem to come from. Nothing is stored: a stack follows from
//! its rank by hashing, so a universe of any size costs no memory.

use super::rng::{Rng, mix};

const DEPTH_MIN: u64 = 10;
const DEPTH_MAX: u64 = 40;
/// Functions that one service calls.
const FUNCTIONS: u64 = 6_000;
/// Functions of libraries, which all services share.
const SHARED: u64 = 2_000;
const CALLS_MAX: u64 = 12;

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
const PACKAGES: [&str; 14] = [
    "net/http",
    "encoding/json",
    "runtime",
    "database/sql",
    "internal/cache",
    "internal/store",
    "google.golang.org/grpc",
    "compress/flate",
    "crypto/tls",
    "strings",
    "internal/api",
    "sort",
    "internal/render",
    "github.com/jackc/pgx",
];
const TYPES: [&str; 12] = [
    "Server", "conn", "Encoder", "Decoder", "Cache", "Client", "Pool", "Handler", "Reader",
    "writer", "Session", "Index",
];
const VERBS: [&str; 14] = [
    "Serve", "Read", "Write", "Flush", "Lookup", "decode", "encode", "Get", "Put", "scan", "grow",
    "hash", "compare", "Handle",
];

/// One call of a stack.
#[derive(Debug)]
pub(super) struct Frame {
    /// Names the location: the same call site always has the same id.
    pub(super) id: u64,
    pub(super) function: u64,
    pub(super) line: i64,
    /// A call that the compiler inlined here.
    pub(super) inlined: Option<(u64, i64)>,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    seed: u64,
    is_native: bool,
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
            is_native: at % 4 == 3,
        }
    }

    /// The calls of the stack of this rank, root first.
    pub(super) fn stack(&self, rank: u32) -> Vec<Frame> {
        let mut rng = Rng::new(self.seed ^ mix(u64::from(rank)));
        let depth = DEPTH_MIN + rng.below(DEPTH_MAX - DEPTH_MIN + 1);
        let mut path = self.seed;
        let mut frames = Vec::with_capacity(depth as usize);
        for _ in 0..depth {
            // Most calls go where most calls go, so that stacks share their first frames.
            let call = if rng.below(8) < 6 {
                0
            } else {
                1 + rng.below(CALLS_MAX - 1)
            };
            path = mix(path ^ call.wrapping_mul(0x2545_f491_4f6c_dd1d));
            frames.push(self.frame(path));
        }
        frames
    }

    fn frame(&self, path: u64) -> Frame {
        let pick = path % (FUNCTIONS + SHARED);
        let function = if pick < SHARED {
            pick
        } else {
            SHARED + mix(self.seed ^ pick) % (1 << 40)
        };
        // A function calls others from a handful of lines.
        let site = path >> 32 & 7;
        let line = (function * 7 + site * 13) % 1_500 + 1;
        let inlined = (mix(function ^ site << 50) & 7 == 0)
            .then(|| (mix(function ^ site) % SHARED, (function % 400) as i64 + 1));
        Frame {
            id: mix(function ^ site << 56),
            function,
            line: line as i64,
            inlined,
        }
    }

    /// Which binary of a native service a frame is in; `None` if its frames are named.
    pub(super) fn binary(&self, frame: &Frame) -> Option<u64> {
        self.is_native.then_some(if frame.function < SHARED {
            frame.function % 3 + 1
        } else {
            0
        })
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

    pub(super) fn address(&self, frame: &Frame) -> u64 {
        0x1000 + (frame.id & 0xf_ffff)
    }
}

/// Name and file of a function.
pub(super) fn function_names(function: u64) -> (String, String) {
    let mut rng = Rng::new(function);
    let mut pick = |words: &[&'static str]| words[rng.below(words.len() as u64) as usize];
    let (package, kind, verb) = (pick(&PACKAGES), pick(&TYPES), pick(&VERBS));
    (
        format!("{package}.(*{kind}).{verb}{}", function % 10_000),
        format!("/src/{package}/{}.go", kind.to_lowercase()),
    )
}
