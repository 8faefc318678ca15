//! `cairn query`: where the time went, as a table, a tree, a picture or a file.

mod explain;
mod profiles;
mod text;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use cairn_block::{Head, Origin};
use cairn_engine::{
    Answer, Flame, GroupBy, KeyBy, Meta, Query as EngineQuery, Question, Source, folded, for_go,
    scan_head, speedscope, svg,
};
use cairn_model::{Labels, Limits, Profile, ProfileType, Selector, TimeRange};
use cairn_trie::Partial;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{MergeProfile, ProfileTypesRequest, QueryRequest};
use indicatif::ProgressBar;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::server::{MESSAGE_BYTES_MAX, Server, refused};
use super::time;

/// Types listed for somebody whose selector matches nothing.
const TYPES_SHOWN_MAX: usize = 40;

type Client = QueryServiceClient<Channel>;

/// Ask where CPU, memory or waiting went.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`:delta` is part of the types of profiles that cover a stretch of time, such as CPU profiles;
a selector without it finds them too. A selector that finds nothing is answered with the types that there are.

Examples:
  cairn query 'process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"cairn\"}' --from now-15m
  cairn query 'memory:inuse_space:bytes:space:bytes{pod=~\"cart-.*\"}' --output svg --to heap.svg"
)]
pub struct Query {
    /// Profile type and label matchers, as `name:sample_type:unit:period_type:period_unit[:delta]{label="value"}`.
    selector: String,
    /// Start of the range: now-15m, 2026-11-22T10:00:00Z or Unix seconds.
    #[arg(long, default_value = "now-15m", allow_hyphen_values = true)]
    from: String,
    /// End of the range, itself included.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    until: String,
    /// What to print.
    #[arg(long, short, value_enum, default_value_t = Output::Top)]
    output: Output,
    /// Write to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Tell on standard error who was asked, what was read, and how long it took.
    #[arg(long)]
    explain: bool,
    /// How much to show of the names of C++, Rust, Swift, D and Go functions, instead of what is stored.
    #[arg(long, value_enum)]
    demangle: Option<Demangle>,
    /// Rows of the table, of functions or profiles.
    #[arg(long, default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// The functions that cost most.
    Top,
    /// The call tree, with bars.
    Flamegraph,
    /// A gzipped pprof file.
    Pprof,
    /// One line per stack: outermost;...;innermost value.
    Folded,
    /// A flame graph to open in a browser.
    Svg,
    /// A file for https://www.speedscope.app.
    Speedscope,
    /// A gzipped pprof file for `go build -pgo`.
    Pgo,
    /// Single profiles, the newest first, with the ids that select them.
    Profiles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Demangle {
    /// As linkers see them.
    None,
    /// Without parameters and arguments of templates.
    Simple,
    /// With arguments of templates.
    Templates,
    /// With all of that.
    Full,
}

impl Demangle {
    fn header(self) -> MetadataValue<tonic::metadata::Ascii> {
        MetadataValue::from_static(match self {
            Self::None => "none",
            Self::Simple => "simple",
            Self::Templates => "templates",
            Self::Full => "full",
        })
    }
}

impl Query {
    pub async fn run(self, now: i64, out: &mut dyn Write) -> anyhow::Result<()> {
        let to_terminal = self.to.is_none() && std::io::stdout().is_terminal();
        anyhow::ensure!(
            !(to_terminal && matches!(self.output, Output::Pprof | Output::Pgo)),
            "a pprof file is not for a terminal: add --to FILE, or pipe it on"
        );
        let range = TimeRange {
            start: time::parse(&self.from, now)?,
            end: time::parse(&self.until, now)?,
        };
        anyhow::ensure!(
            range.start <= range.end,
            "the range ends before it starts: --from {} --until {}",
            self.from,
            self.until
        );
        let (profile_type, _) = Selector::parse_typed(&self.selector)
            .with_context(|| format!("{:?} is not TYPE{{LABEL=\"VALUE\",...}}", self.selector))?;
        let channel = self.server.connect().await?;
        let mut client =
            QueryServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        if self.output == Output::Profiles {
            let (server, selector) = (self.server.address(), &self.selector);
            let page = profiles::fetch(channel, &server, selector, range, self.limit).await?;
            if page.is_empty() {
                return Err(nothing(&mut client, &self, range).await);
            }
            return self.write(page.text(&profile_type.sample_unit).as_bytes(), out);
        }
        let pprof = self.fetch(&mut client, range).await?;
        let profile = decode(&pprof)?;
        if profile.samples.is_empty() {
            return Err(nothing(&mut client, &self, range).await);
        }
        let bytes = self.render(pprof, &profile, profile_type)?;
        self.write(&bytes, out)
    }

    fn write(&self, bytes: &[u8], out: &mut dyn Write) -> anyhow::Result<()> {
        match &self.to {
            Some(file) => {
                std::fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
            }
            None => out.write_all(bytes).context("write to standard output"),
        }
    }

    /// The merged profile, as a gzipped pprof file.
    async fn fetch(&self, client: &mut Client, range: TimeRange) -> anyhow::Result<Vec<u8>> {
        let merge = MergeProfile {
            query: self.selector.clone(),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
        };
        let mut request = tonic::Request::new(QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge)),
            report_type: ReportType::Pprof.into(),
            ..Default::default()
        });
        if let Some(names) = self.demangle {
            let metadata = request.metadata_mut();
            metadata.insert("cairn-demangle", names.header());
        }
        if self.explain {
            let asked = MetadataValue::from_static("true");
            request.metadata_mut().insert(explain::HEADER, asked);
        }
        let spinner = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner().with_message("asking"),
            false => ProgressBar::hidden(),
        };
        spinner.enable_steady_tick(std::time::Duration::from_millis(100));
        let answer = client.query(request).await;
        spinner.finish_and_clear();
        let answer = answer.map_err(|status| refused(&status))?;
        for warning in answer.metadata().get_all("cairn-warning") {
            tracing::warn!(
                "partial answer: {}",
                warning.to_str().unwrap_or("unreadable warning")
            );
        }
        for remark in answer.metadata().get_all("cairn-remark") {
            tracing::warn!("{}", remark.to_str().unwrap_or("unreadable remark"));
        }
        if let Some(told) = answer.metadata().get(explain::HEADER) {
            let text = explain::text(told.as_bytes())?;
            std::io::stderr().write_all(text.as_bytes())?;
        }
        match answer.into_inner().report {
            Some(Report::Pprof(bytes)) => Ok(bytes.into()),
            _ => anyhow::bail!("the server answered with another report than a pprof file"),
        }
    }

    fn render(
        &self,
        pprof: Vec<u8>,
        profile: &Profile,
        of: ProfileType,
    ) -> anyhow::Result<Vec<u8>> {
        let partial = partial(profile)?;
        let flame = Flame::build(&partial, KeyBy::default());
        let unit = of.sample_unit.as_str();
        Ok(match self.output {
            Output::Top => text::top(&flame, unit, self.limit).into_bytes(),
            Output::Flamegraph => text::tree(&flame, unit).into_bytes(),
            Output::Folded => folded(&flame).into_bytes(),
            Output::Svg => svg(&flame, "Cairn", unit)?,
            Output::Speedscope => speedscope(&flame, &of.to_string(), unit)?.into_bytes(),
            Output::Pgo => {
                let meta = Meta {
                    time: profile.time,
                    duration: profile.duration,
                    period: profile.period,
                    profile_type: of,
                };
                cairn_pprof::encode_gzip(&cairn_engine::profile(&for_go(&partial), &meta))
            }
            Output::Pprof => pprof,
            // Needs no stacks.
            Output::Profiles => Vec::new(),
        })
    }
}

/// Says that nothing was found, and what could be.
async fn nothing(client: &mut Client, query: &Query, range: TimeRange) -> anyhow::Error {
    let asked = ProfileTypesRequest {
        start: Some(cairn_wire::timestamp(range.start)),
        end: Some(cairn_wire::timestamp(range.end)),
    };
    let found = match client.profile_types(asked).await {
        Ok(answer) => answer.into_inner().types,
        // Only the list is missing then.
        Err(_) => Vec::new(),
    };
    let (selector, from, until) = (&query.selector, &query.from, &query.until);
    let mut text = format!("nothing matches {selector} from {from} until {until}");
    text.push_str(match found.is_empty() {
        true => "; there are no profiles at all in that time",
        false => ". The types in that time are:",
    });
    for found in found.into_iter().take(TYPES_SHOWN_MAX) {
        text.push_str("\n  ");
        text.push_str(&ProfileType::from(found).to_string());
    }
    anyhow::Error::msg(text)
}

fn decode(pprof: &[u8]) -> anyhow::Result<Profile> {
    // The answer of a merge may be larger than what one may send in.
    let limits = Limits {
        samples_max: usize::MAX,
        profile_bytes_max: 4 << 30,
        ..Limits::default()
    };
    let decoded = cairn_pprof::decode(pprof, &limits, &Default::default());
    Ok(decoded.context("read the answer")?.profile)
}

/// The profile's stacks with their values.
fn partial(profile: &Profile) -> anyhow::Result<Partial> {
    let mut head = Head::default();
    let origin = Origin {
        name: "answer".into(),
        labels: Labels::default(),
        time: profile.time,
        lsn: 1,
        batch: 0,
    };
    head.append(profile, &origin)?;
    let question = Question::Stacks(GroupBy::Nothing);
    let query = EngineQuery {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question,
    };
    match scan_head(&head, 0, &query, Source::ALONE).answer {
        Answer::Stacks(partial) => Ok(partial),
        _ => anyhow::bail!("stacks were asked for"),
    }
}
