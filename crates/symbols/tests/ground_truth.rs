//! Answers compared with binutils' `addr2line` and with symbolic's own lookup format, at every
//! address of every function of real binaries.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cairn_model::{Addressing, FileKind};
use cairn_symbols::{Identity, Limits, Miss, SymbolFile, convert};
use object::{Object, ObjectSegment, ObjectSymbol};

const WITH_DWARF: [&str; 5] = ["work_pie", "work_nopie", "work_fp", "cpp_pie", "cpp_nopie"];
const STRIPPED: [&str; 2] = ["work_stripped", "cpp_stripped"];

fn path(binary: &str) -> PathBuf {
    let corpus = std::env::var_os("CAIRN_CORPUS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/corpus"
            ))
        },
        PathBuf::from,
    );
    corpus.join("generated/native/bin").join(binary)
}

fn read(binary: &str) -> Vec<u8> {
    let path = path(binary);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn open(elf: &[u8]) -> SymbolFile {
    let bytes = convert(elf, &Limits::default()).expect("a real binary converts");
    SymbolFile::open(&bytes).expect("what was converted opens")
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
type Chain = Vec<(String, u32)>;

fn ours(file: &SymbolFile, address: u64) -> Chain {
    let frames = file.lookup(Addressing::Virtual, address).into_iter();
    frames
        .flatten()
        .map(|frame| (frame.system_name.to_owned(), frame.line))
        .collect()
}

fn of_addr2line(binary: &str, addresses: &[u64]) -> Vec<Chain> {
    let mut child = Command::new("addr2line")
        .args(["--functions", "--inlines", "--addresses", "--exe"])
        .arg(path(binary))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("addr2line runs: apt-get install binutils");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut asked = String::new();
    for address in addresses {
        writeln!(asked, "{address:#x}").expect("writing to a string succeeds");
    }
    // Both pipes would fill up if one thread wrote everything before it read anything.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(asked.as_bytes()).expect("addr2line reads"));
        child.wait_with_output().expect("addr2line ends")
    });

    let mut chains: Vec<Chain> = Vec::new();
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            chains.push(Vec::new());
            continue;
        }
        let place = lines.next().expect("a place follows a name");
        let number = place.rsplit_once(':').expect("file:line").1;
        let number = number.split(' ').next().expect("a number");
        let chain = chains.last_mut().expect("an address comes first");
        chain.push((line.to_owned(), number.parse().unwrap_or(0)));
    }
    assert_eq!(chains.len(), addresses.len());
    chains
}

/// Where binutils alone is wrong: it gives the caller's name to the first byte of an inlined call
/// whose line it knows. `llvm-symbolizer` names that byte as we do.
const ADDR2LINE_ERRS: [(&str, u64); 2] = [("cpp_pie", 0x11f4), ("cpp_nopie", 0x4011e4)];

/// Names that are as good as each other: linkage names of symbols at one address, and a part that
/// the compiler split off.
fn same_function(elf: &object::File<'_>, ours: &str, theirs: &str) -> bool {
    let starts = |name: &str| -> Vec<u64> {
        let symbols = elf.symbols();
        let named = symbols.filter(|symbol| symbol.name() == Ok(name));
        named.map(|symbol| symbol.address()).collect()
    };
    let theirs = theirs.strip_suffix(".cold").unwrap_or(theirs);
    ours == theirs || starts(ours).iter().any(|at| starts(theirs).contains(at))
}

#[test]
fn names_lines_and_inlined_calls_agree_with_addr2line() {
    for binary in WITH_DWARF {
        let elf = read(binary);
        let (file, parsed) = (open(&elf), object::File::parse(&*elf).expect("an ELF file"));
        let addresses = addresses(&elf);
        assert!(addresses.len() > 100, "{binary} has code");
        let theirs = of_addr2line(binary, &addresses);
        let mut inlined = 0;
        for (&address, theirs) in addresses.iter().zip(theirs) {
            if ADDR2LINE_ERRS.contains(&(binary, address)) {
                continue;
            }
            let ours = ours(&file, address);
            let lines = |chain: &Chain| chain.iter().map(|(_, line)| *line).collect::<Vec<_>>();
            let names = ours.iter().zip(&theirs);
            let agree = lines(&ours) == lines(&theirs)
                && names
                    .into_iter()
                    .all(|(a, b)| same_function(&parsed, &a.0, &b.0));
            assert!(
                agree,
                "{binary} at {address:#x}:\n ours {ours:?}\n theirs {theirs:?}"
            );
            inlined += usize::from(ours.len() > 1);
        }
        assert!(inlined > 10, "{binary} has inlined calls to compare");
    }
}

/// (address, ours, theirs) wherever another reader of the same DWARF sees other lines.
fn disagreements_with_symcache(elf: &[u8], addresses: &[u64]) -> Vec<(u64, Chain, Chain)> {
    let object = symbolic_debuginfo::elf::ElfObject::parse(elf).expect("an ELF file");
    let mut converter = symbolic_symcache::SymCacheConverter::new();
    converter.process_object(&object).expect("converts");
    let mut bytes = Vec::new();
    converter.serialize(&mut bytes).expect("writes to memory");
    let cache = symbolic_symcache::SymCache::parse(&bytes).expect("opens");
    let file = open(elf);
    let mut found = Vec::new();
    for &address in addresses {
        let ours = ours(&file, address);
        let theirs = cache.lookup(address - object.load_address());
        let theirs: Chain = theirs
            .map(|place| (place.function().name().to_owned(), place.line()))
            .collect();
        let lines = |chain: &Chain| chain.iter().map(|(_, line)| *line).collect::<Vec<_>>();
        if lines(&ours) != lines(&theirs) {
            found.push((address, ours, theirs));
        }
    }
    found
}

#[test]
fn lines_agree_with_another_reader_on_every_address() {
    for binary in WITH_DWARF {
        let elf = read(binary);
        let found = disagreements_with_symcache(&elf, &addresses(&elf));
        assert!(found.is_empty(), "{binary}: {found:#x?}");
    }
}

#[test]
fn lines_agree_with_another_reader_on_a_large_rust_binary() {
    let elf = std::fs::read(std::env::current_exe().expect("a running test")).expect("readable");
    let addresses: Vec<u64> = addresses(&elf).into_iter().step_by(23).collect();
    assert!(addresses.len() > 10_000);
    let found = disagreements_with_symcache(&elf, &addresses);
    assert!(
        found.is_empty(),
        "{} of {}: {:#x?}",
        found.len(),
        addresses.len(),
        found[0]
    );
}

#[test]
fn stripped_binaries_say_that_they_name_nothing() {
    for binary in STRIPPED {
        let file = open(&read(binary));
        assert!(file.has_segments());
        let start_of_code = file.lookup(Addressing::FileOffset, 0x1100);
        assert_eq!(start_of_code.err(), Some(Miss::NoFunction));
        assert_eq!(
            file.lookup(Addressing::FileOffset, 0x10).err(),
            Some(Miss::NoSegment)
        );
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
                assert!(by_offset.eq(by_address), "{binary} at {address:#x}");
                compared += 1;
            }
        }
        assert!(compared > 100, "{binary} has named code");
    }
}

#[test]
fn many_addresses_are_answered_as_one_by_one() {
    let elf = read("cpp_nopie");
    let file = open(&elf);
    let mut asked: Vec<u64> = (0x400_000..0x404_000).chain([0, u64::MAX]).collect();
    for round in 0..2 {
        file.lookup_all(Addressing::Virtual, &asked, |at, found| {
            let one = file.lookup(Addressing::Virtual, asked[at]);
            assert_eq!(found.map(|f| f.id()), one.map(|f| f.id()), "round {round}");
        });
        // The second round is in no order.
        asked.sort_by_key(|address| address.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
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
        let names: Vec<_> = frames.iter().map(|frame| frame.function).collect();
        if names == ["app::mix", "app::mix2", "app::hash_loop"] {
            seen = frames;
            break;
        }
    }
    let inlined: Vec<bool> = seen.iter().map(|frame| frame.inlined).collect();
    assert_eq!(inlined, [true, true, false]);
    let outer = seen[2];
    assert_eq!(outer.system_name, "_ZN3app9hash_loopEj");
    assert_eq!(outer.file, "/srv/example/workpp.cpp");
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
        assert_eq!(ours(&debug, address), ours(&executable, address));
    }
    // Where the code was in the executable, only the executable tells.
    assert!(!debug.has_segments());
}
