//! A large recording of a profiler that writes many events on few stacks.

use super::writer::{Writer, id};

pub(crate) const EVENTS: i64 = 1_000_000;
const STACKS: i64 = 20_000;
const METHODS: i64 = 5_000;

/// Stacks of 50 frames.
pub(crate) fn large() -> Vec<u8> {
    let mut writer = Writer::usual(true);
    for method in 0..METHODS {
        let class = format!("com/example/package{}/Class{}", method % 50, method % 700);
        writer.method(method + 10, &class, &format!("method{method}"), "()V");
    }
    for stack in 0..STACKS {
        let frames: Vec<_> = (0..50)
            .map(|depth| (10 + (stack * 31 + depth * depth) % METHODS, depth as i32, 1))
            .collect();
        writer.stack(stack + 10, false, &frames);
    }
    for event in 0..EVENTS {
        let stack = 10 + event * event % STACKS;
        writer.add(id::EXECUTION, stack, &[1], [event % 50, 0, 0, 0, 0]);
    }
    writer.finish()
}
