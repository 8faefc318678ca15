//! One debuginfod server over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use reqwest::header::{HeaderName, HeaderValue, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::io::AsyncWriteExt as _;

use super::addresses::PublicOnly;
use super::breaker::Breaker;
use super::config::{UpstreamConfig, UpstreamServer};
use super::{Fault, Want};

/// How long connecting may take, and how long a server may be silent.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long what comes is counted before it is judged, so that a short pause is none.
const WINDOW: Duration = Duration::from_secs(10);
/// Redirects of one request, all to the same place.
const REDIRECTS_MAX: usize = 3;

pub(super) struct Server {
    base: Url,
    client: Client,
    token: Option<(HeaderName, PathBuf)>,
    window: Duration,
    /// What must come in each.
    window_bytes_min: u64,
    breaker: Mutex<Breaker>,
}

impl Server {
    pub(super) fn new(server: &UpstreamServer, config: &UpstreamConfig) -> anyhow::Result<Self> {
        let mut base: Url = server.url.parse()?;
        let is_http = matches!(base.scheme(), "http" | "https") && base.host().is_some();
        ensure!(is_http, "begin it with https:// or http:// and a host");
        let is_bare = base.query().is_none() && base.fragment().is_none();
        ensure!(is_bare, "leave away what follows the path");
        let no_user = base.username().is_empty() && base.password().is_none();
        ensure!(no_user, "put the password into token_file");
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let header = server.header.as_deref().unwrap_or("authorization");
        let header: HeaderName = header.parse().context("read the name of the header")?;
        let mut client = Client::builder()
            .user_agent("cairn")
            .no_proxy()
            .redirect(Policy::custom(follow))
            .connect_timeout(CONNECT_MAX.min(config.time_max))
            .read_timeout(SILENCE_MAX.min(config.time_max))
            .timeout(config.time_max);
        if !server.private_addresses {
            client = client.dns_resolver(Arc::new(PublicOnly));
        }
        let window = WINDOW.min(config.time_max / 4);
        let rate = config.bytes_per_second_min.as_u64() as f64;
        Ok(Self {
            base,
            window,
            window_bytes_min: (rate * window.as_secs_f64()) as u64,
            client: client.build()?,
            token: server.token_file.clone().map(|file| (header, file)),
            breaker: Mutex::new(Breaker::new(config.failures_max, config.pause)),
        })
    }

    pub(super) fn name(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        self.breaker.lock().may_ask(now)
    }

    pub(super) fn note(&self, asked: &Result<bool, Fault>, now: Instant) {
        match asked {
            Ok(_) | Err(Fault::File(_)) => self.breaker.lock().succeeded(),
            Err(Fault::Server(_)) => self.breaker.lock().failed(now),
            Err(Fault::Ours(_) | Fault::Paused) => {}
        }
    }

    /// Whether it has a file, which is written into another if that is wanted.
    pub(super) async fn ask(&self, path: &str, want: Want<'_>) -> Result<bool, Fault> {
        match want {
            Want::Word => self.has(path).await,
            Want::Bytes(into, bytes_max) => self.fetch(path, into, bytes_max).await,
        }
    }

    async fn has(&self, path: &str) -> Result<bool, Fault> {
        let head = self.request(Method::HEAD, path).await?;
        let answer = send(head).await?;
        let status = answer.status();
        let no_head = [
            StatusCode::BAD_REQUEST,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
        ];
        if !no_head.contains(&status) {
            return is_there(&answer);
        }
        // Some releases of debuginfod know GET only, and of these some know no ranges: what comes
        // is not read.
        let get = self.request(Method::GET, path).await?;
        is_there(&send(get.header(RANGE, "bytes=0-0")).await?)
    }

    async fn fetch(&self, path: &str, into: &Path, bytes_max: u64) -> Result<bool, Fault> {
        let mut answer = send(self.request(Method::GET, path).await?).await?;
        if !is_there(&answer)? {
            return Ok(false);
        }
        let too_large = || {
            let text = format!("the file has more than upstream.bytes_max={bytes_max} bytes");
            Err(Fault::File(text))
        };
        if answer
            .content_length()
            .is_some_and(|bytes| bytes > bytes_max)
        {
            return too_large();
        }
        let scratch = |error: std::io::Error| Fault::Ours(format!("write a scratch file: {error}"));
        let mut file = tokio::fs::File::create(into).await.map_err(scratch)?;
        let (mut bytes, mut before) = (0, 0);
        let mut window = Box::pin(tokio::time::sleep(self.window));
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = answer.chunk() => chunk.map_err(told)?,
                () = &mut window => {
                    if bytes - before < self.window_bytes_min {
                        return Err(self.too_slow(bytes - before));
                    }
                    before = bytes;
                    window = Box::pin(tokio::time::sleep(self.window));
                    continue;
                }
            };
            let Some(chunk) = chunk else { break };
            bytes += chunk.len() as u64;
            if bytes > bytes_max {
                return too_large();
            }
            file.write_all(&chunk).await.map_err(scratch)?;
        }
        file.flush().await.map_err(scratch)?;
        Ok(true)
    }

    fn too_slow(&self, bytes: u64) -> Fault {
        let (window, min) = (self.window, self.window_bytes_min);
        Fault::Server(format!(
            "it sent {bytes} bytes in {window:?}, and upstream.bytes_per_second_min wants {min}"
        ))
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Fault> {
        let url = self
            .base
            .join(path)
            .map_err(|error| Fault::Ours(error.to_string()))?;
        let request = self.client.request(method, url);
        let Some((header, file)) = &self.token else {
            return Ok(request);
        };
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| Fault::Ours(format!("read its token file: {error}")))?;
        let value = HeaderValue::from_str(token.trim());
        let mut value =
            value.map_err(|_| Fault::Ours("its token is no value of a header".to_owned()))?;
        value.set_sensitive(true);
        Ok(request.header(header, value))
    }
}

/// Only within the same place: elsewhere the token is nobody's business, and the address may be
/// one that only we can reach.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let place = |url: &Url| {
        (
            url.scheme().to_owned(),
            url.host_str().map(str::to_owned),
            url.port(),
        )
    };
    let from = attempt.previous();
    let same = from
        .first()
        .is_some_and(|first| place(first) == place(attempt.url()));
    match same && from.len() <= REDIRECTS_MAX {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

async fn send(request: RequestBuilder) -> Result<Response, Fault> {
    request.send().await.map_err(told)
}

/// An error is not an absence: what is neither there nor clearly absent is unknown.
fn is_there(answer: &Response) -> Result<bool, Fault> {
    let status = answer.status();
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(true),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
        _ if status.is_redirection() => {
            Err(Fault::Server("it sends us to another place".to_owned()))
        }
        _ => Err(Fault::Server(format!("it answers {}", status.as_u16()))),
    }
}

/// The last cause says most; the URL is known.
fn told(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Fault::Server(text)
}
