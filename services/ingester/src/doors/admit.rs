//! Memory for gRPC messages before they are read, so that a crowd of senders waits in its sockets
//! and not in our memory.
//!
//! Owns what a message may take until it is decoded; limits of its size are the server's.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::body::PATIENCE;
use super::caller::Caller;
use super::forward;
use crate::admission::Permit;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::Door;

/// A gRPC server behind admission.
#[derive(Clone, Debug)]
pub(super) struct Admitted<S> {
    pub(super) door: Door,
    pub(super) ingester: Ingester,
    pub(super) server: S,
}

/// What a request holds while it is in work.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<Holding>>);

#[derive(Debug, Default)]
struct Holding {
    /// Bytes that came, or that were to come, as sent.
    sent: u64,
    /// Whether it was counted as failed.
    is_counted: bool,
    /// One per message: only conversations have several.
    messages: Vec<Permit>,
    /// For what was found out while they were read.
    more: Vec<Permit>,
    /// The turn to inflate a message whose real size is not known before.
    turn: Option<Permit>,
}

impl Held {
    /// More is to come.
    pub(super) fn expect(&self, bytes: usize) {
        self.0.lock().sent += bytes as u64;
    }

    /// Notes that the request was counted as failed; false if it was before.
    pub(super) fn note_failure(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().is_counted, true)
    }

    pub(super) fn is_counted(&self) -> bool {
        self.0.lock().is_counted
    }

    /// Bytes of the request, as far as its sender told.
    pub(super) fn sent(&self) -> u64 {
        self.0.lock().sent
    }

    /// Takes memory for more than the messages.
    pub(super) async fn hold(&self, bytes: usize, ingester: &Ingester) -> Result<(), Error> {
        let permit = ingester.admission().body(bytes).await?;
        self.0.lock().more.push(permit);
        Ok(())
    }

    /// The newest message is decoded and takes `bytes`. Lets the next one be inflated.
    pub(super) async fn settle(&self, bytes: usize, ingester: &Ingester) -> Result<(), Error> {
        if self.0.lock().turn.is_none() {
            return Ok(());
        }
        // Given back first: the sum of both may be more than there is.
        drop(self.0.lock().messages.pop());
        let permit = ingester.admission().body(bytes).await?;
        let mut holding = self.0.lock();
        holding.messages.push(permit);
        holding.turn = None;
        Ok(())
    }
}

impl<S: NamedService> NamedService for Admitted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = Caller::new(request.headers(), request.extensions().get());
        let door = self.door.of_method(request.uri().path());
        let reading = Reading {
            door,
            bytes_max: match door {
                Door::Forward => self.ingester.limits().max(forward::bytes_max),
                _ => self.ingester.limits().of(&caller.tenant).request_bytes_max,
            },
            ingester: self.ingester.clone(),
            caller: caller.clone(),
            prefix: Vec::with_capacity(PREFIX_BYTES),
            left: 0,
        };
        let mut request = request.map(|body| reading.body(body));
        request.extensions_mut().insert(caller.clone());
        let ingester = self.ingester.clone();
        let answer = self.server.call(request);
        async move {
            let answer = answer.await;
            // What the server refuses by itself never gets to a handler.
            let headers = answer.as_ref().map(Response::headers);
            if let Ok(Some(status)) = headers.map(Status::from_header_map)
                && status.code() != tonic::Code::Ok
            {
                caller.failed(&ingester, door, &Error::stream(&status));
            }
            answer
        }
        .boxed()
    }
}

/// Every gRPC message begins with whether it is compressed and how long it is.
const PREFIX_BYTES: usize = 5;

/// A body on its way in, message by message.
struct Reading {
    door: Door,
    bytes_max: usize,
    ingester: Ingester,
    caller: Caller,
    /// As far as it has arrived.
    prefix: Vec<u8>,
    /// Bytes of the message that have not arrived.
    left: usize,
}

impl Reading {
    fn body(self, body: Body) -> Body {
        let frames = futures::stream::unfold((self, Some(body)), |(mut reading, body)| async {
            let mut body = body?;
            match reading.frame(&mut body).await {
                Ok(None) => None,
                Ok(Some(frame)) => Some((Ok(frame), (reading, Some(body)))),
                Err(status) => Some((Err(status), (reading, None))),
            }
        });
        Body::new(StreamBody::new(frames.boxed()))
    }

    async fn frame(&mut self, body: &mut Body) -> Result<Option<Frame<Bytes>>, Status> {
        let clock = self.ingester.cx().clock();
        let frame = tokio::select! {
            frame = body.frame() => frame.transpose()?,
            () = clock.sleep(PATIENCE) => return Err(self.refuse(&Error::SlowBody(PATIENCE))),
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            let admitted = self.admit(data.clone()).await;
            admitted.map_err(|error| self.refuse(&error))?;
        }
        Ok(frame)
    }

    /// Asks for memory once a message's length is known, and for a turn when a compressed one is
    /// there.
    async fn admit(&mut self, mut data: Bytes) -> Result<(), Error> {
        let admission = self.ingester.admission();
        while !data.is_empty() {
            if self.prefix.len() < PREFIX_BYTES {
                let taken = data.len().min(PREFIX_BYTES - self.prefix.len());
                self.prefix.extend_from_slice(&data[..taken]);
                data.advance(taken);
                let [_, a, b, c, d] = self.prefix[..] else {
                    return Ok(());
                };
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.caller
                    .held
                    .expect(length.min(self.bytes_max.saturating_add(1)));
                if length > self.bytes_max {
                    return Err(Error::TooLarge {
                        what: "the message",
                        name: "request_bytes_max",
                        max: self.bytes_max,
                    });
                }
                let permit = match self.door {
                    Door::Forward => admission.forwarded(length).await?,
                    _ => admission.body(length).await?,
                };
                self.caller.held.0.lock().messages.push(permit);
                self.left = length;
            }
            let arrived = self.left.min(data.len());
            data.advance(arrived);
            self.left -= arrived;
            if self.left == 0 {
                let is_compressed = self.prefix[0] == 1;
                self.prefix.clear();
                if is_compressed {
                    let turn = admission.turn().await?;
                    self.caller.held.0.lock().turn = Some(turn);
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, error: &Error) -> Status {
        self.caller.failed(&self.ingester, self.door, error);
        let code = match self.door {
            Door::Otlp => error.patient_code(),
            _ => error.code(),
        };
        cairn_wire::status(code, &error.to_string())
    }
}
