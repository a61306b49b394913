//! Where a validation may connect. A name in an order is somebody else's, and what it leads to is whatever they say:
//! without limits, the server would be their way into its own network.
//!
//! An address is looked at after the name was resolved, and the connection is made to that very address, for the first
//! request and for each that a redirect leads to. Private networks are reached where the settings name them; what hands
//! out a machine's own credentials, never.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::config::Config;
use super::dns::{Failure, Resolver};
use super::problem::{Kind, Problem};
use crate::base::Rng;
use crate::crypto::tls;
use crate::outbound::{Outbound, Stream};
use crate::secrets::pki::names;

/// How long one connection may take to stand.
const CONNECT: Duration = Duration::from_secs(3);
/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;
/// The longest answer that is read, in bytes: a key authorization has about 80.
const ANSWER_MAX: usize = 4096;

/// What is reached, and how.
pub struct Reach<'a> {
    config: &'a Config,
    outbound: &'a dyn Outbound,
    rng: &'a dyn Rng,
}

impl<'a> Reach<'a> {
    /// As the settings say.
    pub const fn new(config: &'a Config, outbound: &'a dyn Outbound, rng: &'a dyn Rng) -> Self {
        Self { config, outbound, rng }
    }

    /// The texts of a name.
    ///
    /// # Errors
    /// The problem `dns`.
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, Problem> {
        let resolver = Resolver::new(&self.config.dns_resolver, self.outbound, self.rng).await;
        resolver.texts(name).await.map_err(unresolved)
    }

    /// The addresses of a host that may be reached.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Problem> {
        let found: Vec<IpAddr> = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if !names::is_dns(host) => return Err(Problem::new(Kind::Malformed, "the host is no name")),
            Err(_) if self.config.dns_resolver.is_empty() => {
                let found = self.outbound.addresses(host.to_owned(), 0).await;
                found.map_err(|_| unresolved(Failure::Unreachable))?.iter().map(SocketAddr::ip).collect()
            }
            Err(_) => {
                let resolver = Resolver::new(&self.config.dns_resolver, self.outbound, self.rng).await;
                resolver.addresses(host).await.map_err(unresolved)?
            }
        };
        if found.is_empty() {
            return Err(Problem::new(Kind::Dns, "the name has no address"));
        }
        let mut allowed: Vec<IpAddr> = found
            .into_iter()
            .map(|one| one.to_canonical())
            .filter(|one| permits(&self.config.allowed_networks, *one))
            .collect();
        allowed.truncate(ADDRESSES_MAX);
        match allowed.is_empty() {
            // Which address it was is not said: it would be an answer about a network that is none of theirs.
            true => Err(Problem::new(Kind::RejectedIdentifier, "the name leads to an address that is not reached")),
            false => Ok(allowed),
        }
    }

    /// A connection to a host.
    ///
    /// # Errors
    /// The problems `dns`, `rejectedIdentifier` and `connection`.
    pub async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, Problem> {
        for address in self.addresses(host).await? {
            if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, self.outbound.dial((address, port).into())).await {
                return Ok(stream);
            }
        }
        Err(Problem::new(Kind::Connection, "the host cannot be connected to"))
    }

    /// What a host has at this path, by HTTP.
    ///
    /// # Errors
    /// The problems of the connection, and for an answer that is none.
    pub async fn get(&self, host: &str, path: &str) -> Result<Vec<u8>, Problem> {
        let mut at =
            Target { tls: false, host: host.to_owned(), port: self.config.http_01_port, path: path.to_owned() };
        for _ in 0..=REDIRECTS_MAX {
            match self.get_once(&at).await? {
                Got::Body(bytes) => return Ok(bytes),
                Got::Elsewhere(location) => at = self.redirected(&at, &location)?,
            }
        }
        Err(Problem::new(Kind::Connection, "too many redirects"))
    }

    async fn get_once(&self, at: &Target) -> Result<Got, Problem> {
        let stream = self.connect(&at.host, at.port).await?;
        if !at.tls {
            return exchange(stream, at).await;
        }
        let config = tls::client_that_trusts_anybody().map_err(|_| Problem::new(Kind::Tls, "TLS cannot be set up"))?;
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        let bare = at.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(bare).map_err(|_| Problem::new(Kind::Tls, "the host is no name"))?;
        match connector.connect(name, stream).await {
            Ok(stream) => exchange(stream, at).await,
            Err(_) => Err(Problem::new(Kind::Tls, "the host does not answer in TLS")),
        }
    }

    /// Where a redirect leads: by HTTP or HTTPS, on their own ports, and nowhere else.
    fn redirected(&self, from: &Target, location: &str) -> Result<Target, Problem> {
        let refused = || Problem::new(Kind::Connection, "a redirect to where it may not lead");
        if location.starts_with('/') && !location.starts_with("//") {
            let path = in_request(location).ok_or_else(refused)?;
            return Ok(Target { tls: from.tls, host: from.host.clone(), port: from.port, path });
        }
        let uri: hyper::Uri = location.parse().map_err(|_| refused())?;
        let (tls, usual) = match uri.scheme_str() {
            Some("http") => (false, self.config.http_01_port),
            Some("https") => (true, self.config.tls_alpn_01_port),
            _ => return Err(refused()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
        let with_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let default = if tls { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(if usual == default { default } else { usual });
        if with_user || (port != usual && port != default) {
            return Err(refused());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = in_request(path).ok_or_else(refused)?;
        Ok(Target { tls, host: host.to_ascii_lowercase(), port, path })
    }
}

struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

enum Got {
    Body(Vec<u8>),
    Elsewhere(String),
}

/// A path and query as a request may have it.
fn in_request(path: &str) -> Option<String> {
    let path = path.split('#').next().unwrap_or_default();
    (path.len() <= 1024 && path.parse::<hyper::Uri>().is_ok()).then(|| path.to_owned())
}

fn unresolved(failure: Failure) -> Problem {
    Problem::new(
        Kind::Dns,
        match failure {
            Failure::Unreachable => "the name cannot be looked up",
            Failure::Malformed => "the resolver's answer cannot be read",
            Failure::Refused => "the resolver could not answer",
        },
    )
}

/// Ends the task of a connection with the request that it served.
struct Ended(tokio::task::JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, at: &Target) -> Result<Got, Problem> {
    let broken = || Problem::new(Kind::Connection, "the host's answer cannot be read");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
    let _ended = Ended(tokio::spawn(async move {
        // How it ends is seen at the other end, by who waits for the answer.
        let _ = connection.await;
    }));
    let default = if at.tls { 443 } else { 80 };
    let host = if at.port == default { at.host.clone() } else { format!("{}:{}", at.host, at.port) };
    let request = hyper::Request::get(&at.path)
        .header(HOST, host)
        .header(USER_AGENT, "warifu-acme")
        .body(Empty::<Bytes>::new())
        .map_err(|_| broken())?;
    let response = sender.send_request(request).await.map_err(|_| broken())?;
    if matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        return location.map(|text| Got::Elsewhere(text.to_owned())).ok_or_else(broken);
    }
    if response.status() != 200 {
        return Err(Problem::new(Kind::IncorrectResponse, format!("the host answers {}", response.status().as_u16())));
    }
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    body.map(|body| Got::Body(body.to_bytes().to_vec())).map_err(|_| broken())
}

/// Whether an address may be reached, where these networks may.
pub fn permits(allowed: &[IpNet], address: IpAddr) -> bool {
    let inner = carried(address);
    if never(address) || inner.is_some_and(never) {
        return false;
    }
    let listed = |address: IpAddr| allowed.iter().any(|net| net.contains(&address));
    listed(address) || (is_public(address) && inner.is_none_or(|inner| is_public(inner) || listed(inner)))
}

/// The address of the old form that one of the new form carries: mapped, translated, by 6to4.
fn carried(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(six) = address else { return None };
    let octets = six.octets();
    let at = |from: usize| Ipv4Addr::new(octets[from], octets[from + 1], octets[from + 2], octets[from + 3]);
    match six.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] if (high, low) > (0, 1) => Some(at(12).into()),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(12).into()),
        [0x2002, ..] => Some(at(2).into()),
        _ => None,
    }
}

/// What no setting opens: nobody in particular, everybody, the link itself, and where clouds hand out credentials.
fn never(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_unspecified()
                || four.is_multicast()
                || four.is_broadcast()
                || four.is_link_local()
                || four.octets()[0] == 0
                || matches!(four.octets(), [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16])
        }
        IpAddr::V6(six) => {
            six.is_unspecified()
                || six.is_multicast()
                || six.segments()[0] & 0xffc0 == 0xfe80
                || matches!(six.segments(), [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254])
        }
    }
}

/// Whether an address belongs to the world at large (the registries of RFC 6890, as far as they are not).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            !(four.is_loopback()
                || four.is_private()
                || four.is_documentation()
                || (a == 100 && (b & 0xc0) == 64)
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b & 0xfe) == 18)
                || a >= 240)
        }
        // What is handed out at all is below 2000::/3; some of it is for machines among themselves.
        IpAddr::V6(six) => {
            let segments = six.segments();
            (segments[0] & 0xe000 == 0x2000 || carried(address).is_some())
                && !(segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8))
                && !(segments[0] == 0x3fff && segments[1] < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_not_the_worlds_is_not_reached() {
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ] {
            assert!(!permits(&[], address(text)), "{text}");
        }
        for text in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2002:101:101::1", "64:ff9b::101:101"] {
            assert!(permits(&[], address(text)), "{text}");
        }
    }

    #[test]
    fn a_list_opens_private_networks_and_never_the_metadata() {
        let everything = nets(&["0.0.0.0/0", "::/0"]);
        for text in ["127.0.0.1", "10.0.0.1", "::1", "fc00::1", "::ffff:10.0.0.1"] {
            assert!(permits(&everything, address(text)), "{text}");
        }
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "100.100.100.200",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!permits(&everything, address(text)), "{text}");
        }
        let some = nets(&["10.1.0.0/16"]);
        assert!(permits(&some, address("10.1.2.3")) && !permits(&some, address("10.2.0.1")));
    }

    #[test]
    fn redirects_stay_on_the_ports_of_the_web() {
        let config = Config::default();
        let rng = crate::crypto::random::testing::Seeded::new(1);
        let network = crate::outbound::Network::new();
        let reach = Reach::new(&config, network.as_ref(), &rng);
        let from = Target { tls: false, host: "a.test".into(), port: 80, path: "/x".into() };
        for bad in [
            "ftp://a.test/",
            "http://a.test:22/",
            "https://a.test:8200/v1/sys",
            "//a.test/x",
            "file:///etc/passwd",
            "",
            "http://user@a.test/",
            "gopher://a",
            "http:///x",
            "x",
            "http://a.test:0/",
            "javascript:1",
        ] {
            assert!(reach.redirected(&from, bad).is_err(), "{bad}");
        }
        let to = reach.redirected(&from, "https://B.test/y?z#f").unwrap();
        assert_eq!((to.tls, to.host.as_str(), to.port, to.path.as_str()), (true, "b.test", 443, "/y?z"));
        assert_eq!(reach.redirected(&from, "/other").unwrap().path, "/other");
    }
}
