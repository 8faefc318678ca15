//! How `cairn serve` ends, whatever its clients do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::cairn::Cairn;
use crate::crash::{LABELS, profile, stored};
use crate::http::connect;

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");
/// Much less than the deadline of 25 seconds.
const SOON: Duration = Duration::from_secs(10);

/// Got an answer over HTTP/1.1 and keeps the connection for the next request.
fn idle(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    write!(stream, "GET /nothing HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
    stream
}

/// Opened an HTTP/2 connection and answers nothing, not even a ping.
fn deaf(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&settings).unwrap();
    // What the server says first: it has taken the connection.
    stream.read_exact(&mut [0; 9]).unwrap();
    stream
}

/// Began a request and never sends the rest.
fn stuck(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let head = "content-type: application/proto\r\nexpect: 100-continue\r\ncontent-length: 100";
    let path = "/push.v1.PusherService/Push";
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\n{head}\r\n\r\n"
    )
    .unwrap();
    // Sent when the handler begins to read: the request is in flight.
    let mut go_on = [0; 12];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    stream
}

#[test]
fn clients_that_only_keep_their_connection_delay_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut cairn = Cairn::start(data.path(), &[QUIET]);
    let address = cairn.address;
    let _connections = [connect(address), idle(address), deaf(address)];
    let asked = Instant::now();
    cairn.signal("TERM");
    assert!(cairn.end().success(), "{}", cairn.output());
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_is_left_behind_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let deadline = ("CAIRN__SERVER__SHUTDOWN_DEADLINE", "2s");
    let mut cairn = Cairn::start(data.path(), &[QUIET, deadline]);
    let client = cairn.connect().await;
    client.push(profile(7), &LABELS).await.unwrap();
    let _stuck = stuck(cairn.address);
    cairn.signal("TERM");
    let status = cairn.end();
    let output = cairn.output();
    assert!(status.success(), "{status}\n{output}");
    assert!(output.contains("leaving clients behind"), "{output}");

    let cairn = Cairn::start(data.path(), &[QUIET]);
    assert_eq!(
        stored(&cairn).await.into_iter().collect::<Vec<_>>(),
        [(7, 8)]
    );
    cairn.stop();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for name in ["TERM", "INT"] {
        let data = tempfile::tempdir().unwrap();
        let mut cairn = Cairn::start(data.path(), &[QUIET]);
        let _stuck = stuck(cairn.address);
        cairn.signal(name);
        cairn.wait_for_line("stopping");
        let asked = Instant::now();
        cairn.signal(name);
        assert_eq!(cairn.end().code(), Some(130), "{}", cairn.output());
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
}
