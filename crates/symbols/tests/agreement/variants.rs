//! One program, in the ways in which compilers and distributions keep its debug information.

use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_symbols::{Companions, Error, Limits, SymbolFile, Wanted, convert};

use crate::compare::Kind;
use crate::{addresses, assert_explained, corpus, tally, tally_of};

/// A folder of this test, removed when it ends well.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What an interrupted run left behind is of no use.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let ran = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}: see scripts/install-test-tools"));
        let words = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{program} {arguments:?}: {words}");
    }

    pub(crate) fn compile(&self, output: &str, arguments: &[&str]) -> PathBuf {
        let source = corpus("workpp.cpp");
        let fixed = ["-O2", "-o", output, source.to_str().unwrap()];
        self.run("g++", &[&fixed, arguments].concat());
        self.0.join(output)
    }

    pub(crate) fn done(self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn every_version_and_compression_agrees() {
    let folder = Folder::new("versions");
    for version in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        for kind in ["-pie", "-no-pie", "-static-pie"] {
            // The C library is the same whatever the version.
            if kind == "-static-pie" && version != "-gdwarf-5" {
                continue;
            }
            let program = folder.compile("program", &[version, kind, "-fPIE"]);
            assert_explained(&tally(&program, 16), &Kind::EXPLAINED);
            if kind != "-pie" {
                continue;
            }
            let elf = std::fs::read(&program).unwrap();
            let addresses: Vec<u64> = addresses(&elf).into_iter().step_by(4).collect();
            for compression in ["zlib", "zlib-gnu", "zstd"] {
                let option = format!("--compress-debug-sections={compression}");
                folder.run("objcopy", &[&option, "program", "packed"]);
                let packed = folder.0.join("packed");
                assert!(is_packed(&packed, compression), "{compression}");
                // Not every version of the other side reads zstd.
                let files = (packed.as_path(), program.as_path());
                let tally = tally_of(files, &Companions::default(), addresses.clone());
                assert_explained(&tally, &[]);
            }
        }
    }
    folder.done();
}

/// Whether the debug information is in the file in this way.
fn is_packed(path: &Path, compression: &str) -> bool {
    use object::{Object as _, ObjectSection as _};
    let elf = std::fs::read(path).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    let format = match compression {
        "zstd" => object::CompressionFormat::Zstandard,
        _ => object::CompressionFormat::Zlib,
    };
    let names = [".debug_info", ".zdebug_info"];
    let section = names.iter().find_map(|name| file.section_by_name(name));
    section.unwrap().compressed_data().unwrap().format == format
}

/// What several programs share is moved into a file of its own, as distributions do it.
#[test]
fn what_dwz_moved_into_another_file_agrees() {
    let folder = Folder::new("dwz");
    let one = folder.compile("one", &["-g"]);
    folder.compile("two", &["-g", "-DOTHER"]);
    folder.run("dwz", &["-m", "shared.debug", "one", "two"]);
    let elf = std::fs::read(&one).unwrap();
    let shared = std::fs::read(folder.0.join("shared.debug")).unwrap();

    let wanted = Wanted::read(&elf, 1 << 20).unwrap().alt.unwrap();
    assert_eq!(wanted.name, "shared.debug");
    let parsed = object::File::parse(&*shared).unwrap();
    let id = object::Object::build_id(&parsed).unwrap().unwrap();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(wanted.build_id, id);

    let companions = Companions {
        alt: Some(&shared),
        ..Companions::default()
    };
    // The reference tool does not follow such references: it is shown the file before.
    let before = folder.compile("before", &["-g"]);
    let tally = tally_of((&one, &before), &companions, addresses(&elf));
    assert_explained(&tally, &[]);
    folder.done();
}

#[test]
fn split_units_agree_if_their_package_is_there() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let folder = Folder::new(&format!("split{version}"));
        let program = folder.compile("program", &[version, "-gsplit-dwarf"]);
        folder.run("llvm-dwp", &["-e", "program", "-o", "program.dwp"]);
        let elf = std::fs::read(&program).unwrap();
        assert!(Wanted::read(&elf, 1 << 20).unwrap().package);
        let package = std::fs::read(folder.0.join("program.dwp")).unwrap();
        let unit = std::fs::read(folder.0.join("program-workpp.dwo")).unwrap();
        for part in [&package, &unit] {
            let alone = convert(part, &Companions::default(), &Limits::default());
            assert_eq!(alone, Err(Error::SplitPart));
        }
        let companions = Companions {
            package: Some(&package),
            ..Companions::default()
        };
        // The reference tool finds the files beside the program.
        let tally = tally_of((&program, &program), &companions, addresses(&elf));
        assert_explained(&tally, &[]);

        let alone = convert(&elf, &Companions::default(), &Limits::default()).unwrap();
        let alone = SymbolFile::open(alone).unwrap();
        assert_eq!(alone.units_missing(), 1);
        folder.done();
    }
}

#[test]
fn split_units_that_stayed_in_the_file_agree() {
    let folder = Folder::new("within");
    let program = folder.compile("program", &["-g", "-gsplit-dwarf"]);
    let mut arguments = Vec::new();
    for name in ["info", "abbrev", "str", "str_offsets", "line", "rnglists"] {
        let section = format!(".debug_{name}.dwo={name}");
        let dump = [
            "--dump-section",
            &section,
            "program-workpp.dwo",
            "/dev/null",
        ];
        folder.run("objcopy", &dump);
        // Not every program has each of them.
        if !folder.0.join(name).exists() {
            continue;
        }
        arguments.extend(["--add-section".to_owned(), section]);
    }
    arguments.extend(["program".to_owned(), "within".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    folder.run("objcopy", &arguments);
    let within = folder.0.join("within");
    let elf = std::fs::read(&within).unwrap();
    let tally = tally_of((&within, &program), &Companions::default(), addresses(&elf));
    assert_explained(&tally, &[]);
    folder.done();
}

/// Symbols of a stripped program, packed, as Fedora keeps them.
#[test]
fn mini_debuginfo_names_what_symbols_do() {
    let folder = Folder::new("mini");
    let whole = folder.compile("program", &[]);
    folder.run("objcopy", &["--only-keep-debug", "program", "mini"]);
    folder.run("xz", &["mini"]);
    let section = ".gnu_debugdata=mini.xz";
    folder.run(
        "objcopy",
        &["-S", "--add-section", section, "program", "packed"],
    );
    let packed = std::fs::read(folder.0.join("packed")).unwrap();
    let file = |elf: &[u8]| {
        let bytes = convert(elf, &Companions::default(), &Limits::default()).unwrap();
        SymbolFile::open(bytes).unwrap()
    };
    let whole = std::fs::read(whole).unwrap();
    let (with, without) = (file(&packed), file(&whole));
    for address in addresses(&whole) {
        let names = |file: &SymbolFile| {
            let frames = file
                .lookup(cairn_model::Addressing::Virtual, address)
                .unwrap();
            frames
                .map(|frame| frame.system_name().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&with), names(&without));
    }
    folder.done();
}
