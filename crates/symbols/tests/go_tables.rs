//! Go's table of functions as versions wrote it of which nobody has a compiler any more, by hand.

use std::path::Path;
use std::process::Command;

use cairn_model::Addressing;
use cairn_symbols::{Companions, Limits, SymbolFile, convert};

/// A function with an inlined call of another, and one without.
const CODE: &str = r#"
    .text
work: .fill 32, 1, 0x90
main: .fill 16, 1, 0x90
end:  .fill 16, 1, 0x90
    .section .rodata, "a"
    .fill 24, 1, 0xff
# Caller, line of the call, name, and from where it is called.
tree: .short -1, 0
    .long 2, 11, helper_name - NAMES, 7
"#;

/// Values that change along the code of a function: differences with the sign in the lowest bit, and
/// bytes.
const VALUES: &str = r#"
nothing: .byte 0
lines: .byte 22, 8, 80, 8, 75, 16, 0
calls: .byte 0, 8, 2, 8, 1, 16, 0
main_lines: .byte 62, 16, 0
work_name: .asciz "main.work"
helper_name: .asciz "main.helper"
main_name: .asciz "main.main"
one: .asciz "/src/work.go"
two: .asciz "/src/helper.go"
"#;

/// Functions have addresses, and everything is counted from the start of the table.
const SINCE_1_2: &str = r#"
    .set NAMES, table
    .section .gopclntab, "a"
table: .long 0xfffffffb
    .byte 0, 0, 1, POINTER
    .WORD 2
    .WORD work, work_about - table, main, main_about - table, end
    .long files - table
work_about: .WORD work
    .long work_name - table, 0, 0, 0, work_files - table, lines - table, 3
    .byte 0, 0, 0, 5
    .long 0, 0, calls - table
    .balign POINTER
    .WORD 0, 0, 0, 0, tree
main_about: .WORD main
    .long main_name - table, 0, 0, 0, main_files - table, main_lines - table, 0
    .byte 0, 0, 0, 0
files: .long 3, one - table, two - table
work_files: .byte 4, 8, 2, 8, 1, 16, 0
main_files: .byte 6, 16, 0
"#;

/// Each part is counted from its own start, and files by unit.
const SINCE_1_16: &str = r#"
    .set NAMES, names
    .section .gopclntab, "a"
table: .long 0xfffffffa
    .byte 0, 0, 1, POINTER
    .WORD 2, 2, names - table, units - table, files - table, values - table, functions - table
    .balign 8
functions: .WORD work, work_about - functions, main, main_about - functions, end
work_about: .WORD work
    .long work_name - names, 0, 0, 0, work_files - values, lines - values, 3, 0
    .byte 0, 0, 0, 4
    .long 0, 0, calls - values
    .balign POINTER
    .WORD 0, 0, 0, tree
main_about: .WORD main
    .long main_name - names, 0, 0, 0, main_files - values, main_lines - values, 0, 1
    .byte 0, 0, 0, 0
units: .long one - files, two - files
files: names: values: .byte 0
work_files: .byte 2, 8, 2, 8, 1, 16, 0
main_files: .byte 2, 16, 0
"#;

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let ran = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let ran = ran.expect("binutils are installed");
    let words = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {arguments:?}: {words}");
}

/// Without symbols, so that only the table names anything.
fn program(name: &str, table: &str, bits: u32) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let (pointer, word) = if bits == 64 {
        ("8", "quad")
    } else {
        ("4", "long")
    };
    let text = [table, VALUES, CODE].concat();
    let text = text.replace("POINTER", pointer).replace("WORD", word);
    std::fs::write(folder.join("table.s"), text).expect("written");
    let assemble = format!("--{bits}");
    run(&folder, "as", &[&assemble, "-o", "table.o", "table.s"]);
    let machine = if bits == 64 { "elf_x86_64" } else { "elf_i386" };
    let link = ["-m", machine, "-s", "-e", "0", "-Ttext=0x401000"];
    run(
        &folder,
        "ld",
        &[&link[..], &["-o", "program", "table.o"]].concat(),
    );
    std::fs::read(folder.join("program")).expect("linked")
}

fn converted(elf: &[u8]) -> SymbolFile {
    let bytes = convert(elf, &Companions::default(), &Limits::default()).expect("converts");
    SymbolFile::open(bytes).expect("what conversion writes opens")
}

/// Name, file and line of each call, innermost first.
fn calls(file: &SymbolFile, address: u64) -> Vec<(&str, &str, u32)> {
    let frames = file.lookup(Addressing::Virtual, address).into_iter();
    frames
        .flatten()
        .map(|frame| (frame.function(), frame.file(), frame.line))
        .collect()
}

#[test]
fn tables_of_before_1_18_name_functions_lines_and_inlined_calls() {
    let work = |line| ("main.work", "/src/work.go", line);
    let helper = ("main.helper", "/src/helper.go", 50);
    for (name, table) in [("since_1_2", SINCE_1_2), ("since_1_16", SINCE_1_16)] {
        for bits in [64, 32] {
            let file = converted(&program(&format!("{name}_{bits}"), table, bits));
            for (offset, want) in [
                (0, vec![work(10)]),
                (7, vec![work(10)]),
                (8, vec![helper, work(10)]),
                (15, vec![helper, work(10)]),
                (16, vec![work(12)]),
                (31, vec![work(12)]),
                (32, vec![("main.main", "/src/helper.go", 30)]),
                (47, vec![("main.main", "/src/helper.go", 30)]),
                (48, vec![]),
            ] {
                let found = calls(&file, 0x40_1000 + offset);
                assert_eq!(found, want, "{name} of {bits} bits at {offset}");
            }
        }
    }
}

#[test]
fn damaged_tables_of_before_1_18_do_not_panic() {
    for (name, table) in [("damaged_1_2", SINCE_1_2), ("damaged_1_16", SINCE_1_16)] {
        let elf = program(name, table, 64);
        let mark = if name == "damaged_1_2" { 0xfb } else { 0xfa };
        let start = elf
            .windows(8)
            .position(|bytes| bytes == [mark, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
        let start = start.expect("the table is there");
        for at in start..start + 400 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = elf.clone();
                // Several bytes, so that numbers become as large as they can.
                damaged[at..(at + 8).min(elf.len())].fill(value);
                let file = converted(&damaged);
                for offset in 0..64 {
                    assert!(
                        calls(&file, 0x40_1000 + offset).len() <= 257,
                        "{name} at {at}"
                    );
                }
            }
        }
    }
}
