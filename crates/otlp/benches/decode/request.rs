//! A request as an agent sends it, with a dictionary of ten thousand stacks; samples say on which
//! of five hundred threads and sixteen processors they were taken.

use std::ops::Range;

use cairn_testkit::generator::Rng;

const STACKS: u64 = 10_000;
const LOCATIONS: u64 = 20_000;
const THREADS: u64 = 500;
const PROCESSORS: u64 = 16;
pub(crate) const SAMPLES: usize = 500_000;

/// A request of all samples, spread over so many profiles; several have few stacks each.
pub(crate) fn request(profiles: usize, values: bool) -> Vec<u8> {
    let mut rng = Rng::new(5);
    let mut request = Vec::new();
    put_bytes(&mut request, 2, &dictionary(&mut rng));
    let stacks = if profiles == 1 { STACKS } else { STACKS / 50 };
    for _ in 0..profiles {
        let mut scope = Vec::new();
        let first = rng.below(STACKS - stacks + 1);
        let profile = profile(&mut rng, SAMPLES / profiles, first..first + stacks, values);
        put_bytes(&mut scope, 2, &profile);
        let mut resource = Vec::new();
        put_bytes(&mut resource, 2, &scope);
        put_bytes(&mut request, 1, &resource);
    }
    request
}

fn profile(rng: &mut Rng, samples: usize, stacks: Range<u64>, values: bool) -> Vec<u8> {
    let count = stacks.end - stacks.start;
    let mut profile = Vec::new();
    put_bytes(&mut profile, 1, &[0x08, 1, 0x10, 2]);
    put_bytes(&mut profile, 5, &[0x08, 3, 0x10, 4]);
    put_number(&mut profile, 6, 50_000_000);
    let mut sample = Vec::new();
    for at in 0..samples as u64 {
        sample.clear();
        // A few stacks are most of the samples.
        let stack = stacks.start + rng.below(count) * rng.below(count) / count;
        put_number(&mut sample, 1, 1 + stack);
        let mut attributes = Vec::new();
        put_varint(&mut attributes, 1 + rng.below(THREADS));
        put_varint(&mut attributes, 1 + THREADS + rng.below(PROCESSORS));
        put_bytes(&mut sample, 2, &attributes);
        if values {
            put_number(&mut sample, 3, 1 + rng.below(100));
            let mut value = Vec::new();
            put_varint(&mut value, rng.below(1 << 20));
            put_bytes(&mut sample, 4, &value);
        }
        let time = 1_764_000_000_000_000_000 + at * 1_000;
        put_bytes(&mut sample, 5, &time.to_le_bytes());
        put_bytes(&mut profile, 2, &sample);
    }
    profile
}

fn dictionary(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut strings: Vec<String> = [
        "",
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "thread.id",
        "cpu.logical_number",
    ]
    .map(String::from)
    .into();
    for table in 1..=7 {
        if table != 5 {
            put_bytes(&mut out, table, &[]);
        }
    }
    for _ in 0..LOCATIONS {
        let function = strings.len() as u64;
        strings.push(format!("module{}.function{}", function % 100, function));
        let mut row = Vec::new();
        put_number(&mut row, 1, function);
        put_bytes(&mut out, 3, &row);
    }
    for at in 1..=LOCATIONS {
        let mut line = Vec::new();
        put_number(&mut line, 1, at);
        put_number(&mut line, 2, at % 1_000);
        let mut row = Vec::new();
        put_number(&mut row, 2, 0x40_0000 + at);
        put_bytes(&mut row, 3, &line);
        put_bytes(&mut out, 2, &row);
    }
    for _ in 0..STACKS {
        let mut locations = Vec::new();
        for _ in 0..10 + rng.below(40) {
            put_varint(&mut locations, 1 + rng.below(LOCATIONS));
        }
        let mut row = Vec::new();
        put_bytes(&mut row, 1, &locations);
        put_bytes(&mut out, 7, &row);
    }
    for at in 0..THREADS + PROCESSORS {
        let (key, number) = match at.checked_sub(THREADS) {
            None => (5, 1_000 + at),
            Some(processor) => (6, processor),
        };
        let mut value = Vec::new();
        put_number(&mut value, 3, number);
        let mut row = Vec::new();
        put_number(&mut row, 1, key);
        put_bytes(&mut row, 2, &value);
        put_bytes(&mut out, 6, &row);
    }
    for _ in 0..100 {
        let mut row = Vec::new();
        put_bytes(&mut row, 1, &rng.next().to_le_bytes().repeat(2));
        put_bytes(&mut row, 2, &rng.next().to_le_bytes());
        put_bytes(&mut out, 4, &row);
    }
    for string in &strings {
        put_bytes(&mut out, 5, string.as_bytes());
    }
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field << 3));
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
