//! A file's profiles, whichever format they are written in.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use cairn_formats::{Format as Text, Unit};
use cairn_model::{Described, Limits, TRUNCATED_FRAME};
use cairn_parca::padata::{Padata, is_padata};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

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
    /// What heaptrack writes of a heap
    Heaptrack,
    /// What Parca's agent writes when it is offline
    Padata,
}

/// What a file holds.
pub(super) struct Contents {
    pub(super) profiles: Vec<Profile>,
    /// What is not in the profiles as it is in the file, for people.
    pub(super) notes: Vec<String>,
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
) -> anyhow::Result<Contents> {
    let limits = Limits::default();
    let plain = inflated(&raw, limits.profile_bytes_max)?;
    let mut notes = Vec::new();
    let described = match format.unwrap_or_else(|| guess(&plain, path)) {
        Format::Pprof => {
            let sent = if is_gzip(&raw) { raw } else { plain };
            let profiles = vec![pprof(sent, &limits)?];
            return Ok(Contents { profiles, notes });
        }
        Format::Jfr => jfr(&plain, &limits, &mut notes)?,
        Format::Padata => padata(&plain, &limits, &mut notes)?,
        Format::Folded => text(Text::Folded, &plain, &limits, &mut notes)?,
        Format::PerfScript => text(Text::PerfScript, &plain, &limits, &mut notes)?,
        Format::Speedscope => text(Text::Speedscope, &plain, &limits, &mut notes)?,
        Format::Cpuprofile => text(Text::CpuProfile, &plain, &limits, &mut notes)?,
        Format::Heapprofile => text(Text::HeapProfile, &plain, &limits, &mut notes)?,
        Format::Heaptrack => text(Text::Heaptrack, &plain, &limits, &mut notes)?,
    };
    let profiles = described.into_iter().map(encoded).collect();
    Ok(Contents { profiles, notes })
}

fn encoded(described: Described) -> Profile {
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
}

fn pprof(sent: Vec<u8>, limits: &Limits) -> anyhow::Result<Profile> {
    let decoded = cairn_pprof::decode(&sent, limits, &Default::default());
    let decoded = decoded.context(
        "not a pprof file that can be stored; if it is written otherwise, say so with --format",
    )?;
    Ok(Profile {
        name: None,
        labels: Vec::new(),
        profile: decoded.profile,
        pprof: sent,
    })
}

fn jfr(plain: &[u8], limits: &Limits, notes: &mut Vec<String>) -> anyhow::Result<Vec<Described>> {
    let options = cairn_jfr::Options {
        sample_rate: 0,
        threads: false,
    };
    let decoded = cairn_jfr::decode(plain, None, &options, limits);
    let decoded = decoded.context("not a flight recording that can be stored")?;
    note_truncated(decoded.truncated_samples, limits, notes);
    Ok(decoded.profiles)
}

fn text(
    format: Text,
    plain: &[u8],
    limits: &Limits,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Described>> {
    let decoded = cairn_formats::decode(format, plain, &Unit::default(), limits);
    let decoded = decoded.context("not a file that can be stored")?;
    note_truncated(decoded.truncated_samples, limits, notes);
    Ok(decoded.profiles)
}

/// The profiles of each record; times of single samples are not in pprof.
fn padata(
    plain: &[u8],
    limits: &Limits,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Described>> {
    let refused = "not a file of Parca's agent that can be stored";
    let file = Padata::open(plain, limits).context(refused)?;
    let (mut profiles, mut truncated) = (Vec::new(), 0);
    for (at, record) in file.records().enumerate() {
        let record = record.with_context(|| format!("{refused}: record {at}"))?;
        truncated += record.truncated_samples;
        profiles.extend(record.profiles);
    }
    note_truncated(truncated, limits, notes);
    let cut = file.cut_bytes();
    if cut > 0 {
        let records = file.len();
        notes.push(format!(
            "whole records: {records}; the last {cut} bytes are only a part of one"
        ));
    }
    Ok(profiles)
}

fn note_truncated(samples: u64, limits: &Limits, notes: &mut Vec<String>) {
    if samples > 0 {
        let max = limits.samples_max;
        notes.push(format!(
            "{samples} samples are only summed, as {TRUNCATED_FRAME}: more than samples_max={max}"
        ));
    }
}

fn is_gzip(raw: &[u8]) -> bool {
    raw.starts_with(&GZIP)
}

/// Plain bytes of what may be gzipped or compressed by zstd.
fn inflated(raw: &[u8], max: usize) -> anyhow::Result<Vec<u8>> {
    let limited = |reader: &mut dyn Read| {
        let mut plain = Vec::new();
        let read = reader.take(max as u64 + 1).read_to_end(&mut plain);
        read.map(|_| plain)
    };
    let plain = if is_gzip(raw) {
        limited(&mut flate2::read::MultiGzDecoder::new(raw)).context("it is not valid gzip")?
    } else if raw.starts_with(&ZSTD) {
        limited(&mut zstd::Decoder::with_buffer(raw)?).context("it is not valid zstd")?
    } else {
        raw.to_vec()
    };
    anyhow::ensure!(plain.len() <= max, "larger than {max} bytes when inflated");
    Ok(plain)
}

/// What the first bytes and the name tell; pprof if they tell nothing.
fn guess(plain: &[u8], path: &Path) -> Format {
    if plain.starts_with(b"FLR\0") {
        return Format::Jfr;
    }
    if is_padata(plain) {
        return Format::Padata;
    }
    let name = path.file_name().map(|name| name.to_string_lossy());
    match cairn_formats::guess(plain, &name.unwrap_or_default()) {
        Some(Text::Folded) => Format::Folded,
        Some(Text::PerfScript) => Format::PerfScript,
        Some(Text::Speedscope) => Format::Speedscope,
        Some(Text::CpuProfile) => Format::Cpuprofile,
        Some(Text::HeapProfile) => Format::Heapprofile,
        Some(Text::Heaptrack) => Format::Heaptrack,
        Some(Text::Lines | Text::Tree | Text::Trie) | None => Format::Pprof,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use cairn_parca::write::{Sample, v2};

    use super::*;

    fn read(raw: &[u8], name: &str) -> anyhow::Result<Contents> {
        decode(raw.to_vec(), None, Path::new(name))
    }

    fn gzipped(plain: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).expect("memory takes all");
        gzip.finish().expect("memory takes all")
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 1).expect("memory takes all")
    }

    fn padata() -> Vec<u8> {
        let batch = v2(&[Sample {
            value: 7,
            ..Sample::default()
        }]);
        let mut file = vec![0xa6, 0xe7, 0xcc, 0xca, 0, 0, 0, 2];
        for _ in 0..2 {
            file.extend((batch.len() as u32).to_be_bytes());
            file.extend(&batch);
        }
        file
    }

    #[test]
    fn files_are_told_by_what_is_in_them_however_compressed() {
        let heaptrack = b"v 10400 3\ns 4 main\ni 1 0 1\nt 1 0\na 8 1\n+ 0\n".to_vec();
        let go = cairn_pprof::encode(&read(&heaptrack, "").expect("valid").profiles[0].profile);
        for (plain, profiles, name) in [
            (&heaptrack, 1, Some("memory")),
            (&padata(), 2, Some("parca_agent")),
            (&go, 1, None),
        ] {
            for raw in [plain.clone(), gzipped(plain), zstd(plain)] {
                let contents = read(&raw, "file").expect("it is valid");
                assert_eq!(contents.profiles.len(), profiles);
                assert_eq!(contents.profiles[0].name.as_deref(), name);
                assert_eq!(contents.notes, [""; 0]);
                let sent = &contents.profiles[0].pprof;
                cairn_pprof::decode(sent, &Limits::default(), &Default::default())
                    .expect("it is what servers take");
            }
        }
    }

    #[test]
    fn a_file_of_an_agent_that_died_is_read_as_far_as_it_is_whole() {
        let file = padata();
        let end = file.len() - 1;
        let contents = read(&zstd(&file[..end]), "x.padata.zst").expect("it is valid");
        assert_eq!(contents.profiles.len(), 1);
        let cut = end - 8 - (file.len() - 8) / 2;
        let note = format!("whole records: 1; the last {cut} bytes are only a part of one");
        assert_eq!(contents.notes, [note]);
    }

    #[test]
    fn what_cannot_be_inflated_is_refused() {
        let gzip = &gzipped(b"main 1\n")[..12];
        let zstd = &zstd(b"main 1\n")[..12];
        for (raw, reason) in [
            (gzip, "it is not valid gzip"),
            (zstd, "it is not valid zstd"),
        ] {
            let error = read(raw, "x.folded").err().expect("it is cut");
            assert_eq!(error.to_string(), reason);
        }
        let max = 1 << 10;
        for raw in [
            gzipped(&vec![b'a'; max + 1]),
            self::zstd(&vec![b'a'; max + 1]),
        ] {
            let error = inflated(&raw, max).expect_err("it is too large");
            assert_eq!(error.to_string(), "larger than 1024 bytes when inflated");
        }
        let plain = vec![b'a'; max];
        assert_eq!(inflated(&gzipped(&plain), max).expect("it fits"), plain);
    }
}
