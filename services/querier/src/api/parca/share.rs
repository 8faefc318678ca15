//! ShareProfile, and the service that opens what it shared.

use cairn_block::{Head, Origin};
use cairn_engine::{Answer, GroupBy, Meta, Query, Question, Source, WrongAnswer, scan_head};
use cairn_model::{Code, Labels, Limits, ProfileType, TimeRange};
use cairn_wire::cairn::query::v1::SharedProfile;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    Filter, FunctionNameStackFilter, QueryRequest, ShareProfileRequest, ShareProfileResponse,
    StackFilter, filter, stack_filter,
};
use cairn_wire::parca::share::v1alpha1 as wire;

use super::query;
use super::report::{Shape, Subject};
use crate::error::{Error, Warning};
use crate::querier::{Reply, Session};

/// Where a browser gets a shared profile.
pub(crate) const PATH: &str = "/api/v1/share/";

/// Keeps the profile that the query finds, and says where others find it.
pub(super) async fn share_profile(
    session: Session,
    request: ShareProfileRequest,
) -> Result<Reply<ShareProfileResponse>, Error> {
    let ShareProfileRequest {
        query_request,
        description,
    } = request;
    let Some(mut query) = query_request else {
        return Err(Error::Invalid("query_request is required".to_owned()));
    };
    query.report_type = ReportType::Pprof.into();
    let reply = query::download(&session, query).await?;
    let (profile_type, profile) = reply.value;
    let shared = SharedProfile {
        description: description.unwrap_or_default(),
        profile_type: profile_type.to_string(),
        profile,
    };
    let id = session.share(shared).await?;
    let base = &session.querier.config().share.base_url;
    let link = format!("{}{PATH}{id}", base.trim_end_matches('/'));
    Ok(Reply {
        value: ShareProfileResponse { link },
        warnings: reply.warnings,
    })
}

pub(super) async fn profile_types(
    session: Session,
    request: wire::ProfileTypesRequest,
) -> Result<Reply<wire::ProfileTypesResponse>, Error> {
    let shared = session.shared(&request.id).await?;
    let cx = session.querier.cx();
    let (types, description) = cx
        .compute(move || {
            let types = Opened::read(&shared)?.types()?;
            Ok::<_, Error>((types, shared.description))
        })
        .await?;
    Ok(whole(wire::ProfileTypesResponse {
        types: types.into_iter().map(Into::into).collect(),
        description,
    }))
}

pub(super) async fn query(
    session: Session,
    request: wire::QueryRequest,
) -> Result<Reply<wire::QueryResponse>, Error> {
    let wire::QueryRequest {
        id,
        profile_type,
        report_type,
        filter_query,
        node_trim_threshold,
    } = request;
    let filter = filter_query.filter(|text| !text.is_empty());
    let shape = Shape::read(QueryRequest {
        report_type,
        node_trim_threshold,
        filter: filter.map(of_function).into_iter().collect(),
        ..QueryRequest::default()
    })?;
    // What is shared is one profile, without the times of its samples.
    if let ReportType::Source | ReportType::Flamechart = shape.report {
        let what = format!("{} of a shared profile", name(shape.report));
        return Err(Error::Unsupported(what));
    }
    let shared = session.shared(&id).await?;
    let notes = session.notes.clone();
    let report = move || {
        let opened = Opened::read(&shared)?;
        // Only files keep the labels of samples: to graphs and tables they are no calls.
        let group_by = match shape.report {
            ReportType::Pprof => GroupBy::SampleLabels,
            _ => GroupBy::Nothing,
        };
        let subject = opened.subject(profile_type.as_deref(), group_by)?;
        let mut reply = shape.report(subject, &notes)?;
        reply.warnings.extend(opened.warning);
        let report = match reply.value.report {
            Some(Report::Flamegraph(graph)) => wire::query_response::Report::Flamegraph(graph),
            Some(Report::Pprof(bytes)) => wire::query_response::Report::Pprof(bytes),
            Some(Report::Top(top)) => wire::query_response::Report::Top(top),
            Some(Report::Callgraph(graph)) => wire::query_response::Report::Callgraph(graph),
            _ => {
                let what = "this report of a shared profile".to_owned();
                return Err(Error::Unsupported(what));
            }
        };
        Ok(Reply {
            value: wire::QueryResponse {
                report: Some(report),
                total: reply.value.total,
                filtered: reply.value.filtered,
            },
            warnings: reply.warnings,
        })
    };
    session.compute(report).await
}

fn of_function(text: String) -> Filter {
    let by_name = FunctionNameStackFilter {
        function_to_filter: text,
        exclude: false,
    };
    Filter {
        filter: Some(filter::Filter::StackFilter(StackFilter {
            filter: Some(stack_filter::Filter::FunctionNameStackFilter(by_name)),
        })),
    }
}

fn name(report: ReportType) -> &'static str {
    let name = report.as_str_name();
    name.strip_prefix("REPORT_TYPE_").unwrap_or(name)
}

fn whole<T>(value: T) -> Reply<T> {
    Reply {
        value,
        warnings: Vec::new(),
    }
}

/// A shared profile as rows that questions can be asked about.
struct Opened {
    head: Head,
    time: i64,
    duration: i64,
    period: i64,
    warning: Option<Warning>,
}

impl Opened {
    fn read(shared: &SharedProfile) -> Result<Self, Error> {
        let corrupt = |text: String| Error::Store {
            code: Code::Corrupt,
            text,
        };
        let of: ProfileType = shared
            .profile_type
            .parse()
            .map_err(|error| corrupt(format!("{error}")))?;
        let options = cairn_pprof::Options::default();
        let decoded = cairn_pprof::decode(&shared.profile, &Limits::default(), &options)
            .map_err(|error| corrupt(error.to_string()))?;
        let left_out = decoded.truncated_samples;
        let warning = (left_out > 0).then(|| {
            let text = format!("{left_out} samples are too many to be opened, and shown as one");
            Warning::new("", Code::Exhausted, text)
        });
        let profile = decoded.profile;
        let origin = Origin {
            name: of.name.as_str().into(),
            labels: Labels::default(),
            time: profile.time,
            lsn: 1,
            batch: 0,
        };
        let mut head = Head::default();
        head.append(&profile, &origin)
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            head,
            time: profile.time,
            duration: profile.duration,
            period: profile.period,
            warning,
        })
    }

    fn ask(&self, profile_type: Option<ProfileType>, question: Question) -> Answer {
        let query = Query {
            profile_type,
            matchers: Vec::new(),
            range: TimeRange::ALL,
            weights: None,
            question,
        };
        scan_head(&self.head, 0, &query, Source::ALONE).answer
    }

    fn types(&self) -> Result<Vec<ProfileType>, Error> {
        match self.ask(None, Question::ProfileTypes) {
            Answer::ProfileTypes(types) => Ok(types.into_iter().collect()),
            _ => Err(WrongAnswer.into()),
        }
    }

    /// The stacks of the named type, or of the first one.
    fn subject(&self, wanted: Option<&str>, group_by: GroupBy) -> Result<Subject, Error> {
        let types = self.types()?;
        let wanted = wanted.filter(|text| !text.is_empty());
        let found = match wanted {
            None => types.into_iter().next(),
            Some(text) => types.into_iter().find(|of| of.to_string() == text),
        };
        let Some(profile_type) = found else {
            let text = "the shared profile has no such profile type".to_owned();
            return Err(Error::Invalid(text));
        };
        let stacks = Question::Stacks(group_by);
        let Answer::Stacks(compare) = self.ask(Some(profile_type.clone()), stacks) else {
            return Err(WrongAnswer.into());
        };
        Ok(Subject {
            meta: Meta {
                profile_type,
                time: self.time,
                duration: self.duration,
                period: self.period,
            },
            compare,
            base: None,
        })
    }
}
