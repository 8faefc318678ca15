//! The web page, from files that are part of the binary.
//!
//! Building needs no Node: without the page's files there is one that says how to make them.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

#[derive(RustEmbed)]
#[folder = "../../web/dist/"]
#[allow_missing = true]
struct Dist;

/// The page loads nothing from elsewhere and may be framed by its own origin only.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'";
/// Names of assets change with their content.
const FOREVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const UNBUILT: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Cairn</title></head>
<body>
<h1>Cairn</h1>
<p>This build has no web page in it: <code>make web</code> builds it, then build Cairn again. The APIs are here all the same:</p>
<ul>
<li><code>GET /api/v1/profile-types, /api/v1/labels, /api/v1/series, /api/v1/flamegraph, /api/v1/diff</code></li>
<li><code>GET /api/v1/profile.pb.gz, /api/v1/folded</code>: downloads</li>
<li><code>GET /api/profiles/...</code> and <code>parca.query.v1alpha1.QueryService</code> over gRPC and gRPC-web</li>
<li><code>GET /pyroscope/render, /pyroscope/label-values</code></li>
</ul>
</body>
</html>
";

pub(crate) fn routes() -> Router {
    let index = |headers: HeaderMap| async move { index(&headers) };
    let asset = |Path(path): Path<String>, headers: HeaderMap| async move {
        file(&format!("assets/{path}"), &headers, FOREVER)
    };
    let companion = |Path(path): Path<String>, headers: HeaderMap| async move {
        file(&format!("speedscope/{path}"), &headers, ASK_AGAIN)
    };
    let licenses = |headers: HeaderMap| async move { file("licenses.md", &headers, ASK_AGAIN) };
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
        .route("/assets/{*path}", get(asset))
        .route("/speedscope/{*path}", get(companion))
        .route("/licenses.md", get(licenses))
        .layer(CompressionLayer::new())
}

fn index(headers: &HeaderMap) -> Response {
    match Dist::get("index.html") {
        Some(index) => embedded(&index, headers, ASK_AGAIN),
        None => page(StatusCode::OK, "text/html; charset=utf-8", UNBUILT),
    }
}

fn file(path: &str, headers: &HeaderMap, cache: &'static str) -> Response {
    match Dist::get(path) {
        Some(file) => embedded(&file, headers, cache),
        None => page(
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            "there is no such file",
        ),
    }
}

fn embedded(file: &EmbeddedFile, headers: &HeaderMap, cache: &'static str) -> Response {
    let tag = tag(&file.metadata.sha256_hash());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',');
        let mut tags = tags.map(|tag| tag.trim().trim_start_matches("W/"));
        tags.any(|known| known == tag || known == "*")
    });
    let mut response = match known {
        true => page(StatusCode::NOT_MODIFIED, "text/plain", Body::empty()),
        false => page(StatusCode::OK, "text/plain", file.data.to_vec()),
    };
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::try_from(file.metadata.mimetype()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

fn tag(hash: &[u8; 32]) -> String {
    let hex: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_there_with_or_without_the_built_page() {
        let response = index(&HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers()[header::CONTENT_TYPE]
            .to_str()
            .expect("text");
        assert!(kind.starts_with("text/html"), "{kind}");
        assert!(
            response
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
        );
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let file = EmbeddedFile {
            data: b"x".as_slice().into(),
            metadata: rust_embed::Metadata::__rust_embed_new([7; 32], None, None, "text/css"),
        };
        let first = embedded(&file, &HeaderMap::new(), FOREVER);
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/css");
        assert_eq!(first.headers()[header::CACHE_CONTROL], FOREVER);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(
            embedded(&file, &headers, FOREVER).status(),
            StatusCode::NOT_MODIFIED
        );
    }

    #[test]
    fn paths_do_not_leave_the_folder() {
        let outside = file("assets/../../../Cargo.toml", &HeaderMap::new(), ASK_AGAIN);
        assert_eq!(outside.status(), StatusCode::NOT_FOUND);
    }
}
