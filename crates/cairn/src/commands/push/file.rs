//! A file's profiles, whichever format they are written in.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use cairn_formats::{Format as Text, Unit};
use cairn_model::{Described, Limits};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Pprof,
    /// One line per stack: outermost;...;innermost count
    Folded,
    /// What `perf script` prints
    PerfScript,
    Speedscope,
    /// Chrome's and Node's .cpuprofile
    Cpuprofile,
    /// Chrome's and Node's .heapprofile
    Heapprofile,
    /// A flight recording of the JDK or of async-profiler
    Jfr,
}

/// One profile of a file.
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) profile: cairn_model::Profile,
    pub(super) pprof: Vec<u8>,
}

/// All profiles, as pprof.
pub(super) fn decode(
    raw: Vec<u8>,
    format: Option<Format>,
    path: &Path,
) -> anyhow::Result<Vec<Profile>> {
    let limits = Limits::default();
    let plain = inflated(&raw, limits.profile_bytes_max)?;
    let described = match format.unwrap_or_else(|| guess(&plain, path)) {
        Format::Pprof => return pprof(raw, &limits),
        Format::Jfr => {
            let options = cairn_jfr::Options {
                sample_rate: 0,
                threads: false,
            };
            let decoded = cairn_jfr::decode(&plain, None, &options, &limits);
            decoded
                .context("not a flight recording that can be stored")?
                .profiles
        }
        Format::Folded => text(Text::Folded, &plain, &limits)?,
        Format::PerfScript => text(Text::PerfScript, &plain, &limits)?,
        Format::Speedscope => text(Text::Speedscope, &plain, &limits)?,
        Format::Cpuprofile => text(Text::CpuProfile, &plain, &limits)?,
        Format::Heapprofile => text(Text::HeapProfile, &plain, &limits)?,
    };
    let encoded = |described: Described| {
        let Described {
            name,
            labels,
            profile,
        } = described;
        let pprof = cairn_pprof::encode_gzip(&profile);
        Profile {
            name,
            labels,
            profile,
            pprof,
        }
    };
    Ok(described.into_iter().map(encoded).collect())
}

fn pprof(raw: Vec<u8>, limits: &Limits) -> anyhow::Result<Vec<Profile>> {
    let decoded = cairn_pprof::decode(&raw, limits, &Default::default());
    let decoded = decoded.context(
        "not a pprof file that can be stored; if it is written otherwise, say so with --format",
    )?;
    Ok(vec![Profile {
        name: None,
        labels: Vec::new(),
        profile: decoded.profile,
        pprof: raw,
    }])
}

fn text(format: Text, plain: &[u8], limits: &Limits) -> anyhow::Result<Vec<Described>> {
    let decoded = cairn_formats::decode(format, plain, &Unit::default(), limits);
    Ok(decoded.context("not a file that can be stored")?.profiles)
}

fn inflated(raw: &[u8], max: usize) -> anyhow::Result<Vec<u8>> {
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return Ok(raw.to_vec());
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(raw)
        .take(max as u64 + 1)
        .read_to_end(&mut plain);
    read.context("it is not valid gzip")?;
    anyhow::ensure!(plain.len() <= max, "larger than {max} bytes when inflated");
    Ok(plain)
}

/// What the first bytes and the name tell; pprof if they tell nothing.
fn guess(plain: &[u8], path: &Path) -> Format {
    if plain.starts_with(b"FLR\0") {
        return Format::Jfr;
    }
    let name = path.file_name().map(|name| name.to_string_lossy());
    match cairn_formats::guess(plain, &name.unwrap_or_default()) {
        Some(Text::Folded) => Format::Folded,
        Some(Text::PerfScript) => Format::PerfScript,
        Some(Text::Speedscope) => Format::Speedscope,
        Some(Text::CpuProfile) => Format::Cpuprofile,
        Some(Text::HeapProfile) => Format::Heapprofile,
        Some(Text::Lines | Text::Tree | Text::Trie) | None => Format::Pprof,
    }
}
