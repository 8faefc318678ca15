//! A push's way behind its door, for benchmarks: admission, decoding, log, tail, acknowledgement.
//!
//! Opens an ingester as the service does. Flushes nothing: blocks are measured elsewhere.

use bytes::Bytes;
use cairn_chassis::{Options, Process};
use cairn_model::{Labels, TenantId};
use cairn_wal::{Encoding, NAME_LABEL};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::hosting::Hosting;
use crate::ingester::Ingester;
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

const SERVICE: &str = "ingester";

impl Pushes {
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let process = Process::bind(Options::for_tests(), &[SERVICE]).await?;
        let cx = process.context(SERVICE);
        let start::Started {
            flusher,
            hosting,
            closed,
        } = start::open(&config, &cx).await?;
        Ok(Self {
            writer: flusher.writer.clone(),
            ingester: Ingester::new(cx, config, flusher, None),
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
            profiles: vec![Raw {
                bytes: profile.clone(),
                executables: Vec::new(),
            }],
            ..Series::default()
        });
        let push = Push {
            tenant: TenantId::anonymous(),
            door: Door::WriteRaw,
            sender: Default::default(),
            received: self.ingester.cx().clock().now(),
            from: None,
            until: None,
            encoding: Encoding::Pprof,
            normalized: false,
            series: series.collect(),
        };
        Ok(self.ingester.push(push).await?)
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
