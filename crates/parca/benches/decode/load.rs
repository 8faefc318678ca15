//! What an agent sends in a few seconds: ten thousand rows of two thousand stacks, thirty deep, of
//! five hundred processes.

use std::sync::Arc;

use cairn_parca::write::{Call, Frame, Sample};

pub(crate) const ROWS: usize = 10_000;
const STACKS: usize = 2_000;
const DEPTH: usize = 30;
const PROCESSES: usize = 500;
const FRAMES: usize = 6_000;

/// A fixed sequence that looks random.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Seven of ten frames are native and unnamed, the others have names.
fn frame(at: usize) -> Frame {
    let named = |frame_type: &str, file: &str| Frame {
        address: at as u64,
        frame_type: frame_type.to_owned(),
        file: file.to_owned(),
        calls: vec![Call {
            name: format!("module.submodule.function_{at}"),
            system_name: format!("module.submodule.function_{at}"),
            file: format!("/usr/lib/application/module_{}.py", at % 300),
            start_line: 10,
            line: 12,
            column: 0,
        }],
        ..Frame::default()
    };
    match at % 10 {
        0..7 => Frame {
            address: 0x40_0000 + 64 * at as u64,
            frame_type: "native".to_owned(),
            file: format!("/usr/lib/x86_64-linux-gnu/library_{}.so", at % 40),
            build_id: format!("{:040x}", at % 40),
            ..Frame::default()
        },
        7 | 8 => named("kernel", "[kernel.kallsyms]"),
        _ => named("python", ""),
    }
}

pub(crate) fn samples(shape: &str) -> Vec<Sample> {
    let mut random = Sequence(1);
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    let stacks: Vec<Arc<[Frame]>> = (0..STACKS)
        .map(|_| {
            // Roots are shared.
            let depths = (0..DEPTH).map(|depth| FRAMES >> (depth / 6));
            depths
                .map(|bound| frames[random.below(bound)].clone())
                .collect()
        })
        .collect();
    let one = |row| {
        let stack = random.below(STACKS);
        let process = match shape {
            "own" => stack % PROCESSES,
            "one" => 0,
            _ => random.below(PROCESSES),
        };
        let label = |name: &str, value: usize| (name.to_owned(), format!("{name}-{value}"));
        Sample {
            labels: vec![
                label("node", 0),
                label("comm", process % 60),
                label("namespace", process % 20),
                label("pod", process),
                label("container", process % 90),
                label("thread_name", process / 2),
            ],
            stack: Arc::clone(&stacks[stack]),
            stack_id: (stack as u128).to_be_bytes(),
            value: 1,
            period: 52_631_578,
            duration: 1_000_000_000,
            time: 1_700_000_000_000_000_000 + 1_000_003 * row as i64,
            ..Sample::of_cpu()
        }
    };
    (0..ROWS).map(one).collect()
}
