//! Which format some bytes are in, for people who do not want to say. Never decides for senders.

use std::path::Path;

use crate::Format;
use crate::heaptrack::is_version;
use crate::json::Reader;
use crate::perf::is_header;
use crate::text::{digits, lines};

/// Lines that are looked at.
const LINES_MAX: usize = 100;

/// The format of a file by its name, or else by its beginning; `None` for any other.
pub fn guess(bytes: &[u8], file_name: &str) -> Option<Format> {
    by_name(file_name).or_else(|| by_content(bytes))
}

fn by_name(file_name: &str) -> Option<Format> {
    let name = Path::new(file_name).file_name()?.to_str()?;
    let name = name.to_ascii_lowercase();
    let plain = name.strip_suffix(".txt").unwrap_or(&name);
    let ends = [
        (".speedscope.json", Format::Speedscope),
        (".speedscope", Format::Speedscope),
        (".cpuprofile", Format::CpuProfile),
        (".heapprofile", Format::HeapProfile),
        (".folded", Format::Folded),
        (".collapsed", Format::Folded),
        (".perf.script", Format::PerfScript),
        (".tree", Format::Tree),
        (".trie", Format::Trie),
    ];
    let found = ends.iter().find(|(end, _)| plain.ends_with(end));
    found.map(|(_, format)| *format)
}

fn by_content(bytes: &[u8]) -> Option<Format> {
    let first = lines(bytes)
        .take(LINES_MAX)
        .map(|(_, line)| line.trim_ascii())
        .find(|line| !line.is_empty() && line[0] != b'#')?;
    if first[0] == b'{' {
        return by_members(bytes);
    }
    let is_binary = first.iter().any(|byte| *byte < b' ' && *byte != b'\t');
    if is_binary || first.starts_with(b"[{") {
        return None;
    }
    if is_version(first) {
        return Some(Format::Heaptrack);
    }
    if is_header(first) {
        return Some(Format::PerfScript);
    }
    let last = first.rsplit(|byte| matches!(byte, b' ' | b'\t')).next();
    let is_counted = last.is_some_and(|word| word.len() < first.len() && digits(word).is_some());
    if is_counted {
        return Some(Format::Folded);
    }
    first.contains(&b';').then_some(Format::Lines)
}

/// By the members of a JSON object, as far as they can be read.
fn by_members(bytes: &[u8]) -> Option<Format> {
    let mut found = None;
    let mut has_profiles = false;
    let mut reader = Reader::new(bytes);
    let end = reader.object(|reader, key| {
        match key {
            "nodes" => found = Some(Format::CpuProfile),
            "shared" if has_profiles => found = Some(Format::Speedscope),
            "profiles" => has_profiles = true,
            "head" => {
                return reader.object(|reader, key| {
                    match key {
                        "selfSize" => found = Some(Format::HeapProfile),
                        "hitCount" => found = Some(Format::CpuProfile),
                        _ => {}
                    }
                    reader.skip()
                });
            }
            _ => {}
        }
        reader.skip()
    });
    end.ok().and(found)
}
