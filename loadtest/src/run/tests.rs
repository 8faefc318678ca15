//! The whole run against a server that counts, and now and then refuses.

use std::sync::Mutex;

use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_server::{
    ProfileStoreService, ProfileStoreServiceServer,
};
use cairn_wire::parca::profilestore::v1alpha1::{
    WriteArrowRequest, WriteArrowResponse, WriteRawResponse, WriteRequest, WriteResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Response, Streaming};

use super::*;

#[derive(Default)]
struct Counts {
    requests: u64,
    refused: u64,
    profiles: u64,
    samples: u64,
    rows: u64,
    pods: std::collections::HashSet<String>,
    newest: i64,
    tokens: std::collections::HashSet<String>,
}

#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Counts>>);

#[tonic::async_trait]
impl ProfileStoreService for Counting {
    type WriteStream = tokio_stream::Empty<Result<WriteResponse, Status>>;

    async fn write_raw(
        &self,
        request: Request<WriteRawRequest>,
    ) -> Result<Response<WriteRawResponse>, Status> {
        let mut counts = self.0.lock().expect("no test panics while counting");
        counts.requests += 1;
        if counts.requests % 3 == 1 {
            counts.refused += 1;
            return Err(Status::resource_exhausted("slow down"));
        }
        if let Some(token) = request.metadata().get("authorization") {
            counts.tokens.insert(format!("{token:?}"));
        }
        for series in &request.get_ref().series {
            let labels = &series.labels.as_ref().expect("series are labelled").labels;
            let label = |name| labels.iter().find(|label| label.name == name);
            assert_eq!(label("__name__").expect("named").value, NAME);
            assert_eq!(label("run").expect("there is a run").value, "7");
            counts
                .pods
                .insert(label("pod").expect("there is a pod").value.clone());
            for sample in &series.samples {
                let raw = &sample.raw_profile;
                let decoded = cairn_pprof::decode(raw, &Default::default(), &Default::default());
                let profile = decoded.expect("generated profiles are valid").profile;
                counts.profiles += 1;
                counts.rows += profile.samples.len() as u64;
                counts.newest = counts.newest.max(profile.time + profile.duration);
                let samples = (0..profile.samples.len()).map(|at| profile.values(at)[0]);
                counts.samples += samples.sum::<i64>().unsigned_abs();
            }
        }
        Ok(Response::new(WriteRawResponse {}))
    }

    async fn write(
        &self,
        _: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        Err(Status::unimplemented("not sent"))
    }

    async fn write_arrow(
        &self,
        _: Request<WriteArrowRequest>,
    ) -> Result<Response<WriteArrowResponse>, Status> {
        Err(Status::unimplemented("not sent"))
    }
}

#[tokio::test]
async fn everything_planned_is_acknowledged_in_spite_of_refusals() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let counting = Counting::default();
    let server = Server::builder()
        .add_service(ProfileStoreServiceServer::new(counting.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let mut tasks = JoinSet::new();
    tasks.spawn(server);
    let text = include_str!("../../workloads/small.yaml")
        .replace("profiles: 2000", "profiles: 205")
        .replace("tenants:", "queries: { readers: 2, pause: 10ms }\ntenants:")
        .replace(
            "    pods: 10\n",
            "    pods: 10\n  - { name: b, token: secret, services: 1, pods: 3 }\n",
        );
    let now = 1_800_000_000_000_000_000;
    let workload = Workload::parse(&text).expect("valid");
    let plan = Plan::new(workload, "7".to_owned(), now);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("the server listens");
    let outcome = run(&plan, channel).await.expect("refusals pass");

    let counts = counting.0.lock().expect("no test panics while counting");
    assert_eq!((outcome.profiles, counts.profiles), (205, 205));
    assert_eq!(outcome.samples.iter().sum::<u64>(), 205 * 152);
    assert_eq!(counts.samples, 205 * 152);
    assert_eq!(
        (outcome.rows, outcome.refused),
        (counts.rows, counts.refused)
    );
    assert_eq!(outcome.latencies.len(), 21);
    assert!(outcome.samples.iter().all(|samples| *samples > 0));
    assert_eq!(counts.pods.len(), 43);
    assert_eq!(counts.tokens.len(), 1);
    assert!(outcome.sent_bytes < outcome.plain_bytes);
    assert!((now - DAY / 24..=now + DAY / 24).contains(&counts.newest));
    // This server has no answers, which is no reason to stop sending.
    let seen = &outcome.seen;
    assert!(seen.failed >= 2 && seen.latencies.is_empty(), "{seen:?}");
    let failure = seen.failure.as_deref().expect("questions failed");
    assert!(failure.contains("Unimplemented"), "{failure}");
}
#[test]
fn workloads_counted_in_bytes_end_about_now_too() {
    let text =
        include_str!("../../workloads/small.yaml").replace("{ profiles: 2000 }", "{ bytes: 1MB }");
    let workload = Workload::parse(&text).expect("valid");
    let plan = Plan::new(workload, "7".to_owned(), DAY);
    assert!(plan.start < DAY && plan.start > 0, "{}", plan.start);
}
