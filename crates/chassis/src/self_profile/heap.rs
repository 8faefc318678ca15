//! Who holds the memory of this process: what the allocator noted and is not freed yet. Names
//! nothing, and counts no memory that is mapped directly, such as open files.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use tikv_jemalloc_ctl::{Access as _, AsName as _};

use super::build::{Held, Snapshot};

/// Some ten thousand stacks; more memory than that is not given to a profile.
const DUMP_BYTES_MAX: u64 = 64 << 20;

/// Notes allocations while it exists. A process has at most one.
pub(super) struct Heap {
    /// Where the allocator writes to; nobody else can open it.
    dump: File,
    path: &'static [u8],
}

impl Heap {
    pub(super) fn start() -> anyhow::Result<Self> {
        let can: bool = "opt.prof\0"
            .name()
            .read()
            .map_err(|error| anyhow::anyhow!("ask the allocator: {error}"))?;
        anyhow::ensure!(can, "the allocator was told not to");
        let dump = tempfile::tempfile().context("make a file for the allocator")?;
        let path = format!("/proc/self/fd/{}\0", dump.as_raw_fd());
        let heap = Self {
            dump,
            path: path.into_bytes().leak(),
        };
        set_active(true)?;
        Ok(heap)
    }

    pub(super) fn take(&mut self) -> anyhow::Result<Snapshot> {
        "prof.dump\0"
            .name()
            .write(self.path)
            .map_err(|error| anyhow::anyhow!("dump the heap: {error}"))?;
        self.dump.rewind().context("read the dump of the heap")?;
        let mut text = String::new();
        (&mut self.dump)
            .take(DUMP_BYTES_MAX)
            .read_to_string(&mut text)
            .context("read the dump of the heap")?;
        parse(&text).context("the dump of the heap is not as expected")
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if let Err(error) = set_active(false) {
            tracing::warn!(%error, "profiling the heap goes on");
        }
    }
}

fn set_active(active: bool) -> anyhow::Result<()> {
    let set = "prof.active\0".name().write(active);
    set.map_err(|error| anyhow::anyhow!("tell the allocator: {error}"))
}

/// A line `heap_v2/PERIOD`, then for each stack a line `@ ADDRESS...` and lines
/// `WHO: OBJECTS: BYTES [...]`, where `t*` is everybody. Other parts follow.
fn parse(dump: &str) -> Option<Snapshot> {
    let (head, body) = dump.split_once('\n')?;
    let period: i64 = head.strip_prefix("heap_v2/")?.parse().ok()?;
    let mut snapshot = Snapshot {
        period,
        held: Vec::new(),
    };
    let mut stack = None;
    for line in body.lines() {
        let line = line.trim_start();
        if let Some(addresses) = line.strip_prefix("@ ") {
            let addresses = addresses.split(' ').map(|address| {
                let digits = address.strip_prefix("0x")?;
                usize::from_str_radix(digits, 16).ok()
            });
            stack = Some(addresses.collect::<Option<Vec<usize>>>()?);
        } else if let Some(counts) = line.strip_prefix("t*: ")
            // Before the first stack come the sums of all.
            && let Some(stack) = stack.take()
        {
            let (counts, _) = counts.split_once(" [")?;
            let (objects, bytes) = counts.split_once(": ")?;
            let noted = (objects.parse().ok()?, bytes.parse().ok()?);
            snapshot.held.extend(held(noted, period, stack));
        }
    }
    Some(snapshot)
}

/// From what was noted to what there probably is. An allocation is noted with a probability that
/// grows with its size: `1 - exp(-size / period)`.
fn held(noted: (u32, u64), period: i64, stack: Vec<usize>) -> Option<Held> {
    let (objects, bytes) = (f64::from(noted.0), noted.1 as f64);
    if objects == 0.0 || bytes == 0.0 {
        return None;
    }
    let probability = -f64::exp_m1(-(bytes / objects) / period as f64);
    Some(Held {
        objects: (objects / probability) as i64,
        bytes: (bytes / probability) as i64,
        stack,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/524288
  t*: 3: 1049000 [0: 0]
  t0: 3: 1049000 [0: 0]
@ 0x10 0x2f
  t*: 1: 1048576 [0: 0]
  t0: 1: 1048576 [0: 0]
@ 0x30
  t*: 2: 424 [0: 0]
  t3: 2: 424 [0: 0]
@ 0x40
  t*: 0: 0 [0: 0]

MAPPED_LIBRARIES:
55d0a000-55d0b000 r--p 00000000 fe:00 1 /bin/cairn
";

    #[test]
    fn a_dump_tells_what_each_stack_holds() {
        let snapshot = parse(DUMP).expect("as the allocator writes it");
        assert_eq!(snapshot.period, 524_288);
        let [large, small] = &snapshot.held[..] else {
            panic!("{snapshot:?}")
        };
        assert_eq!(large.stack, [0x10, 0x2f]);
        // Twice the period is noted six times in seven.
        assert_eq!((large.objects, large.bytes / 1000), (1, 1_212));
        // Two of 212 bytes noted stand for about 2,500 each.
        assert_eq!(small.stack, [0x30]);
        assert!((4_900..5_000).contains(&small.objects), "{small:?}");
        assert!((1_048_000..1_049_200).contains(&small.bytes), "{small:?}");
    }

    #[test]
    fn another_format_is_no_heap() {
        for text in [
            "",
            "heap_v2",
            "heap_v3/1\n",
            "heap_v2/x\n",
            "heap_v2/1\n@ 12\n",
            "heap_v2/1\n@ 0x12\n  t*: 1\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let cut = &DUMP[..DUMP.find("@ 0x30").expect("it is there")];
        assert_eq!(parse(cut).expect("whole lines").held.len(), 1);
    }
}
