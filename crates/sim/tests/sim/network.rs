//! The simulated network as a process sees it.

use std::io;
use std::net::SocketAddr;

use cairn_chassis::net::{Listener, Network, Stream};
use futures::future::BoxFuture;
use turmoil::net::{TcpListener, TcpStream};

/// The network of whichever host is running.
#[derive(Debug)]
pub(crate) struct Simulated;

struct Port(TcpListener);

impl Network for Simulated {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(Port(listener)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, authority: String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Listener for Port {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (stream, _peer) = self.0.accept().await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
