//! The Cairn that a command talks to.

use anyhow::Context;
use tonic::transport::{Channel, Endpoint};

/// Largest message taken from a server: profiles of whole fleets are large.
pub(super) const MESSAGE_BYTES_MAX: usize = 512 << 20;

/// Which server to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Server {
    /// Address of a running Cairn.
    #[arg(
        long,
        env = "CAIRN_SERVER",
        default_value = "http://127.0.0.1:7070",
        global = true
    )]
    pub server: String,
}

impl Server {
    /// With a scheme.
    pub(super) fn address(&self) -> String {
        match self.server.contains("://") {
            true => self.server.clone(),
            false => format!("http://{}", self.server),
        }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Channel> {
        let address = self.address();
        let endpoint = Endpoint::from_shared(address.clone());
        let endpoint = endpoint
            .with_context(|| format!("{address:?} is not an address; use http://HOST:PORT"))?;
        endpoint.connect().await.map_err(|error| {
            // Only the last of the causes tells something.
            let error = anyhow::Error::from(error);
            let cause = error.root_cause();
            anyhow::anyhow!(
                "no Cairn answers at {address}: {cause}. Start one with `cairn serve`, or name \
                 another with --server"
            )
        })
    }
}

/// What a server answered instead of an answer, for a person.
pub(super) fn refused(status: &tonic::Status) -> anyhow::Error {
    match status.message() {
        "" => anyhow::anyhow!("the server answered {:?}", status.code()),
        text => anyhow::anyhow!("{text}"),
    }
}
