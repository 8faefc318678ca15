//! Names in every mode. What C++ and Rust must look like is what `c++filt` of binutils, `llvm-cxxfilt`
//! and `rustfilt` print; what Swift, D, Go and Java must, is said by their documents.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cairn_symbols::{Mode, demangle};

/// (name, simple, templates, full).
const NAMES: &[(&str, &str, &str, &str)] = &[
    // C++: `c++filt`, and `c++filt -p` for templates.
    (
        "_ZN3foo3barEiPKc",
        "foo::bar",
        "foo::bar",
        "foo::bar(int, char const*)",
    ),
    (
        "_ZNSt6vectorIiSaIiEE9push_backERKi",
        "std::vector::push_back",
        "std::vector<int, std::allocator<int> >::push_back",
        "std::vector<int, std::allocator<int> >::push_back(int const&)",
    ),
    (
        "_ZStlsISt11char_traitsIcEERSt13basic_ostreamIcT_ES5_PKc",
        "std::operator<<",
        "std::operator<< <std::char_traits<char> >",
        "std::basic_ostream<char, std::char_traits<char> >& std::operator<< <std::char_traits<char> >(std::basic_ostream<char, std::char_traits<char> >&, char const*)",
    ),
    (
        "_ZNK3foocvbEv",
        "foo::operator bool",
        "foo::operator bool",
        "foo::operator bool() const",
    ),
    ("_ZN1AC2Ev", "A::A", "A::A", "A::A()"),
    ("_ZN1AD0Ev", "A::~A", "A::~A", "A::~A()"),
    (
        "_ZN12_GLOBAL__N_14pool4freeEPv",
        "(anonymous namespace)::pool::free",
        "(anonymous namespace)::pool::free",
        "(anonymous namespace)::pool::free(void*)",
    ),
    (
        "_ZZ4mainENKUlvE_clEv",
        "main::{lambda()#1}::operator()",
        "main::{lambda()#1}::operator()",
        "main::{lambda()#1}::operator()() const",
    ),
    (
        "_ZltRK1AS1_",
        "operator<",
        "operator<",
        "operator<(A const&, A const&)",
    ),
    (
        "_ZNK1PIiEptEv",
        "P::operator->",
        "P<int>::operator->",
        "P<int>::operator->() const",
    ),
    (
        "_ZThn16_N1A1fEv",
        "non-virtual thunk to A::f",
        "non-virtual thunk to A::f",
        "non-virtual thunk to A::f()",
    ),
    ("__ZN3foo3barEv", "foo::bar", "foo::bar", "foo::bar()"),
    // Rust: `rustfilt`, which leaves out hashes, and `rustfilt -h`, which does not. Arguments of
    // generics stay in all modes, as in pprof.
    (
        "_ZN4core3fmt5write17h0123456789abcdefE",
        "core::fmt::write",
        "core::fmt::write",
        "core::fmt::write::h0123456789abcdef",
    ),
    (
        "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE",
        "<Test + 'static as foo::Bar<Test>>::bar",
        "<Test + 'static as foo::Bar<Test>>::bar",
        "<Test + 'static as foo::Bar<Test>>::bar::h930b740aa94f1d3a",
    ),
    (
        "_RNvC7mycrate4main",
        "mycrate::main",
        "mycrate::main",
        "mycrate::main",
    ),
    (
        "_RNvMs0_NtCs5l0EXMQXRMU_21rustc_demangle_parser2v0NtB5_7Printer10print_type",
        "<rustc_demangle_parser::v0::Printer>::print_type",
        "<rustc_demangle_parser::v0::Printer>::print_type",
        "<rustc_demangle_parser[3e2f6cea31ab68d6]::v0::Printer>::print_type",
    ),
    // D: https://dlang.org/spec/abi.html#name_mangling
    (
        "_D3std5stdio7writelnFAyaZv",
        "std.stdio.writeln",
        "std.stdio.writeln",
        "std.stdio.writeln",
    ),
    ("_Dmain", "D main", "D main", "D main"),
    (
        "_D4test3Foo6__ctorMFiZC4test3Foo",
        "test.Foo.this",
        "test.Foo.this",
        "test.Foo.this",
    ),
    (
        "_D8demangle8__T4testZv",
        "demangle.test",
        "demangle.test!(...)",
        "demangle.test!(...)",
    ),
    (
        "_D8demangle4testFLC6ObjectLDFLiZvZv",
        "demangle.test",
        "demangle.test",
        "demangle.test",
    ),
    (
        "_D8demangle__T3abcS_DQt1xiZQpFNaNbZv",
        "demangle.abc",
        "demangle.abc!(...)",
        "demangle.abc!(...)",
    ),
    // Swift: https://github.com/swiftlang/swift/blob/main/docs/ABI/Mangling.rst
    ("$s4main3fooyyF", "main.foo", "main.foo", "main.foo"),
    (
        "_$s4main7CounterC9incrementyyF",
        "main.Counter.increment",
        "main.Counter.increment",
        "main.Counter.increment",
    ),
    (
        "$s4main7CounterC9incrementyyFTq",
        "main.Counter.increment",
        "main.Counter.increment",
        "main.Counter.increment",
    ),
    (
        "$s8mangling18myMangledFunctionsyyF",
        "mangling.myMangledFunctions",
        "mangling.myMangledFunctions",
        "mangling.myMangledFunctions",
    ),
    // Go.
    (
        "main.main.func1",
        "main.main.func1",
        "main.main.func1",
        "main.main.func1",
    ),
    (
        "main.(*Tree).Walk",
        "main.(*Tree).Walk",
        "main.(*Tree).Walk",
        "main.(*Tree).Walk",
    ),
    (
        "gopkg.in/yaml%2ev3.Unmarshal",
        "gopkg.in/yaml.v3.Unmarshal",
        "gopkg.in/yaml.v3.Unmarshal",
        "gopkg.in/yaml.v3.Unmarshal",
    ),
    (
        "main.Map[go.shape.int,go.shape.string].func1",
        "main.Map[...].func1",
        "main.Map[go.shape.int,go.shape.string].func1",
        "main.Map[go.shape.int,go.shape.string].func1",
    ),
    // Java: descriptors (JVMS 4.3) and names of native methods (JNI, chapter 2).
    (
        "Ljava/util/HashMap;::get",
        "java.util.HashMap.get",
        "java.util.HashMap.get",
        "java.util.HashMap.get",
    ),
    (
        "Lcom/A$B;.run(I[JLjava/lang/String;)V",
        "com.A$B.run",
        "com.A$B.run",
        "com.A$B.run(int, long[], java.lang.String)",
    ),
    (
        "Java_com_example_My_1Class_run",
        "com.example.My_Class.run",
        "com.example.My_Class.run",
        "com.example.My_Class.run",
    ),
    (
        "Java_p_C_f_00e9__I",
        "p.C.f\u{e9}",
        "p.C.f\u{e9}",
        "p.C.f\u{e9}",
    ),
    // What is nobody's, or broken, stays.
    ("memcpy", "memcpy", "memcpy", "memcpy"),
    ("_Zip", "_Zip", "_Zip", "_Zip"),
    ("_ZN3foo", "_ZN3foo", "_ZN3foo", "_ZN3foo"),
    ("_Random", "_Random", "_Random", "_Random"),
    ("_Double", "_Double", "_Double", "_Double"),
    ("$stuff", "$stuff", "$stuff", "$stuff"),
    ("Java_", "Java_", "Java_", "Java_"),
    (
        "do_sys_open[...]",
        "do_sys_open[...]",
        "do_sys_open[...]",
        "do_sys_open[...]",
    ),
    ("", "", "", ""),
];

#[test]
fn names_look_in_each_mode_as_their_languages_have_it() {
    for &(name, simple, templates, full) in NAMES {
        assert_eq!(demangle(name, Mode::None), name);
        assert_eq!(demangle(name, Mode::Simple), simple, "simple {name}");
        assert_eq!(
            demangle(name, Mode::Templates),
            templates,
            "templates {name}"
        );
        assert_eq!(demangle(name, Mode::Full), full, "full {name}");
    }
}

/// What a tool prints for each line.
fn filtered(program: &str, arguments: &[&str], names: &[String]) -> Vec<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: see scripts/install-test-tools"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let asked = names.join("\n") + "\n";
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(asked.as_bytes()).expect("it reads"));
        child.wait_with_output().expect("it ends")
    });
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// The mangled C++ names of this machine's library.
fn names_of_libstdcxx() -> Vec<String> {
    use object::{Object, ObjectSymbol};
    let asked = Command::new("g++")
        .arg("-print-file-name=libstdc++.so")
        .output()
        .expect("g++ runs: apt-get install g++");
    let path = String::from_utf8(asked.stdout).expect("text");
    let elf = std::fs::read(path.trim()).expect("the library is there");
    let file = object::File::parse(&*elf).expect("an ELF file");
    let names = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.kind() == object::SymbolKind::Text);
    let names = names.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    names.filter(|name| name.starts_with("_Z")).collect()
}

#[test]
fn thousands_of_cpp_names_are_what_the_reference_prints() {
    let names = names_of_libstdcxx();
    assert!(names.len() > 4_000);
    // The reference spells out what the scheme has an abbreviation for.
    let string = "std::basic_string<char,std::char_traits<char>,std::allocator<char>>";
    let plain = |text: &str| {
        let text = text.replace(' ', "").replace(string, "std::string");
        text.replace("::~basic_string(", "::~string(")
            .replace("::basic_string(", "::string(")
    };
    // The library that we use loses a parameter that is of the same type parameter as the one
    // before it; the reference keeps the parameters of what stubs lead to, and never abbreviates.
    for (mode, option, percent) in [(Mode::Full, "-i", 3), (Mode::Templates, "-p", 6)] {
        let theirs = filtered("c++filt", &[option], &names);
        let pairs = names.iter().zip(&theirs);
        let pairs = pairs.map(|(name, theirs)| (name, demangle(name, mode), theirs));
        let differing: Vec<_> = pairs
            .filter(|(_, ours, theirs)| plain(ours) != plain(theirs))
            .collect();
        println!("{mode:?}: {} of {} differ", differing.len(), names.len());
        assert!(
            differing.len() * 100 <= names.len() * percent,
            "{mode:?}: {} of {}: {:#?}",
            differing.len(),
            names.len(),
            &differing[..differing.len().min(40)]
        );
    }
}

#[test]
fn crafted_names_end_soon_and_small() {
    // Each reference doubles what is written.
    let mut doubling = "_Z1f".to_owned();
    doubling.push_str(&"1XIS_S_E".repeat(200));
    let crafted = [
        doubling,
        "_ZN".repeat(5_000),
        format!("_Z1f{}i", "P".repeat(16_000)),
        format!("_RNv{}C1a", "I".repeat(9_000)),
        format!("_RIC1a{}E", "TB4_".repeat(4_000)),
        format!("_D{}", "__T1a".repeat(3_000)),
        format!("_D{}Q{}b", "1a".repeat(1_000), "z".repeat(100)),
        format!("$s{}F", "0aA".repeat(4_000)),
        "Java_".to_owned() + &"_0".repeat(4_000),
        "L".to_owned() + &"[".repeat(16_000),
        "x".repeat(1 << 20),
        "main.f".to_owned() + &"[".repeat(10_000),
    ];
    for name in &crafted {
        for mode in [Mode::None, Mode::Simple, Mode::Templates, Mode::Full] {
            let demangled = demangle(name, mode);
            assert!(demangled.len() <= name.len().max(16 << 10));
        }
    }
}
