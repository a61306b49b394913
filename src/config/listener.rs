//! `listener "tcp" { … }`: where clients are listened to, and by which rules.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::load::{DAY, only, parsed, path, set, within};
use super::{REQUEST_DURATION, Warning, ignored};
use crate::base::limits;
use crate::hcl::{self, Attr, Block, Body};

/// Where clients usually look.
const PORT: u16 = 8200;
/// How long an idle connection is kept, as Vault keeps it.
const IDLE: Duration = Duration::from_secs(300);
/// How long a client may stop taking its answer.
const WRITE: Duration = Duration::from_secs(60);

const KEYS: &[&str] = &[
    "address",
    "tls_disable",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "tls_max_version",
    "tls_client_ca_file",
    "tls_require_and_verify_client_cert",
    "tls_disable_client_certs",
    "max_request_size",
    "max_request_duration",
    "require_request_header",
    "http_read_timeout",
    "http_read_header_timeout",
    "http_write_timeout",
    "http_idle_timeout",
    "x_forwarded_for_authorized_addrs",
    "x_forwarded_for_hop_skips",
    "x_forwarded_for_reject_not_present",
    "x_forwarded_for_reject_not_authorized",
    "telemetry",
    "disable_unauthed_rekey_endpoints",
    "disable_unauthed_generate_root_endpoints",
    "proxy_protocol_behavior",
    "proxy_protocol_authorized_addrs",
];

/// One listener, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub address: Address,
    /// Whether and how it is encrypted.
    pub tls: Tls,
    /// Oldest TLS that is spoken.
    pub tls_min: TlsVersion,
    /// Newest TLS that is spoken.
    pub tls_max: TlsVersion,
    /// What is done about certificates of clients.
    pub client_certs: ClientCerts,
    /// Largest body, in bytes.
    pub max_request_size: usize,
    /// Longest time that a request may take.
    pub max_request_duration: Duration,
    /// Whether requests must carry `X-Vault-Request: true`.
    pub require_request_header: bool,
    /// Longest time that a client may take to send its headers.
    pub header_timeout: Duration,
    /// Longest time that a client may take to send its body.
    pub read_timeout: Duration,
    /// Longest time that a client may stop taking its answer.
    pub write_timeout: Duration,
    /// Longest time that a connection may be without a request.
    pub idle_timeout: Duration,
    /// Which proxies are believed about their clients' addresses; none when nobody is.
    pub forwarded: Option<Forwarded>,
    /// Whether metrics are shown without a token.
    pub unauthenticated_metrics_access: bool,
    /// This listener's own word on rekeying without a token; none: the server's.
    pub disable_unauthed_rekey_endpoints: Option<bool>,
    /// This listener's own word on generating a root token without a token; none: the server's.
    pub disable_unauthed_generate_root_endpoints: Option<bool>,
}

impl ListenerConfig {
    /// The defaults, at this address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            tls: Tls::SelfSigned,
            tls_min: TlsVersion::Tls12,
            tls_max: TlsVersion::Tls13,
            client_certs: ClientCerts::Asked,
            max_request_size: limits::BODY_BYTES,
            max_request_duration: REQUEST_DURATION,
            require_request_header: false,
            header_timeout: Duration::from_secs(limits::HEADER_SECONDS),
            read_timeout: Duration::from_secs(limits::BODY_SECONDS),
            write_timeout: WRITE,
            idle_timeout: IDLE,
            forwarded: None,
            unauthenticated_metrics_access: false,
            disable_unauthed_rekey_endpoints: None,
            disable_unauthed_generate_root_endpoints: None,
        }
    }
}

/// Whether and how a listener is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    Disabled,
    /// With this certificate chain and key, both PEM.
    Files {
        /// The chain, leaf first.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// With a certificate that the server makes for itself.
    SelfSigned,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl FromStr for TlsVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "tls12" => Ok(Self::Tls12),
            "tls13" => Ok(Self::Tls13),
            _ => Err(()),
        }
    }
}

/// What is done about certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCerts {
    /// Asked for and passed on; only the auth method judges.
    Asked,
    /// Not asked for.
    NotAsked,
    /// Nobody is let in without a certificate of one of these authorities.
    Required {
        /// PEM file of the authorities.
        ca: PathBuf,
    },
}

/// Which proxies are believed about their clients' addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The proxies.
    pub authorized: Vec<IpNet>,
    /// How many entries at the end of the list are proxies of ours.
    pub hop_skips: usize,
    /// Whether a believed proxy must name its client.
    pub reject_not_present: bool,
    /// Whether nobody but believed proxies may name one.
    pub reject_not_authorized: bool,
}

/// A host and port to listen at. No host means every interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// 127.0.0.1 and the usual port.
    pub fn loopback() -> Self {
        Self { host: "127.0.0.1".into(), port: PORT }
    }

    /// The host: a name, an address without brackets, or empty for every interface.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 is whichever is free.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Address {
    fn from(from: SocketAddr) -> Self {
        Self { host: from.ip().to_string(), port: from.port() }
    }
}

impl FromStr for Address {
    type Err = ();

    /// `host:port`, `[v6]:port`, `:port`, or a host alone, which gets the usual port.
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, PORT).into());
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| ())?),
            None => (text, PORT),
        };
        let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_');
        if !named || text.is_empty() || host.len() > 253 {
            return Err(());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads one block; a request may take `max_request_duration` where the block does not say otherwise.
pub(super) fn read(
    block: &Block<'_>,
    max_request_duration: Duration,
    warnings: &mut Vec<Warning>,
) -> hcl::Result<ListenerConfig> {
    let body = block.body();
    match block.label()? {
        "tcp" => {}
        kind => return Err(body.error(block.span(), format!("listener \"{kind}\" is not available, use \"tcp\""))),
    }
    // Let's Encrypt for the listener itself: without it the listener would come up with another certificate than meant.
    if let Some(item) = body.items().iter().find(|item| item.key().text().starts_with("tls_acme_")) {
        return Err(body.error(item.key().span(), format!("\"{}\" is not available", item.key().text())));
    }
    only(body, KEYS, ignored::LISTENER, warnings)?;
    let mut listener = ListenerConfig::new(Address::loopback());
    listener.max_request_duration = max_request_duration;
    set(&mut listener.address, body, "address", |attr| parsed(attr, "a host and port such as \"127.0.0.1:8200\""))?;
    tls(&mut listener, block)?;
    client_certs(&mut listener, body, warnings)?;
    listener.forwarded = forwarded(body)?;
    proxy_protocol(body)?;
    if let Some(attr) = body.attr("max_request_size")? {
        listener.max_request_size = request_size(&attr, body, warnings)?;
    }
    set(&mut listener.max_request_duration, body, "max_request_duration", |attr| within(attr, DAY))?;
    set(&mut listener.require_request_header, body, "require_request_header", |attr| attr.as_bool())?;
    set(&mut listener.header_timeout, body, "http_read_header_timeout", |attr| within(attr, DAY))?;
    set(&mut listener.read_timeout, body, "http_read_timeout", |attr| within(attr, DAY))?;
    set(&mut listener.write_timeout, body, "http_write_timeout", |attr| within(attr, DAY))?;
    set(&mut listener.idle_timeout, body, "http_idle_timeout", |attr| within(attr, DAY))?;
    if let Some(telemetry) = body.block("telemetry")? {
        let metrics_only = &[("metrics_only", "such a listener is not available")];
        only(telemetry.body(), &["unauthenticated_metrics_access"], metrics_only, warnings)?;
        let key = "unauthenticated_metrics_access";
        set(&mut listener.unauthenticated_metrics_access, telemetry.body(), key, |attr| attr.as_bool())?;
    }
    let key = "disable_unauthed_rekey_endpoints";
    set(&mut listener.disable_unauthed_rekey_endpoints, body, key, |attr| attr.as_bool().map(Some))?;
    let key = "disable_unauthed_generate_root_endpoints";
    set(&mut listener.disable_unauthed_generate_root_endpoints, body, key, |attr| attr.as_bool().map(Some))?;
    Ok(listener)
}

fn tls(listener: &mut ListenerConfig, block: &Block<'_>) -> hcl::Result<()> {
    let body = block.body();
    let disabled = body.attr("tls_disable")?.map_or(Ok(false), |attr| attr.as_bool())?;
    listener.tls = match (body.attr("tls_cert_file")?, body.attr("tls_key_file")?) {
        _ if disabled => Tls::Disabled,
        (Some(cert), Some(key)) => Tls::Files { cert: path(&cert)?, key: path(&key)? },
        (None, None) => Tls::SelfSigned,
        (Some(cert), None) => return Err(cert.error("needs \"tls_key_file\" beside it")),
        (None, Some(key)) => return Err(key.error("needs \"tls_cert_file\" beside it")),
    };
    for key in ["tls_min_version", "tls_max_version"] {
        let field = if key == "tls_min_version" { &mut listener.tls_min } else { &mut listener.tls_max };
        set(field, body, key, |attr| match attr.as_str()? {
            "tls10" | "tls11" => Err(attr.error("must be \"tls12\" or \"tls13\": older versions are broken")),
            _ => parsed(attr, "\"tls12\" or \"tls13\""),
        })?;
    }
    match body.attr("tls_max_version")? {
        Some(max) if listener.tls_min > listener.tls_max => {
            Err(max.error("must not be older than \"tls_min_version\""))
        }
        _ => Ok(()),
    }
}

fn client_certs(listener: &mut ListenerConfig, body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<()> {
    let authorities = body.attr("tls_client_ca_file")?;
    let not_asked = body.attr("tls_disable_client_certs")?;
    let required = body.attr("tls_require_and_verify_client_cert")?;
    if let Some(attr) = &required
        && attr.as_bool()?
    {
        if listener.tls == Tls::Disabled {
            return Err(attr.error("needs TLS, which \"tls_disable\" turns off"));
        }
        if let Some(other) = not_asked
            && other.as_bool()?
        {
            return Err(other.error("contradicts \"tls_require_and_verify_client_cert\""));
        }
        let Some(authorities) = authorities else {
            return Err(attr.error("needs \"tls_client_ca_file\" beside it"));
        };
        listener.client_certs = ClientCerts::Required { ca: path(&authorities)? };
        return Ok(());
    }
    if let Some(attr) = authorities {
        path(&attr)?;
        let message = "has no effect without \"tls_require_and_verify_client_cert\"";
        warnings.push(Warning::new(attr.error(message)));
    }
    if let Some(attr) = not_asked
        && attr.as_bool()?
    {
        listener.client_certs = ClientCerts::NotAsked;
    }
    Ok(())
}

fn forwarded(body: &Body) -> hcl::Result<Option<Forwarded>> {
    let mut rules =
        Forwarded { authorized: Vec::new(), hop_skips: 0, reject_not_present: true, reject_not_authorized: true };
    set(&mut rules.hop_skips, body, "x_forwarded_for_hop_skips", |attr| {
        Ok(usize::try_from(attr.as_int_in(0..=64)?).unwrap_or_default())
    })?;
    let key = "x_forwarded_for_reject_not_present";
    set(&mut rules.reject_not_present, body, key, |attr| attr.as_bool())?;
    let key = "x_forwarded_for_reject_not_authorized";
    set(&mut rules.reject_not_authorized, body, key, |attr| attr.as_bool())?;
    match body.attr("x_forwarded_for_authorized_addrs")? {
        Some(attr) => {
            rules.authorized = networks(&attr)?;
            Ok((!rules.authorized.is_empty()).then_some(rules))
        }
        None => Ok(None),
    }
}

/// Most proxies that are looked through at each request.
const NETWORKS_MAX: usize = 256;

fn networks(attr: &Attr<'_>) -> hcl::Result<Vec<IpNet>> {
    let wrong = || attr.error("must be addresses or networks such as \"10.0.0.0/8\"");
    let texts = attr.as_strings()?;
    if texts.len() > NETWORKS_MAX {
        return Err(attr.error(format_args!("must be at most {NETWORKS_MAX} networks")));
    }
    let network = |text: &String| match text.parse::<IpNet>() {
        Ok(network) => Ok(network),
        Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong()),
    };
    texts.iter().map(network).collect()
}

/// A proxy that speaks it would be answered with an error to each connection, so it is not merely ignored.
fn proxy_protocol(body: &Body) -> hcl::Result<()> {
    match body.attr("proxy_protocol_behavior")? {
        Some(attr) if !attr.as_str()?.is_empty() => {
            Err(attr.error("is not available: have the proxy send X-Forwarded-For instead"))
        }
        _ => Ok(()),
    }
}

fn request_size(attr: &Attr<'_>, body: &Body, warnings: &mut Vec<Warning>) -> hcl::Result<usize> {
    match usize::try_from(attr.as_int()?) {
        Ok(size) if (1..=limits::BODY_BYTES).contains(&size) => Ok(size),
        _ => {
            let message = format!("\"{}\" is taken as {}, the largest there is", attr.name(), limits::BODY_BYTES);
            warnings.push(Warning::new(body.error(attr.span(), message)));
            Ok(limits::BODY_BYTES)
        }
    }
}
