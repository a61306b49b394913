//! What a process holds in memory has a bound, whatever it is sent and for however long: the real binary, looked at from outside.
//!
//! `WARIFU_SOAK=1000000` asks so many requests of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use warifu::base::limits;

use crate::http::Http;
use crate::process::{Place, Process};
use crate::server::at_once;

/// A field of the process's status, in MiB.
fn mib(process: &Process, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() >> 10
}

async fn ready() -> (Place, Process) {
    let place = Place::new();
    let mut process = place.start().await;
    process.init().await;
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    (place, process)
}

/// CVE-2025-6203, CVE-2025-12044: by strangers, and by whoever has a token; as wide as may be, as deep, as large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_hostile_bodies_at_once_cost_a_bounded_amount_of_memory() {
    let (_place, process) = ready().await;
    let before = mib(&process, "VmRSS:");
    // As many values as are taken, so that they are parsed and live until they are answered; and more than are taken.
    let wide = |values: usize| format!("{{\"k\":[{}1]}}", "1,".repeat(values)).into_bytes();
    let deep = format!("{{\"k\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    let bodies = Arc::new([wide(limits::JSON_VALUES - 10), wide(limits::JSON_VALUES), deep]);
    let mut calls = Vec::new();
    for n in 0..200 {
        let http = if n % 2 == 0 { process.http.anonymous() } else { process.http.clone() };
        let bodies = bodies.clone();
        let taken = n % 3 == 0;
        calls.push(async move {
            let status = http.call("PUT", &format!("kv/{n}")).bytes(bodies[n % 3].clone()).await.status;
            let wanted = if !taken {
                400
            } else if n % 2 == 0 {
                403
            } else {
                204
            };
            assert_eq!(status, wanted, "{n}");
        });
    }
    at_once(calls).await;
    let wide = mib(&process, "VmHWM:") - before;
    // Large ones that never end: of most of them not a byte is taken in.
    let mut open = Vec::new();
    for _ in 0..40 {
        let address = process.http.address();
        open.push(tokio::spawn(async move {
            let head = format!("PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", limits::BODY_BYTES);
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let piece = vec![b' '; 1 << 20];
            for _ in 0..limits::BODY_BYTES / piece.len() - 1 {
                if tokio::time::timeout(Duration::from_secs(2), stream.write_all(&piece)).await.is_err() {
                    break;
                }
            }
            stream
        }));
    }
    let mut held = Vec::new();
    for stream in open {
        held.push(stream.await.unwrap());
    }
    // Who sends little is served beside them.
    process.http.put("kv/small", json!({"k": "v"})).await.ok();
    let most = mib(&process, "VmHWM:") - before;
    let bound = limits::BODIES_BYTES as u64 >> 20;
    assert!(wide <= 2 * bound, "two hundred bodies took {wide} MiB");
    assert!(most <= 2 * bound, "bodies that never end took {most} MiB");
    drop(held);
    process.http.get("kv/small").await.ok();
}

/// Everything that strangers and clients do every day, and some of what they should not.
async fn day(http: Http, seed: usize, count: usize) {
    for n in 0..count {
        let name = format!("kv/{}", (seed * 31 + n) % 200);
        let answer = match n % 8 {
            0 => http.put(&name, json!({"k": format!("{n}"), "list": [[n], {"deep": "x".repeat(200)}]})).await,
            1 | 2 => http.get(&name).await,
            3 => http.get(&format!("kv/none-{seed}-{n}")).await,
            4 => http.get("kv/a").by(&format!("hvs.{seed}x{n}")).await,
            5 => http.call("PUT", &name).bytes("{\"k\": [[[").await,
            6 => http.put("sys/capabilities-self", json!({"paths": [name]})).await,
            _ => {
                let made = http.put("auth/token/create", json!({"ttl": "1h", "policies": ["default"]})).await.ok();
                http.put("auth/token/revoke", json!({"token": made.auth()["client_token"]})).await
            }
        };
        assert!(answer.status > 0 && answer.status < 500, "{answer:?}");
    }
}

/// CVE-2023-6337, CVE-2023-5954.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_after_many_requests_is_what_was_held_after_fewer() {
    let (_place, process) = ready().await;
    let count = std::env::var("WARIFU_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(24_000);
    let mut held = Vec::new();
    for round in 0..3 {
        at_once((0..8).map(|lane| day(process.http.clone(), round * 8 + lane, count / 24))).await;
        held.push(mib(&process, "RssAnon:"));
    }
    // The first round fills what has a bound.
    assert!(held[2] <= held[1] + 8, "{held:?} MiB after each third of {count} requests");
}
