//! Query: one report over the profiles of a range, of an instant, or of two of those compared.

use bytes::Bytes;
use cairn_engine::{CHART_SAMPLES_MAX, GroupBy, NoChart, Question, shown_binary};
use cairn_model::{NONE, ProfileType};
use cairn_trie::{Partial, Symbols};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{ProfileMetadata, QueryRequest, QueryResponse, Source};
use prost::Message;

use super::report::{Shape, Subject};
use super::selection::{Selection, selections};
use crate::api::export;
use crate::error::{Error, Warning};
use crate::notes::Notes;
use crate::querier::{Reply, Rows, Session, Stacks};
use crate::reports;

/// Clients compare this text.
const NO_PROFILE: &str = "could not find profile at requested time and selectors";

pub(super) async fn query(
    session: Session,
    request: QueryRequest,
) -> Result<Reply<QueryResponse>, Error> {
    let ask = Ask::read(request)?;
    if ask.shape.report == ReportType::ProfileMetadata {
        let b = Box::pin(side(&session, &ask.shape, ask.b)).await?;
        return metadata(&session, b).await;
    }
    let source = match ask.shape.source() {
        Some(file) => Some(file.text(&session).await?),
        None => None,
    };
    if let (Some(file), Some(text)) = (ask.shape.source(), &source)
        && file.is_text_only()
    {
        return Ok(text.clone().map(of_text));
    }
    let (subject, mut warnings) = found(&session, &ask).await?;
    let Subject {
        meta,
        compare,
        base,
    } = subject;
    let name = format!("parca {:?} {meta:?} {:?} {:?}", ask.shape, ask.b, ask.a);
    let sides = [Some(compare), base].into_iter().flatten().collect();
    let report = move |sides: &[Partial], notes: &Notes| {
        let subject = Subject {
            meta,
            compare: sides[0].clone(),
            base: sides.get(1).cloned(),
        };
        ask.shape.report(subject, notes)
    };
    let mut reply = session.report(name, sides, report).await?;
    // Texts are not kept among reports: they are large, and another one may be uploaded.
    if let (Some(Report::Source(report)), Some(text)) = (&mut reply.value.report, source) {
        report.source = text.value;
        warnings.extend(text.warnings);
    }
    warnings.extend(reply.warnings);
    Ok(Reply {
        value: reply.value,
        warnings,
    })
}

/// The answer to who wants the text of a file and no values.
fn of_text(text: String) -> QueryResponse {
    QueryResponse {
        report: Some(Report::Source(Source {
            source: text,
            ..Source::default()
        })),
        ..QueryResponse::default()
    }
}

impl reports::Report for Reply<QueryResponse> {
    fn bytes(&self) -> usize {
        self.value.encoded_len()
    }
}

/// What a request for PPROF finds, and of which type it is.
pub(super) async fn download(
    session: &Session,
    request: QueryRequest,
) -> Result<Reply<(ProfileType, Bytes)>, Error> {
    let ask = Ask::read(request)?;
    let (subject, warnings) = found(session, &ask).await?;
    let profile_type = subject.meta.profile_type.clone();
    let notes = session.notes.clone();
    let report = move || ask.shape.report(subject, &notes);
    let reply = session.compute(report).await?;
    match reply.value.report {
        Some(Report::Pprof(bytes)) => Ok(Reply {
            value: (profile_type, bytes),
            warnings,
        }),
        _ => Err(Error::Invalid("this report is no download".to_owned())),
    }
}

/// The stacks of both sides, and what is missing from them.
async fn found(session: &Session, ask: &Ask) -> Result<(Subject, Vec<Warning>), Error> {
    let base = async {
        match &ask.a {
            Some(a) => side(session, &ask.shape, a.clone()).await.map(Some),
            None => Ok(None),
        }
    };
    let compare = side(session, &ask.shape, ask.b.clone());
    let (b, a) = futures::try_join!(Box::pin(compare), Box::pin(base))?;
    let mut warnings = b.warnings;
    warnings.extend(a.iter().flat_map(|a| a.warnings.clone()));
    let subject = Subject {
        meta: export::meta(&b.rows, &b.stacks.stats),
        compare: b.stacks.partial,
        base: a.map(|a| a.stacks.partial),
    };
    Ok((subject, warnings))
}

/// A request that was found to make sense.
#[derive(Debug)]
struct Ask {
    shape: Shape,
    b: Selection,
    /// The base of a comparison, if the report looks at it.
    a: Option<Selection>,
}

/// What was found of one selection.
#[derive(Debug)]
struct Side {
    rows: Rows,
    stacks: Stacks,
    warnings: Vec<Warning>,
}

impl Ask {
    fn read(mut request: QueryRequest) -> Result<Self, Error> {
        let mode = request.mode();
        let options = request.options.take();
        let mut shape = Shape::read(request)?;
        let (b, a, absolute) = selections(mode, options)?;
        shape.absolute = absolute;
        if mode != Mode::Merge {
            shape.grouping.labels.clear();
        }
        if mode == Mode::Diff {
            if shape.report == ReportType::Flamechart {
                let what = "FLAMECHART of a comparison".to_owned();
                return Err(Error::Unsupported(what));
            }
            shape.grouping.timed = false;
        }
        let one_side = matches!(
            shape.report,
            ReportType::ProfileMetadata | ReportType::Source
        );
        Ok(Self {
            shape,
            b,
            a: a.filter(|_| !one_side),
        })
    }
}

async fn side(session: &Session, shape: &Shape, selection: Selection) -> Result<Side, Error> {
    let rows = session.resolve(selection.rows).await?;
    let group_by = match shape.report {
        ReportType::Pprof => GroupBy::SampleLabels,
        ReportType::FlamegraphArrow | ReportType::Flamechart => shape.grouping.of_stacks(),
        _ => GroupBy::Nothing,
    };
    if matches!(group_by, GroupBy::Times { .. }) {
        few_enough(session, &rows).await?;
    }
    let Reply { value, warnings } = session.stacks(&rows, group_by).await?;
    if selection.single && value.stats.profiles == 0 {
        return Err(match warnings.first() {
            None => Error::NotFound(NO_PROFILE),
            Some(first) => Error::Unread(first.to_string()),
        });
    }
    Ok(Side {
        rows,
        stacks: value,
        warnings,
    })
}

/// Refuses a chart of more profiles than one shows, before any stack is read. What is missing here is
/// missing from the stacks, too, where it is told.
async fn few_enough(session: &Session, rows: &Rows) -> Result<(), Error> {
    let question = Question::Series {
        step: i64::MAX,
        sum_by: Some(Vec::new()),
    };
    let counted = session.ask(&rows.query(question)).await?;
    let count = counted.value.stats.profiles;
    match usize::try_from(count).unwrap_or(usize::MAX) {
        ..=CHART_SAMPLES_MAX => Ok(()),
        count => Err(Error::Invalid(NoChart::TooMany(count).to_string())),
    }
}

async fn metadata(session: &Session, side: Side) -> Result<Reply<QueryResponse>, Error> {
    let mut warnings = side.warnings;
    let labels = session
        .names(&side.rows.query(Question::LabelNames))
        .await?;
    warnings.extend(labels.warnings);
    let partial = &side.stacks.partial;
    let report = Report::ProfileMetadata(ProfileMetadata {
        mapping_files: mapping_files(partial),
        labels: labels.value,
    });
    Ok(Reply {
        value: QueryResponse {
            report: Some(report),
            total: partial.total(),
            filtered: 0,
        },
        warnings,
    })
}

fn mapping_files(partial: &Partial) -> Vec<String> {
    let Symbols {
        strings,
        mappings,
        locations,
        ..
    } = &partial.symbols;
    let used = partial.trie.frames().iter().filter(|frame| **frame != NONE);
    let mut files: Vec<&str> = used
        .map(|frame| locations[*frame as usize].mapping)
        .filter(|mapping| *mapping != NONE)
        .map(|mapping| shown_binary(strings.get(mappings[mapping as usize].file)))
        .filter(|file| !file.is_empty())
        .collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(str::to_owned).collect()
}
