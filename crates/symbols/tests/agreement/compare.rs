//! What is the same, what differs, and of which kind a difference is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use cairn_model::Addressing;
use cairn_symbols::SymbolFile;
use object::{Object, ObjectSymbol};

use crate::llvm::Call;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// We name nothing, they do.
    OnlyTheirs,
    /// They name nothing, we do.
    OnlyOurs,
    /// Another number of calls.
    Depth,
    /// They take a label inside of a function, which the assembler left behind, for a function.
    Label,
    /// Another function.
    Name,
    /// Where no line is known: they take the name of a file from the symbol table, as the compiler
    /// was given it.
    FileOfSymbols,
    File,
    Line,
    Column,
}

impl Kind {
    pub(crate) const EXPLAINED: [Self; 2] = [Self::FileOfSymbols, Self::Label];
}

#[derive(Default)]
pub(crate) struct Tally {
    addresses: usize,
    inlined: usize,
    kinds: BTreeMap<Kind, (usize, Vec<String>)>,
}

impl Tally {
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (Kind, usize)> + '_ {
        self.kinds.iter().map(|(kind, (count, _))| (*kind, *count))
    }

    pub(crate) fn example(&self, kind: Kind) -> &str {
        &self.kinds[&kind].1[0]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} addresses, {} with inlined calls",
            self.addresses, self.inlined
        )?;
        for (kind, (count, examples)) in &self.kinds {
            write!(f, "\n  {kind:?}: {count}")?;
            for example in examples {
                write!(f, "\n    {example}")?;
            }
        }
        Ok(())
    }
}

fn ours(file: &SymbolFile, address: u64) -> Vec<Call> {
    let frames = file.lookup(Addressing::Virtual, address).into_iter();
    frames
        .flatten()
        .map(|frame| Call {
            name: frame.system_name().to_owned(),
            file: frame.file().to_owned(),
            line: frame.line,
            column: frame.column,
        })
        .collect()
}

/// Names that are as good as each other: those of symbols at one address.
struct Aliases {
    starts: HashMap<String, HashSet<u64>>,
}

impl Aliases {
    fn new(elf: &[u8]) -> Self {
        let file = object::File::parse(elf).unwrap();
        let mut starts: HashMap<String, HashSet<u64>> = HashMap::new();
        for symbol in file.symbols().chain(file.dynamic_symbols()) {
            let name = bare(symbol.name().unwrap_or(""));
            starts
                .entry(name.to_owned())
                .or_default()
                .insert(symbol.address());
        }
        Self { starts }
    }

    fn same(&self, ours: &str, theirs: &str) -> bool {
        let (ours, theirs) = (bare(ours), bare(theirs));
        let starts = |name| self.starts.get(name);
        ours == theirs
            || matches!((starts(ours), starts(theirs)), (Some(a), Some(b)) if !a.is_disjoint(b))
    }
}

/// Without what compilers and linkers append.
fn bare(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.find('.') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

fn kind(ours: &[Call], theirs: &[Call], aliases: &Aliases) -> Option<Kind> {
    let named = |calls: &[Call]| calls.iter().any(|call| !call.name.is_empty());
    match (named(ours), named(theirs)) {
        (false, false) => return None,
        (false, true) => return Some(Kind::OnlyTheirs),
        (true, false) => return Some(Kind::OnlyOurs),
        (true, true) => {}
    }
    if ours.len() != theirs.len() {
        return Some(Kind::Depth);
    }
    let pairs = || ours.iter().zip(theirs);
    let of_symbols = |a: &Call, b: &Call| a.file.is_empty() && !b.file.is_empty() && b.line == 0;
    let same = |a: &Call, b: &Call| aliases.same(&a.name, &b.name) || b.name.starts_with(".L");
    if pairs().any(|(a, b)| !same(a, b)) {
        Some(Kind::Name)
    } else if pairs().any(|(_, b)| b.name.starts_with(".L")) {
        Some(Kind::Label)
    } else if pairs().any(|(a, b)| a.line != b.line) {
        Some(Kind::Line)
    } else if pairs().any(|(a, b)| of_symbols(a, b)) {
        Some(Kind::FileOfSymbols)
    } else if pairs().any(|(a, b)| a.file != b.file) {
        Some(Kind::File)
    } else if pairs().any(|(a, b)| a.column != b.column) {
        Some(Kind::Column)
    } else {
        None
    }
}

pub(crate) fn all(elf: &[u8], file: &SymbolFile, addresses: &[u64], theirs: &[Vec<Call>]) -> Tally {
    let aliases = Aliases::new(elf);
    let mut tally = Tally::default();
    for (&address, theirs) in addresses.iter().zip(theirs) {
        let ours = ours(file, address);
        tally.addresses += 1;
        tally.inlined += usize::from(ours.len() > 1);
        if let Some(kind) = kind(&ours, theirs, &aliases) {
            let (count, examples) = tally.kinds.entry(kind).or_default();
            *count += 1;
            if count.is_power_of_two() && examples.len() < 12 {
                examples.push(format!(
                    "{address:#x}\n      ours   {ours:?}\n      theirs {theirs:?}"
                ));
            }
        }
    }
    tally
}
