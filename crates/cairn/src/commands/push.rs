//! `cairn push`: sends profiles in files to a running Cairn.

mod file;
mod report;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cairn_model::{Labels, Limits};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use indicatif::{ProgressBar, ProgressStyle};

use self::file::Format;
use self::report::Stored;
use super::server::{MESSAGE_BYTES_MAX, Server, refused};

/// Bytes of profiles after which a request is full. Servers refuse much larger ones.
const REQUEST_BYTES: usize = 8 << 20;

/// Send profiles in files, gzipped, compressed by zstd or neither: pprof, folded stacks, `perf
/// script` output, speedscope, Chrome's .cpuprofile and .heapprofile, flight recordings (JFR),
/// heaptrack, files of Parca's agent (.padata).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn push cpu.pb.gz --label service_name=cart
  perf script | cairn push - --format perf-script --label service_name=cart
  go tool pprof -proto -output=- http://localhost:6060/debug/pprof/heap | cairn push - --label service_name=cart")]
pub struct Push {
    /// Files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How they are written; told from each file if not given.
    #[arg(long, short = 'f', value_enum)]
    format: Option<Format>,
    /// A label of the profiles; may be repeated.
    #[arg(long = "label", short = 'l', value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Name of the profiles, the first part of their type, such as `process_cpu` or `memory`; told
    /// from their sample types if not given.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    server: Server,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Push {
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        Labels::from_pairs(self.labels.iter().map(|(name, value)| (name, value)))?;
        let channel = self.server.connect().await?;
        let mut client =
            ProfileStoreServiceClient::new(channel).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let bar = progress(self.files.len());
        let mut failed = 0;
        for file in &self.files {
            bar.set_message(shown(file));
            match self.push(&mut client, file).await {
                Ok(pushed) => bar.suspend(|| report::write(out, &shown(file), &pushed))?,
                Err(error) if self.files.len() == 1 => return Err(error.context(shown(file))),
                Err(error) => {
                    failed += 1;
                    // If standard error is gone, the exit code still tells.
                    let line = format!("{}: {error:#}\n", shown(file));
                    let _ = bar.suspend(|| std::io::stderr().write_all(line.as_bytes()));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        anyhow::ensure!(
            failed == 0,
            "{failed} of {} files were not stored",
            self.files.len()
        );
        Ok(())
    }

    async fn push(&self, client: &mut Client, path: &Path) -> anyhow::Result<report::Pushed> {
        // Decoded here as well, so that a bad file is named before it travels.
        let file::Contents { profiles, notes } = file::decode(read(path)?, self.format, path)?;
        anyhow::ensure!(!profiles.is_empty(), "it holds no samples");
        let mut stored = Vec::with_capacity(profiles.len());
        let mut series = Vec::with_capacity(profiles.len());
        for profile in profiles {
            let (one, of) = self.series(profile)?;
            stored.push(one);
            series.push(of);
        }
        let (mut done, all) = (0, series.len());
        for series in requests(series, REQUEST_BYTES) {
            let count = series.len();
            let request = WriteRawRequest {
                series,
                ..Default::default()
            };
            let sent = client.write_raw(request).await;
            sent.map_err(|status| match done {
                0 => refused(&status),
                _ => refused(&status)
                    .context(format!("at least {done} of {all} profiles are stored")),
            })?;
            done += count;
        }
        Ok(report::Pushed { stored, notes })
    }

    fn series(&self, profile: file::Profile) -> anyhow::Result<(Stored, RawProfileSeries)> {
        let file::Profile {
            name,
            labels: mut pairs,
            profile,
            pprof,
        } = profile;
        let name = self.name.clone().or(name);
        let name = name.unwrap_or_else(|| cairn_pprof::usual_name(&profile, &[]));
        pairs.retain(|(name, _)| !self.labels.iter().any(|(given, _)| given == name));
        pairs.extend(self.labels.iter().cloned());
        let stored = Stored::new(&name, &pairs, &profile);
        pairs.push(("__name__".to_owned(), name));
        let labels = Labels::from_pairs(pairs)?;
        let series = RawProfileSeries {
            labels: Some(LabelSet::from(&labels)),
            samples: vec![RawSample {
                raw_profile: pprof.into(),
                ..Default::default()
            }],
        };
        Ok((stored, series))
    }
}

type Client = ProfileStoreServiceClient<tonic::transport::Channel>;

/// Puts series into requests that are full with about so many bytes.
fn requests(series: Vec<RawProfileSeries>, bytes_max: usize) -> Vec<Vec<RawProfileSeries>> {
    let mut requests: Vec<Vec<RawProfileSeries>> = Vec::new();
    let mut room = 0;
    for one in series {
        let samples = one.samples.iter();
        let bytes: usize = samples.map(|sample| sample.raw_profile.len()).sum();
        match requests.last_mut().filter(|_| bytes <= room) {
            Some(request) => {
                room -= bytes;
                request.push(one);
            }
            None => {
                room = bytes_max.saturating_sub(bytes);
                requests.push(vec![one]);
            }
        }
    }
    requests
}

/// A file's name for people.
fn shown(file: &Path) -> String {
    match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = Limits::default().request_bytes_max as u64;
    let mut raw = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(limit + 1)
            .read_to_end(&mut raw)
            .context("read standard input")?;
    } else {
        let opened = std::fs::File::open(file).context("open the file")?;
        opened
            .take(limit + 1)
            .read_to_end(&mut raw)
            .context("read the file")?;
    }
    anyhow::ensure!(
        raw.len() as u64 <= limit,
        "larger than the limit of {limit} bytes for one request"
    );
    anyhow::ensure!(!raw.is_empty(), "it is empty");
    Ok(raw)
}

fn progress(files: usize) -> ProgressBar {
    if files < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}")
        .expect("the template is valid");
    ProgressBar::new(files as u64).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_full_before_there_is_another() {
        let series = |bytes| RawProfileSeries {
            samples: vec![RawSample {
                raw_profile: vec![0; bytes].into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let split = |sizes: &[usize]| -> Vec<usize> {
            let series = sizes.iter().map(|bytes| series(*bytes)).collect();
            requests(series, 10).iter().map(Vec::len).collect()
        };
        assert_eq!(split(&[]), [0; 0]);
        assert_eq!(split(&[4, 6, 1, 9, 1]), [2, 2, 1]);
        assert_eq!(split(&[11, 0, 12]), [2, 1]);
    }
}
