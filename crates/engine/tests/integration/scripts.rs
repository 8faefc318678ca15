//! Frames of generated JavaScript: named after V8 and a position, until a source map says more.

use cairn_engine::{Flame, Frame, KeyBy, Names, folded, name, unnamed};
use cairn_model::javascript::Position;
use cairn_model::{Addressing, Ask, BuildId, Function, Line, Mapping};
use cairn_trie::{Interner, Partial, Trie, TrieBuilder, Value};

const DEBUG_ID: &str = "85314830-023F-4cf1-a267-535f4e37bb17";

/// One stack of functions, outermost first, each in a mapping.
fn stack(functions: &[(&str, &str)]) -> Partial {
    let mut interner = Interner::default();
    let mut trie = TrieBuilder::default();
    let mut node = Trie::ROOT;
    for (mapping, function) in functions {
        let mapping = Mapping {
            file: interner.str(mapping),
            build_id: interner.str(DEBUG_ID),
            addressing: Addressing::Virtual,
        };
        let mapping = interner.mapping(mapping);
        let function = Function {
            name: interner.str(function),
            system_name: interner.str(function),
            file: interner.str("/app/bundle.js"),
            start_line: 0,
        };
        let line = Line {
            function: interner.function(function),
            line: 7,
            column: 0,
        };
        node = trie.child(node, interner.location(mapping, 0, &[line]));
    }
    let value = Value {
        node,
        group: 0,
        value: 1,
    };
    Partial {
        symbols: interner.into_symbols(),
        trie: trie.into_trie(),
        values: vec![value],
        ..Partial::default()
    }
}

/// Name, file, line and column of each call, outermost first.
fn calls(partial: &Partial) -> Vec<(&str, &str, i64, i64)> {
    let symbols = &partial.symbols;
    let stack: Vec<u32> = partial.trie.stack(partial.values[0].node).collect();
    let lines = stack
        .iter()
        .rev()
        .flat_map(|location| symbols.lines(*location));
    let call = |line: &Line| {
        let function = symbols.functions[line.function as usize];
        let text = |id| symbols.str(id);
        (
            text(function.name),
            text(function.file),
            line.line,
            line.column,
        )
    };
    lines.map(call).collect()
}

#[test]
fn what_a_source_map_says_takes_the_place_of_what_v8_says() {
    let partial = stack(&[
        ("v8js", "anonymous:L#1:C#9"),
        ("v8js", "t:L#1:C#40"),
        ("v8js", "get u:L#1:C#50"),
        ("v8js", "v:L#1:C#60"),
        ("v8js", "w:L#2:C#1"),
        ("v8js", "plain"),
        ("app", "t:L#1:C#40"),
    ]);
    let at = |line, column| Position { line, column }.address();
    let positions = vec![at(1, 9), at(1, 40), at(1, 50), at(1, 60), at(2, 1)];
    let wanted = unnamed(&partial);
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].ask, Ask::Positions);
    assert_eq!(
        wanted[0].build_id.as_str(),
        "85314830023f4cf1a267535f4e37bb17"
    );
    assert_eq!(wanted[0].addresses, positions);

    let mut names = Names::default();
    let map = BuildId::parse(DEBUG_ID).expect("valid");
    let said = [
        ("callback", "t", "src/a.ts"),
        ("total", "t", "src/a.ts"),
        ("unit", "u", "src/a.ts"),
        // An identifier of another function, and a place that no source has.
        ("other", "x", "src/a.ts"),
        ("", "", ""),
    ];
    for (address, (name, system_name, file)) in positions.into_iter().zip(said) {
        let frame = Frame {
            name,
            system_name,
            file,
            line: 20,
            column: 3,
            start_line: 0,
        };
        names.insert((&map, Ask::Positions), address, &[frame]);
    }
    let named = name(partial, &names);
    let want = [
        ("anonymous", "src/a.ts", 20, 3),
        ("total", "src/a.ts", 20, 3),
        ("get unit", "src/a.ts", 20, 3),
        ("v", "src/a.ts", 20, 3),
        ("w", "/app/bundle.js", 2, 1),
        ("plain", "/app/bundle.js", 7, 0),
        ("t:L#1:C#40", "/app/bundle.js", 7, 0),
    ];
    assert_eq!(calls(&named), want);
}

#[test]
fn without_a_source_map_v8s_names_have_no_positions() {
    let functions = [
        ("v8js", "t:L#1:C#40"),
        ("v8js", "t:L#1:C#90"),
        ("v8js", ":L#1:C#95"),
    ];
    let named = name(stack(&functions), &Names::default());
    let want = [
        ("t", "/app/bundle.js", 1, 40),
        ("t", "/app/bundle.js", 1, 90),
        ("anonymous", "/app/bundle.js", 1, 95),
    ];
    assert_eq!(calls(&named), want);
    let flame = Flame::build(&named, KeyBy::default());
    assert_eq!(folded(&flame), "t;t;anonymous 1\n");
}
