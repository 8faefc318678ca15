//! Connections to other processes, one per address, made when first needed and shared by all that
//! speak to it. Deadlines of calls are the callers'.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cairn_model::Code;
use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

use crate::Net;
use crate::net::{Network, Stream};

/// Who does not take a connection by then is taken for gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that stands still, or that packets do not reach, is noticed after the sum of these: calls
/// to it fail, and the next one connects anew.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(1500);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(1500);
/// Addresses remembered. A fleet has fewer at once, but they change as it is rolled over.
const ADDRESSES_MAX: usize = 4096;
/// The port of `http` where an address names none.
const DEFAULT_PORT: u16 = 80;

/// Something that is not `http://host:port`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{address:?} is not an address: {reason}")]
pub struct InvalidAddress {
    pub address: String,
    pub reason: String,
}

#[derive(Debug)]
pub(crate) struct Channels {
    net: Net,
    open: Mutex<HashMap<String, Channel>>,
}

// === impl InvalidAddress ===

impl InvalidAddress {
    /// Addresses come from settings and from other services, never from clients.
    pub fn code(&self) -> Code {
        Code::Internal
    }
}

// === impl Channels ===

impl Channels {
    pub(crate) fn new(net: Net) -> Self {
        Self {
            net,
            open: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, address: &str) -> Result<Channel, InvalidAddress> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.connect(address)?;
        if open.len() >= ADDRESSES_MAX {
            // Those in use live on in the hands of their users.
            open.clear();
        }
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn connect(&self, address: &str) -> Result<Channel, InvalidAddress> {
        let uri = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|error| InvalidAddress {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        let endpoint = endpoint
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(match self.net.simulation() {
            None => endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy(),
            Some(network) => {
                let network = Arc::clone(network);
                let dial = move |uri| dial(Arc::clone(&network), uri);
                endpoint.connect_with_connector_lazy(tower::service_fn(dial))
            }
        })
    }
}

/// Times out here, inside of the library's connector, so that it is told from failures of calls as
/// in reality.
async fn dial(network: Arc<dyn Network>, uri: Uri) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
    let connected = network.connect(format!("{host}:{port}"));
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "nobody took the connection");
    connected.map_err(|_| late())?.map(TokioIo::new)
}

/// The address under which a process that listens here reaches itself.
pub(crate) fn own_address(mut listening: SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        listening.set_ip(match listening {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{listening}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reaches_itself_wherever_it_listens() {
        for (listening, own) in [
            ("0.0.0.0:7070", "http://127.0.0.1:7070"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
            ("[::]:7070", "http://[::1]:7070"),
            ("[fd00::7]:7070", "http://[fd00::7]:7070"),
        ] {
            assert_eq!(own_address(listening.parse().expect("valid")), own);
        }
    }

    #[tokio::test]
    async fn a_connection_that_breaks_during_a_call_makes_a_peer_unavailable() {
        use tokio::io::AsyncReadExt as _;
        use tonic_health::pb::health_client::HealthClient;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let channel = Channels::new(Net::default()).get(&address).unwrap();
        let break_off = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The client's preface and settings at least.
            let _ = stream.read(&mut [0; 64]).await;
        };
        let mut client = HealthClient::new(channel);
        let call = client.check(tonic_health::pb::HealthCheckRequest::default());
        let ((), answer) = tokio::join!(break_off, call);
        let code = cairn_wire::code_of(&answer.unwrap_err());
        assert_eq!(code, Code::Unavailable);
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused_and_remembered_addresses_are_limited() {
        let channels = Channels::new(Net::default());
        assert!(channels.get("http://a b").is_err());
        for port in 0..=ADDRESSES_MAX {
            assert!(channels.get(&format!("127.0.0.1:{port}")).is_ok());
        }
        assert_eq!(channels.open.lock().len(), 1);
    }
}
