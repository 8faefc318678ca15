//! A block as text, for people who look at one.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::Error;
use crate::error::SectionName;
use crate::index::{LINKS, PROFILES, TYPES};
use crate::labels::{ATTRS, LABEL_INDEX, LABEL_SETS};
use crate::origins::Origins;
use crate::read::Block;
use crate::samples::SAMPLES;
use crate::symbols::{FUNCTIONS, LOCATIONS, MAPPINGS, STACKS, STRINGS};
use crate::tables::Index;
use crate::toc::Section;
use cairn_model::Stretch;

const SECTIONS: [SectionName; 12] = [
    SAMPLES,
    STACKS,
    LOCATIONS,
    MAPPINGS,
    FUNCTIONS,
    STRINGS,
    TYPES,
    PROFILES,
    LABEL_SETS,
    LABEL_INDEX,
    ATTRS,
    LINKS,
];

/// At most this many services and label keys are named.
const NAMES_MAX: usize = 20;

/// Bytes of a block, by what they are for. They add up to all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// What says which rows there are, and the block's own contents.
    pub index: u64,
    pub rows: u64,
    /// Stacks, and the names of what they call.
    pub symbols: u64,
}

/// Known as soon as a block is open.
pub fn sizes(block: &Block) -> Sizes {
    let bytes = |names: &[SectionName]| {
        let sections = names.iter().filter_map(|name| block.toc().find(name));
        sections.map(|section| section.bytes).sum()
    };
    let rows = bytes(&[SAMPLES]);
    let symbols: u64 = bytes(&[STACKS, LOCATIONS, MAPPINGS, FUNCTIONS, STRINGS]);
    Sizes {
        index: block.info().bytes.saturating_sub(rows + symbols),
        rows,
        symbols,
    }
}

/// Sections, sizes, time range, types, services and label keys. Reads and checks the whole block.
pub async fn describe(block: &Block) -> Result<String, Error> {
    let (info, toc) = (block.info(), block.toc());
    let index = block.index().await?;
    let per_row = |bytes: u64| bytes as f64 / info.rows.max(1) as f64;
    let mut out = String::new();
    let mut line = |label: &str, text: String| {
        writeln!(out, "{label:<10}{text}").expect("writing to a string succeeds");
    };
    line("format", format!("{}, level {}", toc.version, toc.level));
    line("from", time(info.range.start));
    line("to", time(info.range.end));
    let profiles = format!(
        "{} profiles, {} rows, {} stacks",
        info.profiles, info.rows, toc.stacks
    );
    line("holds", profiles);
    let bytes = format!("{} bytes, {:.2} per row", info.bytes, per_row(info.bytes));
    line("size", bytes);
    for text in origins(&block.origins()) {
        line("origins", text);
    }
    line(
        "types",
        index
            .types
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    );
    line("services", services(&index));
    line("labels", label_keys(&index));
    line("", String::new());
    let header = ["rows", "bytes", "B/row", "unpacked", "compression"];
    line("section", columns(header.map(str::to_owned)));
    let mut sections_bytes = 0;
    for name in SECTIONS {
        let Some(section) = toc.find(name) else {
            continue;
        };
        sections_bytes += section.bytes;
        let bytes = block.sections(&[name]).await?.remove(0);
        let (unpacked, compression) = packing(name, bytes)?;
        line(
            name,
            section_line(section, per_row(section.bytes), (unpacked, &compression)),
        );
    }
    let rest = info.bytes - sections_bytes;
    line(
        "contents",
        columns(
            [
                "",
                &rest.to_string(),
                &format!("{:.3}", per_row(rest)),
                "",
                "",
            ]
            .map(str::to_owned),
        ),
    );
    Ok(out)
}

fn section_line(section: &Section, per_row: f64, (unpacked, compression): (u64, &str)) -> String {
    columns([
        section.rows.to_string(),
        section.bytes.to_string(),
        format!("{per_row:.3}"),
        unpacked.to_string(),
        compression.to_owned(),
    ])
}

fn columns([rows, bytes, per_row, unpacked, compression]: [String; 5]) -> String {
    let text = format!("{rows:>12}{bytes:>12}{per_row:>9}{unpacked:>12}  {compression}");
    text.trim_end().to_owned()
}

/// Bytes of a section before compression, and how it is compressed.
fn packing(name: SectionName, bytes: Bytes) -> Result<(u64, String), Error> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes);
    let metadata = metadata.map_err(|error| Error::corrupt(name, error))?;
    let groups = metadata.row_groups();
    let columns = || groups.iter().flat_map(|group| group.columns());
    let unpacked = columns()
        .map(|column| column.uncompressed_size().max(0) as u64)
        .sum();
    // Of most bytes: columns that pack well are left as they are.
    let most = columns().max_by_key(|column| column.uncompressed_size());
    let compression = most.map_or(String::new(), |column| {
        let text = column.compression().to_string().to_lowercase();
        text.split('(').next().unwrap_or_default().to_owned()
    });
    Ok((unpacked, compression))
}

/// Log by log, how many stretches from where to where.
fn origins(origins: &Origins) -> Vec<String> {
    let stretches = &origins.stretches;
    let logs = stretches.chunk_by(|a, b| a.writer == b.writer && a.incarnation == b.incarnation);
    let log = |log: &[Stretch]| {
        let Stretch {
            writer,
            incarnation,
            from,
            ..
        } = &log[0];
        let to = log[log.len() - 1].to;
        let mut text = format!("{writer}/{incarnation} {from} to {to}");
        if log.len() > 1 {
            text.push_str(&format!(" in {} stretches", log.len()));
        }
        if origins.siblings > 0 {
            text.push_str(&format!(", {} blocks", origins.siblings));
        }
        text
    };
    let mut lines: Vec<String> = logs.map(log).collect();
    if lines.len() > NAMES_MAX {
        let more = lines.len() - NAMES_MAX;
        lines.truncate(NAMES_MAX);
        lines.push(format!("and {more} more logs"));
    }
    if !origins.unknown.is_empty() {
        let blocks = origins.unknown.len();
        let s = if blocks == 1 { "" } else { "s" };
        lines.push(format!("unknown of {blocks} block{s}"));
    }
    lines
}

fn services(index: &Index) -> String {
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    for profile in &index.profiles {
        let labels = &index.label_sets[profile.label_set as usize];
        let name = labels.get("service_name").unwrap_or("(none)");
        *rows.entry(name).or_default() += u64::from(profile.rows.len);
    }
    listed(rows, "rows")
}

fn label_keys(index: &Index) -> String {
    let mut values: BTreeMap<&str, std::collections::BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in index.label_sets.iter().flat_map(|labels| labels.iter()) {
        values.entry(key).or_default().insert(value);
    }
    let counts = values
        .into_iter()
        .map(|(key, values)| (key, values.len() as u64));
    listed(counts.collect(), "values")
}

/// The largest first.
fn listed(counts: BTreeMap<&str, u64>, unit: &str) -> String {
    let total = counts.len();
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(NAMES_MAX);
    let mut names: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} ({count} {unit})"))
        .collect();
    if total > names.len() {
        names.push(format!("and {} more", total - names.len()));
    }
    names.join(", ")
}

fn time(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    time.map_or_else(|_| format!("{nanoseconds} ns"), |time| time.to_string())
}
