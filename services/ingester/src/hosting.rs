//! The catalog: a node of it in this process, or those of others.
//!
//! Owns where the catalog is; what it knows and how nodes agree is the catalog's own business.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_catalog::{
    Client, Command, Error, Node, NodeParts, Refused, RemoteParts, Runtime, State, place, plain,
};
use cairn_chassis::{Context, Routes};

use crate::config::Config;
use crate::gauges::Gauges;

/// What this process has of the catalog.
#[derive(Debug)]
pub(crate) struct Hosting {
    pub(crate) client: Client,
    node: Option<Node>,
}

impl Hosting {
    /// Starts the node, if there is to be one here.
    pub(crate) async fn start(config: &Config, cx: &Context) -> anyhow::Result<Self> {
        let catalog = &config.catalog;
        if !catalog.addresses.is_empty() {
            let client = Client::remote(RemoteParts {
                addresses: catalog.addresses.or(String::new()),
                connect: cx.connector(),
                seed: cx.random().u64(),
            });
            return Ok(Self { client, node: None });
        }
        let listener = match catalog.listen {
            None => None,
            // The port of a simulated network is opened below.
            Some(_) if cx.is_simulated() => None,
            Some(address) => {
                cx.check_listen(address)?;
                let listener = TcpListener::bind(address);
                let listener = listener.with_context(|| format!("listen on {address}"))?;
                Some((listener, plain()))
            }
        };
        let clock = cx.clock();
        let parts = NodeParts {
            connect: cx.connector(),
            now: Arc::new(move || clock.now() / 1_000_000),
            runtime: match cx.is_simulated() {
                true => Runtime::Current,
                false => Runtime::Own,
            },
            listener,
            placement: Some(place),
            seed: cx.random().u64(),
        };
        let mut node = catalog.node.clone();
        if node.folder.as_os_str().is_empty() {
            node.folder = config.data.join("catalog");
        }
        let node = Node::start(node, parts).await.context("open the catalog")?;
        if let Some(address) = catalog.listen.filter(|_| cx.is_simulated()) {
            let routes = Routes::new().grpc(node.peer_service());
            cx.serve_beside(address, routes).await?;
        }
        let client = node.client();
        if let Some(path) = &catalog.restore {
            restore(&client, path).await?;
        }
        Ok(Self {
            client,
            node: Some(node),
        })
    }

    /// Adds what others ask of the node here.
    pub(crate) fn join(&self, routes: Routes) -> Routes {
        match &self.node {
            None => routes,
            Some(node) => routes
                .grpc(node.catalog_service())
                .grpc(node.admin_service()),
        }
    }

    /// What the node here is about, if there is one.
    pub(crate) fn gauges(&self) -> Option<Gauges> {
        let node = self.node.as_ref()?;
        Some(Gauges::of_catalog(node.watch()))
    }

    /// Fails when the node here fails.
    pub(crate) fn ended(&self) -> Option<impl Future<Output = Result<(), Error>> + Send + 'static> {
        self.node.as_ref().map(Node::ended)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.node {
            None => Ok(()),
            Some(node) => node.shutdown().await.context("stop the catalog"),
        }
    }
}

/// Begins a new catalog with a rebuilt one. One that several ingesters were told to begin with is
/// taken once.
async fn restore(client: &Client, path: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let state: State = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} holds no catalog", path.display()))?;
    let (state, version) = (Box::new(state.clone()), state.version());
    match client.apply(Command::Restore { state }).await {
        Ok(_) => {
            tracing::info!(path = %path.display(), version, "the catalog begins as it was rebuilt");
            Ok(())
        }
        Err(Error::Refused(Refused::NotEmpty { version: found })) if found > version => {
            tracing::info!(path = %path.display(), "the catalog has begun already");
            Ok(())
        }
        Err(error) => Err(error).context("begin the catalog as it was rebuilt"),
    }
}
