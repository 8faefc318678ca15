//! The symbolizer's settings. Owns no defaults of other crates: sub-structs live where they are used.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_chassis::config;
use serde::{Deserialize, Serialize};

use crate::upstream::UpstreamConfig;

/// Settings of one symbolizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where uploaded files and symbol files are kept.
    pub store: cairn_store::Config,
    /// Memory of opened symbol files; the least recently used go first.
    pub cache_bytes_max: ByteSize,
    pub cache: Cache,
    /// How long it is remembered that there is no file, unless one is uploaded here.
    #[serde(with = "humantime_serde")]
    pub absence_ttl: Duration,
    /// Addresses of one request.
    pub addresses_max: usize,
    pub upload: UploadConfig,
    pub conversion: ConversionConfig,
    pub upstream: UpstreamConfig,
}

/// Symbol files on a disk, for stores that are farther away than one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// A folder of this process alone; it is made if it is missing, and what is in it may be
    /// deleted while the process does not run. Empty: nothing is kept.
    pub path: PathBuf,
    /// Room on the disk that the files take at most.
    pub bytes_max: ByteSize,
}

/// Settings of taking files in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadConfig {
    /// Bytes of one file. A file is in memory once while it is stored.
    pub bytes_max: ByteSize,
    /// Uploads at a time; more are told to come back.
    pub concurrent_max: usize,
    /// How long one upload may take to arrive.
    #[serde(with = "humantime_serde")]
    pub time_max: Duration,
}

/// Settings of the worker processes that read files nobody vouches for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversionConfig {
    /// The program that is the worker when it is started as one. This program if absent.
    pub program: Option<PathBuf>,
    /// Where files lie while they are worked on. The system's folder if absent.
    pub scratch: Option<PathBuf>,
    /// Workers at a time; more files wait.
    pub concurrent_max: usize,
    /// How long one file may take.
    #[serde(with = "humantime_serde")]
    pub time_max: Duration,
    /// Memory that one worker may take.
    pub memory_max: ByteSize,
    /// Bytes of one symbol file.
    pub output_bytes_max: ByteSize,
    /// What to do where the system can't lock a worker in. `required` on Linux if absent.
    pub sandbox: Sandbox,
}

/// How much a worker that can't be locked in is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Without landlock and seccomp no file is read.
    Required,
    /// What the system lacks is logged.
    Preferred,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: cairn_store::Config::default(),
            cache_bytes_max: ByteSize::mib(256),
            cache: Cache::default(),
            absence_ttl: Duration::from_secs(10),
            addresses_max: 100_000,
            upload: UploadConfig::default(),
            conversion: ConversionConfig::default(),
            upstream: UpstreamConfig::default(),
        }
    }
}

impl config::Service for Config {
    fn within(mut self, bytes: u64) -> Self {
        self.cache_bytes_max = ByteSize::b(bytes / 2);
        self
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            bytes_max: ByteSize::gib(4),
        }
    }
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            bytes_max: ByteSize::mib(512),
            concurrent_max: 4,
            time_max: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for ConversionConfig {
    fn default() -> Self {
        Self {
            program: None,
            scratch: None,
            concurrent_max: 1,
            time_max: Duration::from_secs(5 * 60),
            memory_max: ByteSize::gib(2),
            output_bytes_max: ByteSize::gib(1),
            sandbox: match cfg!(target_os = "linux") {
                true => Sandbox::Required,
                false => Sandbox::Preferred,
            },
        }
    }
}
