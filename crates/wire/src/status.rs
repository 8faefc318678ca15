//! What a [`Code`] is called in gRPC, Connect and HTTP. Nobody else constructs a [`Status`].
//!
//! Choosing the code is the business of whoever failed.

use std::borrow::Cow;

use cairn_model::Code;
use tonic::Status;

/// The answer for a failure. Clients read `message` unless the fault is ours.
pub fn status(code: Code, message: &str) -> Status {
    status_with_id(code, message, "")
}

/// Like [`status`]; `id` finds the failure in the log, where the caller has written it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place the ban points to"
)]
pub fn status_with_id(code: Code, message: &str, id: &str) -> Status {
    Status::new(grpc_code(code), public_text(code, message, id))
}

/// The text that a client may read: `message`, or for faults of ours only where to look.
pub fn public_text<'a>(code: Code, message: &'a str, id: &str) -> Cow<'a, str> {
    let what = match code {
        Code::Internal => "internal error",
        Code::Corrupt => "stored data is damaged",
        Code::Invalid
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::NotFound
        | Code::Conflict
        | Code::Exhausted
        | Code::Unavailable
        | Code::Timeout => return Cow::Borrowed(message),
    };
    if id.is_empty() {
        Cow::Borrowed(what)
    } else {
        Cow::Owned(format!("{what}; the log has it under {id}"))
    }
}

pub fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::Invalid => tonic::Code::InvalidArgument,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::Forbidden => tonic::Code::PermissionDenied,
        Code::NotFound => tonic::Code::NotFound,
        Code::Conflict => tonic::Code::Aborted,
        Code::Exhausted => tonic::Code::ResourceExhausted,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::Timeout => tonic::Code::DeadlineExceeded,
        Code::Corrupt => tonic::Code::DataLoss,
        Code::Internal => tonic::Code::Internal,
    }
}

pub fn http_status(code: Code) -> u16 {
    match code {
        Code::Invalid => 400,
        Code::Unauthenticated => 401,
        Code::Forbidden => 403,
        Code::NotFound => 404,
        Code::Conflict => 409,
        Code::Exhausted => 429,
        Code::Unavailable => 503,
        Code::Timeout => 504,
        Code::Corrupt | Code::Internal => 500,
    }
}

/// The `code` of a Connect error body.
pub fn connect_code(code: Code) -> &'static str {
    match code {
        Code::Invalid => "invalid_argument",
        Code::Unauthenticated => "unauthenticated",
        Code::Forbidden => "permission_denied",
        Code::NotFound => "not_found",
        Code::Conflict => "aborted",
        Code::Exhausted => "resource_exhausted",
        Code::Unavailable => "unavailable",
        Code::Timeout => "deadline_exceeded",
        Code::Corrupt => "data_loss",
        Code::Internal => "internal",
    }
}

/// What another service meant, or how the way there failed.
pub fn code_of(status: &Status) -> Code {
    match status.code() {
        // A connection that broke during the call; nobody says "unknown" about it but the library.
        tonic::Code::Unknown if is_from_transport(status) => Code::Unavailable,
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Code::Invalid,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::PermissionDenied => Code::Forbidden,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::Aborted | tonic::Code::AlreadyExists | tonic::Code::FailedPrecondition => {
            Code::Conflict
        }
        tonic::Code::ResourceExhausted => Code::Exhausted,
        tonic::Code::Unavailable | tonic::Code::Cancelled => Code::Unavailable,
        tonic::Code::DeadlineExceeded => Code::Timeout,
        tonic::Code::DataLoss => Code::Corrupt,
        tonic::Code::Ok
        | tonic::Code::Unknown
        | tonic::Code::Unimplemented
        | tonic::Code::Internal => Code::Internal,
    }
}

fn is_from_transport(status: &Status) -> bool {
    let source = std::error::Error::source(status);
    let mut causes = std::iter::successors(source, |error| error.source());
    causes.any(|error| error.is::<tonic::transport::Error>())
}

/// For calls that a protocol knows and Cairn does not answer.
pub fn unimplemented(message: &str) -> Status {
    Status::unimplemented(message)
}

/// A conflict that Parca's agents never retry.
pub fn already_exists(message: &str) -> Status {
    Status::already_exists(message)
}

/// A conflict that Parca's agents retry after some minutes.
pub fn failed_precondition(message: &str) -> Status {
    Status::failed_precondition(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Code; 10] = [
        Code::Invalid,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::Exhausted,
        Code::Unavailable,
        Code::Timeout,
        Code::Corrupt,
        Code::Internal,
    ];

    #[test]
    fn codes_survive_the_wire() {
        for code in ALL {
            assert_eq!(code_of(&status(code, "x")), code);
        }
    }

    #[test]
    fn faults_of_ours_are_not_told_to_clients() {
        for code in ALL {
            let ours = matches!(code, Code::Internal | Code::Corrupt);
            let told = status_with_id(code, "/data/secret", "7f3a");
            assert_eq!(told.message().contains("secret"), !ours, "{code:?}");
            assert_eq!(told.message().contains("7f3a"), ours, "{code:?}");
            assert_eq!(
                http_status(code) >= 500,
                ours || matches!(code, Code::Unavailable | Code::Timeout)
            );
        }
        assert_eq!(status(Code::Internal, "x").message(), "internal error");
    }
}
