//! A debuginfod server that says what a test wants, and notes what it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone)]
pub(crate) enum Answer {
    File(Vec<u8>),
    /// The file, but 400 for any other method than GET, as some debuginfods do.
    GetOnly(Vec<u8>),
    /// Nothing until [`Fake::speak`], and then the file.
    Silence(Vec<u8>),
    /// The file, so many bytes at a time with a pause after each.
    Pieces(Vec<u8>, usize, Duration),
    Status(u16),
    Redirect(String),
}

pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends with the test.
    _tasks: JoinSet<()>,
}

struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    heads: Mutex<Vec<String>>,
    speaks: watch::Sender<bool>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            heads: Mutex::default(),
            speaks: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to say when this is a part of the path; the longest such part counts.
    pub(crate) fn say(&self, part: &str, answer: Answer) {
        self.shared.answers.lock().insert(part.to_owned(), answer);
    }

    pub(crate) fn speak(&self) {
        self.shared.speaks.send_replace(true);
    }

    /// Methods and paths so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let heads = self.heads();
        let first = heads.iter().filter_map(|head| head.lines().next());
        first
            .map(|line| line.trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("heads are text");
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let is_get = head.starts_with("GET ");
    shared.heads.lock().push(head);
    let answer = {
        let answers = shared.answers.lock();
        let parts = answers.iter().filter(|(part, _)| path.contains(*part));
        // A moved file is asked for by its first folder.
        let best =
            parts.max_by_key(|(part, _)| (path.starts_with(&format!("/{part}")), part.len()));
        best.map(|(_, answer)| answer.clone())
    };
    let (mut piece, mut pause) = (usize::MAX, Duration::ZERO);
    let (status, more, body) = match answer {
        None => (404, String::new(), Vec::new()),
        Some(Answer::Status(status)) => (status, String::new(), Vec::new()),
        Some(Answer::Redirect(to)) => (302, format!("location: {to}\r\n"), Vec::new()),
        Some(Answer::GetOnly(_)) if !is_get => (400, String::new(), Vec::new()),
        Some(Answer::File(body) | Answer::GetOnly(body)) => (200, String::new(), body),
        Some(Answer::Pieces(body, bytes, time)) => {
            (piece, pause) = (bytes, time);
            (200, String::new(), body)
        }
        Some(Answer::Silence(body)) => {
            let mut speaks = shared.speaks.subscribe();
            if speaks.wait_for(|speaks| *speaks).await.is_err() {
                return;
            }
            (200, String::new(), body)
        }
    };
    let bytes = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\n{more}content-length: {bytes}\r\nconnection: close\r\n\r\n"
    );
    // Who asked may have gone.
    let _ = stream.write_all(head.as_bytes()).await;
    for piece in body.chunks(piece) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    let _ = stream.shutdown().await;
}
