//! Damaged and crafted input: refused or half understood, never a panic.

use cairn_model::Addressing;
use cairn_symbols::{Companions, Error, Limits, SymbolFile, VERSION, convert};

/// Room for mutated files to claim, without testing the machine's memory.
const LIMITS: Limits = Limits {
    file_bytes_max: 1 << 20,
    section_bytes_max: 1 << 20,
    locations_max: 1 << 20,
    string_bytes_max: 1 << 20,
};

fn read(binary: &str) -> Vec<u8> {
    cairn_testkit::corpus::read(&format!("generated/native/bin/{binary}"))
}

/// The same sequence in every run, so that a failure is found again.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }

    /// One of the values that off-by-one errors and overflows live at, or any.
    fn byte(&mut self) -> u8 {
        [0, 1, 0x7f, 0x80, 0xff, self.below(256) as u8][self.below(6)]
    }
}

/// Converts, and walks whatever came out.
fn exercise(elf: &[u8]) {
    let Ok(bytes) = convert(elf, &Companions::default(), &LIMITS) else {
        return;
    };
    let file = SymbolFile::open(bytes).expect("what conversion writes opens");
    let addresses: Vec<u64> = (0..0x6000).step_by(7).chain([u64::MAX]).collect();
    for addressing in [Addressing::FileOffset, Addressing::Virtual] {
        file.lookup_all(addressing, &addresses, |_, frames| {
            assert!(frames.into_iter().flatten().count() <= 513);
        });
    }
}

#[test]
fn truncated_files_do_not_panic() {
    for binary in ["work_pie", "cpp_nopie"] {
        let elf = read(binary);
        for at in 0..120 {
            exercise(&elf[..elf.len() * at / 120]);
        }
        for len in 0..64 {
            exercise(&elf[..len]);
        }
    }
}

#[test]
fn mutated_files_do_not_panic() {
    for (binary, rounds) in [("work_pie", 4_000), ("cpp_pie", 250)] {
        let elf = read(binary);
        for seed in 0..rounds {
            let mut random = Seeded(seed);
            let mut mutated = elf.clone();
            for _ in 0..=random.below(8) {
                // Half of the damage goes into the headers, where little goes a long way.
                let at = match random.below(2) {
                    0 => random.below(0x400),
                    _ => random.below(mutated.len()),
                };
                mutated[at] = random.byte();
            }
            let caught = std::panic::catch_unwind(|| exercise(&mutated));
            assert!(caught.is_ok(), "{binary} with seed {seed}");
        }
    }
}

/// What nobody linked has tables of its own that say which addresses to fill in.
#[test]
fn mutated_objects_do_not_panic() {
    let object = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.o");
    let source = cairn_testkit::corpus::root().join("generated/native/bin/work.c");
    let compiled = std::process::Command::new("gcc")
        .args(["-c", "-g", "-O2", "-ffunction-sections", "-o"])
        .args([&object, &source])
        .status();
    assert!(compiled.expect("gcc runs").success());
    let elf = std::fs::read(&object).expect("gcc wrote it");
    assert!(convert(&elf, &Companions::default(), &LIMITS).is_ok());
    for seed in 0..3_000 {
        let mut random = Seeded(seed);
        let mut mutated = elf.clone();
        for _ in 0..=random.below(8) {
            // The tables of sections, symbols and addresses are at the end.
            let from = mutated.len() / 2 * random.below(2);
            let at = from + random.below(mutated.len() - from);
            mutated[at] = random.byte();
        }
        let caught = std::panic::catch_unwind(|| exercise(&mutated));
        assert!(caught.is_ok(), "seed {seed}");
    }
}

#[test]
fn what_is_no_executable_is_refused_by_name() {
    let refused = |bytes: &[u8]| {
        convert(bytes, &Companions::default(), &LIMITS)
            .expect_err("no executable")
            .to_string()
    };
    assert!(refused(b"").starts_with("the file is not an ELF file"));
    assert!(refused(b"MZ\0\0 not this one").starts_with("the file is not an ELF file"));
    let large = vec![0; (LIMITS.file_bytes_max + 1) as usize];
    assert!(refused(&large).contains("more than the 1048576 that are allowed"));
}

fn good(binary: &str) -> Vec<u8> {
    convert(&read(binary), &Companions::default(), &LIMITS).expect("converts")
}

/// Bytes of the head, and of those before what its own checksum covers.
const HEAD: usize = 72;
const HEAD_UNCHECKED: usize = 16;

#[test]
fn damaged_symbol_files_do_not_open_or_are_found_out() {
    let good = good("cpp_pie");
    let verify = |bytes: &[u8]| SymbolFile::open(bytes.to_vec())?.verify();
    assert_eq!(verify(&good), Ok(()));
    for at in (0..good.len()).step_by(11).chain(0..HEAD) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        assert!(verify(&damaged).is_err(), "byte {at}");
        assert_eq!(SymbolFile::open(damaged).is_err(), at < HEAD, "byte {at}");
        assert!(
            SymbolFile::open(good[..at].to_vec()).is_err(),
            "cut at {at}"
        );
    }
    let mut newer = good;
    newer[8] += 1;
    let error = SymbolFile::open(newer).expect_err("another version");
    assert_eq!(
        error,
        Error::Version {
            found: VERSION + 1,
            want: VERSION
        }
    );
}

#[test]
fn crafted_symbol_files_do_not_panic() {
    let good = good("work_pie");
    let addresses: Vec<u64> = (0..0x3000).step_by(3).collect();
    for seed in 0..20_000 {
        let mut random = Seeded(seed);
        let mut crafted = good.clone();
        for _ in 0..=random.below(8) {
            // Counts and sizes are in the head, where a checksum keeps most damage out.
            let at = match random.below(4) {
                0 => HEAD_UNCHECKED + random.below(HEAD - HEAD_UNCHECKED),
                _ => HEAD + random.below(crafted.len() - HEAD),
            };
            crafted[at] = random.byte();
        }
        let crc = crc32fast::hash(&crafted[HEAD_UNCHECKED..HEAD]);
        crafted[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(file) = SymbolFile::open(crafted) {
            for addressing in [Addressing::FileOffset, Addressing::Virtual] {
                file.lookup_all(addressing, &addresses, |_, frames| {
                    let frames = frames.into_iter().flatten();
                    let read = frames.map(|f| f.function().len() + f.file().len());
                    assert!(read.count() <= 513, "seed {seed}");
                });
            }
        }
    }
}
