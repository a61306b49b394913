//! What entries have in common, so that it is formatted and hashed once: the two of a request, and all of a session.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::format::Hash;

/// Kept from the entry of a request for that of its answer: half of the work. Made anew for each request.
///
/// It holds what each device's own format wrote, under that format's identity: what one device may show does not
/// reach another.
#[derive(Default)]
pub struct Memo(Mutex<Vec<(Arc<()>, Vec<u8>)>>);

impl Memo {
    pub(super) fn keep(&self, format: &Arc<()>, part: &[u8]) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push((Arc::clone(format), part.to_vec()));
    }

    /// Appends what this very format wrote, if it did.
    pub(super) fn copy(&self, format: &Arc<()>, to: &mut Vec<u8>) -> bool {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.iter().find(|(identity, _)| Arc::ptr_eq(identity, format));
        part.inspect(|(_, bytes)| to.extend_from_slice(bytes)).is_some()
    }
}

/// Devices whose hashes a session keeps: with more, some are made anew for each entry.
const DEVICES: usize = 4;

/// The hashes of a session's token and accessor, which stand in every entry of it. They go with the session.
#[derive(Default)]
pub struct Hashes(ArcSwapOption<Vec<Known>>);

/// What one format wrote.
#[derive(Clone)]
struct Known {
    format: Arc<()>,
    token: Hash,
    accessor: Hash,
}

impl Hashes {
    /// Those of this format, of token and accessor, made if they are not there.
    pub(super) fn of(&self, format: &Arc<()>, make: impl FnOnce() -> (Hash, Hash)) -> (Hash, Hash) {
        let all = self.0.load();
        let all = all.as_deref().map(Vec::as_slice).unwrap_or_default();
        if let Some(known) = all.iter().find(|known| Arc::ptr_eq(&known.format, format)) {
            return (known.token, known.accessor);
        }
        let (token, accessor) = make();
        // The oldest go: they may be of a device that is no more. Whoever comes in between makes his own once more.
        let mut more = all[all.len().saturating_sub(DEVICES - 1)..].to_vec();
        more.push(Known { format: Arc::clone(format), token, accessor });
        self.0.store(Some(Arc::new(more)));
        (token, accessor)
    }
}
