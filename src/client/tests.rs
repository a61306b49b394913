//! The client against a small server that keeps the API's contract on a free port.

use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::header::HeaderName;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
};

use super::{
    fake::{Fake, answer},
    *,
};

fn settings(address: &str) -> Settings {
    Settings {
        address: address.to_owned(),
        token: Some(Secret::new("hvs.test".to_owned())),
        retry_wait: Duration::from_millis(1),
        timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

fn client(settings: &Settings) -> Client {
    Client::new(settings, Arc::new(|| 0.5)).unwrap()
}

#[tokio::test]
async fn a_refusal_keeps_its_status_texts_method_and_path() {
    let fake = Fake::new(|_, _| answer(403, json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]})));
    let client = client(&settings(&fake.listen().await));
    let err = client.write("secret/a b", &json!({"password": "swordfish"})).await.unwrap_err();
    let Error::Api { status, errors, method, path, raw } = &err else { panic!("{err}") };
    assert_eq!((*status, *method, path.as_str(), *raw), (403, Method::Put, "/v1/secret/a%20b", false));
    assert_eq!(errors, &["1 error occurred:\n\t* permission denied\n\n"]);
    assert!(!format!("{err:?}").contains("swordfish"));
    assert_eq!(fake.count(), 1, "a refusal is not asked again");
}

#[tokio::test]
async fn failures_that_may_pass_are_tried_again_and_others_are_not() {
    for (status, attempts) in [(500, 3), (502, 3), (503, 3), (412, 3), (501, 1), (429, 1), (400, 1), (472, 1)] {
        let fake = Fake::new(move |_, _| answer(status, json!({"errors": ["no"]})));
        let err = client(&settings(&fake.listen().await)).read("a").await.unwrap_err();
        assert_eq!(err.status(), Some(status));
        assert_eq!(fake.count(), attempts, "status {status}");
    }
    let fake = Fake::new(|n, _| answer(if n == 0 { 503 } else { 200 }, json!({"data": {"n": n}})));
    let reply = client(&settings(&fake.listen().await)).write("a", &json!({"k": "v"})).await.unwrap();
    assert_eq!(reply.data, json!({"n": 1}));
    assert_eq!(fake.seen.lock().unwrap()[1].body, br#"{"k":"v"}"#, "the body goes again");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_transport_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let err = client(&settings(&address)).read("a").await.unwrap_err();
    let Error::Transport(text) = &err else { panic!("{err:?}") };
    assert!(text.contains(&address), "{text}");
    assert!(err.is_transient());
}

#[tokio::test]
async fn a_silent_server_is_given_up_within_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { timeout: Duration::from_millis(50), ..settings(&address) };
    let err = client(&settings).read("a").await.unwrap_err();
    assert!(matches!(err, Error::Transport(_)), "{err:?}");
}

#[tokio::test]
async fn a_broken_exchange_is_repeated_for_reads_only() {
    for (write, attempts) in [(false, 3), (true, 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{").await;
                let _ = tokio::io::AsyncReadExt::read(&mut tcp, &mut [0; 4096]).await;
            }
        });
        let client = client(&settings(&address));
        let err =
            if write { client.write("a", &json!({})).await.unwrap_err() } else { client.read("a").await.unwrap_err() };
        assert!(matches!(err, Error::Transport(_)), "{err:?}");
        assert_eq!(count.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test]
async fn a_reply_beyond_the_bound_is_refused() {
    let fake = Fake::new(|n, _| (200, Vec::new(), vec![b' '; REPLY_BYTES_MAX + 1 - n]));
    let client = client(&settings(&fake.listen().await));
    assert!(matches!(client.read("a").await, Err(Error::TooLarge)));
    assert!(client.read("a").await.is_ok(), "the bound itself is allowed");
}

#[tokio::test]
async fn replies_that_are_not_the_api_are_told_apart() {
    let fake = Fake::new(|n, _| match n {
        0 => (200, Vec::new(), b"<html>".to_vec()),
        _ => (404, Vec::new(), b"<html>".to_vec()),
    });
    let client = client(&settings(&fake.listen().await));
    assert!(matches!(client.read("a").await, Err(Error::Decode(_))));
    let err = client.send(Request::read("a")).await.unwrap_err();
    assert!(matches!(err, Error::Api { status: 404, raw: true, .. }));
}

#[tokio::test]
async fn a_404_is_absence_unless_it_has_substance() {
    let fake = Fake::new(|n, _| match n {
        0 => answer(404, json!({"errors": []})),
        1 => answer(404, json!({"data": {"data": null, "metadata": {"version": 1}}})),
        2 => answer(404, json!({"data": null, "warnings": ["look"]})),
        _ => answer(404, Value::Null),
    });
    let client = client(&settings(&fake.listen().await));
    assert!(client.read("a").await.unwrap().is_none());
    let reply = client.read("a").await.unwrap().unwrap();
    assert_eq!((reply.status, &reply.data["metadata"]["version"]), (404, &json!(1)));
    assert_eq!(client.read("a").await.unwrap().unwrap().warnings, ["look"]);
    assert!(client.list("a").await.unwrap().is_none());
}

#[tokio::test]
async fn requests_are_as_the_contract_says() {
    let fake = Fake::new(|_, _| answer(204, Value::Null));
    let settings =
        Settings { namespace: Some("team".into()), wrap_ttl: Some("5m".into()), ..settings(&fake.listen().await) };
    let client = client(&settings);
    assert!(client.read_with("a", &[("version", "3")]).await.unwrap().is_some_and(|reply| reply.status == 204));
    client.list("a/").await.unwrap();
    client.write("a", &json!({"k": 1})).await.unwrap();
    client.patch("a", &json!({"k": null})).await.unwrap();
    client.delete("a").await.unwrap();
    let bare = Request::read("b").without_token().unwrapped();
    client.with_namespace(None).send(bare).await.unwrap();
    let header = HeaderName::from_static("x-vault-mfa");
    client.raw(Request::verbatim(Method::List, "/v1/a%2Fb?x=1").header(header, "m".parse().unwrap())).await.unwrap();

    let seen = fake.seen.lock().unwrap();
    let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/a?version=3",
            "GET /v1/a/?list=true",
            "PUT /v1/a",
            "PATCH /v1/a",
            "DELETE /v1/a",
            "GET /v1/b",
            "LIST /v1/a%2Fb?x=1",
        ]
    );
    for seen in &seen[..5] {
        for (name, value) in [
            ("x-vault-token", "hvs.test"),
            ("x-vault-request", "true"),
            ("x-vault-namespace", "team"),
            ("x-vault-wrap-ttl", "5m"),
        ] {
            assert_eq!(seen.headers[name], value);
        }
    }
    assert_eq!(seen[2].headers["content-type"], "application/json");
    assert_eq!(seen[3].headers["content-type"], "application/merge-patch+json");
    assert_eq!(seen[6].headers["x-vault-mfa"], "m");
    for name in ["x-vault-token", "x-vault-namespace", "x-vault-wrap-ttl"] {
        assert!(!seen[5].headers.contains_key(name), "{name}");
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1, "the connection is kept");
}

#[tokio::test]
async fn one_redirect_to_the_same_host_is_followed_and_no_other() {
    let target = Fake::new(|_, _| answer(200, json!({"data": {"here": true}})));
    let to = target.listen().await;
    let location = to.clone();
    let fake = Fake::new(move |_, seen| (307, vec![("location", format!("{location}{}", seen.path))], Vec::new()));
    let reply = client(&settings(&fake.listen().await)).write("a", &json!({"k": "v"})).await.unwrap();
    assert_eq!(reply.data["here"], true);
    assert_eq!(target.seen.lock().unwrap()[0].method, "PUT");
    assert_eq!(target.seen.lock().unwrap()[0].body, br#"{"k":"v"}"#);

    for elsewhere in ["http://localhost:1/v1/a", "https://127.0.0.1:1/v1/a", "http://u@127.0.0.1:1/", "::", ""] {
        let fake = Fake::new(move |_, _| (307, vec![("location", elsewhere.to_owned())], Vec::new()));
        let err = client(&settings(&fake.listen().await)).read("a").await.unwrap_err();
        assert!(matches!(err, Error::Transport(_)), "{elsewhere}: {err:?}");
    }

    let fake = Fake::new(|_, _| (308, vec![("location", "/v1/again".to_owned())], Vec::new()));
    let reply = client(&settings(&fake.listen().await)).raw(Request::read("a")).await.unwrap();
    assert_eq!((reply.status, fake.count()), (308, 2), "the second is handed back");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let fake = Fake::new(|_, _| answer(200, json!({"data": {"k": "v"}})));
    let served = fake.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(served.clone().serve(stream));
        }
    });
    let client = client(&settings(&format!("unix://{}", path.display())));
    assert_eq!(client.read("a").await.unwrap().unwrap().data, json!({"k": "v"}));
    assert_eq!(fake.seen.lock().unwrap()[0].headers["host"], "localhost");
}

#[tokio::test]
async fn tls_trusts_what_the_settings_name_and_nothing_else() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let fake = Fake::new(|_, _| answer(200, json!({"data": {"k": "v"}})));
    let served = fake.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, fake) = (acceptor.clone(), served.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    fake.serve(tls).await;
                }
            });
        }
    });
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let bytes = |pem: String| Some(pem.into_bytes());
    let base = settings(&format!("https://127.0.0.1:{port}"));

    let stranger =
        Settings { ca_cert_bytes: bytes(other.cert.pem()), tls_server_name: Some("localhost".into()), ..base.clone() };
    let err = client(&stranger).read("a").await.unwrap_err();
    assert!(matches!(err, Error::Tls(_)), "{err:?}");
    let misnamed = Settings { ca_cert_bytes: bytes(made.cert.pem()), ..base.clone() };
    let err = client(&misnamed).read("a").await.unwrap_err();
    assert!(matches!(err, Error::Tls(_)), "{err:?}");
    assert_eq!(fake.count(), 0, "nothing was sent to a stranger");

    let trusted = Settings { tls_server_name: Some("localhost".into()), ..misnamed };
    assert!(client(&trusted).read("a").await.unwrap().is_some());
    let careless = Settings { tls_skip_verify: true, ..base };
    assert!(client(&careless).read("a").await.unwrap().is_some());
}

#[test]
fn waits_grow_within_their_bound_and_by_the_jitter() {
    let patient = Settings { retry_wait: Duration::from_secs(1), ..settings("http://127.0.0.1:1") };
    let of = |jitter: f64| Client::new(&patient, Arc::new(move || jitter)).unwrap();
    assert_eq!(of(0.0).wait_before(0), Duration::from_secs(1));
    assert_eq!(of(1.0).wait_before(0), Duration::from_millis(1500));
    assert_eq!(of(0.5).wait_before(1), Duration::from_millis(2500));
    assert_eq!(of(0.0).wait_before(50), RETRY_WAIT_MAX);
    assert_eq!(of(f64::NAN).wait_before(0).as_secs(), 1, "a broken source of chance does no harm");
}

#[test]
fn debug_shows_no_token() {
    let client = client(&settings("http://127.0.0.1:1"));
    assert!(!format!("{client:?}").contains("hvs.test"));
}
