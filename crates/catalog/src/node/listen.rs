//! The port for other nodes.
//!
//! [`Acceptor`] is where TLS and the checking of certificates go on this side of a connection; on
//! the other side it is [`crate::Connect`].

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::PeerService;

/// Time for a new connection to say who it is.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// Connections that do so at once.
const HANDSHAKES_MAX: usize = 64;
/// Pause after a connection could not be taken, lest a lack of file handles keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Calls at once on one connection.
const STREAMS_MAX: u32 = 1_024;

/// Makes a stream of a connection, or refuses it.
pub type Acceptor =
    Arc<dyn Fn(TcpStream) -> BoxFuture<'static, io::Result<PeerStream>> + Send + Sync>;

/// A connection of another node, whatever is below.
pub struct PeerStream(Box<dyn Duplex>);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl PeerStream {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

/// Takes every connection as it is.
pub fn plain() -> Acceptor {
    Arc::new(|stream| {
        Box::pin(async move {
            stream.set_nodelay(true)?;
            Ok(PeerStream::new(stream))
        })
    })
}

/// Answers other nodes until stopped.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: Acceptor,
    service: PeerService,
    stop: CancellationToken,
) {
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(service);
    let incoming = incoming(listener, acceptor);
    let served = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the port for other nodes failed");
    }
}

fn incoming(
    listener: TcpListener,
    acceptor: Acceptor,
) -> impl Stream<Item = io::Result<PeerStream>> {
    let accepted = futures::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, listener)),
                Err(error) => {
                    tracing::warn!(%error, "a connection of another node could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    let greeted =
        accepted.map(move |stream| tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor(stream)));
    greeted
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(async |greeted| match greeted {
            Ok(Ok(stream)) => Some(Ok(stream)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a connection of another node was refused");
                None
            }
            Err(_) => None,
        })
}

impl fmt::Debug for PeerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerStream")
    }
}

impl Connected for PeerStream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
