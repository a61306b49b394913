//! The real network, through the machine's own resolver.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{Outbound, Stream};
use crate::base::{BoxFuture, Error, Result, limits};

/// The network of this machine.
#[derive(Debug, Default)]
pub struct Network {
    roots: OnceLock<Arc<rustls::RootCertStore>>,
}

impl Network {
    /// The network. Nothing is opened or read before it is used.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

const STEP: Duration = Duration::from_secs(limits::OUTBOUND_STEP_SECONDS);

/// Waits for one step of a connection; what went wrong is told without the system's details, which name addresses.
async fn step<T>(what: &str, work: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    match timeout(STEP, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Error::Unavailable(format!("{what}: {}", error.kind()))),
        Err(_) => Err(Error::Unavailable(format!("{what}: no answer in time"))),
    }
}

impl Outbound for Network {
    fn addresses(&self, host: String, port: u16) -> BoxFuture<'static, Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let found = step("looking up a name", tokio::net::lookup_host((host, port))).await?;
            let found: Vec<SocketAddr> = found.take(limits::OUTBOUND_ADDRESSES).collect();
            if found.is_empty() {
                return Err(Error::Unavailable("looking up a name: it has no address".into()));
            }
            Ok(found)
        })
    }

    fn dial(&self, to: SocketAddr) -> BoxFuture<'static, Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let tcp = step("connecting", TcpStream::connect(to)).await?;
            // Requests are small; waiting for more to send only delays them.
            tcp.set_nodelay(true).map_err(Error::internal)?;
            Ok(Box::new(tcp) as Box<dyn Stream>)
        })
    }

    fn datagram(&self, to: SocketAddr, bytes: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>>> {
        Box::pin(async move {
            let any: SocketAddr =
                if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
            step("asking by datagram", async move {
                let socket = UdpSocket::bind(any).await?;
                // Connected, so that the kernel drops what comes from elsewhere.
                socket.connect(to).await?;
                socket.send(&bytes).await?;
                let mut answer = vec![0; limits::OUTBOUND_DATAGRAM_BYTES];
                let length = socket.recv(&mut answer).await?;
                answer.truncate(length);
                Ok(answer)
            })
            .await
        })
    }

    fn roots(&self) -> Arc<rustls::RootCertStore> {
        let load = || {
            let mut store = rustls::RootCertStore::empty();
            // Single bad certificates of a system are not our affair.
            let (_, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(store)
        };
        self.roots.get_or_init(load).clone()
    }
}
