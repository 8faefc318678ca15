//! What a tenant has: listed, bounded, deleted; and what two replicas do over one store.

use bytesize::ByteSize;
use cairn_symbolizer::QuotaConfig;
use cairn_wire::cairn::symbols::v1::{
    Addressing, DeleteRequest, FileState, FileType, ListRequest, StoredFile,
};
use tonic::{Code, Status};

use crate::parca::{Agent, Said};
use crate::server::{Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE, WORK_PIE_HASH, chain};

const NONE: &str = "no file of this build id was uploaded";

pub(crate) async fn list(server: &Server, tenant: &str) -> Vec<StoredFile> {
    let tenant = tenant.to_owned();
    let listed = server.files.clone().list(ListRequest { tenant }).await;
    listed.expect("listed").into_inner().files
}

async fn delete(server: &Server, tenant: &str, build_id: &str) -> Result<(u32, u64), Status> {
    let request = DeleteRequest {
        tenant: tenant.to_owned(),
        build_id: build_id.to_owned(),
    };
    let deleted = server.files.clone().delete(request).await?.into_inner();
    Ok((deleted.files, deleted.bytes))
}

fn states(files: &[StoredFile]) -> Vec<(&str, FileType, FileState)> {
    let files = files.iter();
    files
        .map(|file| (file.build_id.as_str(), file.r#type(), file.state()))
        .collect()
}

/// As builds before this one stored it: neither the record nor the name says which bytes they are.
#[tokio::test]
async fn files_of_earlier_builds_are_read() {
    let server = Server::start().await;
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");
    let folder = server.stop().await;
    let path = folder.path().join("store/debuginfo/a").join(WORK_PIE);
    let mut renamed = 0;
    for entry in std::fs::read_dir(path.join("executable")).expect("listed") {
        let path = entry.expect("listed").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let (first, rest) = name
            .and_then(|name| name.split_once('.'))
            .expect("two parts");
        if first == "state" {
            let record = std::fs::read(&path).expect("read");
            let mut record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
            if let Some(file) = record.get_mut("file").and_then(|file| file.as_object_mut()) {
                file.remove("content").expect("it says which bytes");
                renamed += 1;
            }
            std::fs::write(&path, record.to_string()).expect("written");
        } else if rest.starts_with("file.") {
            let earlier = path.with_file_name(format!("{first}.file"));
            std::fs::rename(&path, earlier).expect("renamed");
            renamed += 1;
        } else if rest.starts_with("symbols.") {
            std::fs::remove_file(&path).expect("removed");
        }
    }
    assert_eq!(renamed, 2);
    let server = Server::start_with(config(&folder), folder).await;
    let named = server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&named.await[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn files_are_listed_with_their_states_and_deleted_by_any_name() {
    let server = Server::start().await;
    let agent = Agent::of(&server).await;
    let elf = native("work_pie");
    for tenant in ["anonymous", "b"] {
        server
            .upload(Upload::of(tenant, &elf))
            .await
            .expect("stored");
    }
    agent
        .initiate(&Said::of("abcd", &elf))
        .await
        .expect("wanted");
    let garbage = Said::of("ef01", b"garbage");
    agent
        .upload(&garbage, b"garbage")
        .await
        .expect_err("no ELF");
    let executable = (WORK_PIE, FileType::Executable, FileState::Uploaded);
    let listed = list(&server, "anonymous").await;
    let mut expected = vec![
        executable,
        ("abcd", FileType::Debuginfo, FileState::Uploading),
        ("ef01", FileType::Debuginfo, FileState::Refused),
    ];
    assert_eq!(states(&listed), expected);
    assert_eq!(listed[0].bytes, elf.len() as u64);
    assert!(listed[2].reason.contains("not an ELF file"), "{listed:?}");

    let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    let deleted = delete(&server, "anonymous", WORK_PIE_HASH).await;
    assert_eq!(deleted.expect("deleted"), (1, elf.len() as u64));
    expected[0].2 = FileState::Deleted;
    assert_eq!(states(&list(&server, "anonymous").await), expected);
    let reason = server.reason("anonymous", WORK_PIE, IN_MIX).await;
    assert_eq!(reason, NONE);
    for (tenant, build_id) in [
        ("anonymous", WORK_PIE),
        ("anonymous", "0123"),
        ("c", WORK_PIE),
    ] {
        let none = delete(&server, tenant, build_id).await;
        assert_eq!(none.expect_err("there is none").code(), Code::NotFound);
    }

    // The other tenant has its own.
    let answer = server.symbolize("b", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    // What was deleted may come again, and an agent knows.
    let said = Said {
        kind: 1,
        ..Said::of(WORK_PIE, &elf)
    };
    let purged = "Debuginfo was previously uploaded but has been purged/cleaned up, therefore a \
                  new upload is needed.";
    assert_eq!(agent.should(&said, "").await, (true, purged.to_owned()));
    agent.upload(&said, &elf).await.expect("stored again");
    let answer = server.symbolize("anonymous", WORK_PIE_HASH, Addressing::Virtual, &[IN_MIX]);
    assert_eq!(chain(&answer.await[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_keeps_no_more_than_its_quota() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (elf, other) = (native("work_pie"), native("cpp_pie"));
    let mut config = config(&folder);
    config.upload.quota = QuotaConfig {
        bytes_max: ByteSize::b(elf.len() as u64 + other.len() as u64 - 1),
        files_max: 10,
    };
    let few = QuotaConfig {
        files_max: 1,
        ..QuotaConfig::default()
    };
    config.upload.tenants.insert("few".to_owned(), few);
    let server = Server::start_with(config, folder).await;
    for tenant in ["a", "few"] {
        server
            .upload(Upload::of(tenant, &elf))
            .await
            .expect("stored");
        let refused = server.upload(Upload::of(tenant, &other)).await;
        let refused = refused.expect_err("more than the quota");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let text = match tenant {
            "a" => format!(
                "{} bytes are kept, this file has {}",
                elf.len(),
                other.len()
            ),
            _ => "1 files are kept, and 1 are allowed".to_owned(),
        };
        assert!(refused.message().contains(&text), "{refused:?}");
        // The same file again is no more, and other tenants have a quota of their own.
        server
            .upload(Upload::of(tenant, &elf))
            .await
            .expect("there");
    }
    delete(&server, "a", WORK_PIE).await.expect("deleted");
    server
        .upload(Upload::of("a", &other))
        .await
        .expect("there is room");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_over_one_store_agree() {
    let one = Server::start().await;
    let other = Server::beside(&one).await;
    let agents = [Agent::of(&one).await, Agent::of(&other).await];
    let elf = native("work_pie");
    let said = Said::of(WORK_PIE, &elf);
    // Many agents see a new binary at once, and ask whichever replica.
    let all = (0..20).map(|at| {
        let (agent, said) = (agents[at % 2].clone(), said.clone());
        async move { agent.initiate(&said).await }
    });
    let outcomes = futures::future::join_all(all).await;
    let (begun, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(begun.len(), 1);
    for refused in refused {
        let code = refused.expect_err("another was first").code();
        assert_eq!(code, Code::FailedPrecondition);
    }
    let to = begun.into_iter().flatten().next().expect("one");
    // Each step at another replica, and the last at both.
    agents[0].send(&to, &elf).await.expect("received");
    let ends = futures::future::join_all(agents.iter().map(|agent| agent.finish(&to)));
    for end in ends.await {
        end.expect("complete");
    }
    for server in [&one, &other] {
        let answer = server.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(chain(&answer.await[0])[0].0, "mix");
    }

    // What is replaced at one is read at the other a little later.
    let stripped = crate::objcopy("work_pie", "--strip-all");
    let said = Said {
        force: true,
        ..Said::of(WORK_PIE, &stripped)
    };
    agents[1].upload(&said, &stripped).await.expect("forced");
    loop {
        let answer = one.symbolize("anonymous", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        if answer.await[0].frames.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    other.stop().await;
    one.stop().await;
}
