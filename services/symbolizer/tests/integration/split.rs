//! Programs whose debug information was split off, and the packages of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cairn_model::{BuildId, TenantId};
use cairn_store::{DebuginfoName, Store};
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{Addressing, FileInfo, FileState, FileType};
use tempfile::TempDir;
use tonic::Code;

use crate::keeping::list;
use crate::parca::{Agent, Said};
use crate::server::{Known, Server, Upload, config, native};

/// What was made of one source, with debug information in the program or split off.
struct Made {
    folder: TempDir,
}

impl Made {
    fn new(version: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Self { folder };
        let source = cairn_testkit::corpus::root().join("generated/native/bin/workpp.cpp");
        let source = source.to_str().expect("text");
        let flags = ["-O2", version, "-Wl,--build-id", source];
        for (name, more) in [("whole", "-g"), ("split", "-gsplit-dwarf")] {
            let mut command = Command::new("g++");
            made.run(command.args(flags).args([more, "-o", name]));
        }
        made.run(Command::new("llvm-dwp").args(["-e", "split", "-o", "split.dwp"]));
        for (option, name) in [("--only-keep-debug", "debug"), ("--strip-all", "bare")] {
            made.run(Command::new("objcopy").args([option, "split", name]));
        }
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &mut Command) {
        let status = command.current_dir(self.folder.path()).status();
        let status = status.expect("it runs: apt-get install g++ llvm binutils");
        assert!(status.success(), "{command:?}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("it was made")
    }

    fn build_id(&self, name: &str) -> String {
        let identity = cairn_symbols::Identity::read(&self.read(name)).expect("an ELF file");
        identity.gnu.expect("it has one").to_string()
    }

    /// The split program, which says that it is of this build.
    fn program_as(&self, build_id: &str) -> Vec<u8> {
        let mut program = self.read("split");
        let id = BuildId::parse(build_id).expect("valid");
        crate::set_build_id(&mut program, &self.build_id("split"), &id);
        program
    }

    /// Addresses in functions of the program's own.
    fn addresses(&self) -> Vec<u64> {
        let output = Command::new("nm")
            .arg("-S")
            .arg(self.path("split"))
            .output();
        let output = String::from_utf8(output.expect("it runs").stdout).expect("text");
        let mut addresses = Vec::new();
        for line in output.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [start, bytes, _, name] = words[..] else {
                continue;
            };
            if name != "main" && !name.contains("3app") {
                continue;
            }
            let number = |text| u64::from_str_radix(text, 16).expect("a number");
            addresses.extend(number(start)..number(start) + number(bytes));
        }
        assert!(addresses.len() > 1000, "{output}");
        addresses
    }
}

async fn names(server: &Server, tenant: &str, build_id: &str, addresses: &[u64]) -> Vec<Known> {
    let asked = server.symbolize(tenant, build_id, Addressing::Virtual, addresses);
    asked.await
}

fn upload<'a>(tenant: &'a str, build_id: &'a str, elf: &'a [u8]) -> Upload<'a> {
    Upload {
        tenant,
        build_id,
        elf,
    }
}

#[tokio::test]
async fn a_package_names_what_was_split_off_its_program_whichever_came_first() {
    let server = Server::start().await;
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let made = Made::new(version);
        let (whole, split) = (made.build_id("whole"), made.build_id("split"));
        let addresses = made.addresses();
        let program = made.read("whole");
        server
            .upload(Upload::of("a", &program))
            .await
            .expect("stored");
        let expected = names(&server, "a", &whole, &addresses).await;
        let inlined = |known: &&Known| known.frames.len() > 1;
        assert!(expected.iter().filter(inlined).count() > 10);
        assert!(expected.iter().all(|known| !known.frames.is_empty()));

        for (at, order) in [
            ["split", "split.dwp"].as_slice(),
            &["split.dwp", "split"],
            &["split.dwp", "bare", "debug"],
            &["bare", "split.dwp", "debug"],
            &["debug", "split.dwp"],
        ]
        .into_iter()
        .enumerate()
        {
            let tenant = format!("t{at}{version}");
            for name in order {
                // Asking meanwhile settles nothing.
                names(&server, &tenant, &split, &addresses).await;
                let file = made.read(name);
                let stored = server.upload(upload(&tenant, &split, &file)).await;
                assert_eq!(stored.expect("stored").build_id, split, "{order:?}");
            }
            let named = names(&server, &tenant, &split, &addresses).await;
            assert!(named == expected, "{version} {order:?}: {named:#?}");
            let listed = list(&server, &tenant).await;
            let packages = listed
                .iter()
                .filter(|file| file.r#type() == FileType::Package);
            assert_eq!(packages.count(), 1);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_package_of_another_build_changes_nothing() {
    let server = Server::start().await;
    let (made, other) = (Made::new("-gdwarf-5"), Made::new("-gdwarf-4"));
    let split = made.build_id("split");
    let (program, package) = (made.read("split"), other.read("split.dwp"));
    let text = "none of the program's units is in the package";

    // The program came first.
    let stored = server.upload(upload("a", &split, &program)).await;
    stored.expect("stored");
    let addresses = made.addresses();
    let before = names(&server, "a", &split, &addresses).await;
    let refused = server.upload(upload("a", &split, &package)).await;
    let refused = refused.expect_err("it is of another build");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains(text), "{refused:?}");
    assert!(names(&server, "a", &split, &addresses).await == before);

    // The package came first.
    let stored = server.upload(upload("b", &split, &package)).await;
    stored.expect("nothing says yet that it is of another build");
    let stored = server.upload(upload("b", &split, &program)).await;
    stored.expect("stored");
    assert!(names(&server, "b", &split, &addresses).await == before);
    // It was taken in, so it stays: a program that fits may come.
    assert_eq!(state_of_package(&server, "b").await, FileState::Uploaded);

    // It can't be told of which build a package is, nor what parts belong together.
    let nameless = server.upload(Upload::of("c", &package)).await;
    let nameless = nameless.expect_err("it has no build id");
    assert!(nameless.message().contains("say which build it is of"));
    let part = part(made.folder.path());
    let refused = server.upload(upload("c", &split, &part)).await;
    let refused = refused.expect_err("a part alone");
    assert!(refused.message().contains("make a package"), "{refused:?}");
    // A program that was not split has nothing to join.
    let plain = native("work_pie");
    let build_id = BuildId::parse(crate::WORK_PIE).expect("valid").to_string();
    let stored = server.upload(upload("d", &build_id, &plain)).await;
    stored.expect("stored");
    let stored = server.upload(upload("d", &build_id, &package)).await;
    stored.expect("a debug file that has units may come");
    let named = names(&server, "d", &build_id, &[crate::IN_MIX]).await;
    assert_eq!(crate::chain(&named[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn a_package_that_can_t_be_read_takes_no_names_away() {
    let server = Server::start().await;
    let made = Made::new("-gdwarf-5");
    let (build_id, addresses) = (made.build_id("split"), made.addresses());
    let send = async |name, tenant| {
        let file = made.read(name);
        let stored = server.upload(upload(tenant, &build_id, &file)).await;
        stored.expect("stored");
    };
    send("split", "alone").await;
    let alone = names(&server, "alone", &build_id, &addresses).await;
    send("split.dwp", "both").await;
    send("split", "both").await;
    let folder = server.stop().await;

    let mut broken = config(&folder);
    broken.conversion.program = Some("/bin/true".into());
    let server = Server::start_with(broken, folder).await;
    assert!(names(&server, "both", &build_id, &addresses).await == alone);
    let folder = server.stop().await;

    let server = Server::start_with(config(&folder), folder).await;
    let joined = names(&server, "both", &build_id, &addresses).await;
    assert!(joined != alone);
    assert!(joined.iter().any(|known| known.frames.len() > 1));
    server.stop().await;
}

#[tokio::test]
async fn a_package_is_joined_anew_with_a_program_that_replaced_another() {
    let server = Server::start().await;
    let made = Made::new("-gdwarf-5");
    let (build_id, addresses) = (made.build_id("split"), made.addresses());
    std::fs::write(made.path("note"), "another").expect("written");
    made.run(Command::new("objcopy").args(["--add-section", "note=note", "split", "again"]));
    let send = async |name, force| {
        let info = FileInfo {
            tenant: "a".to_owned(),
            build_id: build_id.clone(),
            force,
            ..FileInfo::default()
        };
        let parts = vec![Part::Info(info), Part::Chunk(made.read(name).into())];
        server.send(parts).await.expect("stored");
    };
    send("split.dwp", false).await;
    send("split", false).await;
    let first = names(&server, "a", &build_id, &addresses).await;
    send("again", true).await;
    assert!(names(&server, "a", &build_id, &addresses).await == first);
    let folder = server.stop().await;

    let store = Store::open(&config(&folder).store, 1)
        .await
        .expect("opened");
    let tenant = TenantId::parse("a").expect("valid");
    let objects = store.list_debuginfo(&tenant, None).await.expect("listed");
    let names: Vec<_> = objects.into_iter().map(|object| object.name).collect();
    let is_joined = |name: &&DebuginfoName| matches!(name, DebuginfoName::Joined { .. });
    assert_eq!(names.iter().filter(is_joined).count(), 2, "{names:?}");
}

#[tokio::test]
async fn a_package_that_was_taken_in_stays_whatever_program_comes() {
    let mut server = Server::start().await;
    let (made, other) = (Made::new("-gdwarf-5"), Made::new("-gdwarf-4"));
    let (build_id, addresses) = (made.build_id("split"), made.addresses());
    let another = other.program_as(&build_id);
    let send = async |server: &Server, tenant: &str, file: &[u8]| {
        send(server, (tenant, &build_id), file).await;
    };
    send(&server, "alone", &another).await;
    let alone = names(&server, "alone", &build_id, &addresses).await;
    send(&server, "a", &made.read("split.dwp")).await;
    send(&server, "a", &made.read("split")).await;
    let joined = names(&server, "a", &build_id, &addresses).await;
    assert!(joined != alone);

    send(&server, "a", &another).await;
    assert!(names(&server, "a", &build_id, &addresses).await == alone);
    let folder = server.stop().await;
    let mut config = config(&folder);
    config.absence_ttl = Duration::ZERO;
    server = Server::start_with(config, folder).await;
    let mut conversions = Vec::new();
    for _ in 0..2 {
        assert!(names(&server, "a", &build_id, &addresses).await == alone);
        conversions.push(loads(&server, "Conversion").await);
    }
    assert_eq!(conversions, [1, 1], "files are not read again in vain");
    assert_eq!(state_of_package(&server, "a").await, FileState::Uploaded);

    send(&server, "a", &made.read("split")).await;
    assert!(names(&server, "a", &build_id, &addresses).await == joined);
    server.stop().await;
}

#[tokio::test]
async fn a_package_is_tried_with_the_program_that_another_replica_took() {
    let server = Server::start().await;
    let (made, other) = (Made::new("-gdwarf-5"), Made::new("-gdwarf-4"));
    let build_id = made.build_id("split");
    let another = other.program_as(&build_id);
    let stored = server.upload(upload("a", &build_id, &another)).await;
    stored.expect("stored");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut replica = config(&folder);
    replica.store = server.store();
    replica.absence_ttl = Duration::from_secs(3600);
    let replica = Server::start_with(replica, folder).await;
    names(&replica, "a", &build_id, &made.addresses()).await;

    send(&server, ("a", &build_id), &made.read("split")).await;
    send(&replica, ("a", &build_id), &made.read("split.dwp")).await;
    let named = names(&replica, "a", &build_id, &made.addresses()).await;
    assert!(named.iter().any(|known| known.frames.len() > 1));
    replica.stop().await;
    server.stop().await;
}

/// How many symbol files came from there.
async fn loads(server: &Server, from: &str) -> u64 {
    let url = format!("{}/metrics", server.admin());
    let get = move || crate::http::send("GET", &url, "", b"").text();
    let metrics = tokio::task::spawn_blocking(get).await.expect("it answers");
    let name = format!("cairn_symbolizer_loads_total{{from=\"{from}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().expect("a number"))
}

/// Uploads it whatever is there.
async fn send(server: &Server, (tenant, build_id): (&str, &str), file: &[u8]) {
    let info = FileInfo {
        tenant: tenant.to_owned(),
        build_id: build_id.to_owned(),
        force: true,
        ..FileInfo::default()
    };
    let chunk = Part::Chunk(file.to_vec().into());
    let sent = server.send(vec![Part::Info(info), chunk]);
    sent.await.expect("stored");
}

#[tokio::test]
async fn a_package_is_found_by_every_name_of_its_program() {
    let server = Server::start().await;
    let made = Made::new("-gdwarf-5");
    let addresses = made.addresses();
    let (program, package) = (made.read("split"), made.read("split.dwp"));
    let identity = cairn_symbols::Identity::read(&program).expect("an ELF file");
    let all: Vec<String> = identity.build_ids().map(BuildId::to_string).collect();
    assert!(all.len() > 1);
    let mut expected = None;
    for (at, of_package) in all.iter().enumerate() {
        for is_first in [true, false] {
            let tenant = format!("t{at}{is_first}");
            let mut files = [(&all[0], &program), (of_package, &package)];
            if is_first {
                files.reverse();
            }
            for (build_id, file) in files {
                let stored = server.upload(upload(&tenant, build_id, file)).await;
                stored.expect("stored");
            }
            for build_id in &all {
                let named = names(&server, &tenant, build_id, &addresses).await;
                assert!(named.iter().any(|known| known.frames.len() > 1));
                match &expected {
                    None => expected = Some(named),
                    Some(expected) => {
                        assert!(named == *expected, "{of_package} {is_first} {build_id}");
                    }
                }
            }
            // One that is to replace it does so, by whatever name it comes.
            let other = [&package[..], &[0]].concat();
            for build_id in &all {
                send(&server, (&tenant, build_id), &other).await;
            }
            let listed = list(&server, &tenant).await;
            let packages = listed.iter();
            let packages = packages.filter(|file| file.r#type() == FileType::Package);
            assert_eq!(
                packages.map(|file| file.bytes).collect::<Vec<_>>(),
                [other.len() as u64]
            );
        }
    }
    server.stop().await;
}

async fn state_of_package(server: &Server, tenant: &str) -> FileState {
    let listed = list(server, tenant).await;
    let mut packages = listed
        .iter()
        .filter(|file| file.r#type() == FileType::Package);
    packages.next().expect("listed").state()
}

#[tokio::test]
async fn an_agent_is_told_how_a_package_is_uploaded() {
    let server = Server::start().await;
    let made = Made::new("-gdwarf-5");
    let (build_id, package) = (made.build_id("split"), made.read("split.dwp"));
    let agent = Agent::of(&server).await;
    let refused = agent.upload(&Said::of(&build_id, &package), &package).await;
    let refused = refused.expect_err("it is announced as a debug file");
    let text = "upload it with `cairn debuginfo upload --build-id`";
    assert!(refused.message().contains(text), "{refused:?}");
    server.stop().await;
}

/// A single part that was split off.
fn part(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).expect("listed");
    let mut paths = files.map(|file| file.expect("listed").path());
    let part = paths.find(|path| path.extension().is_some_and(|end| end == "dwo"));
    std::fs::read(part.expect("the compiler made it")).expect("read")
}
