//! What every port answers by itself: `grpc.health.v1` and server reflection. Readiness is told
//! here, decided elsewhere.

use std::sync::Arc;

use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::{Builder, Error, v1, v1alpha};

use crate::Routes;
use crate::process::Shared;

/// Health of, and descriptions of, the services with these names.
pub(super) fn services(reporter: &HealthReporter, names: &[&str]) -> Result<Routes, Error> {
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    Ok(Routes::new()
        .grpc(reflection(names).build_v1()?)
        .grpc(reflection(names).build_v1alpha()?)
        .grpc(health))
}

fn reflection(names: &[&str]) -> Builder<'static> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(cairn_wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(<HealthServer<HealthService> as NamedService>::NAME)
        .with_service_name(v1::ServerReflectionServer::<()>::NAME)
        .with_service_name(v1alpha::ServerReflectionServer::<()>::NAME);
    names
        .iter()
        .fold(builder, |builder, name| builder.with_service_name(*name))
}

/// Keeps the reported health equal to the readiness of the services, until the process stops.
pub(super) fn follow(shared: &Arc<Shared>) {
    let follower = Arc::clone(shared);
    let mut board = shared.board.subscribe();
    shared.spawn("chassis", "health", async move {
        loop {
            board.mark_unchanged();
            tell(&follower).await;
            if follower.stop.is_cancelled() {
                return;
            }
            tokio::select! {
                changed = board.changed() => if changed.is_err() { return },
                () = follower.stop.cancelled() => {}
            }
        }
    });
}

async fn tell(shared: &Shared) {
    let status = |ready| match ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    let stopping = shared.stop.is_cancelled();
    let reporter = &shared.host.health;
    reporter
        .set_service_status("", status(shared.is_ready()))
        .await;
    for (service, names) in shared.host.grpc_names() {
        let ready = {
            let board = shared.board.borrow();
            let standing = board.iter().find(|standing| standing.service == service);
            !stopping && standing.is_some_and(crate::readiness::Standing::is_ready)
        };
        for name in names {
            reporter.set_service_status(name, status(ready)).await;
        }
    }
}
