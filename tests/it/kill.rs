//! The server is killed in the middle of its work: what it acknowledged is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::http::Http;
use crate::process::Place;

const KILLS: u64 = 50;
const WRITERS: u64 = 8;

/// Writes until the server is gone: what was acknowledged.
async fn write(http: Http, round: u64, writer: u64, stop: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (path, value) = (format!("kv/{round}/{writer}-{n}"), format!("{round}.{writer}.{n}"));
        let answer = http.put(&path, json!({"k": value})).await;
        match answer.status {
            204 => kept.push((path, value)),
            // Gone, or about to go.
            0 | 503 => break,
            _ => panic!("{answer:?}"),
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_no_write_that_was_acknowledged() {
    let place = Place::new();
    let mut process = place.start().await;
    let share = process.init().await;
    let root = process.http.token().to_owned();
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    process.http.put("sys/mounts/versions", json!({"type": "kv", "options": {"version": "2"}})).await.ok();
    let mut acknowledged = 0;
    let mut counted = 0;
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> =
            (0..WRITERS).map(|n| tokio::spawn(write(process.http.clone(), round, n, stop.clone()))).collect();
        let counter = tokio::spawn({
            let http = process.http.clone();
            async move {
                let mut last = 0;
                loop {
                    let answer = http.put("versions/data/count", json!({"data": {"k": "v"}})).await;
                    match answer.status {
                        200 => last = answer.data()["version"].as_u64().unwrap(),
                        0 => return last,
                        _ => panic!("{answer:?}"),
                    }
                }
            }
        });
        // A different moment each time, the same in each run.
        tokio::time::sleep(Duration::from_millis(20 + round * 37 % 80)).await;
        process.kill().await;
        stop.store(true, Ordering::SeqCst);
        let mut kept = Vec::new();
        for writer in writers {
            kept.extend(writer.await.unwrap());
        }
        counted = counter.await.unwrap().max(counted);
        process = place.start().await;
        process.http = process.http.with(&root);
        process.open(&share).await;
        acknowledged += kept.len();
        // All of a round in one list; some of them are read.
        let names = process.http.list(&format!("kv/{round}")).await;
        let names: Vec<String> = serde_json::from_value(names.data()["keys"].clone()).unwrap_or_default();
        for (n, (path, value)) in kept.iter().enumerate() {
            let name = path.rsplit('/').next().unwrap();
            assert!(names.iter().any(|known| known == name), "round {round}: {path} was acknowledged and is gone");
            if n % 10 == 0 {
                assert_eq!(process.http.get(path).await.ok().data()["k"], value.as_str());
            }
        }
        if counted > 0 {
            let present =
                process.http.get("versions/data/count").await.ok().data()["metadata"]["version"].as_u64().unwrap();
            // One more may have been written without its answer being heard.
            assert!(
                (counted..=counted + 1).contains(&present),
                "round {round}: {counted} acknowledged, {present} there"
            );
            counted = present;
        }
    }
    assert!(acknowledged > 100, "only {acknowledged} writes were acknowledged: this proves nothing");
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_hangups_is_no_trouble_and_an_orderly_end_loses_nothing() {
    let place = Place::new();
    let mut process = place.start().await;
    let share = process.init().await;
    let root = process.http.token().to_owned();
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS).map(|n| tokio::spawn(write(process.http.clone(), 0, n, stop.clone()))).collect();
    for _ in 0..100 {
        process.signal(rustix::process::Signal::HUP);
        process.http.get("sys/health").await.is(200);
    }
    let ended = process.end().await;
    stop.store(true, Ordering::SeqCst);
    assert_eq!(ended, Some(0));
    let process = place.start().await;
    process.open(&share).await;
    let http = process.http.with(&root);
    for writer in writers {
        for (path, value) in writer.await.unwrap() {
            assert_eq!(http.get(&path).await.ok().data()["k"], value.as_str());
        }
    }
    process.kill().await;
}

#[tokio::test]
async fn killed_while_its_store_is_made_it_is_made_or_not() {
    for round in 0..8 {
        let place = Place::new();
        let process = place.start().await;
        let init = tokio::spawn({
            let http = process.http.clone();
            async move { http.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await }
        });
        tokio::time::sleep(Duration::from_millis(round)).await;
        process.kill().await;
        let made = init.await.unwrap();
        let mut process = place.start().await;
        let initialized = process.http.get("sys/init").await.ok().json["initialized"].as_bool().unwrap();
        if made.status == 200 {
            assert!(initialized, "its shares were given out");
            process.open(made.json["keys_base64"][0].as_str().unwrap()).await;
            process.http.with(made.json["root_token"].as_str().unwrap()).get("sys/mounts").await.ok();
        } else if !initialized {
            process.init().await;
            process.http.get("sys/mounts").await.ok();
        }
        process.kill().await;
    }
}
