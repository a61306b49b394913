//! Listeners over real sockets: slow, broken and many clients, certificates, the end.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::config::{ClientCerts, TlsVersion};
use crate::crypto::SystemRng;
use crate::crypto::tls::client_that_trusts_anybody;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn rules() -> ListenerConfig {
    let long = ListenerConfig::new("127.0.0.1:0".parse().unwrap());
    ListenerConfig { header_timeout: LONG, idle_timeout: LONG, write_timeout: LONG, ..long }
}

async fn serve(rules: ListenerConfig, certificates: Option<Arc<Certificates>>, limits: Limits) -> Served {
    let listener = Listener::bind_within(&rules, certificates, limits).await.unwrap();
    let address = listener.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(listener.serve(answer, async {
        let _ = stopped.await;
    }));
    Served { address, stop, task }
}

async fn plain(rules: ListenerConfig) -> Served {
    serve(rules, None, Limits::default()).await
}

/// Does what the path says, else tells what it was asked.
async fn answer(request: Request<Incoming>, connection: Arc<Connection>) -> Response<Body> {
    match request.uri().path() {
        "/panic" => panic!("a handler of a test"),
        "/slow" => tokio::time::sleep(SHORT * 4).await,
        "/never" => std::future::pending().await,
        "/large" => return Response::new(Body::whole(vec![b'x'; 64 << 20])),
        "/stream" => {
            let (sender, body) = streaming();
            tokio::spawn(async move {
                for piece in ["one ", "two ", "three"] {
                    sender.send(Bytes::from(piece)).await.unwrap();
                    tokio::time::sleep(SHORT * 3).await;
                }
            });
            return Response::new(body);
        }
        _ => {}
    }
    let certs = connection.client_cert.as_ref().map_or(0, Vec::len);
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let version = request.version();
    let body = request.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
    let loopback = connection.remote.ip().is_loopback();
    Response::new(Body::whole(format!(
        "{method} {path} {version:?} {body} tls={} certs={certs} {loopback}",
        connection.tls
    )))
}

fn streaming() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let next =
        |mut receiver: mpsc::Receiver<Bytes>| async move { receiver.recv().await.map(|piece| (piece, receiver)) };
    (sender, Body::stream(futures_util::stream::unfold(receiver, next)))
}

async fn tcp(served: &Served) -> TcpStream {
    TcpStream::connect(served.address).await.unwrap()
}

/// Sends, and reads one answer with a known length: its status line and its body.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.lines().next().unwrap_or_default().to_owned(), String::from_utf8(body).unwrap())
}

/// Everything until the other side closes, which it must.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}

async fn lives(served: &Served) {
    let mut stream = tcp(served).await;
    let (status, _) = ask(&mut stream, "GET /alive HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status, "http/1.1 200 ok");
}

#[tokio::test]
async fn a_storm_waits_in_the_kernel_and_nobody_is_turned_away() {
    let listener = Listener::bind_within(&rules(), None, Limits::default()).await.unwrap();
    let mut waiting = Vec::new();
    // More than a queue has room for by default; none is accepted, and who finds no room would wait for good.
    for _ in 0..400 {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(listener.local_addr())).await;
        waiting.push(connected.expect("turned away").unwrap());
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_closed() {
    let served = plain(ListenerConfig { header_timeout: SHORT, ..rules() }).await;
    for opening in
        ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost:", "GET / HTTP/1.1\r\nhost: a\r\n"]
    {
        let mut stream = tcp(&served).await;
        stream.write_all(opening.as_bytes()).await.unwrap();
        rest(&mut stream).await;
    }
    // The second request's headers as well.
    let mut stream = tcp(&served).await;
    ask(&mut stream, "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    stream.write_all(b"GET /2 HT").await.unwrap();
    rest(&mut stream).await;
    lives(&served).await;
}

#[tokio::test]
async fn headers_that_trickle_in_do_not_win_time() {
    let served = plain(ListenerConfig { header_timeout: SHORT * 2, ..rules() }).await;
    let (mut read, mut write) = tcp(&served).await.into_split();
    let trickle = tokio::spawn(async move {
        write.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while write.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 3).await;
        }
    });
    rest(&mut read).await;
    tokio::time::timeout(PATIENCE, trickle).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let served = plain(ListenerConfig { idle_timeout: SHORT, header_timeout: SHORT, ..rules() }).await;
    let mut stream = tcp(&served).await;
    let (_, body) = ask(&mut stream, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(body.starts_with("GET /slow"));
    assert_eq!(rest(&mut stream).await, "");
    let mut stream = tcp(&served).await;
    stream.write_all(b"GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    for piece in ["one ", "two ", "three", "0\r\n\r\n"] {
        assert!(answer.contains(piece), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let served = plain(ListenerConfig { write_timeout: SHORT, ..rules() }).await;
    let mut stream = tcp(&served).await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(SHORT * 6).await;
    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn a_flood_of_headers_is_refused_and_the_next_client_served() {
    let served = plain(rules()).await;
    let mut stream = tcp(&served).await;
    let line = format!("x: {}\r\n", "y".repeat(1000));
    let flood = format!("GET / HTTP/1.1\r\n{}", line.repeat(60));
    let _ = stream.write_all(flood.as_bytes()).await;
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
    let mut stream = tcp(&served).await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let _ = stream.write_all(many.as_bytes()).await;
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
    lives(&served).await;
}

#[tokio::test]
async fn nonsense_ends_one_connection_only() {
    let served = plain(rules()).await;
    for nonsense in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n"] {
        let mut stream = tcp(&served).await;
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(&mut stream).await;
    }
    drop(tcp(&served).await);
    lives(&served).await;
}

#[tokio::test]
async fn a_handler_that_panics_answers_500_and_the_connection_goes_on() {
    let served = plain(rules()).await;
    let mut stream = tcp(&served).await;
    let (status, body) = ask(&mut stream, "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("http/1.1 500 internal server error", "{\"errors\":[\"internal error\"]}\n")
    );
    let (status, _) = ask(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status, "http/1.1 200 ok");
}

#[tokio::test]
async fn one_address_has_its_share_and_the_rest_wait_for_a_place() {
    let served = serve(rules(), None, Limits { connections_per_address: 1, ..Limits::default() }).await;
    let mut first = tcp(&served).await;
    ask(&mut first, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(rest(&mut tcp(&served).await).await, "");

    let served = serve(rules(), None, Limits { connections: 1, ..Limits::default() }).await;
    let mut first = tcp(&served).await;
    ask(&mut first, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut second = tcp(&served).await;
    second.write_all(b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(tokio::time::timeout(SHORT, second.read_u8()).await.is_err());
    drop(first);
    assert!(rest(&mut second).await.contains("GET /2"));
}

#[tokio::test]
async fn one_connection_carries_many_requests_of_any_method() {
    let served = plain(rules()).await;
    let mut stream = tcp(&served).await;
    for (request, told) in [
        ("GET /v1/a%2Fb//c HTTP/1.1\r\nhost: a\r\n\r\n", "GET /v1/a%2Fb//c HTTP/1.1 0 tls=false certs=0 true"),
        ("LIST /v1/a HTTP/1.1\r\nhost: a\r\n\r\n", "LIST /v1/a HTTP/1.1 0 tls=false certs=0 true"),
        (
            "PUT /v1/a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
            "PUT /v1/a HTTP/1.1 5 tls=false certs=0 true",
        ),
        (
            "POST /v1/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST /v1/a HTTP/1.1 3 tls=false certs=0 true",
        ),
    ] {
        assert_eq!(ask(&mut stream, request).await, ("http/1.1 200 ok".into(), told.into()));
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_to_whoever_begins_with_it() {
    let served = plain(rules()).await;
    assert_eq!(over_http2(tcp(&served).await).await, "LIST http://a/v1/x HTTP/2.0 0 tls=false certs=0 true");
}

async fn over_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> String {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::builder().uri("http://a/panic").body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let list = Method::from_bytes(b"LIST").unwrap();
    let request = Request::builder().method(list).uri("http://a/v1/x").body(Empty::<Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn at_the_end_what_is_in_flight_ends_and_what_hangs_is_cut() {
    let served = serve(rules(), None, Limits { drain: SHORT * 10, ..Limits::default() }).await;
    let (mut idle, mut fresh, mut slow, mut stuck) =
        (tcp(&served).await, tcp(&served).await, tcp(&served).await, tcp(&served).await);
    ask(&mut idle, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stuck.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(SHORT).await;
    served.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(rest(&mut slow).await.contains("GET /slow"));
    assert_eq!(rest(&mut stuck).await, "");
    tokio::time::timeout(PATIENCE, served.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let served = plain(rules()).await;
    let taken = ListenerConfig { address: served.address.into(), ..rules() };
    let error = Listener::bind(&taken, None).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen at {}: ", served.address)), "{error}");
}

#[tokio::test]
async fn who_goes_away_is_noticed_by_who_streams() {
    let (sender, body) = streaming();
    drop(body);
    sender.closed().await;
}

struct Pair {
    folder: tempfile::TempDir,
    made: SelfSigned,
}

fn pair() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let made = ensure_self_signed(folder.path(), &[], now, &SystemRng::new()).unwrap();
    Pair { folder, made }
}

impl Pair {
    fn load(&self, rules: &ListenerConfig) -> Arc<Certificates> {
        Arc::new(Certificates::load(rules, &self.made.cert, &self.made.key).unwrap())
    }

    fn der(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        use rustls_pki_types::pem::PemObject;
        let cert = CertificateDer::from_pem_file(&self.made.cert).unwrap();
        (cert, PrivateKeyDer::from_pem_file(&self.made.key).unwrap())
    }
}

async fn secure(rules: ListenerConfig, pair: &Pair) -> (Served, Arc<Certificates>) {
    let certificates = pair.load(&rules);
    (serve(rules, Some(certificates.clone()), Limits { handshake: SHORT * 4, ..Limits::default() }).await, certificates)
}

async fn tls(served: &Served, client: rustls::ClientConfig) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, tcp(served).await).await
}

fn anonymous() -> rustls::ClientConfig {
    client_that_trusts_anybody().unwrap().with_no_client_auth()
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let (served, _) = secure(rules(), &pair()).await;
    let mut stream = tcp(&served).await;
    rest(&mut stream).await;
    let mut stream = tcp(&served).await;
    stream.write_all(&[22, 3, 1]).await.unwrap();
    rest(&mut stream).await;
    tls(&served, anonymous()).await.unwrap();
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    let (served, _) = secure(rules(), &pair()).await;
    let mut stream = tcp(&served).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let told = rest(&mut stream).await;
    assert!(told.starts_with("HTTP/1.0 400 Bad Request\r\n") && told.contains("HTTPS server"), "{told}");
}

#[tokio::test]
async fn tls_1_2_is_refused_where_1_3_is_the_least() {
    let only12 = || {
        let client = rustls::ClientConfig::builder_with_provider(crate::crypto::tls::provider());
        let client = client.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        client.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    let (served, _) = secure(ListenerConfig { tls_min: TlsVersion::Tls13, ..rules() }, &pair()).await;
    let error = tls(&served, only12()).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    // Where 1.2 is spoken, it is only the certificate that this client dislikes.
    let (served, _) = secure(rules(), &pair()).await;
    let error = tls(&served, only12()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let (old, new) = (pair(), pair());
    let (served, certificates) = secure(rules(), &old).await;
    let shown = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let mut before = tls(&served, anonymous()).await.unwrap();
    assert_eq!(shown(&before), old.der().0);
    ask(&mut before, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    std::fs::copy(&new.made.cert, &old.made.cert).unwrap();
    std::fs::copy(&new.made.key, &old.made.key).unwrap();
    certificates.reload().unwrap();
    assert_eq!(shown(&tls(&served, anonymous()).await.unwrap()), new.der().0);
    let (status, body) = ask(&mut before, "GET /again HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((status.as_str(), body.as_str()), ("http/1.1 200 ok", "GET /again HTTP/1.1 0 tls=true certs=0 true"));
    assert!(old.folder.path().exists());
}

#[tokio::test]
async fn a_client_certificate_of_an_unknown_authority_is_passed_on() {
    let (server, client) = (pair(), pair());
    let with_cert = || {
        let (cert, key) = client.der();
        client_that_trusts_anybody().unwrap().with_client_auth_cert(vec![cert], key).unwrap()
    };
    let told = |certs: u8| format!("GET / HTTP/1.1 0 tls=true certs={certs} true");
    let (served, _) = secure(rules(), &server).await;
    let mut stream = tls(&served, with_cert()).await.unwrap();
    assert_eq!(ask(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.1, told(1));

    let (served, _) = secure(ListenerConfig { client_certs: ClientCerts::NotAsked, ..rules() }, &server).await;
    let mut stream = tls(&served, with_cert()).await.unwrap();
    assert_eq!(ask(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.1, told(0));

    let required = ClientCerts::Required { ca: server.made.cert.clone() };
    let (served, _) = secure(ListenerConfig { client_certs: required, ..rules() }, &server).await;
    // In TLS 1.3 the client learns only when it reads.
    for config in [with_cert(), anonymous()] {
        let mut stream = tls(&served, config).await.unwrap();
        assert!(stream.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_both_offer_it_within_tls() {
    let (served, _) = secure(rules(), &pair()).await;
    let mut client = anonymous();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tls(&served, client).await.unwrap();
    assert_eq!(over_http2(stream).await, "LIST http://a/v1/x HTTP/2.0 0 tls=true certs=0 true");
}

const CHILD: &str = "WARIFU_TEST_WITHOUT_DESCRIPTORS";

/// In a process of its own, for the limit holds for all of it.
#[test]
fn a_process_without_file_descriptors_waits_and_goes_on() {
    let name = "api::listener::tests::a_process_without_file_descriptors_waits_and_goes_on";
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let served = plain(rules()).await;
        let waiting = tcp(&served).await;
        let mut held = Vec::new();
        let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            held.push(file);
        }
        // One is free for the client's end, none for the server's.
        held.pop();
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        tokio::time::sleep(SHORT).await;
        drop(waiting);
        held.clear();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    });
}
