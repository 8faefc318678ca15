//! Garbage for as long as one likes: real files that were damaged in many ways, beside another
//! tenant who goes on asking. `CAIRN_SOAK_SECONDS=600 cargo test -p cairn-symbolizer --test
//! integration soak -- --nocapture` takes ten minutes; without it there are some dozen files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytesize::ByteSize;
use cairn_wire::cairn::symbols::v1::Addressing;
use object::{Object as _, ObjectSection as _};
use tonic::Code;

use crate::server::{Known, Server, Upload, config, native};

const FILES: [&str; 3] = ["work_pie", "cpp_pie", "work_nopie"];
const UPLOADS: usize = 60;
const SEED: u64 = 0x5eed;

/// Repeatable, and good enough to do damage.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }
}

/// How a file is damaged, and the file.
fn damaged(dice: &mut Dice, files: &[Vec<u8>]) -> (&'static str, Vec<u8>) {
    let mut file = files[dice.below(files.len())].clone();
    let length = file.len();
    let kind = match dice.below(8) {
        0 => {
            for _ in 0..=dice.below(64) {
                let at = dice.below(length);
                file[at] = dice.roll() as u8;
            }
            "bytes anywhere"
        }
        1 => {
            for _ in 0..=dice.below(8) {
                file[dice.below(0x400)] = dice.roll() as u8;
            }
            "bytes of the head"
        }
        2 => {
            // Section headers lie at the end.
            let tail = length.min(0x1000);
            for _ in 0..=dice.below(16) {
                let at = length - 1 - dice.below(tail);
                file[at] = dice.roll() as u8;
            }
            "bytes of the section headers"
        }
        3 => {
            file.truncate(dice.below(length));
            "cut"
        }
        4 => {
            let other = &files[dice.below(files.len())];
            let (at, from) = (dice.below(length), dice.below(other.len()));
            file.truncate(at);
            file.extend_from_slice(&other[from..]);
            "two files in one"
        }
        5 => {
            for _ in 0..=dice.below(8) {
                let at = dice.below(length - 8) & !7;
                file[at..at + 8].copy_from_slice(&(u64::MAX >> dice.below(40)).to_le_bytes());
            }
            "huge numbers"
        }
        6 => {
            debug_bytes(dice, &mut file);
            "bytes of debug information"
        }
        _ => {
            bomb(dice, &mut file);
            "sections that claim to inflate"
        }
    };
    (kind, file)
}

fn debug_bytes(dice: &mut Dice, file: &mut [u8]) {
    let ranges = debug_sections(file);
    for _ in 0..=dice.below(32) {
        let (start, bytes) = ranges[dice.below(ranges.len())];
        file[start + dice.below(bytes)] = dice.roll() as u8;
    }
}

/// Debug sections begin with the head of a compressed one that inflates to very much.
fn bomb(dice: &mut Dice, file: &mut [u8]) {
    let ranges = debug_sections(file);
    let table = u64::from_le_bytes(file[0x28..0x30].try_into().expect("eight bytes")) as usize;
    let rows = u16::from_le_bytes(file[0x3c..0x3e].try_into().expect("two bytes"));
    for row in 0..usize::from(rows) {
        let at = table + row * 64;
        let offset = u64::from_le_bytes(file[at + 0x18..at + 0x20].try_into().expect("eight"));
        let Some((start, bytes)) = ranges.iter().find(|(start, _)| *start as u64 == offset) else {
            continue;
        };
        if *bytes < 64 || dice.below(2) == 0 {
            continue;
        }
        // SHF_COMPRESSED, and a head that says zlib or zstd, and a size.
        file[at + 9] |= 0x08;
        let kind = 1 + dice.below(2) as u32;
        let size = 1_u64 << (20 + dice.below(40));
        file[*start..start + 4].copy_from_slice(&kind.to_le_bytes());
        file[start + 8..start + 16].copy_from_slice(&size.to_le_bytes());
    }
}

/// Where they lie, and their lengths. A file without any is taken as one.
fn debug_sections(file: &[u8]) -> Vec<(usize, usize)> {
    let parsed = object::File::parse(file).expect("it is whole still");
    let is_debug = |name: &str| name.starts_with(".debug") || name == ".strtab";
    let sections = parsed.sections();
    let sections = sections.filter(|section| section.name().is_ok_and(is_debug));
    let ranges = sections.filter_map(|section| section.file_range());
    let ranges = ranges.map(|(start, bytes)| (start as usize, bytes as usize));
    let ranges: Vec<_> = ranges.filter(|(_, bytes)| *bytes > 0).collect();
    match ranges.is_empty() {
        true => vec![(0, file.len())],
        false => ranges,
    }
}

/// What the other tenant asks, of every file.
async fn answers(server: &Server, ids: &[String]) -> Vec<Vec<Known>> {
    let addresses: Vec<u64> = (0x1000..0x3000).step_by(16).collect();
    let mut all = Vec::new();
    for id in ids {
        let answer = server.symbolize("good", id, Addressing::Virtual, &addresses);
        all.push(answer.await);
    }
    all
}

/// How long to go on; none without a wish.
fn seconds() -> Option<Duration> {
    let text = std::env::var_os("CAIRN_SOAK_SECONDS")?;
    let text = text.into_string().expect("a number");
    Some(Duration::from_secs(text.parse().expect("a number")))
}

async fn start() -> Server {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.upload.bytes_max = ByteSize::mib(64);
    config.conversion.time_max = Duration::from_secs(10);
    config.conversion.memory_max = ByteSize::mib(256);
    config.absence_ttl = Duration::ZERO;
    // Symbol files are read again and again.
    config.cache_bytes_max = ByteSize::kib(64);
    config.cache.path = folder.path().join("cache");
    config.cache.bytes_max = ByteSize::mib(1);
    Server::start_with(config, folder).await
}

/// How often which damage came to what.
type Outcomes = BTreeMap<(&'static str, String), u64>;

async fn upload_garbage(server: &Server, files: &[Vec<u8>]) -> Outcomes {
    let clock = cairn_chassis::Clock::real();
    let (start, seconds) = (clock.instant(), seconds());
    let is_over = |at: usize| match seconds {
        Some(seconds) => clock.instant() - start > seconds,
        None => at == UPLOADS,
    };
    let mut dice = Dice(SEED);
    let mut outcomes = Outcomes::new();
    let mut at = 0;
    while !is_over(at) {
        let (kind, file) = damaged(&mut dice, files);
        let tenant = format!("bad-{at}");
        let outcome = match server.upload(Upload::of(&tenant, &file)).await {
            // What was damaged is of no consequence.
            Ok(_) => "taken".to_owned(),
            Err(status) => {
                let code = status.code();
                assert_eq!(code, Code::InvalidArgument, "{kind} {at}: {status:?}");
                shorten(status.message())
            }
        };
        *outcomes.entry((kind, outcome)).or_default() += 1;
        at += 1;
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_changes_nothing_for_others() {
    let server = start().await;
    let files: Vec<Vec<u8>> = FILES.map(native).to_vec();
    let mut ids = Vec::new();
    for file in &files {
        let stored = server.upload(Upload::of("good", file)).await;
        ids.push(stored.expect("stored").build_id);
    }
    let expected = answers(&server, &ids).await;
    let known = expected.iter().flatten();
    let named = known.filter(|known| known.reason.is_empty()).count();
    assert!(named > 100, "there is something to lose");

    let stop = AtomicBool::new(false);
    let asking = async {
        let mut asked = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(answers(&server, &ids).await, expected);
            asked += 1;
        }
        asked
    };
    let uploading = async {
        let outcomes = upload_garbage(&server, &files).await;
        stop.store(true, Ordering::Relaxed);
        outcomes
    };
    let (asked, outcomes) = tokio::join!(asking, uploading);
    println!("{asked} times all answers of the other tenant, equal every time");
    for ((kind, outcome), count) in outcomes {
        println!("{count:8}  {kind}: {outcome}");
    }
    let stored = server.upload(Upload::of("new", &files[0])).await;
    stored.expect("the service lives");
    server.stop().await;
}

/// Without what differs from file to file.
fn shorten(reason: &str) -> String {
    let reason = reason.trim_start_matches("the file was refused: ");
    reason
        .split([':', '('])
        .next()
        .unwrap_or_default()
        .chars()
        .take(60)
        .collect()
}
