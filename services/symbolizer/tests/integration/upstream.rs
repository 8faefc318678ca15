//! Files that nobody uploaded, from debuginfod servers: a real one, and such as misbehave.

use std::time::Duration;

use bytesize::ByteSize;
use cairn_model::{BuildId, TenantId};
use cairn_store::{Key, Store};
use cairn_symbolizer::{Config, UpstreamServer};
use cairn_wire::cairn::symbols::v1::{Addressing, Binary, SymbolizeRequest};
use cairn_wire::parca::debuginfo::v1alpha1::{BuildIdType, ShouldInitiateUploadRequest};

use crate::parca::{Agent, Said, THERE};
use crate::server::{Known, Server, Upload, config, native};
use crate::{IN_MIX, WORK_PIE};

mod fake;
mod real;

use fake::{Answer, Fake};

const NOWHERE: &str = "no file of this build id was uploaded, and no debuginfod server has one";
const LATER: &str = "is still being fetched or read: ask again";

async fn server(urls: &[String], change: impl FnOnce(&mut Config)) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    let servers = urls.iter().map(|url| UpstreamServer {
        url: url.clone(),
        ..UpstreamServer::default()
    });
    config.upstream.servers = servers.collect();
    // What is stored is looked up anew each time.
    config.absence_ttl = Duration::ZERO;
    change(&mut config);
    Server::start_with(config, folder).await
}

async fn name(server: &Server, tenant: &str) -> String {
    let known = server.symbolize(tenant, WORK_PIE, Addressing::Virtual, &[IN_MIX]);
    let Known { frames, reason } = known.await.remove(0);
    match frames.into_iter().next() {
        Some(frame) => frame.function,
        None => reason,
    }
}

#[tokio::test]
async fn servers_are_asked_in_order_for_what_nobody_uploaded() {
    let elf = native("work_pie");
    let (first, second) = (Fake::start().await, Fake::start().await);
    second.say("executable", Answer::GetOnly(elf.clone()));
    let server = server(&[first.url(), second.url()], |_| {}).await;
    assert_eq!(name(&server, "a").await, "mix");
    let path = |artifact| format!("GET /buildid/{WORK_PIE}/{artifact}");
    let asked = [path("debuginfo"), path("executable")];
    assert_eq!(first.asked(), asked);
    assert_eq!(second.asked(), asked);

    // It is kept for this tenant, and another one's is its own.
    assert_eq!(name(&server, "a").await, "mix");
    assert_eq!(second.asked().len(), 2);
    assert_eq!(name(&server, "b").await, "mix");
    assert_eq!(second.asked().len(), 3, "that it has no debuginfo is known");
    // What was uploaded is not asked for.
    server.upload(Upload::of("c", &elf)).await.expect("stored");
    assert_eq!(name(&server, "c").await, "mix");
    assert_eq!(second.asked().len(), 3);
    // Ids that no server of this kind can know are not either.
    let odd = server.reason("a", "go/not-hex", 1).await;
    assert_eq!(odd, "no file of this build id was uploaded");
    server.stop().await;
}

#[tokio::test]
async fn absences_are_remembered_for_their_time_and_errors_are_not() {
    for (ttl, times) in [(Duration::from_secs(3600), 1), (Duration::ZERO, 3)] {
        let fake = Fake::start().await;
        let server = server(&[fake.url()], |config| config.upstream.absence_ttl = ttl).await;
        for _ in 0..3 {
            assert_eq!(name(&server, "a").await, NOWHERE);
        }
        assert_eq!(fake.asked().len(), 2 * times, "for {ttl:?}");
        server.stop().await;
    }
    let fake = Fake::start().await;
    let server = server(&[fake.url()], |_| {}).await;
    fake.say("debuginfo", Answer::Status(500));
    let told = name(&server, "a").await;
    assert!(told.ends_with(": it answers 500"), "{told}");
    fake.say("debuginfo", Answer::File(native("work_pie")));
    assert_eq!(name(&server, "a").await, "mix");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_again_and_again_is_left_alone_and_others_are_asked() {
    let (bad, good) = (Fake::start().await, Fake::start().await);
    bad.say("debuginfo", Answer::Status(503));
    bad.say("executable", Answer::Status(503));
    let server = server(&[bad.url(), good.url()], |config| {
        config.upstream.absence_ttl = Duration::ZERO;
        config.upstream.pause = Duration::from_secs(3600);
    })
    .await;
    for _ in 0..5 {
        let told = name(&server, "a").await;
        assert!(told.contains("could not be asked"), "{told}");
    }
    assert_eq!(bad.asked().len(), 3, "failures_max");
    assert_eq!(good.asked().len(), 10);
    let told = name(&server, "a").await;
    assert!(told.contains("left alone for a while"), "{told}");
    good.say("debuginfo", Answer::File(native("work_pie")));
    assert_eq!(name(&server, "a").await, "mix");
    server.stop().await;
}

#[tokio::test]
async fn a_question_waits_no_longer_than_its_time_and_a_later_one_gets_the_names() {
    let fake = Fake::start().await;
    fake.say("debuginfo", Answer::Silence(native("work_pie")));
    let server = server(&[fake.url()], |_| {}).await;
    let binary = |build_id: &str| Binary {
        build_id: build_id.to_owned(),
        addressing: Addressing::Virtual.into(),
        addresses: vec![IN_MIX],
    };
    let mut request = tonic::Request::new(SymbolizeRequest {
        tenant: "a".to_owned(),
        binaries: vec![binary(WORK_PIE), binary("go/not-hex")],
        ..SymbolizeRequest::default()
    });
    request.set_timeout(Duration::from_secs(2));
    let answer = server.client.clone().symbolize(request).await;
    let answer = answer.expect("in time").into_inner();
    let symbols = |at: usize| &answer.symbols[answer.binaries[at].symbols[0] as usize];
    assert!(symbols(0).reason.ends_with(LATER), "{answer:?}");
    assert!(symbols(0).passing, "{answer:?}");
    assert!(!symbols(1).passing, "{answer:?}");

    // The fetch goes on without anybody waiting, and is not begun anew.
    fake.speak();
    assert_eq!(name(&server, "a").await, "mix");
    assert_eq!(fake.asked().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_is_uploaded_during_a_fetch_is_there_for_the_next_question() {
    let fake = Fake::start().await;
    fake.say("debuginfo", Answer::Silence(native("work_pie")));
    let server = server(&[fake.url()], |config| {
        config.absence_ttl = Duration::from_secs(3600);
    })
    .await;
    let mut request = tonic::Request::new(SymbolizeRequest {
        tenant: "a".to_owned(),
        binaries: vec![Binary {
            build_id: WORK_PIE.to_owned(),
            addressing: Addressing::Virtual.into(),
            addresses: vec![IN_MIX],
        }],
        ..SymbolizeRequest::default()
    });
    request.set_timeout(Duration::from_secs(1));
    let answer = server.client.clone().symbolize(request).await;
    let answer = answer.expect("in time").into_inner();
    assert!(answer.symbols[0].reason.ends_with(LATER), "{answer:?}");
    let elf = native("work_pie");
    server.upload(Upload::of("a", &elf)).await.expect("stored");
    // The fetch still hangs.
    assert_eq!(name(&server, "a").await, "mix");
    assert_eq!(fake.asked().len(), 1);
    fake.speak();
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let fake = Fake::start().await;
    fake.say("debuginfo", Answer::Silence(Vec::new()));
    fake.say("executable", Answer::Silence(Vec::new()));
    let server = server(&[fake.url()], |config| {
        config.upstream.time_max = Duration::from_millis(300);
    })
    .await;
    let told = name(&server, "a").await;
    assert!(told.contains("could not be asked"), "{told}");
    assert!(told.contains("timed out"), "{told}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_trickles_is_given_up_and_a_slow_one_is_not() {
    let fake = Fake::start().await;
    let elf = native("work_pie");
    let server = server(&[fake.url()], |config| {
        config.upstream.time_max = Duration::from_secs(40);
        config.upstream.bytes_per_second_min = ByteSize::b(100);
        config.upstream.concurrent_max = 1;
    })
    .await;
    let seconds = Duration::from_secs;
    fake.say("debuginfo", Answer::Pieces(elf.clone(), 1, seconds(1)));
    let told = name(&server, "a").await;
    assert!(told.contains("could not be asked"), "{told}");
    assert!(told.contains("bytes_per_second_min wants 1000"), "{told}");
    // Longer than what is judged at a time.
    let piece = elf.len().div_ceil(12);
    fake.say("debuginfo", Answer::Pieces(elf, piece, seconds(1)));
    assert_eq!(name(&server, "a").await, "mix");
    server.stop().await;
}

#[tokio::test]
async fn garbage_is_of_no_use_and_not_fetched_again_until_that_is_forgotten() {
    let another = native("cpp_pie");
    let crafted = [&native("work_pie")[..0x300], &[0xff; 5000]].concat();
    for (garbage, told) in [
        (b"not a program".to_vec(), "is not an ELF file"),
        (another, "it is a file of another build"),
        (crafted, "is of no use"),
        (
            vec![0; 2 << 20],
            "more than upstream.bytes_max=1048576 bytes",
        ),
    ] {
        let fake = Fake::start().await;
        fake.say("debuginfo", Answer::File(garbage));
        let server = server(&[fake.url()], |config| {
            config.upstream.bytes_max = ByteSize::mib(1);
        })
        .await;
        for _ in 0..2 {
            let reason = name(&server, "a").await;
            assert!(reason.contains(told), "{reason}");
            assert!(reason.contains("is of no use"), "{reason}");
        }
        assert_eq!(fake.asked().len(), 2, "{told}");
        // Nobody is kept from uploading the right one.
        let elf = native("work_pie");
        server.upload(Upload::of("a", &elf)).await.expect("stored");
        assert_eq!(name(&server, "a").await, "mix");
        server.stop().await;
    }
}

#[tokio::test]
async fn tokens_are_sent_and_only_to_the_server_itself() {
    let (elsewhere, fake) = (Fake::start().await, Fake::start().await);
    let elf = native("work_pie");
    elsewhere.say("debuginfo", Answer::File(elf.clone()));
    let target = format!("{}/buildid/{WORK_PIE}/debuginfo", elsewhere.url());
    fake.say("debuginfo", Answer::Redirect(target));
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "Bearer secret\n").expect("written");
    let server = server(&[fake.url()], |config| {
        config.upstream.servers[0].token_file = Some(token.path().to_owned());
    })
    .await;
    let told = name(&server, "a").await;
    assert!(told.contains("it sends us to another place"), "{told}");
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
    assert!(fake.heads()[0].contains("authorization: Bearer secret\r\n"));

    let within = format!("{}/moved/debuginfo", fake.url());
    fake.say("buildid", Answer::Redirect(within));
    fake.say("moved", Answer::File(elf));
    assert_eq!(name(&server, "a").await, "mix");
    server.stop().await;
}

#[tokio::test]
async fn names_that_lead_to_private_addresses_are_refused_unless_allowed() {
    for allowed in [false, true] {
        let fake = Fake::start().await;
        fake.say("debuginfo", Answer::File(native("work_pie")));
        let url = fake.url().replace("127.0.0.1", "localhost");
        let server = server(&[url], |config| {
            config.upstream.servers[0].private_addresses = allowed;
        })
        .await;
        let told = name(&server, "a").await;
        match allowed {
            true => assert_eq!(told, "mix"),
            false => assert!(told.contains("private_addresses does not allow"), "{told}"),
        }
        assert_eq!(fake.asked().len(), usize::from(allowed));
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_fetched_has_room_of_its_own() {
    let (elf, other) = (native("work_pie"), native("cpp_pie"));
    let fake = Fake::start().await;
    fake.say("debuginfo", Answer::File(elf));
    let server = server(&[fake.url()], |config| {
        config.upstream.kept_bytes_max = ByteSize::b(1);
        config.upload.quota.bytes_max = ByteSize::b(other.len() as u64 + 100);
    })
    .await;
    assert_eq!(name(&server, "a").await, "mix");
    server
        .upload(Upload::of("a", &other))
        .await
        .expect("nothing else was uploaded");
    let asked = fake.asked().len();
    let reason = server.reason("a", "abcd", 1).await;
    assert!(reason.contains("takes all the room"), "{reason}");
    assert_eq!(fake.asked().len(), asked);
    assert_eq!(name(&server, "a").await, "mix");
    assert_eq!(name(&server, "b").await, "mix");

    // What is wrong with the tenant's own file helps more to know.
    let damaged = Upload {
        tenant: "a",
        build_id: "abcd",
        elf: b"not a program",
    };
    let refused = server.upload(damaged).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let reason = server.reason("a", "abcd", 1).await;
    let text = "the uploaded file was refused: the file is not an ELF file";
    assert!(reason.starts_with(text), "{reason}");
    server.stop().await;
}

/// Two programs whose debug information in common lies in a third file, as distributions do it.
fn sharing() -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = cairn_testkit::corpus::root().join("generated/native/bin/workpp.cpp");
    let run = |program: &str, arguments: &[&str]| {
        let ran = std::process::Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .status();
        let ran = ran.expect("it runs: see scripts/install-test-tools");
        assert!(ran.success(), "{program} {arguments:?}");
    };
    let source = source.to_str().expect("text");
    run("g++", &["-O2", "-g", "-Wl,--build-id", "-o", "one", source]);
    run("g++", &["-O2", "-g", "-DOTHER", "-o", "two", source]);
    run("dwz", &["-m", "shared", "one", "two"]);
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was made");
    (read("one"), read("shared"))
}

/// What conversion alone makes of an address.
fn functions(elf: &[u8], alt: Option<&[u8]>, addresses: &[u64]) -> Vec<Vec<String>> {
    let companions = cairn_symbols::Companions {
        alt,
        ..cairn_symbols::Companions::default()
    };
    let symbols = cairn_symbols::convert(elf, &companions, &cairn_symbols::Limits::default());
    let file = cairn_symbols::SymbolFile::open(symbols.expect("converts")).expect("opens");
    let functions = |&address: &u64| {
        let found = file.lookup(cairn_model::Addressing::Virtual, address);
        let frames = found.into_iter().flatten();
        frames.map(|frame| frame.function().to_owned()).collect()
    };
    addresses.iter().map(functions).collect()
}

#[tokio::test]
async fn what_a_file_shares_with_others_is_fetched_with_it() {
    let (one, shared) = sharing();
    let identity = cairn_symbols::Identity::read(&one).expect("an ELF file");
    let build_id = identity.gnu.expect("it has one").to_string();
    let link = cairn_symbols::Wanted::read(&one, 1 << 20)
        .expect("an ELF file")
        .alt;
    let link = link.expect("dwz moved something").build_id;
    let addresses: Vec<u64> = (0x1000..0x3000).step_by(4).collect();
    let whole = functions(&one, Some(&shared), &addresses);
    let alone = functions(&one, None, &addresses);
    assert_ne!(whole, alone);

    for (answer, expected) in [
        (Some(Answer::File(shared.clone())), &whole),
        (Some(Answer::File(b"garbage".to_vec())), &alone),
        (None, &alone),
    ] {
        let fake = Fake::start().await;
        fake.say(&build_id, Answer::File(one.clone()));
        if let Some(answer) = answer {
            fake.say(&format!("buildid/{link}"), answer);
        }
        let server = server(&[fake.url()], |_| {}).await;
        let known = server.symbolize("a", &build_id, Addressing::Virtual, &addresses);
        let named: Vec<Vec<String>> = known
            .await
            .into_iter()
            .map(|known| {
                known
                    .frames
                    .into_iter()
                    .map(|frame| frame.function)
                    .collect()
            })
            .collect();
        let differs = named.iter().zip(expected).find(|(one, other)| one != other);
        assert_eq!(differs, None);
        assert_eq!(
            fake.asked()[1..],
            [format!("GET /buildid/{link}/debuginfo")]
        );
        server.stop().await;
    }

    // What it shares is there when it is read again, without any server.
    let fake = Fake::start().await;
    fake.say(&build_id, Answer::File(one.clone()));
    fake.say(&format!("buildid/{link}"), Answer::File(shared.clone()));
    let fetching = server(&[fake.url()], |_| {}).await;
    let fetched = fetching.symbolize("a", &build_id, Addressing::Virtual, &addresses);
    let fetched = fetched.await;
    let folder = fetching.stop().await;
    forget_symbols(&folder, &build_id).await;
    let config = config(&folder);
    let reading = Server::start_with(config, folder).await;
    let read = reading.symbolize("a", &build_id, Addressing::Virtual, &addresses);
    assert!(read.await == fetched);
    reading.stop().await;

    // Nothing is kept that would lack names for ever because a server was down.
    let fake = Fake::start().await;
    fake.say(&build_id, Answer::File(one.clone()));
    fake.say(&format!("buildid/{link}"), Answer::Status(500));
    let server = server(&[fake.url()], |_| {}).await;
    let reason = server.reason("a", &build_id, 0x1100).await;
    assert!(reason.contains("could not be asked"), "{reason}");
    fake.say(&format!("buildid/{link}"), Answer::File(shared));
    let known = server.symbolize("a", &build_id, Addressing::Virtual, &addresses);
    let count = known
        .await
        .iter()
        .filter(|known| known.reason.is_empty())
        .count();
    assert!(count > 0);
    server.stop().await;
}

/// As when their format changes.
async fn forget_symbols(folder: &tempfile::TempDir, build_id: &str) {
    let (tenant, build_id) = (
        TenantId::parse("a").expect("valid"),
        BuildId::parse(build_id).expect("valid"),
    );
    let store = Store::open(&config(folder).store, 1).await.expect("opened");
    let name = crate::symbol_file(&store, &tenant, &build_id).await;
    let key = Key::Debuginfo {
        tenant: &tenant,
        build_id: &build_id,
        name: &name,
    };
    store.delete(key).await.expect("deleted");
}

#[tokio::test]
async fn agents_are_told_what_debuginfod_servers_have() {
    let elf = native("work_pie");
    let fake = Fake::start().await;
    fake.say("debuginfo", Answer::File(elf.clone()));
    let server = server(&[fake.url()], |_| {}).await;
    let agent = Agent::of(&server).await;
    let said = Said::of(WORK_PIE, &elf);
    let exists = "Debuginfo exists in debuginfod, therefore no upload is necessary.";
    assert_eq!(agent.should(&said, "").await, (false, exists.to_owned()));
    // Once it was fetched it is in use here.
    let in_use = "Debuginfo is available from debuginfod already and not marked as invalid, \
                  therefore no new upload is needed.";
    assert_eq!(name(&server, "anonymous").await, "mix");
    let said = Said { kind: 1, ..said };
    assert_eq!(agent.should(&said, "").await, (false, in_use.to_owned()));
    let unasked = agent.initiate(&said).await.expect_err("it is there");
    assert_eq!(unasked.code(), tonic::Code::FailedPrecondition);
    // Whoever insists hears the same, as from Parca.
    let forced = Said {
        force: true,
        ..said.clone()
    };
    assert_eq!(agent.should(&forced, "").await, (false, in_use.to_owned()));
    let unasked = agent.initiate(&forced).await.expect_err("it is there");
    assert_eq!(unasked.code(), tonic::Code::FailedPrecondition);
    // People may upload all the same.
    server
        .upload(Upload::of("anonymous", &elf))
        .await
        .expect("stored");
    assert_eq!(agent.should(&said, "").await, (false, THERE.to_owned()));
    let mut forced = said.clone();
    forced.force = true;
    assert!(agent.should(&forced, "").await.0);

    // An executable alone, which may be stripped, is no debug information.
    let alone = Fake::start().await;
    alone.say("executable", Answer::File(elf.clone()));
    let other = self::server(&[alone.url()], |_| {}).await;
    let agent = Agent::of(&other).await;
    assert!(agent.should(&said, "").await.0);
    // What no linker made, servers are not asked for.
    alone.say("debuginfo", Answer::File(elf.clone()));
    let request = |id: BuildIdType| ShouldInitiateUploadRequest {
        build_id: "abcdef".to_owned(),
        build_id_type: id.into(),
        ..ShouldInitiateUploadRequest::default()
    };
    for (id, is_wanted) in [(BuildIdType::Go, true), (BuildIdType::Gnu, false)] {
        let mut client = agent.client.clone();
        let answer = client.should_initiate_upload(request(id)).await;
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(answer.should_initiate_upload, is_wanted, "{id:?}");
    }
    other.stop().await;
    server.stop().await;
}
