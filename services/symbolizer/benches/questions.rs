//! How long the names of 100,000 distinct addresses of 20 builds take, asked over gRPC as a querier
//! asks: with symbol files in the store only, on the disk, and in memory.
//!
//! Of the C library's debug file (`apt-get install libc6-dbg`), or of `CAIRN_BENCH_ELF`, which must
//! have a GNU build id.

use std::path::PathBuf;
use std::sync::LazyLock;

use cairn_model::BuildId;
use cairn_symbols::Identity;
use cairn_wire::cairn::symbols::v1::symbol_service_client::SymbolServiceClient;
use cairn_wire::cairn::symbols::v1::{Addressing, Binary, SymbolizeRequest, SymbolizeResponse};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use futures::StreamExt as _;
use object::{Object as _, ObjectSection as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

#[path = "../tests/integration/server.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod server;

use server::{Server, Upload, config};

const BUILDS: usize = 20;
const ADDRESSES: usize = 100_000;
/// Of one request, and requests at a time: as queriers ask.
const BATCH: usize = 10_000;
const CONCURRENT: usize = 8;
const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// A store with the files of all builds, and what is asked.
struct World {
    folder: TempDir,
    requests: Vec<Vec<Binary>>,
}

#[expect(clippy::print_stdout, reason = "figures need to say of what they are")]
fn main() {
    let requests = WORLD.requests.clone();
    let answers = RUNTIME.block_on(async {
        let server = start(false).await;
        let answers = ask(&server, requests).await;
        server.stop().await;
        answers
    });
    let symbols = answers.iter().map(|answer| answer.symbols.len());
    let strings = answers.iter().map(|answer| answer.strings.len());
    let bytes = answers.iter().map(prost_bytes);
    println!(
        "{ADDRESSES} addresses of {BUILDS} builds, {} chains, {} texts, {} bytes of answers",
        symbols.sum::<usize>(),
        strings.sum::<usize>(),
        bytes.sum::<usize>(),
    );
    divan::main();
}

fn prost_bytes(answer: &SymbolizeResponse) -> usize {
    prost::Message::encoded_len(answer)
}

impl World {
    fn new() -> Self {
        let elf = elf();
        let own = Identity::read(&elf).expect("an ELF file").gnu;
        let own = own.expect("it has a GNU build id");
        let ids: Vec<BuildId> = (0..BUILDS).map(|at| other(&own, at)).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = RUNTIME.block_on(async {
            let mut config = config(&folder);
            config.upload.bytes_max = bytesize::ByteSize::gib(1);
            let server = Server::start_with(config, folder).await;
            for id in &ids {
                let mut elf = elf.clone();
                rename(&mut elf, &own, id);
                server.upload(Upload::of("a", &elf)).await.expect("stored");
            }
            server.stop().await
        });
        let requests = requests(&ids, &addresses(&elf));
        Self { folder, requests }
    }
}

fn elf() -> Vec<u8> {
    let path = std::env::var_os("CAIRN_BENCH_ELF").map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        let libc = std::fs::read(LIBC).expect("this machine has a C library");
        let id = Identity::read(&libc).expect("an ELF file").gnu;
        let id = id.expect("it has a build id").to_string();
        let (folder, file) = id.split_at(2);
        format!("/usr/lib/debug/.build-id/{folder}/{file}.debug").into()
    });
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As long as the first, and another for each number.
fn other(own: &BuildId, at: usize) -> BuildId {
    let text = format!("{at:04x}{}", &own.as_str()[4..]);
    BuildId::parse(&text).expect("it is hex")
}

fn rename(elf: &mut [u8], from: &BuildId, to: &BuildId) {
    let bytes = |id: &BuildId| -> Vec<u8> {
        let pairs = id.as_str().as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).expect("hex");
            u8::from_str_radix(pair, 16).expect("hex")
        };
        pairs.map(byte).collect()
    };
    let (from, to) = (bytes(from), bytes(to));
    let at = elf.windows(from.len()).position(|window| window == from);
    let at = at.expect("the file has this build id");
    elf[at..at + to.len()].copy_from_slice(&to);
}

/// Spread evenly over the code, each once, ascending.
fn addresses(elf: &[u8]) -> Vec<u64> {
    let file = object::File::parse(elf).expect("an ELF file");
    let text = file.section_by_name(".text").expect("code");
    let count = (ADDRESSES / BUILDS) as u64;
    let step = text.size() / count;
    (0..count).map(|at| text.address() + at * step).collect()
}

fn requests(ids: &[BuildId], addresses: &[u64]) -> Vec<Vec<Binary>> {
    let binaries = ids.iter().map(|id| Binary {
        build_id: id.to_string(),
        addressing: Addressing::Virtual.into(),
        addresses: addresses.to_vec(),
    });
    let binaries: Vec<Binary> = binaries.collect();
    binaries
        .chunks(BATCH / addresses.len())
        .map(<[Binary]>::to_vec)
        .collect()
}

async fn start(with_disk: bool) -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.store = cairn_store::Config::folder(WORLD.folder.path().join("store"));
    if with_disk {
        config.cache.path = WORLD.folder.path().join("cache");
    }
    Server::start_with(config, folder).await
}

async fn ask(server: &Server, requests: Vec<Vec<Binary>>) -> Vec<SymbolizeResponse> {
    let answers = futures::stream::iter(requests).map(async |binaries| {
        let request = SymbolizeRequest {
            tenant: "a".to_owned(),
            binaries,
            ..SymbolizeRequest::default()
        };
        let mut client: SymbolServiceClient<_> = server.client.clone();
        let answer = client.symbolize(request).await;
        answer.expect("an answer").into_inner()
    });
    answers.buffer_unordered(CONCURRENT).collect().await
}

/// A process that has just started; `with_disk` had these files on its disk before.
fn first(bencher: Bencher<'_, '_>, with_disk: bool) {
    let fresh = || RUNTIME.block_on(start(with_disk));
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .with_inputs(|| (fresh(), WORLD.requests.clone()))
        .bench_local_values(|(server, requests)| {
            black_box(RUNTIME.block_on(ask(&server, requests)));
            server
        });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn from_the_store(bencher: Bencher<'_, '_>) {
    first(bencher, false);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn from_the_disk(bencher: Bencher<'_, '_>) {
    RUNTIME.block_on(async {
        let server = start(true).await;
        ask(&server, WORLD.requests.clone()).await;
        server.stop().await;
    });
    first(bencher, true);
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn from_memory(bencher: Bencher<'_, '_>) {
    let server = RUNTIME.block_on(async {
        let server = start(false).await;
        ask(&server, WORLD.requests.clone()).await;
        server
    });
    bencher
        .counter(ItemsCount::new(ADDRESSES))
        .with_inputs(|| WORLD.requests.clone())
        .bench_local_values(|requests| RUNTIME.block_on(ask(&server, requests)));
    RUNTIME.block_on(server.stop());
}
