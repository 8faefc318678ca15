//! Whether a service wants requests. Says nothing about being alive.

use std::sync::Arc;

use tokio::sync::watch;

/// Why the services of a process are not ready; one entry per service.
pub(crate) type Board = watch::Sender<Vec<Standing>>;

#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) service: &'static str,
    pub(crate) serving: bool,
    pub(crate) held: Option<String>,
}

impl Standing {
    pub(crate) fn is_ready(&self) -> bool {
        self.serving && self.held.is_none()
    }

    /// What a person reads at `/ready`.
    pub(crate) fn describe(&self) -> String {
        match &self.held {
            Some(reason) => format!("{}: {reason}", self.service),
            None if self.serving => format!("{}: ready", self.service),
            None => format!("{}: starting", self.service),
        }
    }
}

/// A service's word on its own readiness. It is ready once it serves, unless it holds back.
#[derive(Clone, Debug)]
pub struct Readiness {
    service: &'static str,
    board: Arc<Board>,
}

impl Readiness {
    pub(crate) fn new(service: &'static str, board: Arc<Board>) -> Self {
        Self { service, board }
    }

    /// Not ready until [`Readiness::release`], and why, for the operator.
    pub fn hold(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.change(|standing| standing.held = reason);
    }

    pub fn release(&self) {
        self.change(|standing| standing.held = None);
    }

    pub(crate) fn serving(&self) {
        self.change(|standing| standing.serving = true);
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        self.board.send_modify(|board| {
            if let Some(standing) = board.iter_mut().find(|s| s.service == self.service) {
                change(standing);
            }
        });
    }
}
