//! Objects, as kernel modules are: the truth is what a linker makes of one if it puts each section where
//! the kernel would.

use std::fmt::Write as _;

use cairn_symbols::{Companions, Limits, SymbolFile, convert};
use object::{Object, ObjectSection, SectionFlags};

use crate::compare;
use crate::variants::Folder;
use crate::{addresses, assert_explained, llvm};

/// Makes the linker put the sections with code one after the other, those of the start last.
fn script(object: &[u8]) -> String {
    let file = object::File::parse(object).unwrap();
    let is_code =
        |flags| matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.0 & 4 != 0);
    let code: Vec<_> = file
        .sections()
        .filter(|section| is_code(section.flags()))
        .collect();
    let (last, first): (Vec<_>, Vec<_>) = code
        .iter()
        .partition(|section| section.name().unwrap().starts_with(".init"));
    let mut script = "SECTIONS {\n. = 0;\n".to_owned();
    let mut at = 0;
    for section in first.into_iter().chain(last) {
        let (name, align) = (section.name().unwrap(), section.align());
        at = u64::next_multiple_of(at, align);
        writeln!(script, "{name} {at:#x} : {{ *({name}) }}").unwrap();
        at += section.size();
    }
    script + ". = 0x1000000;\n}\n"
}

/// What needs no headers, and so compiles for any machine.
const PLAIN: &str = r#"
template <typename T> static inline __attribute__((always_inline)) T twice(T value) {
    return value * 2 + 1;
}
struct Ring {
    int at, all[64];
    __attribute__((noinline)) int next(int by) {
        at = (at + twice(by)) & 63;
        return all[at];
    }
};
__attribute__((noinline)) int sum(Ring &ring, int count) {
    int total = 0;
    for (int i = 0; i < count; i++)
        total += ring.next(i) ^ twice(total);
    return total;
}
int (*table[])(Ring &, int) = {sum};
"#;

/// Code that lies elsewhere until a module runs, and code that is seldom needed.
const MORE: &str = r#"
__attribute__((section(".init.text"), noinline)) int begin(int a) { return a * 3 + 1; }
__attribute__((cold, noinline)) int seldom(int a) { return begin(a) ^ a; }
"#;

#[test]
fn objects_agree_with_what_linkers_make_of_them() {
    let folder = Folder::new("objects");
    let rich = std::fs::read_to_string(crate::corpus("workpp.cpp")).unwrap();
    std::fs::write(folder.0.join("rich.cpp"), rich + MORE).unwrap();
    std::fs::write(folder.0.join("plain.cpp"), PLAIN.to_owned() + MORE).unwrap();
    for (source, arguments) in [
        ("rich.cpp", &["-gdwarf-5", "-O2"][..]),
        ("rich.cpp", &["-gdwarf-4", "-O2", "-ffunction-sections"]),
        (
            "rich.cpp",
            &["-gdwarf-2", "-O1", "-mcmodel=kernel", "-fno-pic"],
        ),
        (
            "rich.cpp",
            &["-gdwarf-5", "-O2", "-ffunction-sections", "-gz=zlib"],
        ),
        ("plain.cpp", &["-gdwarf-4", "-O2", "-m32"]),
        (
            "plain.cpp",
            &["-gdwarf-5", "-O2", "-m32", "-ffunction-sections"],
        ),
    ] {
        let fixed = ["-c", "-o", "object.o", source];
        folder.run("g++", &[&fixed, arguments].concat());
        let object = std::fs::read(folder.0.join("object.o")).unwrap();
        std::fs::write(folder.0.join("script"), script(&object)).unwrap();
        let machine = if arguments.contains(&"-m32") {
            "elf_i386"
        } else {
            "elf_x86_64"
        };
        let link = [
            "-m",
            machine,
            "-N",
            "-e",
            "0",
            "--unresolved-symbols=ignore-all",
            "-T",
            "script",
        ];
        folder.run("ld", &[&link[..], &["-o", "linked", "object.o"]].concat());
        let linked = folder.0.join("linked");
        let elf = std::fs::read(&linked).unwrap();
        let addresses = addresses(&elf);
        assert!(addresses.len() > 60, "{arguments:?}");

        let bytes = convert(&object, &Companions::default(), &Limits::default()).unwrap();
        let file = SymbolFile::open(bytes).unwrap();
        assert_eq!((file.units_skipped(), file.units_missing()), (0, 0));
        let theirs = llvm::chains(&linked, &addresses);
        let tally = compare::all(&elf, &file, &addresses, &theirs);
        assert_explained(&tally, &[]);
        // Who samples counts from where the code begins.
        for address in addresses {
            let offset = file.virtual_address(cairn_model::Addressing::FileOffset, address);
            assert_eq!(offset, Ok(address));
        }
    }
    folder.done();
}
