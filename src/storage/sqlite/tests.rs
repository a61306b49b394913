//! What a file must be, and what becomes of writes when the disk fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::super::{Change, Expect, Row};
use super::*;

/// Makes as many of the next commits fail as the test asks for.
pub fn with_faults(mut connection: Connection, told: &Arc<Told>) -> Result<Connection> {
    let pages = told.pages.load(Ordering::SeqCst);
    if pages > 0 {
        connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).map_err(Error::internal)?;
    }
    let told = Arc::clone(told);
    let fail = move || told.faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    connection.commit_hook(Some(fail)).map_err(Error::internal)?;
    Ok(connection)
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store/warifu.db");
    (folder, path)
}

fn put(key: &str, value: &[u8]) -> Batch {
    Batch { expects: Vec::new(), changes: vec![(key.to_owned(), Change::Put(value.to_vec()))] }
}

fn get(storage: &Sqlite, key: &str) -> Option<Row> {
    let mut found = None;
    storage
        .read(&mut |snapshot| {
            found = snapshot.get(key)?;
            Ok(())
        })
        .unwrap();
    found
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refusal(path: &Path) -> String {
    match Sqlite::open(path) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

/// A store with some rows, closed.
async fn closed() -> (TempDir, PathBuf) {
    let (folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    for n in 0..50 {
        storage.commit(put(&format!("a/{n}"), &[7; 2000])).await.unwrap();
    }
    drop(storage);
    (folder, path)
}

/// Checks that this change of a closed store's file makes it refused with such a text, and that the file stays.
async fn refused_after(change: impl FnOnce(&mut Vec<u8>), text: &str) {
    let (_folder, path) = closed().await;
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    let refused = refusal(&path);
    assert!(refused.contains(text), "{refused}");
    assert!(fs::read(&path).unwrap() == bytes, "the file changed");
    // Nor is it locked afterwards.
    assert!(refusal(&path).contains(text));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_stays() {
    refused_after(Vec::clear, "is empty").await;
    refused_after(|bytes| *bytes = b"listener \"tcp\" {}\n".to_vec(), "not a store").await;
    refused_after(|bytes| *bytes = vec![b'x'; 8192], "not a store").await;
    refused_after(|bytes| bytes[68] ^= 1, "another application").await;
    refused_after(|bytes| bytes[63] = 2, "newer version of this server: schema 2").await;
    refused_after(|bytes| bytes.truncate(bytes.len() - 1), "truncated").await;
    refused_after(|bytes| bytes.truncate(4096), "truncated").await;
    refused_after(|bytes| bytes.truncate(60), "not a store").await;
    refused_after(|bytes| bytes[4096..].fill(0xa5), "corrupt").await;
    refused_after(|bytes| bytes[100..4096].fill(0), "corrupt").await;
}

#[tokio::test]
async fn another_database_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE entries (key TEXT); PRAGMA journal_mode = WAL; INSERT INTO entries VALUES ('a')")
        .unwrap();
    drop(other);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(refusal(&path).contains("another application"));
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn a_log_without_its_file_is_not_glued_to_a_new_one() {
    let (_folder, path) = closed().await;
    fs::remove_file(&path).unwrap();
    fs::write(beside(&path, "-wal"), b"something").unwrap();
    fs::set_permissions(beside(&path, "-wal"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(refusal(&path).contains("its log is still there"));
}

#[tokio::test]
async fn files_that_others_can_open_are_refused() {
    for suffix in ["", "-wal", "-shm", "-lock"] {
        for wide in [0o640, 0o604, 0o660, 0o601] {
            let (_folder, path) = closed().await;
            let file = beside(&path, suffix);
            fs::OpenOptions::new().append(true).create(true).open(&file).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(wide)).unwrap();
            let refused = refusal(&path);
            assert!(refused.contains(&format!("mode {wide:04o}")), "{refused}");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            Sqlite::open(&path).unwrap();
        }
    }
}

#[tokio::test]
async fn files_and_folder_are_the_owners_alone() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    storage.commit(put("a", b"1")).await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for suffix in ["", "-wal", "-shm", "-lock"] {
        assert_eq!(mode(&beside(&path, suffix)), 0o600, "{suffix}");
    }
    assert!(!beside(&path, "-new").exists());
}

#[tokio::test]
async fn a_store_half_made_is_made_again() {
    let (_folder, path) = place();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(beside(&path, "-new"), b"half").unwrap();
    let storage = Sqlite::open(&path).unwrap();
    storage.commit(put("a", b"1")).await.unwrap();
}

#[tokio::test]
async fn a_file_without_a_log_is_given_one() {
    let (_folder, path) = closed().await;
    let other = Connection::open(&path).unwrap();
    other.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    // A crash in the middle of a change: the journal is there and must be rolled back.
    other.execute_batch("PRAGMA cache_size = 1; BEGIN; DELETE FROM entries").unwrap();
    let (file, journal) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-journal")).unwrap());
    drop(other);
    fs::write(&path, file).unwrap();
    fs::write(beside(&path, "-journal"), journal).unwrap();
    fs::set_permissions(beside(&path, "-journal"), fs::Permissions::from_mode(0o600)).unwrap();
    let storage = Sqlite::open(&path).unwrap();
    assert_eq!(get(&storage, "a/49").unwrap().version, 50);
    storage.commit(put("b", b"")).await.unwrap();
    assert!(beside(&path, "-wal").exists() && !beside(&path, "-journal").exists());
}

#[tokio::test]
async fn a_second_open_is_refused_at_once() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    let link = path.with_file_name("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        assert_eq!(refusal(name), "the store is locked by another process");
    }
    storage.commit(put("a", b"1")).await.unwrap();
    drop(storage);
    assert_eq!(get(&Sqlite::open(&link).unwrap(), "a").unwrap().value, b"1");
}

#[tokio::test]
async fn everything_survives_closing() {
    let (_folder, path) = closed().await;
    assert!(!beside(&path, "-wal").exists(), "the log is folded in");
    let storage = Sqlite::open(&path).unwrap();
    assert_eq!(storage.position().unwrap(), 50);
    assert_eq!(get(&storage, "a/49"), Some(Row { version: 50, value: vec![7; 2000] }));
    assert!(matches!(storage.changes(49).await, Ok(Changes::Lost(50))), "an older process's feed is not known");
    assert_eq!(storage.commit(put("b", b"")).await.unwrap(), 51);
    assert!(matches!(storage.changes(50).await, Ok(Changes::Commits(all)) if all.len() == 1 && *all[0].keys == ["b"]));
}

#[tokio::test]
async fn what_was_queued_is_written_before_closing() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    let jobs = storage.jobs.clone().unwrap();
    for n in 0..1000 {
        // The answers are not waited for: their authors went away.
        let (answer, _) = oneshot::channel();
        jobs.send(Job { work: Work::Commit(put(&format!("{n}"), b"1")), answer }).await.ok().unwrap();
    }
    drop(jobs);
    drop(storage);
    assert_eq!(Sqlite::open(&path).unwrap().position().unwrap(), 1000);
}

#[tokio::test]
async fn a_last_reference_inside_an_update_does_not_hang() {
    let (_folder, path) = place();
    let storage = Arc::new(Sqlite::open(&path).unwrap());
    let jobs = storage.jobs.clone().unwrap();
    let (answer, answered) = oneshot::channel();
    let f: UpdateFn = Box::new(move |_| {
        let _keep = &storage;
        Ok(put("a", b"1"))
    });
    jobs.send(Job { work: Work::Update(Vec::new(), f), answer }).await.ok().unwrap();
    drop(jobs);
    assert_eq!(answered.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_failed_commit_is_unknown_and_the_next_one_works() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    let first = storage.commit(put("a", b"1")).await.unwrap();
    storage.told.faults.store(1, Ordering::SeqCst);
    assert!(matches!(storage.commit(put("a", b"2")).await, Err(Error::Unknown)));
    assert!(!*storage.failed().borrow());
    assert!(matches!(storage.changes(first).await, Ok(Changes::Lost(_))), "caches must not be trusted");
    assert_eq!(get(&storage, "a"), Some(Row { version: first, value: b"1".to_vec() }));
    let next = storage.commit(put("a", b"3")).await.unwrap();
    assert!(next > first + 1, "the lost commit's position does not come again");
    // One more, after a success: not in a row.
    storage.told.faults.store(1, Ordering::SeqCst);
    assert!(matches!(storage.commit(put("b", b"")).await, Err(Error::Unknown)));
    assert!(storage.commit(put("c", b"")).await.is_ok());
}

/// Work that writes `key`, says when it runs, and goes on when it is told to.
fn gate(key: &'static str) -> (Work, tokio::sync::mpsc::UnboundedReceiver<()>, std::sync::mpsc::Sender<()>) {
    let (runs, running) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let f: UpdateFn = Box::new(move |_| {
        runs.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        Ok(put(key, b"1"))
    });
    (Work::Update(Vec::new(), f), running, go)
}

#[tokio::test]
async fn a_failed_commit_is_unknown_to_its_whole_group() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    storage.commit(put("a", b"1")).await.unwrap();
    let jobs = storage.jobs.clone().unwrap();
    // A group takes what waits when it begins: the first gate is a group of its own, the second leads all the rest.
    let (alone, mut alone_runs, alone_goes) = gate("a");
    let (leader, mut leader_runs, leader_goes) = gate("b");
    let mut work = vec![leader];
    work.extend((0..10).map(|n| Work::Commit(put(&format!("c{n}"), b""))));
    work.push(Work::Commit(Batch { expects: vec![("a".into(), Expect::Absent)], changes: Vec::new() }));
    let (answer, before) = oneshot::channel();
    jobs.send(Job { work: alone, answer }).await.ok().unwrap();
    alone_runs.recv().await.unwrap();
    let mut answers = Vec::new();
    for work in work {
        let (answer, answered) = oneshot::channel();
        jobs.send(Job { work, answer }).await.ok().unwrap();
        answers.push(answered);
    }
    alone_goes.send(()).unwrap();
    before.await.unwrap().unwrap();
    leader_runs.recv().await.unwrap();
    storage.told.faults.store(1, Ordering::SeqCst);
    leader_goes.send(()).unwrap();
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Err(Error::Unknown)));
    }
    assert_eq!((get(&storage, "b"), get(&storage, "c9")), (None, None));
}

#[tokio::test]
async fn two_failures_in_a_row_end_writing_but_not_reading() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    storage.commit(put("a", b"1")).await.unwrap();
    let mut failed = storage.failed();
    storage.told.faults.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(storage.commit(put("a", b"2")).await, Err(Error::Unknown)));
    }
    failed.wait_for(|failed| *failed).await.unwrap();
    for _ in 0..3 {
        let refused = storage.commit(put("a", b"3")).await.unwrap_err();
        assert!(refused.to_string().starts_with("the store failed twice"), "{refused}");
        assert!(matches!(refused, Error::Unavailable(_)));
    }
    assert_eq!(get(&storage, "a").unwrap().value, b"1");
    drop(storage);
    assert!(Sqlite::open(&path).unwrap().commit(put("a", b"4")).await.is_ok());
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    let first = storage.commit(put("a", b"1")).await.unwrap();
    storage.told.pages.store(20, Ordering::SeqCst);
    storage.told.faults.store(1, Ordering::SeqCst);
    // The file is opened anew, with the bound.
    assert!(matches!(storage.commit(put("a", b"2")).await, Err(Error::Unknown)));
    for _ in 0..3 {
        let refused = storage.commit(put("b", &[0; 200_000])).await.unwrap_err();
        assert!(matches!(&refused, Error::Unavailable(text) if text == "the store is full"), "{refused}");
    }
    assert!(!*storage.failed().borrow(), "a full disk is not a failed one");
    assert_eq!(get(&storage, "a").unwrap().version, first);
    assert_eq!(get(&storage, "b"), None);
    assert!(storage.commit(put("c", b"small")).await.is_ok());
}

#[tokio::test]
async fn a_value_of_the_largest_size_is_kept() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    let mut value = vec![0; limits::VALUE_BYTES];
    value[limits::VALUE_BYTES - 1] = 9;
    storage.commit(put("large", &value)).await.unwrap();
    assert!(get(&storage, "large").unwrap().value == value);
    value.push(0);
    assert!(matches!(storage.commit(put("large", &value)).await, Err(Error::TooLarge)));
    let value = Arc::new(value);
    let f: UpdateFn = Box::new(move |_| Ok(put("large", &value)));
    assert!(matches!(storage.update(Vec::new(), f).await, Err(Error::TooLarge)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_mid_load_has_every_acknowledged_write() {
    let (folder, path) = place();
    let storage = Arc::new(Sqlite::open(&path).unwrap());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let load = tokio::spawn({
        let (storage, acknowledged) = (Arc::clone(&storage), Arc::clone(&acknowledged));
        async move {
            for n in 1..=3000u64 {
                storage.commit(put(&format!("k/{n:06}"), &[n as u8; 3000])).await.unwrap();
                acknowledged.store(n, Ordering::SeqCst);
            }
        }
    });
    for copy in 0..5 {
        // Each copy a little further on, the last ones past the first fold of the log.
        let goal = copy * 500 + 100;
        while acknowledged.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let to = folder.path().join(format!("copy{copy}.db"));
        let least = acknowledged.load(Ordering::SeqCst);
        // The file first, then the log: as after a kill, if no fold of the log came between.
        let (file, log) = loop {
            let before = fs::read(&path).unwrap();
            let log = fs::read(beside(&path, "-wal")).unwrap();
            if fs::read(&path).unwrap() == before {
                break (before, log);
            }
        };
        for (suffix, bytes) in [("", file), ("-wal", log)] {
            fs::write(beside(&to, suffix), bytes).unwrap();
            fs::set_permissions(beside(&to, suffix), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let opened = Sqlite::open(&to).unwrap();
        assert!(opened.position().unwrap() >= least);
        for n in 1..=least {
            assert!(get(&opened, &format!("k/{n:06}")).is_some(), "{n} of {least}");
        }
    }
    load.await.unwrap();
}

#[tokio::test]
async fn a_read_that_fails_or_panics_gives_its_connection_back() {
    let (_folder, path) = place();
    let storage = Sqlite::open(&path).unwrap();
    storage.commit(put("a", b"1")).await.unwrap();
    for _ in 0..50 {
        assert!(storage.read(&mut |_| Err(Error::Denied)).is_err());
        let panicking = || storage.read(&mut |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    }
    assert!(get(&storage, "a").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_readers_than_connections_wait_their_turn() {
    let (_folder, path) = place();
    let storage = Arc::new(Sqlite::open(&path).unwrap());
    storage.commit(put("a", b"1")).await.unwrap();
    let threads: Vec<_> = (0..40)
        .map(|_| {
            let storage = Arc::clone(&storage);
            std::thread::spawn(move || {
                for _ in 0..20 {
                    storage
                        .read(&mut |snapshot| {
                            std::thread::yield_now();
                            assert!(snapshot.get("a")?.is_some());
                            Ok(())
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
