//! `cairn push`: sends profiles in files to a running Cairn.

mod file;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cairn_model::{Labels, Limits, Profile, ProfileType};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use indicatif::{ProgressBar, ProgressStyle};

use self::file::Format;
use super::server::{MESSAGE_BYTES_MAX, Server, refused};
use super::time;

/// Send profiles in files, gzipped or not: pprof, folded stacks, `perf script` output, speedscope,
/// Chrome's .cpuprofile and .heapprofile, flight recordings (JFR).
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
                Ok(stored) => bar.suspend(|| report(out, file, &stored, &self.labels))?,
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

    /// Gives what was stored.
    async fn push(
        &self,
        client: &mut ProfileStoreServiceClient<tonic::transport::Channel>,
        path: &Path,
    ) -> anyhow::Result<Vec<Stored>> {
        // Decoded here as well, so that a bad file is named before it travels.
        let profiles = file::decode(read(path)?, self.format, path)?;
        anyhow::ensure!(!profiles.is_empty(), "it holds no samples");
        let mut stored = Vec::with_capacity(profiles.len());
        let mut series = Vec::with_capacity(profiles.len());
        for file::Profile {
            name,
            labels,
            profile,
            pprof,
        } in profiles
        {
            let name = self.name.clone().or(name);
            let name = name.unwrap_or_else(|| cairn_pprof::usual_name(&profile, &[]));
            let mut pairs = labels;
            pairs.retain(|(name, _)| !self.labels.iter().any(|(given, _)| given == name));
            let own = pairs.clone();
            pairs.extend(self.labels.iter().cloned());
            pairs.push(("__name__".to_owned(), name.clone()));
            let labels = Labels::from_pairs(pairs)?;
            series.push(RawProfileSeries {
                labels: Some(LabelSet::from(&labels)),
                samples: vec![RawSample {
                    raw_profile: pprof.into(),
                    ..Default::default()
                }],
            });
            stored.push(Stored { name, own, profile });
        }
        let request = WriteRawRequest {
            series,
            ..Default::default()
        };
        client
            .write_raw(request)
            .await
            .map_err(|status| refused(&status))?;
        Ok(stored)
    }
}

/// One profile that was stored.
struct Stored {
    name: String,
    /// Labels that the file gave it.
    own: Vec<(String, String)>,
    profile: Profile,
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

/// What was stored, and how to look at it.
fn report(
    out: &mut dyn Write,
    file: &Path,
    stored: &[Stored],
    labels: &[(String, String)],
) -> std::io::Result<()> {
    let samples: usize = stored
        .iter()
        .map(|stored| stored.profile.samples.len())
        .sum();
    writeln!(
        out,
        "{}: stored {samples} samples; see them with",
        shown(file)
    )?;
    for Stored { name, own, profile } in stored {
        let (from, until) = match profile.time {
            0 => ("now-15m".to_owned(), "now".to_owned()),
            time => (time::show(time), time::show(time)),
        };
        let matchers = own.iter().chain(labels);
        let matchers: Vec<String> = matchers
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        for value in &profile.types {
            let profile_type = ProfileType {
                name: name.clone(),
                sample_type: profile.str(value.kind).to_owned(),
                sample_unit: profile.str(value.unit).to_owned(),
                period_type: profile.str(profile.period_type.kind).to_owned(),
                period_unit: profile.str(profile.period_type.unit).to_owned(),
                delta: profile.duration != 0,
            };
            let selector = format!("{profile_type}{{{}}}", matchers.join(","));
            writeln!(
                out,
                "  cairn query '{selector}' --from {from} --until {until}"
            )?;
        }
    }
    Ok(())
}
