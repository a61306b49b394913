//! Clients that are slow, silent, greedy or no clients at all cost the others nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warifu::api::listener::Limits;

use crate::http::raw;
use crate::server::{Plan, Server};

async fn small() -> Server {
    let mut plan = Plan::memory();
    plan.rules.header_timeout = Duration::from_millis(250);
    plan.rules.read_timeout = Duration::from_millis(250);
    plan.rules.idle_timeout = Duration::from_millis(250);
    plan.bounds = Limits { connections: 64, connections_per_address: 48, ..Limits::default() };
    plan.ready().await
}

#[tokio::test]
async fn floods_of_headers_are_cut_off() {
    let server = small().await;
    let many: String = (0..5000).map(|n| format!("x-flood-{n}: {}\r\n", "y".repeat(40))).collect();
    let long = format!("x-flood: {}\r\n", "y".repeat(200_000));
    let line = format!("/v1/sys/health?{}", "a".repeat(200_000));
    for request in [
        format!("GET /v1/sys/health HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET /v1/sys/health HTTP/1.1\r\nhost: x\r\n{long}\r\n"),
        format!("GET {line} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ] {
        let text = raw(server.address(), request.as_bytes()).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{}", &text[..text.len().min(200)]);
    }
    server.get("sys/health").await.is(200);
}

#[tokio::test]
async fn who_sends_nothing_or_half_is_let_go() {
    let server = small().await;
    let mut silent = Vec::new();
    for n in 0..40 {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let part: &[u8] = match n % 4 {
            0 => b"",
            1 => b"G",
            2 => b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nx-a: ",
            _ => b"PUT /v1/sys/unseal HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        };
        stream.write_all(part).await.unwrap();
        silent.push(stream);
    }
    // The others are served meanwhile.
    server.get("sys/health").await.is(200);
    for mut stream in silent {
        let mut text = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
        assert!(ended.is_ok(), "a silent connection was kept");
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    server.get("sys/health").await.is(200);
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let server = small().await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(server.address()).await.unwrap());
    }
    drop(held);
    let mut served = false;
    for _ in 0..50 {
        served = server.get("sys/health").await.status == 200;
        if served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(served);
}

#[tokio::test]
async fn what_is_no_http_ends_its_own_connection_only() {
    let server = small().await;
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for bytes in [
        &noise[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/sys/health HTTP/9.9\r\n\r\n",
        b"GET /v1/sys/health\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GET http://169.254.169.254/v1/x HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        b"GET /v1/sys/mounts HTTP/1.1\r\nhost: x\r\nx-vault-token: \x01\r\nconnection: close\r\n\r\n",
        b"GET /v1/sys/mounts HTTP/1.1\r\nhost: x\r\nx-vault-token : a\r\nconnection: close\r\n\r\n",
        b"GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        let text = raw(server.address(), bytes).await;
        let status: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(400);
        assert!((400..500).contains(&status) || !text.starts_with("HTTP/1"), "{text:?}");
        server.get("sys/health").await.is(200);
    }
}

#[tokio::test]
async fn requests_one_behind_the_other_are_answered_in_order() {
    let server = small().await;
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let text = [
        get("/v1/sys/seal-status", ""),
        get("/v1/sys/mounts", ""),
        get("/nowhere", ""),
        get("/v1/sys/leader", "connection: close\r\n"),
    ]
    .concat();
    let text = raw(server.address(), text.as_bytes()).await;
    let codes: Vec<&str> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(codes, ["200", "403", "404", "200"], "{text}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_write_whole_or_undone() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for n in 0..50 {
        let body = "{\"k\":\"v\"}";
        let request = format!(
            "PUT /v1/kv/{n} HTTP/1.1\r\nhost: x\r\nx-vault-token: {}\r\ncontent-length: {}\r\n\r\n{body}",
            server.token(),
            body.len()
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
    }
    for n in 0..50 {
        let answer = server.get(&format!("kv/{n}")).await;
        assert!(answer.status == 404 || answer.data()["k"] == "v", "{answer:?}");
    }
}
