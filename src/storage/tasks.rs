//! The task lock of a store that lives inside one process: a flag, and a row whose version changes at each take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Batch, Change, Expect, Storage, TASK_LOCK, TaskLock};
use crate::base::Result;

/// Whether somebody holds the task lock.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<AtomicBool>);

impl Tasks {
    /// Takes the lock if it is free, and fences off whoever had it before.
    pub async fn take(&self, storage: &dyn Storage) -> Result<Option<Box<dyn TaskLock>>> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        // Made before the await: a caller that goes away in the middle leaves the lock free.
        let mut held = Held { flag: Arc::clone(&self.0), fence: Expect::Present };
        let change = (TASK_LOCK.to_owned(), Change::Put(Vec::new()));
        let version = storage.commit(Batch { expects: Vec::new(), changes: vec![change] }).await?;
        held.fence = Expect::Version(version);
        Ok(Some(Box::new(held)))
    }
}

struct Held {
    flag: Arc<AtomicBool>,
    fence: Expect,
}

impl TaskLock for Held {
    fn fence(&self) -> (String, Expect) {
        (TASK_LOCK.to_owned(), self.fence)
    }

    fn held(&self) -> bool {
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.flag.store(false, Ordering::Release);
    }
}
