//! Work with keys, off the threads that answer requests: it burns a core, so that only as many are at it as there are.
//!
//! Jobs wait in a queue, and whoever is at work takes the next one when it is done with the last: a thread is called only
//! where none is at it, so that under load a job costs no hop of its own. RSA has a queue of its own: slow keys hold up no
//! quick ones. A queue is as long as there are requests in flight.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;
use tokio::sync::oneshot;

use crate::base::{Error, Result};
use crate::crypto::KeyKind;

type Job = Box<dyn FnOnce() + Send>;

/// The two queues.
#[derive(Clone)]
pub struct Workers {
    rsa: Arc<Lane>,
    quick: Arc<Lane>,
}

struct Lane {
    jobs: SegQueue<Job>,
    at_work: AtomicUsize,
    most: usize,
}

impl Workers {
    /// For each queue as many at work as the machine has cores.
    pub fn new() -> Self {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let lane = || Arc::new(Lane { jobs: SegQueue::new(), at_work: AtomicUsize::new(0), most });
        Self { rsa: lane(), quick: lane() }
    }

    /// Runs what works with keys of this kind, unless whoever asks goes away before its turn.
    ///
    /// # Errors
    /// What the work answers.
    pub async fn run<R: Send + 'static>(
        &self,
        kind: KeyKind,
        work: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let lane = match kind {
            KeyKind::Rsa(_) => &self.rsa,
            KeyKind::Ec(_) | KeyKind::Ed25519 => &self.quick,
        };
        let (answer, answered) = oneshot::channel();
        lane.jobs.push(Box::new(move || {
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        }));
        lane.call();
        // A job that panicked dropped its answer.
        answered.await.map_err(|_| Error::internal("work with a key was cut off"))?
    }
}

impl Lane {
    /// Has somebody look at the queue, unless enough are at it.
    fn call(self: &Arc<Self>) {
        let room = |at_work| (at_work < self.most).then_some(at_work + 1);
        if self.at_work.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok() {
            let lane = self.clone();
            drop(tokio::task::spawn_blocking(move || lane.work()));
        }
    }

    fn work(self: Arc<Self>) {
        while let Some(job) = self.jobs.pop() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("work with a key panicked");
            }
        }
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        // One that came after the last look, and saw that enough were at work.
        if !self.jobs.is_empty() {
            self.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::crypto::Curve;

    const QUICK: KeyKind = KeyKind::Ec(Curve::P256);

    #[tokio::test]
    async fn a_queue_of_slow_keys_holds_up_no_quick_ones() {
        let workers = Workers::new();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let places = workers.rsa.most;
        let slow = (0..places * 3).map(|_| {
            let (workers, held) = (workers.clone(), held.clone());
            tokio::spawn(async move {
                let until_released = move || {
                    held.lock().unwrap().recv().unwrap_err();
                    Ok(())
                };
                workers.run(KeyKind::Rsa(4096), until_released).await
            })
        });
        let slow: Vec<_> = slow.collect();
        for _ in 0..50 {
            workers.run(QUICK, || Ok(())).await.unwrap();
        }
        assert_eq!(workers.rsa.at_work.load(Ordering::SeqCst), places);
        assert!(slow.iter().all(|one| !one.is_finished()));
        drop(release);
        for one in slow {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_its_place_with_it_for_nobody() {
        let workers = Workers::new();
        for _ in 0..workers.quick.most * 2 {
            let answer = workers.run(QUICK, || -> Result<()> { panic!("a job panics") }).await;
            assert!(matches!(answer, Err(Error::Internal(..))), "{answer:?}");
        }
        assert_eq!(workers.run(QUICK, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn none_of_many_is_left_in_the_queue() {
        let workers = Workers::new();
        let jobs = (0..4000).map(|n| {
            let workers = workers.clone();
            tokio::spawn(async move { workers.run(QUICK, move || Ok(n)).await })
        });
        for (n, job) in jobs.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(job.await.unwrap().unwrap(), n);
        }
    }

    #[tokio::test]
    async fn who_went_away_costs_no_work() {
        let workers = Workers::new();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let blocked: Vec<_> = (0..workers.quick.most)
            .map(|_| {
                let (workers, held) = (workers.clone(), held.clone());
                tokio::spawn(async move {
                    let wait = move || {
                        held.lock().unwrap().recv().unwrap_err();
                        Ok(())
                    };
                    workers.run(QUICK, wait).await
                })
            })
            .collect();
        while workers.quick.at_work.load(Ordering::SeqCst) < workers.quick.most || !workers.quick.jobs.is_empty() {
            tokio::task::yield_now().await;
        }
        let done = Arc::new(AtomicUsize::new(0));
        let counted = done.clone();
        let gone = workers.run(QUICK, move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        // Polled once, so that it is in the queue, and dropped there.
        tokio::select! {
            biased;
            _ = gone => panic!("nobody is free"),
            () = std::future::ready(()) => {}
        }
        drop(release);
        for one in blocked {
            one.await.unwrap().unwrap();
        }
        workers.run(QUICK, || Ok(())).await.unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }
}
