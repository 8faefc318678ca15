//! `cairn push`: sends pprof files to a running Cairn.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cairn_model::{Labels, Limits, Profile, ProfileType};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    LabelSet, RawProfileSeries, RawSample, WriteRawRequest,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::server::{MESSAGE_BYTES_MAX, Server, refused};
use super::time;

/// Send pprof files, gzipped or not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn push cpu.pb.gz --label service_name=cart
  go tool pprof -proto -output=- http://localhost:6060/debug/pprof/heap | cairn push - --label service_name=cart")]
pub struct Push {
    /// pprof files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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
                Ok(profile) => bar.suspend(|| report(out, file, &profile, &self))?,
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

    async fn push(
        &self,
        client: &mut ProfileStoreServiceClient<tonic::transport::Channel>,
        file: &Path,
    ) -> anyhow::Result<Profile> {
        let raw = read(file)?;
        // Decoded here as well, so that a bad file is named before it travels.
        let profile = cairn_pprof::decode(&raw, &Limits::default(), &Default::default())
            .context("not a pprof file that can be stored")?
            .profile;
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| cairn_pprof::usual_name(&profile, &[]));
        let named =
            std::iter::once(("__name__".to_owned(), name)).chain(self.labels.iter().cloned());
        let labels = Labels::from_pairs(named)?;
        let sample = RawSample {
            raw_profile: raw.into(),
            ..Default::default()
        };
        let series = RawProfileSeries {
            labels: Some(LabelSet::from(&labels)),
            samples: vec![sample],
        };
        let request = WriteRawRequest {
            series: vec![series],
            ..Default::default()
        };
        client
            .write_raw(request)
            .await
            .map_err(|status| refused(&status))?;
        Ok(profile)
    }
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
fn report(out: &mut dyn Write, file: &Path, profile: &Profile, push: &Push) -> std::io::Result<()> {
    let name = push
        .name
        .clone()
        .unwrap_or_else(|| cairn_pprof::usual_name(profile, &[]));
    writeln!(
        out,
        "{}: stored {} samples; see them with",
        shown(file),
        profile.samples.len()
    )?;
    let (from, until) = match profile.time {
        0 => ("now-15m".to_owned(), "now".to_owned()),
        time => (time::show(time), time::show(time)),
    };
    for value in &profile.types {
        let profile_type = ProfileType {
            name: name.clone(),
            sample_type: profile.str(value.kind).to_owned(),
            sample_unit: profile.str(value.unit).to_owned(),
            period_type: profile.str(profile.period_type.kind).to_owned(),
            period_unit: profile.str(profile.period_type.unit).to_owned(),
            delta: profile.duration != 0,
        };
        let matchers: Vec<String> = push
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let selector = format!("{profile_type}{{{}}}", matchers.join(","));
        writeln!(
            out,
            "  cairn query '{selector}' --from {from} --until {until}"
        )?;
    }
    Ok(())
}
