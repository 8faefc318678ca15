//! Connections to other services, one per address, made when first needed and shared by all calls.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cairn_model::Code;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

/// A call to another service that failed, in the words of an answer's warning.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{address}: {text}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) address: String,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Peers {
    connect_timeout: Duration,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Peers {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            channels: Mutex::default(),
        }
    }

    pub(crate) fn channel(&self, address: &str) -> Result<Channel, Failure> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(uri(address)).map_err(|error| Failure {
            code: Code::Internal,
            address: address.to_owned(),
            text: format!("not an address: {error}"),
        })?;
        let channel = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

impl Failure {
    pub(crate) fn of(address: &str, status: &tonic::Status) -> Self {
        Self {
            code: cairn_wire::code_of(status),
            address: address.to_owned(),
            text: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
        }
    }
}

/// The address under which a process reaches itself.
pub(crate) fn own_address(listening: SocketAddr) -> String {
    let host = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", listening.port())
}

fn uri(address: &str) -> String {
    if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    }
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
        ] {
            assert_eq!(own_address(listening.parse().expect("valid")), own);
        }
    }

    #[tokio::test]
    async fn bad_addresses_are_failures() {
        let peers = Peers::new(Duration::from_secs(1));
        assert!(peers.channel("http://a b").is_err());
        assert!(peers.channel("127.0.0.1:1").is_ok());
    }
}
