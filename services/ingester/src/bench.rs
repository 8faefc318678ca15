//! A push's way, for benchmarks: the door where there is one, admission, decoding, log, tail,
//! acknowledgement.
//!
//! Opens an ingester as the service does. Flushes nothing: blocks are measured elsewhere.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use bytes::Bytes;
use cairn_chassis::{Options, Process};
use cairn_model::{Labels, TenantId};
use cairn_wal::NAME_LABEL;
use cairn_wire::parca::profilestore::v1alpha1::WriteArrowRequest;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_server::ProfileStoreService as _;
use http::{HeaderMap, HeaderValue, header};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::doors;
use crate::hosting::Hosting;
use crate::ingester::Ingester;
use crate::limits::TenantLimits;
use crate::push::{Door, Naming, Push, Raw, Series};
use crate::start;
use crate::writer::Writer;

/// An ingester without doors.
#[derive(Debug)]
pub struct Pushes {
    ingester: Ingester,
    writer: Writer,
    hosting: Hosting,
    closed: CancellationToken,
    process: Process,
}

const ANSWER_BYTES_MAX: usize = 1 << 20;

const SERVICE: &str = "ingester";

impl Pushes {
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let process = Process::bind(Options::for_tests(), &[SERVICE]).await?;
        let cx = process.context(SERVICE);
        let limits = TenantLimits::new(&config)?;
        let start::Started {
            flusher,
            hosting,
            closed,
        } = start::open(&config, &cx).await?;
        Ok(Self {
            writer: flusher.writer.clone(),
            ingester: Ingester::new(cx, config, limits, flusher, None),
            hosting,
            closed,
            process,
        })
    }

    /// Returns when all profiles are durable and readable.
    pub async fn push(&self, profiles: &[(Labels, Bytes)]) -> anyhow::Result<()> {
        let series = profiles.iter().map(|(labels, profile)| Series {
            labels: std::iter::once((NAME_LABEL, "process_cpu"))
                .chain(labels.iter())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            naming: Naming::Required,
            profiles: vec![Raw::pprof(profile.clone())],
            ..Series::default()
        });
        let push = Push {
            tenant: TenantId::anonymous(),
            door: Door::WriteRaw,
            sender: Default::default(),
            received: self.ingester.cx().clock().now(),
            from: None,
            until: None,
            normalized: false,
            series: series.collect(),
            tables: Vec::new(),
        };
        Ok(self.ingester.push(push).await?)
    }

    /// A record of Parca's agents.
    pub async fn write_arrow(&self, ipc_buffer: Bytes) -> anyhow::Result<()> {
        let store = doors::parca::ProfileStore(self.ingester.clone());
        let request = tonic::Request::new(WriteArrowRequest { ipc_buffer });
        store.write_arrow(request).await?;
        Ok(())
    }

    /// OTLP as protobuf over HTTP.
    pub async fn otlp(&self, body: Bytes) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        let ingester = State(self.ingester.clone());
        let answer = doors::otlp::http(ingester, None, headers, Body::from(body)).await;
        anyhow::ensure!(answer.status().is_success(), "{answer:?}");
        let refused = axum::body::to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await?;
        anyhow::ensure!(refused.is_empty(), "{}", String::from_utf8_lossy(&refused));
        Ok(())
    }

    /// `POST /ingest?QUERY`
    pub async fn ingest(&self, query: &str, body: Bytes) -> anyhow::Result<()> {
        let ingester = State(self.ingester.clone());
        let query = RawQuery(Some(query.to_owned()));
        let headers = HeaderMap::new();
        let answer = doors::ingest::ingest(ingester, query, None, headers, Body::from(body)).await;
        anyhow::ensure!(answer.status().is_success(), "{answer:?}");
        Ok(())
    }

    pub async fn close(self) -> anyhow::Result<()> {
        let stop = self.process.stop_token();
        stop.cancel();
        self.closed.cancel();
        self.writer.stop().await;
        self.hosting.stop().await?;
        self.process.stop().await
    }
}
