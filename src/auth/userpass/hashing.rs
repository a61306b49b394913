//! Password hashing off the threads that others wait for, and not more of it at once than the machine bears.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::password;

/// Hashes at work at once: each fills 19 MiB and a core.
const AT_ONCE: usize = 2;
/// Requests that may wait for one, some eight seconds of work: who comes later shall try again rather than wait in vain.
const WAITING: usize = 512;

/// How far hashing steps back behind the threads that serve requests ("niceness" of Linux, which counts for a thread): a third of their share
/// where both want a core, all that is left where they do not.
const BEHIND: i32 = 5;

/// The only things an engine keeps in memory: they count no facts, only the work at hand on this node.
pub struct Hashing {
    work: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// What each check cost.
    #[cfg(test)]
    checks: std::sync::Mutex<Vec<Option<password::Cost>>>,
}

impl Hashing {
    /// Idle.
    pub fn new() -> Self {
        Self::with(AT_ONCE, WAITING)
    }

    fn with(at_once: usize, waiting: usize) -> Self {
        Self {
            work: Arc::new(Semaphore::new(at_once)),
            room: Arc::new(Semaphore::new(waiting)),
            #[cfg(test)]
            checks: std::sync::Mutex::default(),
        }
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
        #[cfg(test)]
        self.checks.lock().unwrap().push(password::cost(against(hash.as_ref())));
        self.run(move || password::verify(&password, against(hash.as_ref())) && hash.is_some()).await
    }

    async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _place = self
            .room
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::Unavailable("too many passwords are being checked, try again".into()))?;
        let permit = self.work.clone().acquire_owned().await.map_err(Error::internal)?;
        let (tell, told) = oneshot::channel();
        // A thread of its own, because a thread that has stepped back can never step forward again.
        let work = move || {
            // Held until the work is done, also when nobody waits for it any more.
            let _permit = permit;
            // Where the system does not let it, it only takes more from the others.
            let _ = rustix::process::setpriority_process(None, BEHIND);
            // Who went away is told nothing.
            let _ = tell.send(f());
        };
        std::thread::Builder::new().name("hashing".into()).spawn(work).map_err(Error::internal)?;
        told.await.map_err(Error::internal)
    }
}

/// The hash that a password is checked against: of somebody unknown, one that nothing fits.
fn against(hash: Option<&Secret<String>>) -> &str {
    hash.map_or(password::DUMMY, |hash| hash.reveal())
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
        let hashing = Hashing::with(1, 0);
        assert_eq!(hashing.verify("p".into(), None).await.unwrap_err().status(), 503);
    }
    /// Whoever asks with any name and any password has exactly one check computed, of equal memory and passes: how long an
    /// answer takes does not tell who exists.
    #[tokio::test]
    async fn a_stranger_costs_the_same_work_as_a_user() {
        let hashing = Hashing::new();
        let hash = hashing.hash("p".into(), Arc::new(SystemRng::new())).await.unwrap();
        let asked = [("p", Some(hash.clone())), ("q", Some(hash)), ("p", None), ("q", None)];
        for (count, (password, hash)) in asked.into_iter().enumerate() {
            hashing.verify(password.into(), hash).await.unwrap();
            assert_eq!(hashing.checks.lock().unwrap().len(), count + 1);
        }
        let own =
            password::Cost::Argon2 { kib: password::MEMORY_KIB, passes: password::PASSES, lanes: password::LANES };
        assert!(hashing.checks.lock().unwrap().iter().all(|cost| *cost == Some(own)));
    }
}
