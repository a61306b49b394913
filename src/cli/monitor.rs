//! `monitor`: the server's log as it is written.

use clap::Args;

use super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
};
use crate::{client::Request, telemetry::Level};

/// Show the log of the server as it is written, until interrupted.
#[derive(Args, Debug)]
pub struct Monitor {
    /// The least severe lines to show: trace, debug, info, warn or error.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// How lines look: standard or json.
    #[arg(long, value_name = "FORMAT", default_value = "standard")]
    log_format: String,
}

impl Monitor {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if !self.log_level.parse().is_ok_and(|level: Level| level != Level::Off) {
            return Err(Failure::local("-log-level must be trace, debug, info, warn or error"));
        }
        if self.log_format.parse::<crate::telemetry::Format>().is_err() {
            return Err(Failure::local("-log-format must be standard or json"));
        }
        let query = [("log_level", self.log_level.as_str()), ("log_format", self.log_format.as_str())];
        let request = Request::read("sys/monitor").query_all(&query).unwrapped();
        let mut lines = cx.stream(request).await.doing("Error starting monitor")?;
        while let Some(bytes) = lines.next().await {
            cx.world.stdout.write_all(&bytes.map_err(Failure::from).doing("Error reading the log")?)?;
            cx.world.stdout.flush()?;
        }
        Ok(())
    }
}
