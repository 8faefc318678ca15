//! One fixed answer for the tests of reports, and profiles for those of blocks.

use cairn_block::{Head, Origin};
use cairn_model::{Function, Line, Mapping, NONE};
use cairn_testkit::generator::{Generator, Spec};
use cairn_trie::{Group, GroupValue, Interner, Partial, Trie, TrieBuilder, Value};

/// A program `app` with `main`, a recursive `walk`, an inlined `hash` and an address without name:
///
/// ```text
/// main                     pod=a
/// ├── walk                 10
/// │   └── walk             20
/// │       └── hash (in walk:7, inlined)  30
/// └── lib.so+0x40          5
/// main                     pod=b
/// └── walk                 100
/// ```
pub(crate) fn partial() -> Partial {
    let mut interner = Interner::default();
    let mut mapping = |file: &str, build_id: &str| {
        let mapping = Mapping {
            file: interner.str(file),
            build_id: interner.str(build_id),
            ..Mapping::default()
        };
        interner.mapping(mapping)
    };
    let app = mapping("/bin/app", "aa11");
    let lib = mapping("/lib/lib.so", "bb22");
    let mut function = |name: &str, start_line: i64| {
        let function = Function {
            name: interner.str(name),
            system_name: interner.str(&format!("_Z{name}")),
            file: interner.str("/src/app.c"),
            start_line,
        };
        interner.function(function)
    };
    let (main, walk, hash) = (
        function("main", 1),
        function("walk", 5),
        function("hash", 300),
    );
    let line = |function, line| Line {
        function,
        line,
        column: 0,
    };
    let in_main = interner.location(app, 0x10, &[line(main, 2)]);
    let in_walk = interner.location(app, 0x20, &[line(walk, 6)]);
    let in_hash = interner.location(app, 0x30, &[line(hash, 301), line(walk, 7)]);
    let unnamed = interner.location(lib, 0x40, &[]);
    let mut trie = TrieBuilder::default();
    let main = trie.child(Trie::ROOT, in_main);
    let walk = trie.child(main, in_walk);
    let again = trie.child(walk, in_walk);
    let deep = trie.child(walk, in_hash);
    let lost = trie.child(main, unnamed);
    let value = |(node, group, value)| Value { node, group, value };
    let values = [
        (walk, 1, 10),
        (again, 1, 20),
        (deep, 1, 30),
        (lost, 1, 5),
        (walk, 2, 100),
    ];
    let group = |pod: &str| Group(vec![("pod".into(), GroupValue::Str(pod.into()))]);
    Partial {
        symbols: interner.into_symbols(),
        trie: trie.into_trie(),
        groups: vec![Group::default(), group("a"), group("b")],
        values: values.map(value).to_vec(),
    }
}

/// The same without groups.
pub(crate) fn ungrouped() -> Partial {
    let mut merger = cairn_trie::Merger::default();
    let mut partial = partial();
    let mut b = partial.clone();
    partial.values.retain(|value| value.group == 1);
    b.values.retain(|value| value.group == 2);
    for mut part in [partial, b] {
        part.groups = vec![Group::default()];
        part.values.iter_mut().for_each(|value| value.group = 0);
        merger.add(part);
    }
    merger.finish()
}

/// An address that no mapping covers.
pub(crate) fn unmapped() -> Partial {
    let mut interner = Interner::default();
    let location = interner.location(NONE, 0x99, &[]);
    let mut trie = TrieBuilder::default();
    let node = trie.child(Trie::ROOT, location);
    Partial {
        symbols: interner.into_symbols(),
        trie: trie.into_trie(),
        groups: vec![Group::default()],
        values: vec![Value {
            node,
            group: 0,
            value: 7,
        }],
    }
}

/// Of one profile, another one for every time.
pub(crate) fn head_at(time: u64) -> Head {
    let generator = Generator::new(Spec::default());
    let mut head = Head::default();
    let origin = Origin {
        name: "cpu".into(),
        labels: generator.labels(0, 0),
        time: time as i64,
        lsn: 1,
        batch: 0,
    };
    let profile = generator.profile(0, 0, time as u32);
    head.append(&profile, &origin).expect("it fits");
    head
}
