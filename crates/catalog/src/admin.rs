//! Changes of the nodes as a gRPC service: decode, call, encode.

use cairn_model::Code;
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::admin_service_server::{
    AdminService as Calls, AdminServiceServer,
};
use cairn_wire::cairn::catalog::v1::change_request::{self, Change as WireChange};
use tonic::{Request, Response, Status};

use crate::Change;
use crate::node::Local;
use crate::server::answer;

/// The service, ready to be added to a server.
pub type AdminService = AdminServiceServer<Admin>;

/// Answers people.
#[derive(Clone, Debug)]
pub struct Admin(Local);

impl Admin {
    pub(crate) fn new(local: Local) -> Self {
        Self(local)
    }

    pub(crate) fn into_service(self) -> AdminService {
        AdminServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl Calls for Admin {
    async fn members(
        &self,
        request: Request<wire::MembersRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let wire::MembersRequest {} = request.into_inner();
        Ok(Response::new(self.0.status().into()))
    }

    async fn change(
        &self,
        request: Request<wire::ChangeRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        let wire::ChangeRequest { change } = request.into_inner();
        let change = match change {
            Some(WireChange::AddLearner(change_request::AddLearner { node, address })) => {
                Change::AddLearner { node, address }
            }
            Some(WireChange::SetVoters(change_request::SetVoters { nodes })) => {
                Change::SetVoters(nodes.into_iter().collect())
            }
            Some(WireChange::Remove(change_request::Remove { node })) => Change::Remove(node),
            Some(WireChange::Snapshot(change_request::Snapshot {})) => Change::Snapshot,
            None => return Err(cairn_wire::status(Code::Invalid, "no change is asked for")),
        };
        self.0.change(change).await.map_err(answer)?;
        Ok(Response::new(wire::ChangeResponse {}))
    }
}
