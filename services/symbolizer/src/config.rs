//! The symbolizer's settings. Owns no defaults of other crates: sub-structs live where they are used.

use std::collections::BTreeMap;
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
    /// Bytes of one file. A file is on the scratch disk while it is stored and read.
    pub bytes_max: ByteSize,
    /// Uploads that arrive at a time; more wait half a minute, and are told to come back then.
    pub concurrent_max: usize,
    /// How long one upload may take to arrive.
    #[serde(with = "humantime_serde")]
    pub time_max: Duration,
    /// After this an announced upload that has not ended may be begun anew by others.
    #[serde(with = "humantime_serde")]
    pub stale_after: Duration,
    /// How long the end of an upload is not answered while the file is read for the first time, so
    /// that who uploads one of no use is told.
    #[serde(with = "humantime_serde")]
    pub answer_after: Duration,
    /// Whether agents put files into the object store themselves.
    pub signed_urls: SignedUrls,
    /// How long a file is kept after it was last uploaded or asked for, if no block refers to it;
    /// 0 s keeps it for ever.
    #[serde(with = "humantime_serde")]
    pub unused_kept_for: Duration,
    /// Between two looks at what is not needed any more.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// What each tenant may keep.
    pub quota: QuotaConfig,
    /// Quotas of single tenants, by name.
    pub tenants: BTreeMap<String, QuotaConfig>,
}

/// Whether agents get URLs by which they put files into the object store themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedUrls {
    /// They send files here.
    #[default]
    Off,
    /// If the store has such URLs. Agents must reach it under the address that Cairn uses.
    Auto,
}

/// What a tenant may keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// Bytes of all its files together, as they were uploaded.
    pub bytes_max: ByteSize,
    pub files_max: u64,
}

/// Settings of the worker processes that read files nobody vouches for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversionConfig {
    /// The program that is the worker when it is started as one. This program if absent.
    pub program: Option<PathBuf>,
    /// Where files lie while they are worked on: one more than are read at a time, and what is made
    /// of them, besides those that arrive. With a package of split units its program lies there,
    /// and for a while the package twice. Symbol files that are in use lie there, too; with a disk for
    /// them, those that were just made or have no room there. The system's folder if absent.
    pub scratch: Option<PathBuf>,
    /// Workers at a time; more files wait.
    pub concurrent_max: usize,
    /// Time of a processor that one file may take.
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
            concurrent_max: 16,
            time_max: Duration::from_secs(10 * 60),
            stale_after: Duration::from_secs(17 * 60),
            answer_after: Duration::from_secs(20),
            signed_urls: SignedUrls::Off,
            unused_kept_for: Duration::from_secs(30 * 24 * 60 * 60),
            sweep_interval: Duration::from_secs(60 * 60),
            quota: QuotaConfig::default(),
            tenants: BTreeMap::new(),
        }
    }
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            bytes_max: ByteSize::gib(100),
            files_max: 20_000,
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
