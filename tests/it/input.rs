//! Bodies that no honest client sends: broken, too large, too deep, twice the same.

use serde_json::json;
use warifu::base::limits;

use crate::http::raw;
use crate::server::{Plan, Server, at_once};

#[tokio::test]
async fn broken_json_is_refused_without_its_content() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for text in [
        "{",
        "{\"canary-json\"",
        "{\"canary-json\":",
        "{\"canary-json\":\"canary-json",
        "{\"a\":canary-json}",
        "[\"canary-json\"]",
        "\"canary-json\"",
        "null canary-json",
        "5",
        "true",
        "{\"a\":1,\"a\":\"canary-json\"}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":\"\\u00\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":1}canary-json",
        "{\"a\":1,}",
        "{'a':1}",
        "\u{feff}{\"a\":1}",
        "{\"a\":\"\u{1}\"}",
        "<xml>canary-json</xml>",
    ] {
        for path in ["kv/a", "auth/token/create", "sys/mounts/x", "sys/policies/acl/x", "sys/unseal", "sys/init"] {
            let answer = server.call("PUT", path).bytes(text).await.is(400);
            assert!(!answer.text.contains("canary-json"), "{path} {text}: {answer:?}");
        }
    }
    for bytes in [vec![0xff, 0xfe], b"{\"a\":\"\xff\"}".to_vec(), vec![0; 100], b"\x1f\x8b\x08\0\0\0\0\0".to_vec()] {
        server.call("PUT", "kv/a").bytes(bytes).await.is(400);
    }
    server.get("kv/a").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_too_deep_or_too_wide_is_refused_and_the_server_lives() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let deep_objects = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(limits::JSON_VALUES));
    let keys: String = (0..limits::JSON_VALUES).map(|n| format!("\"k{n}\":1,")).collect();
    let hostile = [deep(20_000), deep_objects(20_000), deep(500_000), wide, format!("{{{keys}\"z\":1}}")];
    for text in &hostile {
        server.call("PUT", "kv/a").bytes(text.as_str()).await.refused(400, "complexity");
        server.anonymous().call("PUT", "kv/a").bytes(text.as_str()).await.is(400);
    }
    let calls = (0..10).map(|n| {
        let (http, text) = (server.http.clone(), hostile[n % hostile.len()].clone());
        async move { http.call("PUT", "kv/a").bytes(text).await.status }
    });
    assert!(at_once(calls).await.iter().all(|status| *status == 400));
    // The deepest that is taken comes back.
    server.call("PUT", "kv/a").bytes(deep(limits::JSON_DEPTH - 1)).await.ok();
    server.get("kv/a").await.ok();
    server.call("PUT", "kv/b").bytes(vec![b' '; limits::BODY_BYTES + 1]).await.is(413);
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    const LIMIT: usize = 1 << 20;
    let mut plan = Plan::memory();
    plan.rules.max_request_size = LIMIT;
    let server = plan.ready().await;
    let body = |size: usize| format!("{{\"k\":\"{}\"}}", "x".repeat(size - 8));
    server.call("PUT", "cubbyhole/a").bytes(body(LIMIT + 1)).await.is(413);
    server.get("cubbyhole/a").await.is(404);
    server.call("PUT", "cubbyhole/a").bytes(body(LIMIT)).await.ok();
    assert_eq!(server.get("cubbyhole/a").await.ok().data()["k"].as_str().unwrap().len(), LIMIT - 8);
}

#[tokio::test]
async fn a_body_that_lies_about_its_length_is_bounded() {
    let mut plan = Plan::memory();
    plan.rules.max_request_size = 1000;
    plan.rules.read_timeout = std::time::Duration::from_millis(300);
    let server = plan.ready().await;
    let root = server.token().to_owned();
    let head = |more: &str| format!("PUT /v1/cubbyhole/a HTTP/1.1\r\nhost: x\r\nx-vault-token: {root}\r\n{more}\r\n");
    // It says less than it may, or more than it sends.
    let large = format!("{}{}", head("content-length: 2000\r\nconnection: close\r\n"), " ".repeat(2000));
    let text = raw(server.address(), large.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    let text =
        raw(server.address(), format!("{}{{", head("content-length: 500\r\nconnection: close\r\n")).as_bytes()).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    // Piece by piece beyond the limit.
    let chunks: String = (0..20).map(|_| format!("64\r\n{}\r\n", " ".repeat(100))).collect();
    let text = raw(
        server.address(),
        format!("{}{chunks}0\r\n\r\n", head("transfer-encoding: chunked\r\nconnection: close\r\n")).as_bytes(),
    )
    .await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    // Two lengths, or a length and pieces: nobody shall read the rest as another request.
    for more in [
        "content-length: 2\r\ncontent-length: 40\r\n",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length: -1\r\n",
        "content-length: +2\r\n",
        "content-length: 2 3\r\n",
    ] {
        let smuggled = format!("{}{{}}GET /v1/sys/health HTTP/1.1\r\nhost: x\r\n\r\n", head(more));
        let text = raw(server.address(), smuggled.as_bytes()).await;
        assert!(!text.contains("cluster_id"), "{more}: {text}");
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{more}: {text}");
    }
    server.get("sys/mounts").await.ok();
}

#[tokio::test]
async fn methods_media_types_and_queries_that_are_not_known_are_refused() {
    let server = Server::new().await;
    server.kv("kv", 2).await;
    server.put("kv/data/a", json!({"data": {"k": "v"}})).await.ok();
    for method in ["OPTIONS", "TRACE", "CONNECTX", "get", "HEAD"] {
        let answer = server.call(method, "kv/data/a").await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    let patch = server.call("PATCH", "kv/data/a").json(&json!({"data": {"k": "x"}}));
    patch.header("content-type", "application/json").await.is(415);
    for query in ["a=%", "a=%zz", "list=x", "list=", &"a&".repeat(300), "a=%ff"] {
        server.get(&format!("kv/data/a?{query}")).await.is(400);
    }
    server.get("kv/data/a?version=x").await.is(400);
    server.get("kv/data/a").header("x-vault-namespace", "other").await.is(400);
    assert_eq!(server.get("kv/data/a").await.ok().data()["data"]["k"], "v");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 4, ..Default::default() })]

    /// A handful of servers, each asked a few hundred odd things: no fault, no panic.
    #[test]
    fn odd_requests_are_answered(
        requests in proptest::collection::vec(
            (
                proptest::sample::select(vec!["GET", "PUT", "LIST", "DELETE", "PATCH", "POST"]),
                proptest::sample::select(vec![
                    "kv/", "kv2/data/", "kv2/metadata/", "kv2/", "sys/", "sys/mounts/", "sys/policies/acl/", "sys/leases/lookup/",
                    "auth/token/", "auth/token/roles/", "auth/", "identity/entity/", "cubbyhole/", "sys/wrapping/", "sys/tools/hash/", "sys/internal/ui/mounts/",
                ]),
                "[a-zA-Z0-9_.~:@$+*,;=&?/ %{}\\[\\]\"<>^`|é🙂-]{0,24}",
                proptest::option::of("\\PC{0,40}"),
            ),
            200,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::new().await;
            server.kv("kv", 1).await;
            server.kv("kv2", 2).await;
            for (method, mount, tail, body) in requests {
                // Sealing and giving the token away would end the story.
                if mount == "sys/" && (tail.contains("seal") || tail.contains("step")) || tail.contains("revoke") {
                    continue;
                }
                let tail: String = tail.bytes().map(|b| if b.is_ascii_alphanumeric() || b"/._-".contains(&b) { char::from(b).to_string() } else { format!("%{b:02x}") }).collect();
                let body = body.map(|text| json!({"data": text, "policy": text, "type": text, "path": text, "token": text, "k": text}));
                let call = server.call(method, &format!("{mount}{tail}"));
                let call = if let Some(body) = &body { call.json(body) } else { call };
                let answer = call.header("content-type", "application/merge-patch+json").await;
                assert!(answer.status > 0 && answer.status < 500, "{answer:?}");
            }
            server.get("sys/mounts").await.ok();
        });
    }
}
