//! Our programs as child processes of a test. Starts, watches and stops exactly the one it
//! started; what the program prints is kept for the failure message.
#![expect(
    clippy::disallowed_methods,
    reason = "other programs run on the real clock"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at something that can't wake us.
const POLL: Duration = Duration::from_millis(10);

/// Where one of our programs is: `CARGO_BIN_EXE_<name>`, or beside the running test.
///
/// # Panics
///
/// If it has not been built.
pub fn binary(name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(format!("CARGO_BIN_EXE_{name}")) {
        return path.into();
    }
    let test = std::env::current_exe().expect("a running program has a path");
    let folders = test.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no program {name} near {}: build it first with `cargo build --bin {name}`",
                test.display()
            )
        })
}

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

/// Lines of standard output and error, as they came.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<String>,
    ended: usize,
}

/// Starts a program with arguments and additional environment variables.
pub fn spawn<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
    env: &[(&str, &str)],
) -> Process {
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null());
    start(command)
}

/// Starts a program in a folder that ends at once when this process does, however that happens: for
/// children in statics, which nothing drops. With `remove` the folder goes too.
pub(crate) fn spawn_tied<A: AsRef<OsStr>>(
    folder: &Path,
    remove: bool,
    program: &Path,
    args: impl IntoIterator<Item = A>,
) -> Process {
    let mut command = Command::new("sh");
    command
        .args(["-c", TIED])
        .arg(if remove {
            folder.as_os_str()
        } else {
            "".as_ref()
        })
        .arg(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped());
    start(command)
}

/// Standard input is a pipe from us, whose end means ours.
const TIED: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{ read -r _ <&3; kill -KILL $program; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait $program
status=$?
kill $watcher 2>/dev/null
[ -z "$0" ] || rm -rf "$0"
exit $status
"#;

fn start(mut command: Command) -> Process {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        let program = command.get_program();
        panic!("cannot start {}: {error}", program.display())
    });
    let output = Arc::new(Output::default());
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    let readers = vec![
        read_lines(stdout, Arc::clone(&output)),
        read_lines(stderr, Arc::clone(&output)),
    ];
    Process {
        child,
        output,
        readers,
    }
}

fn read_lines(pipe: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name("child-output".to_owned())
        .spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                output.update(|lines| lines.all.push(line));
            }
            output.update(|lines| lines.ended += 1);
        })
        .expect("a thread can be started")
}

impl Output {
    fn update(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        let lines = self.output.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).all.join("\n")
    }

    /// The first line, printed already or later, that contains `text`.
    ///
    /// # Panics
    ///
    /// If the program ends or `patience` is over first.
    pub fn wait_for_line(&self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut lines = self
            .output
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.all.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && lines.ended < 2,
                "the program never said {text:?}, but:\n{}",
                lines.all.join("\n")
            );
            let waited = self.output.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until `GET path` answers 200.
    ///
    /// # Panics
    ///
    /// If the program ends or `patience` is over first.
    pub fn wait_until_ready(&mut self, address: SocketAddr, path: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !matches!(get(address, path), Ok((200, _))) {
            assert!(
                !self.has_ended() && Instant::now() < deadline,
                "http://{address}{path} never answered 200; the program said:\n{}",
                self.output()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Asks the program to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    ///
    /// If it has not ended when `patience` is over.
    pub fn terminate(mut self, patience: Duration) -> ExitStatus {
        // The standard library sends no signal but SIGKILL.
        let sent = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()
            .expect("the kill program is installed");
        assert!(
            sent.success(),
            "the program has ended before:\n{}",
            self.output()
        );
        self.wait(patience)
    }

    /// Ends the program at once (SIGKILL), as a crash would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits for the program to end by itself.
    ///
    /// # Panics
    ///
    /// If it has not ended when `patience` is over.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("our own child can be waited for")
            {
                self.join();
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the program has not ended in {patience:?}; it said:\n{}",
                self.output()
            );
            std::thread::sleep(POLL);
        }
    }

    fn end(&mut self) {
        match self.child.stdin.take() {
            Some(tie) => drop(tie),
            // Fails only if the child has been waited for already.
            None => drop(self.child.kill()),
        }
        let _ = self.child.wait();
        self.join();
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// One HTTP request without body: status and body of the answer.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    request(address, "GET", path)
}

/// Like [`get`] with another method.
pub fn request(address: SocketAddr, method: &str, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| std::io::Error::other("not an HTTP answer"))
}

/// Status and body of a whole answer.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let head_end = answer.windows(4).position(|at| at == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..head_end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[head_end + 4..];
    let is_chunked = head.contains("\r\ntransfer-encoding: chunked");
    Some((
        status,
        if is_chunked {
            joined(body)?
        } else {
            body.to_vec()
        },
    ))
}

/// A body without the sizes of its chunks.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|at| at == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line_end]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let chunk = &rest[line_end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend(chunk.get(..size)?);
        rest = chunk.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        spawn("sh", ["-c", script], &[("WORD", "cairn")])
    }

    #[test]
    fn lines_and_exit_codes_are_seen() {
        let mut process = shell("echo one; echo hello $WORD >&2; exit 3");
        assert_eq!(process.wait_for_line("hello", PATIENCE), "hello cairn");
        assert_eq!(process.wait(PATIENCE).code(), Some(3));
        assert!(process.output().contains("one"));
    }

    #[test]
    fn a_polite_request_to_stop_is_delivered() {
        let process = shell(
            "trap 'echo bye; exit 7' TERM; echo up; while :; do read -t 0.05 x <&1 || sleep 0.05; done",
        );
        process.wait_for_line("up", PATIENCE);
        assert_eq!(process.terminate(PATIENCE).code(), Some(7));
    }

    #[test]
    fn dropping_kills() {
        let process = shell("echo up; exec sleep 1000");
        process.wait_for_line("up", PATIENCE);
        let id = process.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_tied_program_ends_with_us_and_takes_its_folder_along() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("made");
        let script = "echo $$; exec sleep 1000";
        let process = spawn_tied(&inner, true, Path::new("sh"), ["-c", script]);
        let line = process.wait_for_line("", PATIENCE);
        drop(process);
        assert!(!Path::new(&format!("/proc/{line}")).exists(), "{line} runs");
        assert!(!inner.exists());
    }

    #[test]
    fn a_tied_program_that_ends_is_seen_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = spawn_tied(folder.path(), false, Path::new("sh"), ["-c", "exit 3"]);
        assert_eq!(process.wait(PATIENCE).code(), Some(3));
        assert!(folder.path().exists());
    }

    #[test]
    #[should_panic(expected = "never said")]
    fn a_missing_line_shows_what_was_said() {
        shell("echo something").wait_for_line("hello", PATIENCE);
    }
}
