//! How a process reaches others and is reached: by real sockets, or by those of a simulation.
//! Knows nothing of what is spoken over them.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The network that a process is part of. Real unless a simulation passes its own; a process of a
/// simulation also starts no threads and computes where it is asked to.
#[derive(Clone, Debug, Default)]
pub struct Net(Option<Arc<dyn Network>>);

/// The network of a simulation.
pub trait Network: Debug + Send + Sync {
    /// Takes connections made to this address.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// Connects to `host:port`, where `host` may be a name.
    fn connect(&self, authority: String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// A bound port of a simulated network.
pub trait Listener: Send {
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

/// A connection of a simulated network.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A port that the process listens on.
pub(crate) enum Bound {
    Real(TcpListener),
    Simulated(Box<dyn Listener>),
}

/// A connection that the process accepted.
pub(crate) enum Accepted {
    Real(TcpStream),
    Simulated(Box<dyn Stream>),
}

// === impl Net ===

impl Net {
    pub fn simulated(network: impl Network + 'static) -> Self {
        Self(Some(Arc::new(network)))
    }

    pub(crate) fn simulation(&self) -> Option<&Arc<dyn Network>> {
        self.0.as_ref()
    }

    pub(crate) async fn bind(&self, address: SocketAddr) -> io::Result<Bound> {
        Ok(match &self.0 {
            None => Bound::Real(TcpListener::bind(address).await?),
            Some(network) => Bound::Simulated(network.bind(address).await?),
        })
    }
}

/// The other end of the connection that a request came by, in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

// === impl Bound ===

impl Bound {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Real(listener) => listener.local_addr(),
            Self::Simulated(listener) => listener.local_addr(),
        }
    }

    pub(crate) async fn accept(&mut self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Real(listener) => {
                let (stream, _peer) = listener.accept().await?;
                // Answers are small and somebody waits for them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "set TCP_NODELAY");
                }
                Accepted::Real(stream)
            }
            Self::Simulated(listener) => Accepted::Simulated(listener.accept().await?),
        })
    }
}

// === impl Accepted ===

impl Accepted {
    /// Where it comes from; unknown in simulations.
    pub(crate) fn peer(&self) -> Option<Peer> {
        match self {
            Self::Real(stream) => stream.peer_addr().ok().map(Peer),
            Self::Simulated(_) => None,
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Simulated(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Simulated(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_flush(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Simulated(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Real(stream) => stream.is_write_vectored(),
            Self::Simulated(stream) => stream.is_write_vectored(),
        }
    }
}
