//! Password hashing off the threads that others wait for, and not more of it at once than the machine bears.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::password;

/// Hashes at work at once: each fills 19 MiB and a core.
const AT_ONCE: usize = 2;
/// Requests that may wait for one, some eight seconds of work: who comes later shall try again rather than wait in vain.
const WAITING: usize = 512;

/// The only things an engine keeps in memory: they count no facts, only the work at hand on this node.
pub struct Hashing {
    work: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Hashing {
    /// Idle.
    pub fn new() -> Self {
        Self { work: Arc::new(Semaphore::new(AT_ONCE)), room: Arc::new(Semaphore::new(WAITING)) }
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is too long, [`Error::Unavailable`] if too many wait.
    pub async fn hash(&self, password: Secret<String>, rng: Arc<dyn Rng>) -> Result<Secret<String>> {
        let hash = self.run(move || password::hash(&password, rng.as_ref())).await??;
        Ok(Secret::new(hash))
    }

    /// Whether a password fits a hash. Without a hash it costs as much and never does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if too many wait.
    pub async fn verify(&self, password: Secret<String>, hash: Option<Secret<String>>) -> Result<bool> {
        self.run(move || {
            let fits = password::verify(&password, hash.as_ref().map_or(password::DUMMY, |h| h.reveal()));
            fits && hash.is_some()
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _place = self
            .room
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::Unavailable("too many passwords are being checked, try again".into()))?;
        let permit = self.work.clone().acquire_owned().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it any more.
            let _permit = permit;
            f()
        })
        .await
        .map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRng;

    #[tokio::test]
    async fn only_the_password_of_a_user_who_exists_fits() {
        let hashing = Hashing::new();
        let hash = hashing.hash("p".into(), Arc::new(SystemRng::new())).await.unwrap();
        assert!(hashing.verify("p".into(), Some(hash.clone())).await.unwrap());
        assert!(!hashing.verify("q".into(), Some(hash)).await.unwrap());
        assert!(!hashing.verify("p".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn who_finds_no_room_is_sent_away() {
        let hashing = Hashing { work: Arc::new(Semaphore::new(1)), room: Arc::new(Semaphore::new(0)) };
        assert_eq!(hashing.verify("p".into(), None).await.unwrap_err().status(), 503);
    }
}
