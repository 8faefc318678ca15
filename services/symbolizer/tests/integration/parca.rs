//! Parca's debuginfo service as its agents and `parca-debuginfo` use it.

use bytes::Bytes;
use cairn_wire::cairn::symbols::v1::{Addressing, FileState, ListRequest};
use cairn_wire::parca::debuginfo::v1alpha1 as wire;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::debuginfo_service_client::DebuginfoServiceClient;
use wire::upload_request::Data;

use crate::server::{Server, config, native};
use crate::{IN_MIX, WORK_PIE, WORK_PIE_HASH, chain};

const DEBUGINFO: i32 = wire::DebuginfoType::DebuginfoUnspecified as i32;

/// A client that does what an agent does, step by step.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) client: DebuginfoServiceClient<Channel>,
}

/// What an agent says of a file.
#[derive(Clone)]
pub(crate) struct Said<'a> {
    pub(crate) build_id: &'a str,
    pub(crate) hash: String,
    pub(crate) size: i64,
    pub(crate) force: bool,
    pub(crate) kind: i32,
}

impl<'a> Said<'a> {
    pub(crate) fn of(build_id: &'a str, elf: &[u8]) -> Self {
        Self {
            build_id,
            hash: xxh64(elf),
            size: i64::try_from(elf.len()).expect("small"),
            force: false,
            kind: DEBUGINFO,
        }
    }
}

/// As `parca-debuginfo` hashes what it sends.
pub(crate) fn xxh64(bytes: &[u8]) -> String {
    format!("{:016x}", twox_hash::XxHash64::oneshot(0, bytes))
}

impl Agent {
    pub(crate) async fn of(server: &Server) -> Self {
        let client = DebuginfoServiceClient::connect(server.address()).await;
        Self {
            client: client.expect("it listens"),
        }
    }

    pub(crate) async fn should(&self, said: &Said<'_>, hash: &str) -> (bool, String) {
        let request = wire::ShouldInitiateUploadRequest {
            build_id: said.build_id.to_owned(),
            hash: hash.to_owned(),
            force: said.force,
            r#type: said.kind,
            build_id_type: wire::BuildIdType::Gnu.into(),
        };
        let answer = self.client.clone().should_initiate_upload(request).await;
        let answer = answer.expect("an answer").into_inner();
        (answer.should_initiate_upload, answer.reason)
    }

    pub(crate) async fn initiate(
        &self,
        said: &Said<'_>,
    ) -> Result<wire::UploadInstructions, Status> {
        let request = wire::InitiateUploadRequest {
            build_id: said.build_id.to_owned(),
            size: said.size,
            hash: said.hash.clone(),
            force: said.force,
            r#type: said.kind,
            build_id_type: wire::BuildIdType::Gnu.into(),
        };
        let answer = self.client.clone().initiate_upload(request).await?;
        Ok(answer
            .into_inner()
            .upload_instructions
            .expect("instructions"))
    }

    pub(crate) async fn send(
        &self,
        to: &wire::UploadInstructions,
        elf: &[u8],
    ) -> Result<u64, Status> {
        let info = wire::UploadInfo {
            build_id: to.build_id.clone(),
            upload_id: to.upload_id.clone(),
            r#type: to.r#type,
        };
        let chunks = elf.chunks(4096).map(Bytes::copy_from_slice);
        let parts = std::iter::once(Data::Info(info)).chain(chunks.map(Data::ChunkData));
        self.stream(parts.collect()).await
    }

    pub(crate) async fn stream(&self, parts: Vec<Data>) -> Result<u64, Status> {
        let messages = parts
            .into_iter()
            .map(|data| wire::UploadRequest { data: Some(data) });
        let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
        Ok(self.client.clone().upload(stream).await?.into_inner().size)
    }

    pub(crate) async fn finish(&self, to: &wire::UploadInstructions) -> Result<(), Status> {
        let request = wire::MarkUploadFinishedRequest {
            build_id: to.build_id.clone(),
            upload_id: to.upload_id.clone(),
            r#type: to.r#type,
        };
        self.client.clone().mark_upload_finished(request).await?;
        Ok(())
    }

    /// All steps.
    pub(crate) async fn upload(&self, said: &Said<'_>, elf: &[u8]) -> Result<(), Status> {
        let to = self.initiate(said).await?;
        assert_eq!(
            to.upload_strategy(),
            wire::upload_instructions::UploadStrategy::Grpc
        );
        assert_eq!(to.build_id, said.build_id);
        let size = self.send(&to, elf).await?;
        assert_eq!(size, elf.len() as u64);
        self.finish(&to).await
    }
}

fn failed<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, text: &str) {
    let status = outcome.expect_err("it fails");
    assert_eq!((status.code(), status.message()), (code, text));
}

pub(crate) const THERE: &str = "Debuginfo already exists and is not marked as invalid, therefore no new upload \
                     is needed.";
const IN_PROGRESS: &str = "A previous upload is still in-progress and not stale yet (only stale \
                           uploads can be retried).";
const UNASKED: &str = "upload should not have been attempted to be initiated, a previous check \
                       should have failed with: ";

#[tokio::test]
async fn an_agent_uploads_once_and_the_names_are_there() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let first = "First time we see this Build ID, and it does not exist in debuginfod, therefore \
                 please upload!";
    assert_eq!(agent.should(&said, "").await, (true, first.to_owned()));

    let to = agent.initiate(&said).await.expect("wanted");
    assert_eq!(
        agent.should(&said, "").await,
        (false, IN_PROGRESS.to_owned())
    );
    let unasked = format!("{UNASKED}{IN_PROGRESS}");
    failed(
        agent.initiate(&said).await,
        Code::FailedPrecondition,
        &unasked,
    );
    agent.send(&to, &elf).await.expect("received");
    // Nobody reads it before it is complete.
    let none = "no file of this build id was uploaded";
    assert_eq!(server.reason("anonymous", WORK_PIE, IN_MIX).await, none);
    agent.finish(&to).await.expect("complete");
    agent.finish(&to).await.expect("the answer was lost");

    // Under whatever name profiles or agents know the build.
    for build_id in [
        WORK_PIE,
        WORK_PIE_HASH,
        &format!("gnu-{}", WORK_PIE.to_uppercase()),
    ] {
        let answer = server.symbolize("anonymous", build_id, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix", "{build_id}");
        let said = Said::of(build_id, &elf);
        assert_eq!(agent.should(&said, "").await, (false, THERE.to_owned()));
        let unasked = format!("{UNASKED}{THERE}");
        failed(
            agent.initiate(&said).await,
            Code::FailedPrecondition,
            &unasked,
        );
    }
    assert_eq!(server.reason("other", WORK_PIE, IN_MIX).await, none);
    server.stop().await;
}

#[tokio::test]
async fn force_replaces_a_file_and_readers_notice() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let stripped = crate::objcopy("work_pie", "--strip-all");
    let mut said = Said::of(WORK_PIE, &stripped);
    agent.upload(&said, &stripped).await.expect("stored");
    let reason = server.reason("anonymous", WORK_PIE, IN_MIX).await;
    assert!(reason.contains("names no function"), "{reason}");

    said = Said {
        force: true,
        ..Said::of(WORK_PIE, &elf)
    };
    let forced = "Debuginfo already exists and is not marked as invalid, therefore wouldn't have \
                  accepted a new upload, but accepting it because it's requested to be forced.";
    assert_eq!(agent.should(&said, "").await, (true, forced.to_owned()));
    let left_behind = agent.initiate(&said).await.expect("forced");
    // What is to be replaced is read until then.
    let reason = server.reason("anonymous", WORK_PIE, IN_MIX).await;
    assert!(reason.contains("names no function"), "{reason}");
    let forced = "A previous upload is in-progress, but accepting restart because it's requested \
                  to be forced.";
    assert_eq!(agent.should(&said, "").await, (true, forced.to_owned()));
    agent.upload(&said, &elf).await.expect("forced again");
    let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");

    // The one that was left behind stays so.
    failed(
        agent.send(&left_behind, &stripped).await,
        Code::FailedPrecondition,
        "metadata not found, this indicates that the upload was not previously initiated",
    );
    failed(
        agent.finish(&left_behind).await,
        Code::InvalidArgument,
        "upload id mismatch",
    );
    server.stop().await;
}

#[tokio::test]
async fn what_is_of_no_use_is_marked_and_the_same_is_never_taken_again() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let (elf, garbage) = (native("work_pie"), b"garbage".as_slice());
    let said = Said::of(WORK_PIE, garbage);
    let refused = agent.upload(&said, garbage).await.expect_err("no ELF");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("not an ELF file"), "{refused:?}");

    let invalid = "Debuginfo already exists but is marked as invalid, therefore a new upload is \
                   needed. Hash the debuginfo and initiate the upload.";
    assert_eq!(agent.should(&said, "").await, (true, invalid.to_owned()));
    let same = "Debuginfo already exists and is marked as invalid, but the proposed hash is the \
                same as the one already available, therefore the upload is not accepted as it would \
                result in the same invalid debuginfos.";
    assert_eq!(
        agent.should(&said, &said.hash).await,
        (false, same.to_owned())
    );
    failed(agent.initiate(&said).await, Code::AlreadyExists, same);
    let reason = server.reason("anonymous", WORK_PIE, IN_MIX).await;
    assert!(reason.contains("not an ELF file"), "{reason}");

    let said = Said::of(WORK_PIE, &elf);
    let other = "Debuginfo already exists but is marked as invalid, therefore a new upload will be \
                 accepted.";
    assert_eq!(
        agent.should(&said, &said.hash).await,
        (true, other.to_owned())
    );
    agent.upload(&said, &elf).await.expect("another file");
    let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_stops_is_begun_anew_when_it_is_stale() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.upload.stale_after = std::time::Duration::ZERO;
    let server = Server::start_with(config, folder).await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let stopped = agent.initiate(&said).await.expect("wanted");
    while agent.should(&said, "").await == (false, IN_PROGRESS.to_owned()) {
        tokio::task::yield_now().await;
    }
    let stale = "A previous upload was started but not finished and is now stale, so it can be \
                 retried.";
    assert_eq!(agent.should(&said, "").await, (true, stale.to_owned()));
    agent.upload(&said, &elf).await.expect("begun anew");
    failed(
        agent.finish(&stopped).await,
        Code::InvalidArgument,
        "upload id mismatch",
    );
    server.stop().await;
}

#[tokio::test]
async fn what_comes_must_be_what_was_announced() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let (short, long) = (&elf[1..], [&elf[..], b"x"].concat());
    let mut flipped = elf.clone();
    flipped[100] ^= 1;
    for (sent, text) in [
        (
            short,
            format!("the file that came has {} bytes, not the", elf.len() - 1),
        ),
        (&long, format!("more came than the {} bytes", elf.len())),
        (&flipped, "the file that came has the hash ".to_owned()),
        (&[], "the file that came has 0 bytes, not the".to_owned()),
    ] {
        let to = agent
            .initiate(&said)
            .await
            .expect("the one before was given up");
        let refused = agent.send(&to, sent).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(&text), "{refused:?}");
        failed(
            agent.finish(&to).await,
            Code::NotFound,
            "no debuginfo upload metadata found for build id",
        );
    }
    // Nothing came at all.
    let to = agent.initiate(&said).await.expect("wanted");
    let none = agent.finish(&to).await;
    failed(
        none,
        Code::FailedPrecondition,
        "no file came with this upload",
    );
    agent.send(&to, &elf).await.expect("it comes after all");
    agent.finish(&to).await.expect("complete");

    // The file says whose it is.
    let said = Said::of("abcdef", &elf);
    let refused = agent.upload(&said, &elf).await.expect_err("another build");
    let text =
        format!("the file was refused: the file says that its build id is {WORK_PIE}, not abcdef");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, text.as_str())
    );
    server.stop().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_as_agents_expect() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let invalid = Code::InvalidArgument;
    let without = Said {
        hash: String::new(),
        ..said.clone()
    };
    failed(agent.initiate(&without).await, invalid, "hash must be set");
    let without = Said {
        size: 0,
        ..said.clone()
    };
    failed(agent.initiate(&without).await, invalid, "size must be set");
    let negative = Said {
        size: -1,
        ..said.clone()
    };
    failed(
        agent.initiate(&negative).await,
        invalid,
        "size must not be negative",
    );
    let large = Said {
        size: 1 << 40,
        ..said.clone()
    };
    let text = "upload size 1099511627776 exceeds maximum allowed size 4194304, which \
                symbolizer.upload.bytes_max says";
    failed(agent.initiate(&large).await, invalid, text);
    let kind = Said {
        kind: 9,
        ..said.clone()
    };
    failed(
        agent.initiate(&kind).await,
        invalid,
        "no type of debuginfo 9",
    );
    for build_id in [
        "",
        "gnu-",
        "a b",
        "\u{e9}",
        &"/".repeat(100),
        &"f".repeat(300),
    ] {
        let odd = Said {
            build_id,
            ..said.clone()
        };
        let refused = agent.initiate(&odd).await.expect_err("no build id");
        assert_eq!(refused.code(), invalid, "{build_id}");
        assert!(refused.message().contains("build id"), "{refused:?}");
    }

    server.stop().await;
}

#[tokio::test]
async fn what_was_not_announced_neither_comes_nor_ends() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    let invalid = Code::InvalidArgument;
    let to = wire::UploadInstructions {
        build_id: WORK_PIE.to_owned(),
        upload_id: "../../etc".to_owned(),
        ..wire::UploadInstructions::default()
    };
    let unknown = "metadata not found, this indicates that the upload was not previously initiated";
    failed(
        agent.send(&to, &elf).await,
        Code::FailedPrecondition,
        unknown,
    );
    let unknown = "no debuginfo metadata found for build id";
    failed(agent.finish(&to).await, Code::NotFound, unknown);
    agent.initiate(&said).await.expect("wanted");
    let other = "the upload ID does not match the one returned by the InitiateUpload call";
    failed(agent.send(&to, &elf).await, invalid, other);
    failed(agent.finish(&to).await, invalid, "upload id mismatch");
    let chunk = Data::ChunkData(Bytes::from_static(b"x"));
    for parts in [vec![], vec![chunk]] {
        let refused = agent.stream(parts).await.expect_err("refused");
        assert_eq!(refused.code(), invalid, "{refused:?}");
    }
    server.stop().await;
}

/// What walks out of its folder elsewhere is a name like any other here.
#[tokio::test]
async fn build_ids_lead_nowhere_but_into_their_folder() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let map = br#"{"version":3,"mappings":""}"#;
    for build_id in [
        "../../../x",
        "..",
        "a/../../b",
        "/etc/passwd",
        "%2e%2e%2f",
        "Go/x-1_.y",
    ] {
        let said = Said {
            kind: wire::DebuginfoType::SourceMap.into(),
            ..Said::of(build_id, map)
        };
        agent.upload(&said, map).await.expect("stored");
        assert_eq!(agent.should(&said, "").await, (false, THERE.to_owned()));
    }
    let listed = server.files.clone().list(ListRequest::default()).await;
    let listed = listed.expect("listed").into_inner().files;
    assert_eq!(listed.len(), 6);
    assert!(
        listed
            .iter()
            .all(|file| file.state() == FileState::Uploaded)
    );
    let folder = server.stop().await;
    let mut folders: Vec<_> = std::fs::read_dir(folder.path().join("store"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    folders.sort();
    assert_eq!(folders, ["debuginfo", "probe"]);
}
