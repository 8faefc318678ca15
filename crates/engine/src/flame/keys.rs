//! What makes two calls one node of a flame graph.

use cairn_model::{Addressing, Function, Mapping, NONE, StrId};
use cairn_trie::{Interner, LocationMap, Symbols};
use hashbrown::HashMap;

use super::{KeyBy, Kind, Node};
use crate::generated::{GENERATED, shown_binary};

/// What makes two calls one node. Parts that do not matter are [`NONE`] or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Group(u32),
    Function {
        name: StrId,
        file: StrId,
        mapping: u32,
        mapping_file: StrId,
        address: u64,
    },
    Unnamed {
        mapping: u32,
        address: u64,
    },
}

/// One call of a location.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    kind: Kind,
    pub(super) key: u32,
    mapping: u32,
    address: u64,
    line: i64,
    inlined: bool,
}

/// Keys met so far, and the tables that nodes refer to.
#[derive(Debug)]
pub(super) struct Keys {
    key_by: KeyBy,
    interner: Interner,
    /// By mapping: which one is shown for it.
    shown: Vec<u32>,
    known: HashMap<Key, u32, foldhash::fast::RandomState>,
}

impl Step {
    fn of(kind: Kind, key: u32) -> Self {
        Self {
            kind,
            key,
            mapping: NONE,
            address: 0,
            line: 0,
            inlined: false,
        }
    }

    /// A node of this call alone.
    pub(super) fn node(&self, parent: u32) -> Node {
        Node {
            parent,
            kind: self.kind,
            key: self.key,
            mapping: self.mapping,
            address: self.address,
            line: self.line,
            inlined: self.inlined,
            ..Node::BARE
        }
    }

    /// Makes this call one more of a node's.
    pub(super) fn also(&self, node: &mut Node) {
        if node.mapping != self.mapping {
            node.mapping = NONE;
        }
        if node.address != self.address {
            node.address = 0;
        }
        if node.line != self.line {
            node.line = 0;
        }
        node.inlined &= self.inlined;
    }
}

impl Keys {
    pub(super) fn new(key_by: KeyBy) -> Self {
        Self {
            key_by,
            interner: Interner::default(),
            shown: Vec::new(),
            known: HashMap::default(),
        }
    }

    pub(super) fn symbols(&self) -> &Symbols {
        self.interner.symbols()
    }

    pub(super) fn into_symbols(self) -> Symbols {
        self.interner.into_symbols()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn group(&mut self, group: u32) -> Step {
        let key = self.key(Key::Group(group));
        Step::of(Kind::Group(group), key)
    }

    /// Appends the calls of a location, outermost first.
    pub(super) fn push_steps(
        &mut self,
        map: &mut LocationMap,
        (symbols, location): (&Symbols, u32),
        steps: &mut Vec<Step>,
    ) {
        let lines = symbols.lines(location);
        let location = &symbols.locations[location as usize];
        let mapping = match location.mapping {
            NONE => NONE,
            mapping => self.mapping(map, symbols, mapping),
        };
        if lines.is_empty() {
            let address = location.address;
            let key = self.key(Key::Unnamed { mapping, address });
            steps.push(Step {
                mapping,
                address,
                ..Step::of(Kind::Unnamed, key)
            });
        }
        for (at, line) in lines.iter().enumerate().rev() {
            let function = map.function_of(&mut self.interner, symbols, line.function);
            let key = self.function(function, mapping, location.address);
            steps.push(Step {
                kind: Kind::Function(function),
                key,
                mapping,
                address: location.address,
                line: line.line,
                inlined: at + 1 < lines.len(),
            });
        }
    }

    /// Generated code of all processes is of one binary.
    fn mapping(&mut self, map: &mut LocationMap, symbols: &Symbols, id: u32) -> u32 {
        let own = map.mapping_of(&mut self.interner, symbols, id);
        if let Some(shown) = self.shown.get(own as usize).filter(|shown| **shown != NONE) {
            return *shown;
        }
        let shown = match shown_binary(symbols.str(symbols.mappings[id as usize].file)) {
            GENERATED => {
                let file = self.interner.str(GENERATED);
                self.interner.mapping(Mapping {
                    file,
                    build_id: 0,
                    addressing: Addressing::Virtual,
                })
            }
            _ => own,
        };
        let mappings = self.interner.symbols().mappings.len();
        self.shown.resize(mappings, NONE);
        self.shown[own as usize] = shown;
        shown
    }

    fn function(&mut self, function: u32, mapping: u32, address: u64) -> u32 {
        let symbols = self.interner.symbols();
        let Function {
            name,
            system_name,
            file,
            ..
        } = symbols.functions[function as usize];
        let KeyBy {
            file: by_file,
            address: by_address,
            mapping: by_mapping,
        } = self.key_by;
        let mapping_file = match mapping {
            NONE => NONE,
            mapping => symbols.mappings[mapping as usize].file,
        };
        self.key(Key::Function {
            name: if name == 0 { system_name } else { name },
            file: if by_file { file } else { NONE },
            mapping: if by_address { mapping } else { NONE },
            mapping_file: if by_mapping { mapping_file } else { NONE },
            address: if by_address { address } else { 0 },
        })
    }

    fn key(&mut self, key: Key) -> u32 {
        let next = self.known.len() as u32;
        *self.known.entry(key).or_insert(next)
    }
}
