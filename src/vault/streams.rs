//! Answers that stream: bounded in number, and ended with the vault, with the token, or with the right to them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Semaphore, watch};

use super::Vault;
use super::stages::Recorded;
use crate::base::{Error, Result, limits};
use crate::engine::Pieces;
use crate::policy::Query;

/// So long between two looks at the right to a streaming answer.
const CHECK: Duration = Duration::from_secs(limits::STREAM_CHECK_SECONDS);

/// The streaming answers of one vault.
pub struct Streams {
    places: Arc<Semaphore>,
    over: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(limits::STREAMS)), over: watch::Sender::new(false) }
    }
}

impl Vault {
    /// Ends the answers that stream; those that begin after it end at once.
    pub fn hang_up(&self) {
        self.handles.watches.end();
        self.streams.over.send_replace(true);
    }

    /// The pieces, for as long as they may flow.
    pub(in crate::vault) fn stream(&self, recorded: &Recorded, pieces: Pieces) -> Result<Pieces> {
        if recorded.wrap_ttl().is_some() {
            return Err(Error::invalid("an answer that streams cannot be wrapped"));
        }
        let place = self.streams.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::Unavailable("too many answers stream at once".into()))?;
        let mut over = self.streams.over.subscribe();
        let (work, clock) = (self.handles.work.clone(), self.clock.clone());
        let (token, path, body) =
            (recorded.inbound.token.clone(), recorded.inbound.path.clone(), recorded.inbound.body.clone());
        let (operation, public) = (recorded.inbound.operation, recorded.session.is_none());
        let sudo = recorded.target.endpoint().sudo;
        let ends = async move {
            let _held = place;
            loop {
                tokio::select! {
                    // The sender is gone when the vault is.
                    _ = over.wait_for(|over| *over) => return,
                    () = clock.sleep(CHECK) => {}
                }
                let Some(work) = work.upgrade() else { return };
                let asked = Query { sudo, parameters: Some(&body), ..Query::new(operation, &path) };
                let may = || work.may(&work.token_of(token.as_ref().ok_or(Error::BadToken)?)?, &asked);
                if !public && !matches!(may(), Ok(true)) {
                    return;
                }
            }
        };
        Ok(pieces.take_until(Box::pin(ends)).boxed())
    }
}
