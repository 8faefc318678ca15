use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;
use crate::faulty::{Faults, Server, Sleep};
use crate::{Config, InProcess};

/// What a store does wrong with create-only puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Ignores,
    /// Looks first and puts afterwards; others get in between.
    ChecksFirst,
    /// Says that the object exists, having replaced it.
    ReplacesAndDenies,
    /// Stores one racer's bytes and tells none that it won.
    TellsNobody,
}

#[derive(Debug)]
struct Sloppy {
    objects: InMemory,
    fault: Fault,
}

impl fmt::Display for Sloppy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sloppy({:?})", self.fault)
    }
}

#[async_trait]
impl ObjectStore for Sloppy {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        assert_eq!(options.mode, PutMode::Create, "the probe only creates");
        let exists = || object_store::Error::AlreadyExists {
            path: path.to_string(),
            source: "412".into(),
        };
        let is_there = self.objects.head(path).await.is_ok();
        if self.fault == Fault::ChecksFirst {
            tokio::task::yield_now().await;
            if is_there {
                return Err(exists());
            }
        }
        if self.fault == Fault::TellsNobody && is_there {
            return Err(exists());
        }
        let put = self.objects.put(path, payload).await;
        let is_racing = !path.as_ref().ends_with("/0");
        match self.fault {
            Fault::ReplacesAndDenies if is_there => Err(exists()),
            Fault::TellsNobody if is_racing => Err(exists()),
            _ => put,
        }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("the probe's objects are small")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("the probe copies nothing")
    }
}

async fn verdict(fault: Fault) -> Error {
    let objects = InMemory::new();
    let store = Store::over(Arc::new(Sloppy { objects, fault }));
    run(&store, "the test", 7, Effort::Network)
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_is_refused() {
    let error = verdict(Fault::Ignores).await.to_string();
    assert!(error.contains("created twice"), "{error}");
    assert!(error.contains("the test"), "{error}");
    assert!(error.contains("If-None-Match"), "{error}");
}

#[tokio::test]
async fn a_store_that_checks_and_then_puts_is_refused() {
    let error = verdict(Fault::ChecksFirst).await.to_string();
    assert!(error.contains("3 of 3 creators"), "{error}");
}

#[tokio::test]
async fn a_store_that_replaces_what_it_says_is_taken_is_refused() {
    let error = verdict(Fault::ReplacesAndDenies).await.to_string();
    assert!(error.contains("replaced"), "{error}");
}

#[tokio::test]
async fn a_store_on_which_nobody_wins_is_refused() {
    let error = verdict(Fault::TellsNobody).await;
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

fn faulty(faults: Faults) -> Config {
    let sleep: Sleep = Arc::new(|_| Box::pin(async {}));
    let server = Server::new(5, sleep, Arc::new(|| 0));
    server.set_faults(faults);
    Config {
        in_process: Some(InProcess(server.connect())),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_not_called_sloppy() {
    let config = faulty(Faults {
        refused: 1000,
        ..Faults::default()
    });
    let error = Store::open(&config, 1).await.expect_err("unreachable");
    assert!(matches!(error, Error::Open { .. }), "{error}");
}

#[tokio::test]
async fn a_good_store_passes_and_keeps_nothing_of_the_probe() {
    for effort in [Effort::Network, Effort::Folder] {
        let objects = Arc::new(InMemory::new());
        let store = Store::over(objects.clone());
        run(&store, "memory", 7, effort).await.expect("enforced");
        assert_eq!(objects.list(None).count().await, 0);
    }
}

#[tokio::test]
async fn a_good_store_that_fails_now_and_then_is_never_called_sloppy() {
    let mut passed = 0;
    for seed in 0..200 {
        let sleep: Sleep = Arc::new(|_| Box::pin(async {}));
        let server = Server::new(seed, sleep, Arc::new(|| 0));
        server.set_faults(Faults {
            refused: 20,
            lost_replies: 20,
            hanging: 20,
            latency: Duration::ZERO..Duration::from_millis(5),
            ..Faults::default()
        });
        let store = Store::over(server.connect());
        match run(&store, "memory", 7, Effort::Network).await {
            Ok(()) => passed += 1,
            Err(error) => assert!(!matches!(error, Error::NotEnforced { .. }), "{error}"),
        }
    }
    assert!(passed > 20, "only {passed} of 200 starts succeed");
}
