//! Parca's `ProfileStoreService` and `AgentsService` over gRPC and gRPC-web.

use std::sync::Arc;

use cairn_pprof::{ExecutableInfo, LoadSegment};
use cairn_wal::Encoding;
use cairn_wire::parca::profilestore::v1alpha1 as wire;
use futures::stream::BoxStream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};
use wire::agents_service_server::{AgentsService, AgentsServiceServer};
use wire::profile_store_service_server::{ProfileStoreService, ProfileStoreServiceServer};

use super::admit::Held;
use super::agents::{Agents, Seen};
use super::tenant_of;
use crate::ingester::Ingester;
use crate::push::{Door, Naming, Push, Raw, Series};

/// Both services, since pushes are what the list of agents is made of.
#[derive(Clone, Debug)]
pub(super) struct Parca {
    ingester: Ingester,
    agents: Arc<Agents>,
}

pub(super) fn store_server(parca: Parca) -> ProfileStoreServiceServer<Parca> {
    ProfileStoreServiceServer::new(parca)
}

pub(super) fn agents_server(parca: Parca) -> AgentsServiceServer<Parca> {
    AgentsServiceServer::new(parca)
}

impl Parca {
    pub(super) fn new(ingester: Ingester) -> Self {
        Self {
            ingester,
            agents: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl ProfileStoreService for Parca {
    type WriteStream = BoxStream<'static, Result<wire::WriteResponse, Status>>;

    async fn write_raw(
        &self,
        request: Request<wire::WriteRawRequest>,
    ) -> Result<Response<wire::WriteRawResponse>, Status> {
        let clock = self.ingester.cx().clock();
        let (received, start) = (clock.now(), clock.instant());
        let peer = request.remote_addr();
        let tenant = tenant_of(request.metadata().as_ref());
        let held = request.extensions().get::<Held>().cloned();
        let request = request.into_inner();
        let bytes = request.encoded_len();
        let wire::WriteRawRequest {
            series, normalized, ..
        } = request;
        let push = Push {
            tenant,
            door: Door::WriteRaw,
            received,
            from: None,
            until: None,
            encoding: Encoding::Pprof,
            normalized,
            series: series.into_iter().map(read_series).collect(),
        };
        let node = push.series.iter().flat_map(|series| &series.labels);
        let node = node.clone().find(|(name, _)| name == "node");
        let node = node.map(|(_, value)| value.chars().take(NODE_CHARS_MAX).collect::<String>());
        let held = held.unwrap_or_default();
        let stored = match held.settle(bytes, &self.ingester).await {
            Ok(()) => self.ingester.push(push).await,
            Err(error) => Err(error),
        };
        let error = stored.as_ref().err().map(ToString::to_string);
        let seen = Seen {
            at: received,
            took: clock.instant().duration_since(start),
            error: error.unwrap_or_default(),
        };
        self.agents.note(node.as_deref(), peer, seen);
        match stored {
            Ok(()) => Ok(Response::new(wire::WriteRawResponse {})),
            Err(error) => {
                self.ingester.failed(Door::WriteRaw, &error);
                Err(cairn_wire::status(error.code(), &error.to_string()))
            }
        }
    }

    async fn write(
        &self,
        _: Request<Streaming<wire::WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        Err(cairn_wire::unimplemented(
            "Write is not supported yet: use WriteRaw",
        ))
    }

    async fn write_arrow(
        &self,
        _: Request<wire::WriteArrowRequest>,
    ) -> Result<Response<wire::WriteArrowResponse>, Status> {
        Err(cairn_wire::unimplemented(
            "WriteArrow is not supported yet: use WriteRaw",
        ))
    }
}

/// Characters of a node's name that the list of agents keeps.
const NODE_CHARS_MAX: usize = 256;

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
    Raw {
        bytes: raw_profile,
        executables: executable_info.into_iter().map(executable).collect(),
    }
}

#[tonic::async_trait]
impl AgentsService for Parca {
    async fn agents(
        &self,
        _: Request<wire::AgentsRequest>,
    ) -> Result<Response<wire::AgentsResponse>, Status> {
        let now = self.ingester.cx().clock().now();
        let agents = self.agents.list(now);
        Ok(Response::new(wire::AgentsResponse { agents }))
    }
}
