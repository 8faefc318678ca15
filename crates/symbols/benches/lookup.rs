//! Addresses looked up per second in an open symbol file: random, sorted, one by one, and opening it.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_model::Addressing;
use cairn_symbols::{Companions, Frames, Limits, Miss, SymbolFile};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

const ADDRESSES: u64 = 100_000;

fn convert(elf: &[u8]) -> Vec<u8> {
    cairn_symbols::convert(elf, &Companions::default(), &Limits::default()).expect("converts")
}

#[expect(clippy::print_stdout, reason = "figures need to say of what they are")]
fn main() {
    let elf = elf();
    let file = SymbolFile::open(convert(&elf));
    let (file, addresses) = (file.expect("opens"), addresses(&elf));
    let (mut named, mut frames) = (0, 0);
    file.lookup_all(Addressing::Virtual, &addresses, |_, found| {
        named += usize::from(found.is_ok());
        frames += found.into_iter().flatten().count();
    });
    println!("{ADDRESSES} addresses, {named} named, {frames} frames, {file:?}");
    divan::main();
}

/// The binary to look up in: `CAIRN_BENCH_ELF`, or this benchmark itself.
fn elf() -> Vec<u8> {
    let path = std::env::var_os("CAIRN_BENCH_ELF").map(PathBuf::from);
    let path = path.unwrap_or_else(|| std::env::current_exe().expect("a running program"));
    std::fs::read(path).expect("a readable ELF file")
}

/// Addresses in code, spread evenly but in no order.
fn addresses(elf: &[u8]) -> Vec<u64> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(elf).expect("an ELF file");
    let text = file.section_by_name(".text").expect("code");
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.address() + (state >> 20) % text.size()
    };
    (0..ADDRESSES).map(|_| next()).collect()
}

fn walk(file: &SymbolFile, addresses: &[u64]) -> usize {
    let mut seen = 0;
    file.lookup_all(Addressing::Virtual, addresses, |_, found| {
        seen += read(found);
    });
    seen
}

fn read(found: Result<Frames<'_>, Miss>) -> usize {
    let frames = found.into_iter().flatten();
    let read =
        frames.map(|frame| frame.function().len() + frame.file().len() + frame.line as usize);
    read.sum()
}

#[divan::bench]
fn random(bencher: Bencher<'_, '_>) {
    let elf = elf();
    let file = SymbolFile::open(convert(&elf));
    let (file, addresses) = (file.expect("opens"), addresses(&elf));
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .bench(|| walk(&file, black_box(&addresses)));
}

/// As [`random`], without reading the texts: who asks for many addresses reads each text once.
#[divan::bench]
fn random_numbers(bencher: Bencher<'_, '_>) {
    let elf = elf();
    let file = SymbolFile::open(convert(&elf));
    let (file, addresses) = (file.expect("opens"), addresses(&elf));
    let walk = |addresses: &[u64]| {
        let mut seen = 0;
        file.lookup_all(Addressing::Virtual, addresses, |_, frames| {
            let frames = frames.into_iter().flatten();
            seen += frames.map(|frame| frame.line as usize).sum::<usize>();
        });
        seen
    };
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .bench(|| walk(black_box(&addresses)));
}

/// As [`random`], each address alone.
#[divan::bench]
fn one_by_one(bencher: Bencher<'_, '_>) {
    let elf = elf();
    let file = SymbolFile::open(convert(&elf));
    let (file, addresses) = (file.expect("opens"), addresses(&elf));
    let walk = |addresses: &[u64]| {
        let found = addresses
            .iter()
            .map(|&at| file.lookup(Addressing::Virtual, at));
        found.map(read).sum::<usize>()
    };
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .bench(|| walk(black_box(&addresses)));
}

#[divan::bench]
fn sorted(bencher: Bencher<'_, '_>) {
    let elf = elf();
    let file = SymbolFile::open(convert(&elf));
    let (file, mut addresses) = (file.expect("opens"), addresses(&elf));
    addresses.sort_unstable();
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .bench(|| walk(&file, black_box(&addresses)));
}

#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let bytes: Arc<[u8]> = convert(&elf()).into();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| SymbolFile::open(black_box(Arc::clone(&bytes))));
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let bytes = convert(&elf());
    let file = SymbolFile::open(bytes.clone()).expect("opens");
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| file.verify());
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn conversion(bencher: Bencher<'_, '_>) {
    let elf = elf();
    bencher
        .counter(BytesCount::new(elf.len()))
        .bench(|| convert(black_box(&elf)));
}
