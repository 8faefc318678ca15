//! Who sends a request, and for whom.

use axum::Extension;
use cairn_chassis::Peer;
use cairn_model::TenantId;
use http::{HeaderMap, header};

use super::admit::Held;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{Door, Sender};

/// What a request says about its sender besides its body.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) tenant: TenantId,
    pub(super) sender: Sender,
    /// What the request holds while it is in work.
    pub(super) held: Held,
}

/// Characters of a sender's software that are kept.
const SOFTWARE_CHARS_MAX: usize = 256;

impl Caller {
    /// Closed by default: while there are no tokens, what a request says about its tenant is not
    /// believed, and everything belongs to `anonymous`.
    pub(super) fn new(headers: &HeaderMap, peer: Option<&Peer>) -> Self {
        let software = headers.get(header::USER_AGENT);
        let software = software.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let software = software.unwrap_or_default();
        Self {
            tenant: TenantId::anonymous(),
            sender: Sender {
                peer: peer.map(|peer| peer.0.ip()),
                software: software.chars().take(SOFTWARE_CHARS_MAX).collect(),
            },
            held: Held::default(),
        }
    }

    /// Counts the request as one that is answered with this error, unless it was counted before.
    pub(super) fn failed(&self, ingester: &Ingester, door: Door, error: &Error) {
        if !self.held.note_failure() {
            return;
        }
        let metering = ingester.metering();
        metering.failed((&self.tenant, door), self.held.sent(), error);
    }

    pub(super) fn of_http(headers: &HeaderMap, peer: Option<Extension<Peer>>) -> Self {
        Self::new(headers, peer.as_deref())
    }

    /// As admission knows it, if the request passed that.
    pub(super) fn of_grpc<T>(request: &tonic::Request<T>) -> Self {
        let extensions = request.extensions();
        let known = extensions.get::<Self>().cloned();
        known.unwrap_or_else(|| Self::new(request.metadata().as_ref(), extensions.get()))
    }
}
