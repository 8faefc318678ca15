//! Settings of asking debuginfod servers.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Settings of asking debuginfod servers for what nobody uploaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// In the order in which they are asked. Without any, nobody is.
    pub servers: Vec<UpstreamServer>,
    /// Bytes of one file.
    pub bytes_max: ByteSize,
    /// Bytes of all files that are kept for one tenant, with which nothing more is fetched for it.
    pub kept_bytes_max: ByteSize,
    /// How long one file may take.
    #[serde(with = "humantime_serde")]
    pub time_max: Duration,
    /// A server that sends less than this is given up; none is with 0.
    pub bytes_per_second_min: ByteSize,
    /// Files at a time.
    pub concurrent_max: usize,
    /// How long it is remembered that no server has a file.
    #[serde(with = "humantime_serde")]
    pub absence_ttl: Duration,
    /// Failures in a row after which a server is left alone.
    pub failures_max: u32,
    /// For how long.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
}

/// One debuginfod server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamServer {
    /// `https://` or `http://`, a host, and a path if there is one. Redirects away from it are not
    /// followed.
    pub url: String,
    /// The header that a token goes in. `Authorization` if absent.
    pub header: Option<String>,
    /// A file with the header's value, such as `Bearer abc`. It is read for every request, so it
    /// may be replaced.
    pub token_file: Option<PathBuf>,
    /// Whether the name of the host may lead to private addresses. An address in the URL may be
    /// any.
    pub private_addresses: bool,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            bytes_max: ByteSize::gib(1),
            kept_bytes_max: ByteSize::gib(20),
            time_max: Duration::from_secs(5 * 60),
            bytes_per_second_min: ByteSize::kib(16),
            concurrent_max: 4,
            absence_ttl: Duration::from_secs(10 * 60),
            failures_max: 3,
            pause: Duration::from_secs(30),
        }
    }
}
