//! Logs to standard error, spans to a collector if one is configured. Metrics are pulled, from
//! the admin port.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config;

/// Changes what is logged while the process runs.
#[derive(Clone)]
pub(crate) struct LogFilter(Arc<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>);

impl LogFilter {
    pub(crate) fn set(&self, directives: &str) -> anyhow::Result<()> {
        (self.0)(parse(directives)?)
    }
}

impl std::fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogFilter")
    }
}

/// The process' telemetry. Flush it last.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) log_filter: LogFilter,
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Call inside a runtime: exporting spans needs one. Only the first call in a process counts.
    pub(crate) fn start(name: &str, settings: &config::Telemetry) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(parse(&settings.log_filter)?);
        let spans = match &settings.otlp_endpoint {
            Some(endpoint) => Some(exporter(name, endpoint)?),
            None => None,
        };
        let export = spans.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer(name.to_owned()))
        });
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let log = match settings.log_format {
            config::LogFormat::Text => log.boxed(),
            config::LogFormat::Json => log.json().boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(log)
            .with(export)
            .try_init()
            .context("set up logging")?;
        let set = move |filter| handle.reload(filter).context("change the log filter");
        Ok(Self {
            log_filter: LogFilter(Arc::new(set)),
            spans,
        })
    }

    /// Sends the spans that are still here. Blocks for as long as the exporter's timeout.
    pub(crate) fn flush(self) {
        if let Some(spans) = self.spans
            && let Err(error) = spans.shutdown()
        {
            tracing::warn!(%error, "flush spans");
        }
    }
}

fn parse(directives: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(directives).with_context(|| format!("log filter `{directives}`"))
}

fn exporter(name: &str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("export spans to {endpoint}"))?;
    let resource = Resource::builder().with_service_name(name.to_owned());
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}
