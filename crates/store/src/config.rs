//! Where objects are kept: a local folder, or a bucket of a store that speaks the S3 protocol.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_model::Secret;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::Error;

/// Where objects are kept: in a bucket if there is a section `s3`, else in a local folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The local folder that holds every object; it is made if it is missing. Not used with `s3`.
    pub path: PathBuf,
    /// The bucket that holds every object.
    pub s3: Option<S3>,
    /// Objects in this process instead of both: for simulation.
    #[cfg(any(test, feature = "faults"))]
    #[serde(skip)]
    pub in_process: Option<InProcess>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data/store"),
            s3: None,
            #[cfg(any(test, feature = "faults"))]
            in_process: None,
        }
    }
}

/// A bucket of a store that speaks the S3 protocol, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// The name of the bucket, which must exist.
    pub bucket: String,
    /// The folder in the bucket that holds every object, so that several clusters can share one
    /// bucket. Empty for the bucket itself.
    pub prefix: String,
    /// `https://host:port` of the store; empty for AWS' own in `region`.
    pub endpoint: String,
    pub region: String,
    /// Both keys empty: credentials are looked for where AWS' own tools look for them in their
    /// environment: variables, the role of a Kubernetes service account, of a container, of a
    /// machine.
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Accept an endpoint without encryption.
    pub allow_http: bool,
    /// Send requests to `{bucket}.{host}` rather than to `{host}/{bucket}`.
    pub virtual_hosted_style: bool,
    /// How long establishing a connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long one request may take, its whole body included.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// For how long a request that failed is sent again, if it is safe to: after a refusal by an
    /// overloaded store or a lost connection. An operation ends after this and one
    /// `request_timeout` at the latest.
    #[serde(with = "humantime_serde")]
    pub retry_timeout: Duration,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            allow_http: false,
            virtual_hosted_style: false,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retry_timeout: Duration::from_secs(20),
        }
    }
}

/// Waits between attempts grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Stores close idle connections after about twenty seconds; a request on a closed one fails.
const IDLE: Duration = Duration::from_secs(15);

/// Any objects of this process.
#[cfg(any(test, feature = "faults"))]
#[derive(Clone, Debug)]
pub struct InProcess(pub Arc<dyn ObjectStore>);

#[cfg(any(test, feature = "faults"))]
impl PartialEq for InProcess {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(any(test, feature = "faults"))]
impl Eq for InProcess {}

/// What settings lead to.
pub(crate) struct Connection {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Where the objects are, in words.
    pub(crate) place: String,
    pub(crate) is_folder: bool,
    pub(crate) signer: Option<Signing>,
}

/// Makes URLs by which others may do one thing to one object.
#[derive(Clone)]
pub(crate) struct Signing {
    pub(crate) signer: Arc<dyn Signer>,
    /// The folder in the bucket that holds every object.
    pub(crate) prefix: Path,
}

impl Config {
    /// A local folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// Reaches no network.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        #[cfg(any(test, feature = "faults"))]
        if let Some(InProcess(objects)) = &self.in_process {
            return Ok(Connection {
                objects: Arc::clone(objects),
                place: objects.to_string(),
                is_folder: false,
                signer: None,
            });
        }
        match &self.s3 {
            Some(s3) => s3.connect(),
            None => self.connect_folder(),
        }
    }

    fn connect_folder(&self) -> Result<Connection, Error> {
        let place = self.path.display().to_string();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Open {
            place: place.clone(),
            source,
        };
        std::fs::create_dir_all(&self.path).map_err(|error| failed(error.into()))?;
        let folder = LocalFileSystem::new_with_prefix(&self.path)
            .map_err(|error| failed(error.into()))?
            .with_fsync(true);
        Ok(Connection {
            objects: Arc::new(folder),
            place,
            is_folder: true,
            signer: None,
        })
    }
}

impl S3 {
    fn connect(&self) -> Result<Connection, Error> {
        let prefix = self.check()?;
        let place = match self.endpoint.as_str() {
            "" => format!("s3://{}/{prefix}", self.bucket),
            endpoint => format!("{endpoint}, bucket {}, folder `{prefix}`", self.bucket),
        };
        let bucket = self.builder().build().map_err(|error| Error::Open {
            place: place.clone(),
            source: error.into(),
        })?;
        let signer = Signing {
            signer: Arc::new(bucket.clone()),
            prefix: prefix.clone(),
        };
        let objects: Arc<dyn ObjectStore> = match prefix.as_ref() {
            "" => Arc::new(bucket),
            _ => Arc::new(PrefixStore::new(bucket, prefix)),
        };
        Ok(Connection {
            objects,
            place,
            is_folder: false,
            signer: Some(signer),
        })
    }

    /// Refuses settings that can't work, and gives the folder in the bucket.
    fn check(&self) -> Result<Path, Error> {
        let refuse = |name, reason: String| Err(Error::Setting { name, reason });
        if self.bucket.is_empty() {
            return refuse("bucket", "say which bucket".to_owned());
        }
        if self.access_key_id.is_empty() != self.secret_access_key.is_empty() {
            let reason = "set both this and `s3.secret_access_key`, or neither";
            return refuse("access_key_id", reason.to_owned());
        }
        match self.endpoint.split_once("://") {
            _ if self.endpoint.is_empty() => {}
            Some(("https", _)) => {}
            Some(("http", _)) if self.allow_http => {}
            Some(("http", _)) => {
                let reason = "it is not encrypted; set `s3.allow_http` if it may be so";
                return refuse("endpoint", reason.to_owned());
            }
            _ => return refuse("endpoint", "say https://host:port".to_owned()),
        }
        Path::parse(&self.prefix).or_else(|error| refuse("prefix", error.to_string()))
    }

    fn builder(&self) -> AmazonS3Builder {
        let builder = match self.access_key_id.as_str() {
            "" => AmazonS3Builder::from_env(),
            id => AmazonS3Builder::new()
                .with_access_key_id(id)
                .with_secret_access_key(self.secret_access_key.reveal()),
        };
        let client = ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_connect_timeout(self.connect_timeout)
            .with_timeout(self.request_timeout)
            .with_pool_idle_timeout(IDLE);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: BACKOFF.0,
                max_backoff: BACKOFF.1,
                base: 2.0,
            },
            // The time is the bound.
            max_retries: usize::MAX,
            retry_timeout: self.retry_timeout,
        };
        let builder = builder
            .with_client_options(client)
            .with_retry(retry)
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(self.virtual_hosted_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Objects are deleted one by one, and not every store has the call for many.
            .with_disable_bulk_delete(true);
        match self.endpoint.split_once("://") {
            // For this style the endpoint is that of the bucket.
            Some((scheme, host)) if self.virtual_hosted_style => {
                let endpoint = format!("{scheme}://{}.{host}", self.bucket);
                builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
            }
            Some(_) => builder.with_config(AmazonS3ConfigKey::S3Endpoint, &self.endpoint),
            None => builder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut S3)) -> String {
        let mut s3 = S3 {
            bucket: "profiles".to_owned(),
            ..S3::default()
        };
        change(&mut s3);
        let refused = s3.connect().err();
        refused.expect("it can't work").to_string()
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let refused = [
            (refusal(|s3| s3.bucket.clear()), "s3.bucket"),
            (
                refusal(|s3| s3.access_key_id = "id".into()),
                "s3.secret_access_key",
            ),
            (
                refusal(|s3| s3.secret_access_key = Secret::new("x")),
                "s3.access_key_id",
            ),
            (
                refusal(|s3| s3.endpoint = "http://s3.test".into()),
                "s3.allow_http",
            ),
            (
                refusal(|s3| s3.endpoint = "s3.test:80".into()),
                "s3.endpoint",
            ),
            (refusal(|s3| s3.prefix = "a//b".into()), "s3.prefix"),
        ];
        for (said, name) in refused {
            assert!(said.contains(name), "{said:?} does not name {name}");
        }
    }

    #[test]
    fn neither_settings_nor_errors_show_the_secret() {
        let s3 = S3 {
            bucket: "profiles".to_owned(),
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("hush-hush"),
            ..S3::default()
        };
        let config = Config {
            s3: Some(s3.clone()),
            ..Config::default()
        };
        let Connection { objects, place, .. } = s3.connect().expect("these settings work");
        let shown = format!("{config:?} {objects} {place}");
        assert!(!shown.contains("hush-hush"), "{shown}");
        assert!(shown.contains("profiles"), "{shown}");
    }
}
