//! The front doors: each decodes its protocol, calls the ingester, encodes the answer, and does
//! nothing else.

mod admit;
mod attime;
mod body;
mod caller;
mod debuginfo;
mod forward;
pub(crate) mod ingest;
pub(crate) mod otlp;
pub(crate) mod parca;
mod profiles;
mod push;
mod usage;

use axum::routing::{get, post};
use cairn_chassis::Routes;
use tonic::codec::CompressionEncoding;

use self::admit::Admitted;
use crate::ingester::Ingester;
use crate::push::Door;

/// What every request of senders is answered by.
pub(crate) fn routes(ingester: &Ingester) -> Routes {
    let bytes_max = ingester.limits().max(|limits| limits.request_bytes_max);
    let store = parca::store(ingester.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(bytes_max);
    let pusher = push::server(ingester.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(bytes_max);
    let ingest = post(ingest::ingest).with_state(ingester.clone());
    let paths = axum::Router::new()
        .route("/ingest", ingest.clone())
        .route("/pyroscope/ingest", ingest)
        .route(otlp::PATH, post(otlp::http).with_state(ingester.clone()))
        .route(
            "/api/v1/profiles",
            post(profiles::profiles).with_state(ingester.clone()),
        )
        .route(
            "/api/v1/agents",
            get(parca::list).with_state(ingester.clone()),
        );
    let routes = match ingester.router() {
        None => Routes::new(),
        Some(router) => Routes::new().grpc(Admitted {
            door: Door::Forward,
            ingester: ingester.clone(),
            server: forward::server(ingester.clone(), router.clone()),
        }),
    };
    let routes = match ingester.config().symbolizer.as_str() {
        "" => routes,
        symbolizer => {
            let passed = debuginfo::Passed::new(ingester.cx().clone(), symbolizer);
            routes.grpc(passed.clone()).http(passed.paths())
        }
    };
    routes
        .grpc(Admitted {
            door: Door::WriteRaw,
            ingester: ingester.clone(),
            server: store,
        })
        .grpc(parca::agents(ingester.clone()))
        .grpc(parca::scrape(ingester.clone()))
        .grpc(parca::telemetry(ingester.clone()))
        .grpc(usage::server(ingester.clone()))
        .grpc(Admitted {
            door: Door::Push,
            ingester: ingester.clone(),
            server: pusher,
        })
        .grpc(Admitted {
            door: Door::Otlp,
            ingester: ingester.clone(),
            server: otlp::Service {
                ingester: ingester.clone(),
                bytes_max,
            },
        })
        .http(paths)
        .connect(push::PATH, post(push::connect).with_state(ingester.clone()))
}
