//! A backend that fails when it is told to: around any other, for tests.
//!
//! Operations are counted: reads, commits, updates, asking for changes, for the position, for the task lock. A test runs a
//! story once to learn how many there are, then again with a fault at each.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Changes, Snapshot, Storage, TaskLock, UpdateFn, Version};
use crate::base::{BoxFuture, Error, Result};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the answer is [`Error::Unavailable`].
    Before,
    /// It happens, and the answer is [`Error::Unknown`] all the same.
    After,
}

/// Which operations fail, counted from when this was said; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// None.
    Sound,
    /// This one.
    At(u64, Fault),
    /// This one and all that follow.
    From(u64, Fault),
}

/// A backend with faults.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    state: Mutex<(Plan, u64)>,
}

impl Faulty {
    /// A backend that does not fail yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, state: Mutex::new((Plan::Sound, 0)) }
    }

    /// Changes what fails, and counts anew.
    pub fn plan(&self, plan: Plan) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (plan, 0);
    }

    /// How many operations there were since the plan was made.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Counts an operation. An error is its answer; else what is to be made of its result.
    fn begin(&self) -> Result<Option<Fault>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += 1;
        let fault = match state.0 {
            Plan::At(at, fault) if at == state.1 => fault,
            Plan::From(from, fault) if from <= state.1 => fault,
            _ => return Ok(None),
        };
        match fault {
            Fault::Before => Err(Error::Unavailable("the store failed as planned".into())),
            Fault::After => Ok(Some(fault)),
        }
    }
}

/// The result of what happened, or that nobody knows.
fn end<T>(fault: Option<Fault>, result: Result<T>) -> Result<T> {
    match fault {
        None => result,
        Some(_) => result.and(Err(Error::Unknown)),
    }
}

impl Storage for Faulty {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        let fault = self.begin()?;
        end(fault, self.inner.read(f))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            let fault = self.begin()?;
            end(fault, self.inner.commit(batch).await)
        })
    }

    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        Box::pin(async move {
            let fault = self.begin()?;
            end(fault, self.inner.update(keys, f).await)
        })
    }

    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        Box::pin(async move {
            let fault = self.begin()?;
            end(fault, self.inner.changes(from).await)
        })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.inner.changed()
    }

    fn position(&self) -> Result<Version> {
        let fault = self.begin()?;
        end(fault, self.inner.position())
    }

    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        Box::pin(async move {
            let fault = self.begin()?;
            end(fault, self.inner.task_lock().await)
        })
    }

    fn shared(&self) -> bool {
        self.inner.shared()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::{Change, Expect};
    use super::*;

    fn put(key: &str, expects: &[(&str, Expect)]) -> Batch {
        let expects = expects.iter().map(|(key, expect)| ((*key).to_owned(), *expect)).collect();
        Batch { expects, changes: vec![(key.to_owned(), Change::Put(b"v".to_vec()))] }
    }

    fn has(storage: &dyn Storage, key: &str) -> Result<bool> {
        let mut found = false;
        storage.read(&mut |snapshot| {
            found = snapshot.get(key)?.is_some();
            Ok(())
        })?;
        Ok(found)
    }

    /// A read, a commit, an update, the changes, the position and the lock.
    async fn story(storage: &dyn Storage) -> Result<()> {
        has(storage, "a")?;
        storage.commit(put("a", &[])).await?;
        storage
            .update(
                vec!["a".into()],
                Box::new(|rows| {
                    assert!(rows[0].is_some());
                    Ok(put("b", &[]))
                }),
            )
            .await?;
        storage.changes(0).await?;
        storage.position()?;
        storage.task_lock().await?;
        Ok(())
    }

    #[tokio::test]
    async fn it_fails_at_every_operation() {
        let sound = Faulty::new(Arc::new(Memory::new()));
        story(&sound).await.unwrap();
        let operations = sound.operations();
        assert_eq!(operations, 6);
        for n in 1..=operations {
            for fault in [Fault::Before, Fault::After] {
                let memory = Arc::new(Memory::new());
                let faulty = Faulty::new(memory.clone());
                faulty.plan(Plan::At(n, fault));
                let error = story(&faulty).await.unwrap_err();
                assert!(match fault {
                    Fault::Before => matches!(error, Error::Unavailable(_)),
                    Fault::After => matches!(error, Error::Unknown),
                });
                assert_eq!(faulty.operations(), n, "it goes no further than the fault");
                let done = if fault == Fault::After { n } else { n - 1 };
                assert_eq!((has(&*memory, "a").unwrap(), has(&*memory, "b").unwrap()), (done >= 2, done >= 3));
                // It can go on, and is not left with a lock that nobody holds.
                faulty.plan(Plan::Sound);
                story(&faulty).await.unwrap();
                assert!(faulty.task_lock().await.unwrap().is_some());
            }
        }
    }

    #[tokio::test]
    async fn it_can_stay_away() {
        let faulty = Faulty::new(Arc::new(Memory::new()));
        faulty.plan(Plan::From(2, Fault::Before));
        faulty.commit(put("a", &[])).await.unwrap();
        for _ in 0..3 {
            assert!(matches!(has(&faulty, "a"), Err(Error::Unavailable(_))));
        }
        faulty.plan(Plan::At(1, Fault::After));
        let refused = faulty.commit(put("a", &[("a", Expect::Absent)])).await;
        assert!(matches!(refused, Err(Error::Conflict)), "what did not happen anyway stays what it is");
    }
}
