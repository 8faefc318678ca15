//! A proxy in front of the store that loses answers: the store does as it was told, and whoever
//! told it never learns.
//!
//! Works on bytes: a request begins where a client sends after an answer, and says by its first
//! bytes whether it is a put. That holds for clients that don't pipeline.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;
use cairn_testkit::generator::Rng;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A file that says how many of a hundred puts lose their answers.
#[derive(Clone, Debug)]
pub struct Switch(PathBuf);

impl Switch {
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let switch = Self(folder.join("lost-replies"));
        switch.set(0)?;
        Ok(switch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn set(&self, percent: u8) -> anyhow::Result<()> {
        std::fs::write(&self.0, percent.to_string()).context("set the switch of the proxy")
    }

    fn percent(&self) -> u64 {
        let text = std::fs::read_to_string(&self.0);
        text.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Serves until the process is killed.
pub async fn serve(
    listen: SocketAddr,
    upstream: SocketAddr,
    switch: PathBuf,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.context("listen")?;
    let switch = Switch(switch);
    let rng = Arc::new(Mutex::new(Rng::new(1)));
    let lost = Arc::new(AtomicU64::new(0));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.context("accept")?;
        let connection = Connection {
            switch: switch.clone(),
            rng: Arc::clone(&rng),
            lost: Arc::clone(&lost),
        };
        connections.spawn(async move {
            // Whoever hangs up knows why.
            drop(connection.run(client, upstream).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

struct Connection {
    switch: Switch,
    rng: Arc<Mutex<Rng>>,
    lost: Arc<AtomicU64>,
}

impl Connection {
    async fn run(self, mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
        let mut server = TcpStream::connect(upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        // Between an answer and the next request.
        let is_idle = AtomicBool::new(true);
        let is_put = AtomicBool::new(false);
        let up = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let n = from_client.read(&mut buffer).await?;
                if n == 0 {
                    return to_server.shutdown().await;
                }
                if is_idle.swap(false, Ordering::Relaxed) {
                    is_put.store(buffer[..n].starts_with(b"PUT "), Ordering::Relaxed);
                }
                to_server.write_all(&buffer[..n]).await?;
            }
        };
        let down = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let n = from_server.read(&mut buffer).await?;
                if n == 0 {
                    return to_client.shutdown().await;
                }
                let has_begun = is_idle.swap(true, Ordering::Relaxed);
                if !has_begun && is_put.load(Ordering::Relaxed) && self.loses() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
                to_client.write_all(&buffer[..n]).await?;
            }
        };
        tokio::select! {
            ended = up => ended,
            ended = down => ended,
        }
    }

    fn loses(&self) -> bool {
        let percent = self.switch.percent();
        percent > 0 && self.rng.lock().below(100) < percent
    }
}
