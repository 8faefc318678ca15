//! Plain requests, one a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a body of this type to `http://host/path` by this method.
pub(crate) fn send(method: &str, url: &str, content_type: &str, body: &[u8]) -> Reply {
    send_part(method, url, (content_type, body.len()), body)
}

/// The same, of a body that is said to be longer than it is.
pub(crate) fn send_part(
    method: &str,
    url: &str,
    (content_type, length): (&str, usize),
    body: &[u8],
) -> Reply {
    let rest = url.strip_prefix("http://").expect("an address");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
    let end = end.expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).expect("a status");
    Reply {
        status: status.parse().expect("a number"),
        body: answer[end + 4..].to_vec(),
    }
}
