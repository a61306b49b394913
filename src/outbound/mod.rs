//! Connections that the server itself opens: to an issuer of tokens, a Kubernetes API, a responder, a challenged host.
//!
//! What touches the network is the trait [`Outbound`], handed down to engines in their frame: a test answers for any name. Everything else
//! is the same for all: a bounded answer within a bounded time, TLS verified always, no redirect followed, no proxy of the environment.

mod fetch;
mod network;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use fetch::{Address, Fetch, Fetched, Guard, fetch};
pub use network::Network;

use crate::base::{BoxFuture, Result};

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The world outside, as far as the server reaches into it.
pub trait Outbound: fmt::Debug + Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    /// [`crate::base::Error::Unavailable`] when the name has none, or nobody who knows answers in time.
    fn addresses(&self, host: String, port: u16) -> BoxFuture<'static, Result<Vec<SocketAddr>>>;

    /// A TCP connection.
    ///
    /// # Errors
    /// [`crate::base::Error::Unavailable`] when nobody takes it in time.
    fn dial(&self, to: SocketAddr) -> BoxFuture<'static, Result<Box<dyn Stream>>>;

    /// Sends one datagram and waits for one that comes back from there: for questions to name servers.
    ///
    /// # Errors
    /// [`crate::base::Error::Unavailable`] when none comes in time.
    fn datagram(&self, to: SocketAddr, bytes: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>>>;

    /// Whom the machine trusts for TLS where nobody else is named.
    fn roots(&self) -> Arc<rustls::RootCertStore>;
}
