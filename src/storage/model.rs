//! One test for all backends: each behaves like a sorted map with a counter, also when many use it at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::faulty::Faulty;
use super::memory::Memory;
use super::sqlite::Sqlite;
use super::*;
use crate::base::{Error, limits};

/// A backend under test, and what it needs to stay.
type Made = (Arc<dyn Storage>, Option<TempDir>);

fn memory() -> Made {
    (Arc::new(Memory::new()), None)
}

fn sqlite() -> Made {
    let folder = tempfile::tempdir().unwrap();
    (Arc::new(Sqlite::open(&folder.path().join("warifu.db")).unwrap()), Some(folder))
}

fn faulty() -> Made {
    (Arc::new(Faulty::new(Arc::new(Memory::new()))), None)
}

fn all() -> [fn() -> Made; 3] {
    [memory, sqlite, faulty]
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs the same story on every backend.
fn each<F: Future<Output = ()>>(story: impl Fn(Arc<dyn Storage>) -> F) {
    for make in all() {
        let (storage, _folder) = make();
        runtime().block_on(story(storage));
    }
}

fn put(key: &str, value: &[u8]) -> Batch {
    Batch { expects: Vec::new(), changes: vec![(key.to_owned(), Change::Put(value.to_vec()))] }
}

fn delete(key: &str) -> Batch {
    Batch { expects: Vec::new(), changes: vec![(key.to_owned(), Change::Delete)] }
}

fn expecting(key: &str, expect: Expect, batch: Batch) -> Batch {
    Batch { expects: vec![(key.to_owned(), expect)], ..batch }
}

fn read<T>(storage: &dyn Storage, mut f: impl FnMut(&dyn Snapshot) -> Result<T>) -> T {
    let mut found = None;
    storage
        .read(&mut |snapshot| {
            found = Some(f(snapshot)?);
            Ok(())
        })
        .unwrap();
    found.unwrap()
}

fn get(storage: &dyn Storage, key: &str) -> Option<Row> {
    read(storage, |snapshot| snapshot.get(key))
}

fn number(row: Option<&Row>) -> u64 {
    row.map_or(0, |row| u64::from_le_bytes(row.value.as_slice().try_into().unwrap()))
}

/// What a backend must be like.
#[derive(Default)]
struct Model {
    rows: BTreeMap<String, Row>,
    position: Version,
    feed: Vec<(Version, Vec<String>)>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> Option<Version> {
        for (key, expect) in &batch.expects {
            let version = self.rows.get(key).map(|row| row.version);
            let holds = match expect {
                Expect::Absent => version.is_none(),
                Expect::Present => version.is_some(),
                Expect::Version(expected) => version == Some(*expected),
            };
            if !holds {
                return None;
            }
        }
        if batch.changes.is_empty() {
            return Some(self.position);
        }
        self.position += 1;
        let mut keys = Vec::new();
        for (key, change) in &batch.changes {
            match change {
                Change::Put(value) => {
                    self.rows.insert(key.clone(), Row { version: self.position, value: value.clone() });
                }
                Change::Delete => {
                    self.rows.remove(key);
                }
            }
            keys.push(key.clone());
        }
        keys.sort();
        keys.dedup();
        self.feed.push((self.position, keys));
        Some(self.position)
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Vec<(String, Row)> {
        let rows =
            self.rows.iter().filter(|(key, _)| key.starts_with(prefix) && (after.is_empty() || key.as_str() > after));
        rows.take(limit).map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    fn children(&self, prefix: &str, after: &str, limit: usize) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for rest in self.rows.keys().filter_map(|key| key.strip_prefix(prefix)).filter(|rest| !rest.is_empty()) {
            let name = rest.split_inclusive('/').next().unwrap().to_owned();
            if (after.is_empty() || name.as_str() > after) && !found.contains(&name) {
                found.push(name);
            }
        }
        found.sort();
        found.truncate(limit);
        found
    }
}

/// A key's expected state, said without knowing versions: they are filled in from the model.
#[derive(Clone, Debug)]
enum Guess {
    Absent,
    Present,
    Right,
    Wrong(u64),
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(String, Guess)>, Vec<(String, Option<Vec<u8>>)>),
    /// Joins the values of the keys into the first.
    Join(Vec<String>),
    Scan(String, String, usize),
    Children(String, String, usize),
    Get(String),
    Changes(u64),
}

/// Few keys, with names that are keys and folders, and characters on both sides of `/`.
fn key() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "a-", "a.", "a0", "ab", "é", "\u{10ffff}", "-"]);
    (prop::collection::vec(segment, 1..4), prop::bool::weighted(0.05))
        .prop_map(|(segments, slash)| format!("{}{}", segments.join("/"), if slash { "/" } else { "" }))
}

fn folder() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 3 => key().prop_map(|key| format!("{}/", key.trim_end_matches('/')))]
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![1 => Just(Guess::Absent), 1 => Just(Guess::Present), 3 => Just(Guess::Right), 1 => (0u64..30).prop_map(Guess::Wrong)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => prop::collection::vec(any::<u8>(), 0..8), 1 => (0usize..20_000).prop_map(|bytes| vec![5; bytes])]
}

fn step() -> impl Strategy<Value = Step> {
    let change = (key(), prop::option::weighted(0.7, value()));
    let commit = (prop::collection::vec((key(), guess()), 0..3), prop::collection::vec(change, 0..4));
    let after = prop_oneof![2 => Just(String::new()), 1 => key(), 1 => folder()];
    let limit = prop_oneof![Just(0usize), Just(1), Just(2), Just(1000)];
    let prefix = prop_oneof![folder(), key()];
    prop_oneof![
        6 => commit.prop_map(|(expects, changes)| Step::Commit(expects, changes)),
        2 => prop::collection::vec(key(), 1..4).prop_map(Step::Join),
        2 => (prefix, after.clone(), limit.clone()).prop_map(|(prefix, after, limit)| Step::Scan(prefix, after, limit)),
        2 => (folder(), after, limit).prop_map(|(prefix, after, limit)| Step::Children(prefix, after, limit)),
        1 => key().prop_map(Step::Get),
        1 => (0u64..60).prop_map(Step::Changes),
    ]
}

fn join(keys: &[String], rows: &[Option<Row>]) -> Result<Batch> {
    let value: Vec<u8> = rows.iter().flatten().flat_map(|row| row.value.iter().copied()).take(40_000).collect();
    // Some of them decide to do nothing, others not to be possible.
    match value.first() {
        Some(n) if n % 7 == 1 => Err(Error::Denied),
        Some(n) if n % 7 == 2 => Ok(Batch::default()),
        _ => Ok(put(&keys[0], &value)),
    }
}

async fn walk(storage: &dyn Storage, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Commit(expects, changes) => {
            let version = |key: &String| model.rows.get(key).map(|row| row.version);
            let expect = |(key, guess): (String, Guess)| {
                let expect = match guess {
                    Guess::Absent => Expect::Absent,
                    Guess::Present => Expect::Present,
                    Guess::Right => version(&key).map_or(Expect::Absent, Expect::Version),
                    Guess::Wrong(version) => Expect::Version(version),
                };
                (key, expect)
            };
            let expects = expects.into_iter().map(expect).collect();
            let change = |(key, value): (String, Option<Vec<u8>>)| (key, value.map_or(Change::Delete, Change::Put));
            let batch = Batch { expects, changes: changes.into_iter().map(change).collect() };
            match (storage.commit(batch.clone()).await, model.apply(&batch)) {
                (Ok(real), Some(model)) => prop_assert_eq!(real, model),
                (Err(Error::Conflict), None) => {}
                (real, model) => prop_assert!(false, "{real:?} instead of {model:?}"),
            }
        }
        Step::Join(keys) => {
            let rows: Vec<_> = keys.iter().map(|key| model.rows.get(key).cloned()).collect();
            let f: UpdateFn = Box::new({
                let keys = keys.clone();
                move |rows| join(&keys, rows)
            });
            match (storage.update(keys.clone(), f).await, join(&keys, &rows)) {
                (Ok(real), Ok(batch)) => prop_assert_eq!(Some(real), model.apply(&batch)),
                (Err(Error::Denied), Err(Error::Denied)) => {}
                (real, model) => prop_assert!(false, "{real:?} instead of {model:?}"),
            }
        }
        Step::Scan(prefix, after, limit) => {
            let real = read(storage, |snapshot| snapshot.scan(&prefix, &after, limit));
            prop_assert_eq!(real, model.scan(&prefix, &after, limit), "{:?} after {:?}", prefix, after);
        }
        Step::Children(prefix, after, limit) => {
            let real = read(storage, |snapshot| snapshot.children(&prefix, &after, limit));
            prop_assert_eq!(real, model.children(&prefix, &after, limit), "{:?} after {:?}", prefix, after);
        }
        Step::Get(key) => prop_assert_eq!(get(storage, &key), model.rows.get(&key).cloned()),
        Step::Changes(from) => match storage.changes(from).await {
            Ok(Changes::Commits(commits)) => {
                let real: Vec<_> = commits.iter().map(|commit| (commit.version, commit.keys.to_vec())).collect();
                let model: Vec<_> = model.feed.iter().filter(|(version, _)| *version > from).cloned().collect();
                prop_assert_eq!(real, model);
            }
            Ok(Changes::Lost(position)) => prop_assert!(position == model.position && from > position),
            Err(error) => prop_assert!(false, "{error}"),
        },
    }
    prop_assert_eq!(storage.position().unwrap(), model.position);
    Ok(())
}

#[test]
fn every_backend_is_a_sorted_map() {
    let runtime = runtime();
    for (make, cases) in all().into_iter().zip([400, 60, 20]) {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let steps = prop::collection::vec(step(), 1..60);
        let result = runner.run(&steps, |steps| {
            let (storage, _folder) = make();
            let mut model = Model::default();
            runtime.block_on(async {
                for step in steps {
                    walk(&*storage, &mut model, step).await?;
                }
                Ok::<_, TestCaseError>(())
            })?;
            prop_assert_eq!(read(&*storage, |snapshot| snapshot.scan("", "", 10_000)), model.scan("", "", 10_000));
            Ok(())
        });
        result.unwrap();
    }
}

#[test]
fn a_stale_batch_writes_nothing() {
    each(async |storage| {
        let first = storage.commit(put("a", b"1")).await.unwrap();
        let second = storage.commit(put("a", b"2")).await.unwrap();
        for (key, expect) in [
            ("a", Expect::Version(first)),
            ("a", Expect::Absent),
            ("a", Expect::Version(0)),
            ("b", Expect::Present),
            ("b", Expect::Version(second)),
        ] {
            let stale = Batch { expects: vec![("a".into(), Expect::Present), (key.into(), expect)], ..put("c", b"") };
            assert!(matches!(storage.commit(stale).await, Err(Error::Conflict)), "{expect:?}");
        }
        assert_eq!((get(&*storage, "c"), storage.position().unwrap()), (None, second));
    });
}

#[test]
fn a_version_never_comes_again() {
    each(async |storage| {
        let mut last = 0;
        for _ in 0..20 {
            let made = storage.commit(expecting("a", Expect::Absent, put("a", b"same"))).await.unwrap();
            let deleted = storage.commit(expecting("a", Expect::Version(made), delete("a"))).await.unwrap();
            assert!(last < made && made < deleted);
            assert!(matches!(
                storage.commit(expecting("a", Expect::Version(made), put("b", b""))).await,
                Err(Error::Conflict)
            ));
            last = deleted;
        }
    });
}

#[test]
fn a_name_can_be_a_key_and_a_folder() {
    each(async |storage| {
        for key in ["p/a", "p/a-b", "p/a/x", "p/a/y/z", "p/a.", "p/a0", "p/b/c", "p", "q/a"] {
            storage.commit(put(key, b"")).await.unwrap();
        }
        let all = ["a", "a-b", "a.", "a/", "a0", "b/"];
        read(&*storage, |snapshot| {
            assert_eq!(snapshot.children("p/", "", 100)?, all);
            for (n, after) in all.iter().enumerate() {
                assert_eq!(snapshot.children("p/", after, 100)?, all[n + 1..], "after {after}");
                assert_eq!(
                    snapshot.children("p/", after, 1)?,
                    all[n + 1..].iter().take(1).copied().collect::<Vec<_>>()
                );
            }
            assert_eq!(snapshot.children("", "", 100)?, ["p", "p/", "q/"]);
            assert_eq!(snapshot.children("p/a/", "", 100)?, ["x", "y/"]);
            assert!(snapshot.children("nothing/", "", 100)?.is_empty());
            Ok(())
        });
    });
}

#[test]
fn a_snapshot_stays_while_others_write() {
    each(async |storage| {
        storage.commit(put("a", b"1")).await.unwrap();
        let writes = tokio::spawn({
            let storage = Arc::clone(&storage);
            async move {
                for n in 0..300u64 {
                    // Always the same number in both.
                    let changes =
                        ["x", "y"].map(|key| (key.to_owned(), Change::Put(n.to_le_bytes().to_vec()))).to_vec();
                    storage.commit(Batch { expects: Vec::new(), changes }).await.unwrap();
                }
            }
        });
        while !writes.is_finished() {
            read(&*storage, |snapshot| {
                let x = snapshot.get("x")?;
                std::thread::yield_now();
                assert_eq!(x, snapshot.get("y")?);
                assert_eq!(snapshot.scan("x", "", 5)?.first().map(|(_, row)| row), x.as_ref());
                Ok(())
            });
            tokio::task::yield_now().await;
        }
        writes.await.unwrap();
        assert_eq!(number(get(&*storage, "x").as_ref()), 299);
    });
}

fn increment(key: &'static str) -> UpdateFn {
    Box::new(move |rows| Ok(put(key, &(number(rows[0].as_ref()) + 1).to_le_bytes())))
}

#[test]
fn a_counter_is_exact() {
    each(async |storage| {
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let storage = Arc::clone(&storage);
                tokio::spawn(async move {
                    for _ in 0..10 {
                        storage.update(vec!["n".into()], increment("n")).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(number(get(&*storage, "n").as_ref()), 640);
        assert_eq!(storage.position().unwrap(), 640);
    });
}

#[test]
fn exactly_as_many_win_as_there_are_permits() {
    each(async |storage| {
        storage.commit(put("permits", &100u64.to_le_bytes())).await.unwrap();
        let tasks: Vec<_> = (0..256)
            .map(|_| {
                let storage = Arc::clone(&storage);
                tokio::spawn(async move {
                    let take: UpdateFn = Box::new(|rows| match number(rows[0].as_ref()) {
                        0 => Err(Error::RateLimited),
                        left => Ok(put("permits", &(left - 1).to_le_bytes())),
                    });
                    storage.update(vec!["permits".into()], take).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, Error::RateLimited), "{error}"),
            }
        }
        assert_eq!((won, number(get(&*storage, "permits").as_ref())), (100, 0));
    });
}

#[test]
fn one_of_many_makers_wins() {
    each(async |storage| {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let storage = Arc::clone(&storage);
                tokio::spawn(async move { storage.commit(expecting("a", Expect::Absent, put("a", &[n]))).await })
            })
            .collect();
        let mut won = Vec::new();
        for (n, task) in (0u8..).zip(tasks) {
            match task.await.unwrap() {
                Ok(version) => won.push((n, version)),
                Err(error) => assert!(matches!(error, Error::Conflict)),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(get(&*storage, "a"), Some(Row { version: won[0].1, value: vec![won[0].0] }));
    });
}

#[test]
fn a_function_that_fails_or_panics_harms_nobody() {
    each(async |storage| {
        let tasks: Vec<_> = (0..60)
            .map(|n| {
                let storage = Arc::clone(&storage);
                let f: UpdateFn = match n % 3 {
                    0 => increment("n"),
                    1 => Box::new(|_| Err(Error::Denied)),
                    _ => Box::new(|_| panic!("on purpose")),
                };
                tokio::spawn(async move { (n, storage.update(vec!["n".into()], f).await) })
            })
            .collect();
        for task in tasks {
            match task.await.unwrap() {
                (n, Ok(_)) => assert_eq!(n % 3, 0),
                (n, Err(Error::Denied)) => assert_eq!(n % 3, 1),
                (n, Err(error)) => assert!(n % 3 == 2 && matches!(error, Error::Internal(_))),
            }
        }
        assert_eq!(number(get(&*storage, "n").as_ref()), 20);
    });
}

#[test]
fn the_feed_tells_every_commit_in_order() {
    each(async |storage| {
        let follower = tokio::spawn({
            let storage = Arc::clone(&storage);
            async move {
                let mut seen: Vec<Commit> = Vec::new();
                while seen.len() < 500 {
                    let changed = storage.changed();
                    let from = seen.last().map_or(0, |commit| commit.version);
                    match storage.changes(from).await.unwrap() {
                        Changes::Commits(commits) if commits.is_empty() => changed.await,
                        Changes::Commits(commits) => seen.extend(commits),
                        Changes::Lost(position) => panic!("lost at {position}"),
                    }
                }
                seen
            }
        });
        let tasks: Vec<_> = (0..10)
            .map(|task| {
                let storage = Arc::clone(&storage);
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for n in 0..50 {
                        let key = format!("{task}/{n}");
                        let version = storage.commit(put(&key, b"")).await.unwrap();
                        // Whoever has the answer finds its commit.
                        let Changes::Commits(commits) = storage.changes(version - 1).await.unwrap() else { panic!() };
                        assert_eq!((commits[0].version, &*commits[0].keys), (version, &[key.clone()][..]));
                        done.push((version, key));
                    }
                    done
                })
            })
            .collect();
        let mut done = Vec::new();
        for task in tasks {
            done.extend(task.await.unwrap());
        }
        done.sort();
        let seen: Vec<_> =
            follower.await.unwrap().iter().map(|commit| (commit.version, commit.keys[0].clone())).collect();
        assert_eq!(seen, done);
    });
}

#[test]
fn a_reader_far_behind_is_told_so() {
    let storage = Memory::new();
    runtime().block_on(async {
        for _ in 0..=limits::FEED_COMMITS {
            storage.commit(put("a", b"")).await.unwrap();
        }
        let position = storage.position().unwrap();
        assert!(matches!(storage.changes(0).await, Ok(Changes::Lost(at)) if at == position));
        assert!(matches!(storage.changes(1).await, Ok(Changes::Commits(all)) if all.len() == limits::FEED_COMMITS));
    });
}

#[test]
fn the_task_lock_has_one_holder_and_fences_the_last() {
    each(async |storage| {
        let first = storage.task_lock().await.unwrap().unwrap();
        assert!(first.held());
        assert!(storage.task_lock().await.unwrap().is_none());
        let (key, fence) = first.fence();
        storage.commit(expecting(&key, fence, put("a", b"1"))).await.unwrap();
        drop(first);
        let second = storage.task_lock().await.unwrap().unwrap();
        assert_ne!(second.fence().1, fence);
        assert!(matches!(storage.commit(expecting(&key, fence, put("a", b"2"))).await, Err(Error::Conflict)));
        storage.commit(expecting(&key, second.fence().1, put("a", b"3"))).await.unwrap();
    });
}

#[test]
fn many_who_want_the_task_lock_never_have_it_together() {
    each(async |storage| {
        let holders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (storage, holders) = (Arc::clone(&storage), Arc::clone(&holders));
                tokio::spawn(async move {
                    let mut taken = 0;
                    while taken < 3 {
                        if let Some(lock) = storage.task_lock().await.unwrap() {
                            assert_eq!(holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                            tokio::task::yield_now().await;
                            holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            drop(lock);
                            taken += 1;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}
