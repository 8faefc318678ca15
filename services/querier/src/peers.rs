//! What may go wrong in a call to another service. Connections are the process'.

use cairn_chassis::InvalidAddress;
use cairn_model::Code;

/// A call to another service that failed, in the words of an answer's warning.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{address}: {text}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) address: String,
    pub(crate) text: String,
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

    pub(crate) fn late(address: &str) -> Self {
        Self {
            code: Code::Timeout,
            address: address.to_owned(),
            text: "it did not answer in time".to_owned(),
        }
    }
}

impl From<InvalidAddress> for Failure {
    fn from(error: InvalidAddress) -> Self {
        Self {
            code: error.code(),
            address: error.address,
            text: format!("not an address: {}", error.reason),
        }
    }
}
