//! A server of its own, ready for its load: one side of a comparison, or the whole of a measure.

use std::time::Duration;

use crate::Result;
use crate::options::Options;
use crate::server::{Place, Server};
use crate::setup::Setup;

/// The server, and what it is asked.
pub struct Side {
    pub server: Server,
    pub setup: Setup,
}

impl Side {
    /// Starts it, in a folder of this name.
    pub async fn make(options: &Options, name: &str) -> Result<Self> {
        Self::at(options, Place::make(&options.warifu, &options.folder, name, options.tls, None)?).await
    }

    /// Starts it at a place that was made ready.
    pub async fn at(options: &Options, place: Place) -> Result<Self> {
        let (server, _) = Server::start(place).await?;
        let setup = Setup::make(&server, options).await?;
        Ok(Self { server, setup })
    }

    /// Starts it again; gives how long after the unseal key it answered its first request.
    pub async fn again(self, first: &[u8]) -> Result<(Self, Duration)> {
        let Self { server, setup } = self;
        let (server, took) = server.restart_timed(&setup.unseal_key, first).await?;
        Ok((Self { server, setup }, took))
    }
}
