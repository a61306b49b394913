//! Password hashing off the threads that others wait for, and not more of it at once than the machine bears.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::base::{Error, Result, Rng, Secret};
use crate::crypto::password::{self, Cost};

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
    /// What each login cost.
    #[cfg(test)]
    checks: std::sync::Mutex<Vec<Vec<Cost>>>,
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

    /// Whether a password fits a hash. Without a hash it never does. All of these costs are paid in either case, each once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if too many wait.
    pub async fn verify(
        &self,
        password: Secret<String>,
        hash: Option<Secret<String>>,
        costs: Vec<Cost>,
    ) -> Result<bool> {
        let own = password::cost(against(hash.as_ref()));
        let others: Vec<Cost> = costs.into_iter().filter(|cost| Some(*cost) != own).collect();
        #[cfg(test)]
        self.checks.lock().unwrap().push(own.into_iter().chain(others.clone()).collect());
        let work = move || {
            let fits = password::verify(&password, against(hash.as_ref())) && hash.is_some();
            others.into_iter().for_each(|cost| cost.pay(&password));
            fits
        };
        self.run(work).await
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
        let ours = || vec![Cost::OURS];
        assert!(hashing.verify("p".into(), Some(hash.clone()), ours()).await.unwrap());
        assert!(!hashing.verify("q".into(), Some(hash), ours()).await.unwrap());
        assert!(!hashing.verify("p".into(), None, ours()).await.unwrap());
    }

    #[tokio::test]
    async fn who_finds_no_room_is_sent_away() {
        let hashing = Hashing::with(1, 0);
        assert_eq!(hashing.verify("p".into(), None, Vec::new()).await.unwrap_err().status(), 503);
    }

    /// Whoever asks with any name and any password pays for the same checks: how long an answer takes tells neither who is there nor whose hash
    /// was brought along.
    #[tokio::test]
    async fn a_stranger_costs_the_same_work_as_a_user() {
        let hashing = Hashing::new();
        let hash = hashing.hash("p".into(), Arc::new(SystemRng::new())).await.unwrap();
        let brought = bcrypt::hash_with_salt("p", 4, [7; 16]).unwrap().format_for_version(bcrypt::Version::TwoB);
        let brought = Secret::new(brought);
        let costs = vec![Cost::OURS, Cost::Bcrypt(4), Cost::Argon2 { kib: 64, passes: 1, lanes: 1 }];
        for hash in [Some(hash), Some(brought), None] {
            for (password, right) in [("p", hash.is_some()), ("q", false)] {
                assert_eq!(hashing.verify(password.into(), hash.clone(), costs.clone()).await.unwrap(), right);
                let mut paid = hashing.checks.lock().unwrap().pop().unwrap();
                paid.sort_by_key(|cost| costs.iter().position(|known| known == cost));
                assert_eq!(paid, costs);
            }
        }
    }
}
