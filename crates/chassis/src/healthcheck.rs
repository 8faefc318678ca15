//! Asks a running process whether it is ready, for images without a shell. One blocking request,
//! so no runtime.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::say;

const TIMEOUT: Duration = Duration::from_secs(2);
/// The status line and the names of the services.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Exit code 0 if the process with this admin address is ready.
pub fn run(admin: SocketAddr) -> ExitCode {
    match ask(reachable(admin)) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => ExitCode::SUCCESS,
        Ok(answer) => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            say(&format!("not ready: {body}\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("no answer from {admin}: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn ask(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: cairn\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process that listens on all addresses is asked on loopback.
fn reachable(mut admin: SocketAddr) -> SocketAddr {
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => admin.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => admin.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    admin
}
