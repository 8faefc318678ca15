//! Parca's `ProfileStoreService` over gRPC and gRPC-web.

mod agents;
mod two_way;

use cairn_parca::Decoded as Record;
use cairn_pprof::{ExecutableInfo, LoadSegment};
use cairn_wal::Digest;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use futures::stream::BoxStream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};
use wire::profile_store_service_server::{ProfileStoreService, ProfileStoreServiceServer};

use super::caller::Caller;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{
    Decoded, Door, Naming, Push, REPLACED_STRINGS, Raw, Series, TRUNCATED_SAMPLES, TRUNCATED_STACKS,
};

pub(super) use agents::{agents, list, scrape, telemetry};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct ProfileStore(pub(crate) Ingester);

pub(super) fn store(ingester: Ingester) -> ProfileStoreServiceServer<ProfileStore> {
    ProfileStoreServiceServer::new(ProfileStore(ingester))
}

#[tonic::async_trait]
impl ProfileStoreService for ProfileStore {
    type WriteStream = BoxStream<'static, Result<wire::WriteResponse, Status>>;

    async fn write_raw(
        &self,
        request: Request<wire::WriteRawRequest>,
    ) -> Result<Response<wire::WriteRawResponse>, Status> {
        let caller = Caller::of_grpc(&request);
        let request = request.into_inner();
        let bytes = request.encoded_len();
        let wire::WriteRawRequest {
            series, normalized, ..
        } = request;
        let push = Push {
            tenant: caller.tenant.clone(),
            door: Door::WriteRaw,
            sender: caller.sender.clone(),
            received: self.0.cx().clock().now(),
            from: None,
            until: None,
            normalized,
            series: series.into_iter().map(read_series).collect(),
            tables: Vec::new(),
        };
        let stored = async {
            caller.held.settle(bytes, &self.0).await?;
            self.0.push(push).await
        };
        match stored.await {
            Ok(()) => Ok(Response::new(wire::WriteRawResponse {})),
            Err(error) => Err(refusal(&self.0, (Door::WriteRaw, &caller), &error)),
        }
    }

    async fn write(
        &self,
        request: Request<Streaming<wire::WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let caller = Caller::of_grpc(&request);
        let answers = two_way::answers(self.0.clone(), caller, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn write_arrow(
        &self,
        request: Request<wire::WriteArrowRequest>,
    ) -> Result<Response<wire::WriteArrowResponse>, Status> {
        let caller = Caller::of_grpc(&request);
        let buffer = request.into_inner().ipc_buffer;
        let limits = self.0.limits_for(&caller.tenant, buffer.len());
        let stored = async {
            caller.held.settle(buffer.len(), &self.0).await?;
            let decode = move || {
                let record = cairn_parca::decode(&buffer, &limits)?;
                Ok(decoded(record, Digest::of(&[&buffer])))
            };
            let decoded = self.0.cx().compute(decode).await.map_err(malformed)?;
            store_decoded(&self.0, &caller, Door::WriteArrow, decoded).await
        };
        match stored.await {
            Ok(()) => Ok(Response::new(wire::WriteArrowResponse {})),
            Err(error) => Err(refusal(&self.0, (Door::WriteArrow, &caller), &error)),
        }
    }
}

/// What a record became, ready to be stored.
fn decoded(record: Record, sent: Digest) -> Decoded {
    let series = |(place, described)| Series::decoded(described, sent, place);
    Decoded {
        altered: vec![
            (TRUNCATED_SAMPLES, record.truncated_samples),
            ("truncated_points", record.truncated_points),
            (TRUNCATED_STACKS, record.truncated_stacks),
            (REPLACED_STRINGS, record.replaced_strings),
            ("missing_stacks", record.missing_stacks),
            ("incomplete_stacks", record.incomplete_stacks),
            ("empty_labels", record.empty_labels),
            ("missing_values", record.missing_values),
            ("columns", record.ignored_columns),
        ],
        series: record
            .profiles
            .into_iter()
            .enumerate()
            .map(series)
            .collect(),
        refused: Vec::new(),
    }
}

async fn store_decoded(
    ingester: &Ingester,
    caller: &Caller,
    door: Door,
    decoded: Decoded,
) -> Result<(), Error> {
    let push = Push {
        tenant: caller.tenant.clone(),
        door,
        sender: caller.sender.clone(),
        received: ingester.cx().clock().now(),
        from: None,
        until: None,
        normalized: true,
        series: decoded.series,
        tables: Vec::new(),
    };
    ingester.push_altered(push, &decoded.altered).await
}

fn malformed(error: cairn_parca::Error) -> Error {
    Error::Malformed(error.to_string())
}

fn refusal(ingester: &Ingester, (door, caller): (Door, &Caller), error: &Error) -> Status {
    caller.failed(ingester, door, error);
    cairn_wire::status(error.code(), &error.to_string())
}

fn read_series(series: wire::RawProfileSeries) -> Series {
    let wire::RawProfileSeries { labels, samples } = series;
    // Without labels there is no name either, which is what the sender is told.
    let labels = labels.unwrap_or_default().labels.into_iter();
    Series {
        labels: labels.map(|label| (label.name, label.value)).collect(),
        naming: Naming::Required,
        profiles: samples.into_iter().map(read_sample).collect(),
        ..Series::default()
    }
}

fn read_sample(sample: wire::RawSample) -> Raw {
    let wire::RawSample {
        raw_profile,
        executable_info,
    } = sample;
    let executable = |info: wire::ExecutableInfo| ExecutableInfo {
        elf_type: info.elf_type,
        load_segment: info.load_segment.map(|segment| LoadSegment {
            offset: segment.offset,
            vaddr: segment.vaddr,
        }),
    };
    Raw::Pprof {
        bytes: raw_profile,
        executables: executable_info.into_iter().map(executable).collect(),
    }
}
