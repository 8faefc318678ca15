//! Answers compared with `llvm-symbolizer`, at every address of every function of real binaries:
//! functions, files, lines, columns and inlined calls. Where both differ, the difference must be of
//! a kind that `docs/symbols.md` explains; its figures come from here.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]

mod compare;
mod debian;
mod go;
mod llvm;
mod unlinked;
mod variants;

use std::path::{Path, PathBuf};

use cairn_symbols::{Companions, Limits, SymbolFile, convert};
use object::{Object, ObjectSymbol};

use crate::compare::{Kind, Tally};

fn corpus(binary: &str) -> PathBuf {
    let folder = cairn_testkit::corpus::root().join("generated/native/bin");
    folder.join(binary)
}

/// Every address of every function that a symbol table gives a size.
fn addresses(elf: &[u8]) -> Vec<u64> {
    let file = object::File::parse(elf).unwrap();
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let functions = symbols.filter(|symbol| {
        symbol.kind() == object::SymbolKind::Text && symbol.is_definition() && symbol.size() > 0
    });
    let mut addresses: Vec<u64> = functions
        .flat_map(|symbol| symbol.address()..symbol.address() + symbol.size())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Compares at every n-th address.
fn tally(path: &Path, stride: usize) -> Tally {
    let elf = std::fs::read(path).unwrap();
    let addresses = addresses(&elf).into_iter().step_by(stride).collect();
    tally_of((path, path), &Companions::default(), addresses)
}

/// Compares what we say of one file with what is said of another; prints the tally and some
/// examples of each kind.
#[expect(
    clippy::print_stdout,
    reason = "the figures in the document come from here"
)]
fn tally_of(
    (path, reference): (&Path, &Path),
    companions: &Companions<'_>,
    addresses: Vec<u64>,
) -> Tally {
    let elf = std::fs::read(path).unwrap();
    let bytes = convert(&elf, companions, &Limits::default()).unwrap();
    let file = SymbolFile::open(bytes).unwrap();
    file.verify().unwrap();
    assert_eq!((file.units_skipped(), file.units_missing()), (0, 0));
    assert!(addresses.len() > 50, "{} has code", path.display());
    let theirs = llvm::chains(reference, &addresses);
    let tally = compare::all(&elf, &file, &addresses, &theirs);
    println!("{}: {tally}", path.display());
    tally
}

fn assert_explained(tally: &Tally, allowed: &[Kind]) {
    for (kind, count) in tally.kinds() {
        let example = tally.example(kind);
        assert!(
            allowed.contains(&kind),
            "{count} addresses disagree, {kind:?}: {example}"
        );
    }
}

#[test]
fn corpus_binaries_agree_at_every_address() {
    for binary in ["work_pie", "work_nopie", "work_fp", "cpp_pie", "cpp_nopie"] {
        let tally = tally(&corpus(binary), 1);
        assert_explained(&tally, &[]);
    }
}

#[test]
fn debian_libraries_agree_as_far_as_is_explained() {
    let packages = debian::unpacked(
        "amd64",
        &["libc6-dbg", "libstdc++6-12-dbg", "libc6", "libstdc++6"],
    );
    for library in [
        packages.debug_file_of("libc.so.6"),
        packages.find("debug/libstdc++.so.6.0.30"),
        packages.find("libstdc++.so.6.0.30"),
    ] {
        let tally = tally(&library, 1);
        assert_explained(&tally, &Kind::EXPLAINED);
    }
}

/// 64 bits of another instruction set, 32 bits, and numbers written highest byte first.
#[test]
fn libraries_of_other_machines_agree_as_far_as_is_explained() {
    for architecture in ["arm64", "i386", "s390x"] {
        let packages = debian::unpacked(architecture, &["libc6", "libc6-dbg"]);
        let tally = tally(&packages.debug_file_of("libc.so.6"), 16);
        assert_explained(&tally, &Kind::EXPLAINED);
    }
}

#[test]
fn a_large_rust_binary_agrees_as_far_as_is_explained() {
    let tally = tally(&std::env::current_exe().unwrap(), 16);
    assert_explained(&tally, &Kind::EXPLAINED);
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob")]
fn step() -> usize {
    let step = std::env::var("CAIRN_AGREEMENT_STEP").expect("a number");
    step.parse().expect("a number")
}

/// Such as the image of a kernel, which is large: every `CAIRN_AGREEMENT_STEP`th address.
#[test]
#[ignore = "needs CAIRN_AGREEMENT_ELF, a file"]
fn another_file_agrees_as_far_as_is_explained() {
    let file = std::env::var_os("CAIRN_AGREEMENT_ELF").expect("the path of a file");
    let tally = tally(file.as_ref(), step());
    assert_explained(&tally, &Kind::EXPLAINED);
}
