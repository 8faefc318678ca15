//! What is known of real binaries besides what `llvm-symbolizer` says of them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use cairn_model::{Addressing, FileKind};
use cairn_symbols::{Companions, Identity, Limits, Miss, SymbolFile, convert};
use cairn_testkit::corpus;
use object::{Object, ObjectSegment, ObjectSymbol};
use proptest::prelude::*;

/// Code at fixed addresses, and code that may lie anywhere.
static FIXED: LazyLock<SymbolFile> = LazyLock::new(|| open(&read("cpp_nopie")));
static MOVABLE: LazyLock<SymbolFile> = LazyLock::new(|| open(&read("cpp_pie")));

const WITH_DWARF: [&str; 5] = ["work_pie", "work_nopie", "work_fp", "cpp_pie", "cpp_nopie"];
const STRIPPED: [&str; 2] = ["work_stripped", "cpp_stripped"];

const BINARIES: &str = "generated/native/bin";

fn path(binary: &str) -> PathBuf {
    corpus::root().join(BINARIES).join(binary)
}

fn read(binary: &str) -> Vec<u8> {
    corpus::read(&format!("{BINARIES}/{binary}"))
}

fn open(elf: &[u8]) -> SymbolFile {
    let converted = convert(elf, &Companions::default(), &Limits::default());
    SymbolFile::open(converted.expect("a real binary converts")).expect("what was converted opens")
}

/// Every address of every function that the symbol table gives a size.
fn addresses(elf: &[u8]) -> Vec<u64> {
    let file = object::File::parse(elf).expect("an ELF file");
    let functions = file.symbols().filter(|symbol| {
        symbol.kind() == object::SymbolKind::Text && symbol.is_definition() && symbol.size() > 0
    });
    let mut addresses: Vec<u64> = functions
        .flat_map(|symbol| symbol.address()..symbol.address() + symbol.size())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// (linkage name, line) of each call, innermost first.
fn calls(file: &SymbolFile, address: u64) -> Vec<(String, u32)> {
    let frames = file.lookup(Addressing::Virtual, address).into_iter();
    frames
        .flatten()
        .map(|frame| (frame.system_name().to_owned(), frame.line))
        .collect()
}

#[test]
fn stripped_binaries_say_that_they_name_nothing() {
    for binary in STRIPPED {
        let elf = read(binary);
        let file = open(&elf);
        assert!(file.has_segments());
        let entry = object::File::parse(&*elf).expect("an ELF file").entry();
        let start_of_code = file.lookup(Addressing::Virtual, entry);
        assert_eq!(start_of_code.err(), Some(Miss::NoFunction), "{binary}");
        assert_eq!(
            file.lookup(Addressing::FileOffset, 0x10).err(),
            Some(Miss::NoSegment)
        );
    }
}

/// (address, name) of each stub, as `objdump` prints them: `0000000000001030 <free@plt>:`.
fn stubs_of_objdump(binary: &str) -> Vec<(u64, String)> {
    let ran = Command::new("objdump")
        .args(["-d".as_ref(), path(binary).as_os_str()])
        .output()
        .expect("objdump runs: apt-get install binutils");
    let text = String::from_utf8(ran.stdout).expect("text");
    let labels = text.lines().filter_map(|line| line.strip_suffix("@plt>:"));
    let labels = labels.filter_map(|label| label.split_once(" <"));
    labels
        .map(|(address, name)| {
            let address = u64::from_str_radix(address, 16).expect("an address");
            (
                address,
                format!("{}@plt", name.split('@').next().expect("text")),
            )
        })
        .collect()
}

#[test]
fn stubs_are_named_after_what_they_call() {
    for binary in WITH_DWARF.into_iter().chain(STRIPPED) {
        let file = open(&read(binary));
        let stubs = stubs_of_objdump(binary);
        assert!(!stubs.is_empty(), "{binary} calls others");
        for (address, name) in stubs {
            for inside in [address, address + 7] {
                assert_eq!(calls(&file, inside), [(name.clone(), 0)], "{binary}");
            }
        }
    }
}

#[test]
fn file_offsets_and_virtual_addresses_name_the_same() {
    for binary in WITH_DWARF {
        let elf = read(binary);
        let (file, parsed) = (open(&elf), object::File::parse(&*elf).expect("an ELF file"));
        let mut compared = 0;
        for segment in parsed.segments() {
            let (offset, bytes) = segment.file_range();
            for delta in 0..bytes {
                let by_offset = file.lookup(Addressing::FileOffset, offset + delta);
                let Ok(by_offset) = by_offset else { continue };
                let address = segment.address() + delta;
                let by_address = file.lookup(Addressing::Virtual, address).expect("named");
                assert_eq!(by_offset.id(), by_address.id(), "{binary} at {address:#x}");
                compared += 1;
            }
        }
        assert!(compared > 100, "{binary} has named code");
    }
}

/// What is said of each address together with others, in the order asked.
fn together(file: &SymbolFile, addressing: Addressing, asked: &[u64]) -> Vec<Result<u32, Miss>> {
    let mut answers = vec![None; asked.len()];
    file.lookup_all(addressing, asked, |at, found| {
        let before = answers[at].replace(found.map(|frames| frames.id()));
        assert_eq!(before, None, "address {at} is answered twice");
    });
    let answers = answers.into_iter();
    answers.map(|id| id.expect("each is answered")).collect()
}

fn one_by_one(file: &SymbolFile, addressing: Addressing, asked: &[u64]) -> Vec<Result<u32, Miss>> {
    let each = asked.iter().map(|&at| file.lookup(addressing, at));
    each.map(|found| found.map(|frames| frames.id())).collect()
}

proptest! {
    /// In any order, several times, before the code, in it and behind it.
    #[test]
    fn many_addresses_are_answered_as_one_by_one(
        asked in proptest::collection::vec(
            prop_oneof![0..0x6000u64, 0x400_000..0x404_000u64, any::<u64>()],
            0..300,
        ),
        addressing in prop_oneof![Just(Addressing::Virtual), Just(Addressing::FileOffset)],
    ) {
        for file in [&*FIXED, &*MOVABLE] {
            let found = together(file, addressing, &asked);
            prop_assert_eq!(found, one_by_one(file, addressing, &asked));
        }
    }
}

#[test]
fn millions_of_addresses_are_answered_as_one_by_one() {
    let scattered = (0..(1u64 << 20) + 100).map(|at| 0x3ff_000 + at * 7_919 % 0x6000);
    let asked: Vec<u64> = scattered.collect();
    let found = together(&FIXED, Addressing::Virtual, &asked);
    assert_eq!(found, one_by_one(&FIXED, Addressing::Virtual, &asked));
    assert!(found.iter().any(|id| id != &found[0]), "some have names");
}

#[test]
fn frames_say_what_was_inlined_and_where_functions_begin() {
    let file = open(&read("cpp_pie"));
    let mut seen = Vec::new();
    for address in 0x1000..0x2400 {
        let Ok(frames) = file.lookup(Addressing::Virtual, address) else {
            continue;
        };
        let frames: Vec<_> = frames.collect();
        let names: Vec<_> = frames.iter().map(|frame| frame.function()).collect();
        if names == ["app::mix", "app::mix2", "app::hash_loop"] {
            seen = frames;
            break;
        }
    }
    let inlined: Vec<bool> = seen.iter().map(|frame| frame.inlined).collect();
    assert_eq!(inlined, [true, true, false]);
    let outer = seen[2];
    assert_eq!(outer.system_name(), "_ZN3app9hash_loopEj");
    assert_eq!(outer.file(), "/srv/example/workpp.cpp");
    assert_eq!(outer.start_line, 11);
}

#[test]
fn build_ids_are_those_that_readelf_prints() {
    let identity = Identity::read(&read("work_pie")).expect("an ELF file");
    assert_eq!(identity.kind, FileKind::Executable);
    let ids: Vec<String> = identity.build_ids().map(ToString::to_string).collect();
    let gnu = "1c8446f0ed602f28d3201a0505086fd690db3531";
    // What sha256sum gives for the head, the tail and the length.
    let hash = "0ea5ac675e9628556a1c0cca44e33d0f";
    assert_eq!(ids, [gnu, hash]);
}

#[test]
fn a_separate_debug_file_names_what_its_executable_does() {
    let folder = std::env::temp_dir().join(format!("cairn-debug-file-{}", std::process::id()));
    let made = Command::new("objcopy")
        .args(["--only-keep-debug".as_ref(), path("cpp_pie").as_os_str()])
        .arg(&folder)
        .status()
        .expect("objcopy runs: apt-get install binutils");
    assert!(made.success());
    let elf = std::fs::read(&folder).expect("objcopy wrote it");
    std::fs::remove_file(&folder).expect("it is ours");

    let whole = read("cpp_pie");
    let (debug, executable) = (open(&elf), open(&whole));
    let identity = Identity::read(&elf).expect("an ELF file");
    assert_eq!(identity.kind, FileKind::Debuginfo);
    assert_eq!(
        identity.gnu,
        Identity::read(&whole).expect("an ELF file").gnu
    );
    for address in addresses(&whole) {
        assert_eq!(calls(&debug, address), calls(&executable, address));
    }
    // Where the code was in the executable, only the executable tells.
    assert!(!debug.has_segments());
}
