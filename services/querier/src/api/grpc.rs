//! Calls over gRPC: who asks, how long they wait, and what is missing from the answer.

use tonic::{Request, Response, Status};

use super::{flag, session, status};
use crate::error::Error;
use crate::querier::{Querier, Reply, Session};

pub(crate) async fn call<Q, A, F>(
    querier: &Querier,
    request: Request<Q>,
    answer: impl FnOnce(Session, Q) -> F,
) -> Result<Response<A>, Status>
where
    F: Future<Output = Result<Reply<A>, Error>>,
{
    let (metadata, extensions, message) = request.into_parts();
    let asked = metadata.into_headers();
    let timeout = cairn_wire::grpc_timeout(&asked);
    let session = session(querier, (&asked, &extensions), timeout);
    let session = session.map_err(|error| status(&error))?;
    let (deadline, explain) = (session.deadline.clone(), session.explain.clone());
    let notes = session.notes.clone();
    let answer = answer(session, message);
    let reply = deadline
        .bound(answer)
        .await
        .map_err(|error| status(&error))?;
    let mut response = Response::new(reply.value);
    let mut headers = std::mem::take(response.metadata_mut()).into_headers();
    flag(&mut headers, &reply.warnings);
    super::note(&notes, &mut headers);
    super::explain(&asked, &explain, &mut headers);
    *response.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    Ok(response)
}
