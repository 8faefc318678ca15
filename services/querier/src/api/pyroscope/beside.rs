//! What Grafana's apps ask of Pyroscope beside its read API. Cairn has none of it, and says so in a
//! way that they understand: nothing where a list is asked for, else that it is not implemented.

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cairn_wire::connect::Codec;
use http::{StatusCode, header};

use crate::api::connect::failure;
use crate::api::http_error::body_of;
use crate::error::Error;
use crate::querier::Querier;

/// Calls that ask for a list of something.
const EMPTY: [&str; 4] = [
    "/settings.v1.SettingsService/Get",
    "/settings.v1.RecordingRulesService/ListRecordingRules",
    "/adhocprofiles.v1.AdHocProfileService/List",
    "/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
];

const SERVICES: [&str; 6] = [
    "settings.v1.SettingsService",
    "settings.v1.RecordingRulesService",
    "adhocprofiles.v1.AdHocProfileService",
    "capabilities.v1.FeatureFlagsService",
    "vcs.v1.VCSService",
    "version.v1.Version",
];

pub(super) fn routes() -> Router<Querier> {
    let mut router = Router::new();
    for path in EMPTY {
        router = router.route(path, post(empty));
    }
    for service in SERVICES {
        let none = move |Path(method): Path<String>| async move {
            let method: String = method.chars().take(100).collect();
            failure(&Error::Unsupported(format!("{service}/{method}")))
        };
        router = router.route(&format!("/{service}/{{method}}"), post(none));
    }
    router
}

/// A message without fields, in the encoding that was asked in.
async fn empty(headers: HeaderMap) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    match Codec::of(content_type.unwrap_or_default()) {
        Some(codec @ Codec::Json) => body_of(codec.content_type(), "{}", &[]),
        Some(codec @ Codec::Proto) => body_of(codec.content_type(), "", &[]),
        None => StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
    }
}
