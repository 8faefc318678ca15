//! What a conversion can do to the machine once a crafted file commands it: nothing. This program
//! is its own worker, whose conversion does what the end of the file says.

#[path = "integration/server.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod server;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use bytesize::ByteSize;
use cairn_symbolizer::Task;
use cairn_wire::cairn::symbols::v1::Addressing;
use tonic::Code;

use server::{Server, Upload, config, native};

const WORK_PIE: &str = "1c8446f0ed602f28d3201a0505086fd690db3531";
const IN_MIX: u64 = 0x1228;
/// Behind it stands what to do.
const MARK: &[u8] = b"\nATTACK ";

const LOCKED: &str = "what no reader needs";
const MEMORY: &str = "bytes of memory";
const TIME: &str = "takes more than";
const CRASH: &str = "fails in a way";

/// What is tried, and what is said of the file then.
const ATTACKS: [(&str, &str); 17] = [
    ("read /etc/passwd", LOCKED),
    ("write into the scratch folder", LOCKED),
    ("list a folder", LOCKED),
    ("read the input again", LOCKED),
    ("connect", LOCKED),
    ("connect to a socket file", LOCKED),
    ("send a packet", LOCKED),
    ("exec", LOCKED),
    ("fork without end", LOCKED),
    ("start threads", LOCKED),
    ("kill the parent", LOCKED),
    ("allocate without bound", MEMORY),
    ("allocate all at once", MEMORY),
    ("spin", TIME),
    ("write without bound", "bytes of symbols"),
    ("recurse without end", CRASH),
    ("abort", CRASH),
];

fn main() -> ExitCode {
    if let Some(done) = cairn_symbolizer::worker_main_of(obey) {
        return done;
    }
    if !cfg!(target_os = "linux") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        // What is not about time has much of it, on busy machines too.
        let (timed, others) = ATTACKS.into_iter().partition(|(_, told)| *told == TIME);
        every_attack_ends_its_own_worker_and_nothing_else(others, Duration::from_secs(120)).await;
        every_attack_ends_its_own_worker_and_nothing_else(timed, Duration::from_secs(3)).await;
    });
    ExitCode::SUCCESS
}

async fn every_attack_ends_its_own_worker_and_nothing_else(
    attacks: Vec<(&str, &str)>,
    time_max: Duration,
) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.conversion.program = Some(std::env::current_exe().expect("it has a path"));
    config.conversion.time_max = time_max;
    config.conversion.memory_max = ByteSize::mib(64);
    config.conversion.output_bytes_max = ByteSize::mib(8);
    let server = Server::start_with(config, folder).await;
    let elf = native("work_pie");
    server
        .upload(Upload::of("good", &elf))
        .await
        .expect("stored");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = format!("{}", listener.local_addr().expect("it is bound"));
    let forbidden = server.folder.path().join("forbidden");

    for (attack, reason) in attacks {
        let mut file = elf.clone();
        file.extend_from_slice(MARK);
        let forbidden = forbidden.display();
        file.extend_from_slice(format!("{attack}|{target}|{forbidden}").as_bytes());
        let answer = server.upload(Upload::of("bad", &file)).await;
        let answer = answer.expect_err(attack);
        assert_eq!(answer.code(), Code::InvalidArgument, "{attack}: {answer:?}");
        assert!(answer.message().contains(reason), "{attack}: {answer:?}");
        // The reason is kept for who wonders where names are, and others don't notice.
        let kept = server.reason("bad", WORK_PIE, IN_MIX).await;
        assert!(kept.contains(reason), "{attack}: {kept}");
        let named = server.symbolize("good", WORK_PIE, Addressing::Virtual, &[IN_MIX]);
        assert_eq!(named.await[0].frames[0].function, "mix", "{attack}");
    }
    assert!(!Path::new(&forbidden).exists(), "nothing was written");
    listener.set_nonblocking(true).expect("it can");
    assert!(listener.accept().is_err(), "nobody connected");

    // The worker that obeyed all that converts as ever.
    server
        .upload(Upload::of("bad", &elf))
        .await
        .expect("stored");
    server.stop().await;
}

/// The conversion of this program's workers. Whatever it returns after an attack is no refusal, so
/// that an attack which works is seen.
fn obey(task: &Task<'_>) -> Result<Vec<u8>, String> {
    let elf = task.file;
    let mark = elf.windows(MARK.len()).rposition(|part| part == MARK);
    let Some(at) = mark else {
        let limits = cairn_symbols::Limits::default();
        return cairn_symbols::convert(elf, &Default::default(), &limits)
            .map_err(|error| error.to_string());
    };
    let order = std::str::from_utf8(&elf[at + MARK.len()..]).expect("an order is text");
    let mut order = order.split('|');
    let mut next = || order.next().expect("an order has three parts");
    let (attack, target, forbidden) = (next(), next(), next());
    match attack {
        "read /etc/passwd" => drop(std::fs::read("/etc/passwd")),
        "write into the scratch folder" => drop(std::fs::write(forbidden, "x")),
        "list a folder" => drop(std::fs::read_dir("/")),
        "read the input again" => drop(std::fs::read("/proc/self/fd/0")),
        "connect" => drop(TcpStream::connect(target)),
        "connect to a socket file" => drop(UnixStream::connect("/run/x")),
        "send a packet" => drop(UdpSocket::bind("127.0.0.1:0")),
        "exec" => drop(Command::new("/bin/true").status()),
        "fork without end" => loop {
            drop(Command::new(std::env::current_exe().unwrap_or_default()).spawn());
        },
        "start threads" => drop(std::thread::Builder::new().spawn(|| ())),
        "kill the parent" => {
            let parent = std::os::unix::process::parent_id() as i32;
            let parent = rustix::process::Pid::from_raw(parent).expect("it lives");
            let killed = rustix::process::kill_process(parent, rustix::process::Signal::TERM);
            std::hint::black_box(killed).ok();
        }
        "allocate without bound" => {
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                held.push(vec![1; 1 << 16]);
                std::hint::black_box(&held);
            }
        }
        "allocate all at once" => {
            std::hint::black_box(vec![0_u8; 4 * task.memory_max as usize]);
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "write without bound" => loop {
            std::io::stdout().write_all(&[1; 1 << 16]).expect("written");
        },
        "recurse without end" => assert_eq!(deeper(0), 1),
        "abort" => std::process::abort(),
        other => panic!("no attack {other}"),
    }
    Ok(b"the attack went through".to_vec())
}

#[expect(unconditional_recursion, reason = "that is the attack")]
fn deeper(depth: u64) -> u64 {
    let on_the_stack = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + on_the_stack[0]
}
