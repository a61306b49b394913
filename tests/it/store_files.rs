//! Stores that cannot be used: a clear word, and the file as it was.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::process::Place;

/// A place with a store that has something in it.
async fn used() -> (Place, String, String) {
    let place = Place::new();
    let mut process = place.start().await;
    let share = process.init().await;
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    for n in 0..20 {
        process.http.put(&format!("kv/{n}"), json!({"k": "x".repeat(5000)})).await.ok();
    }
    let root = process.http.token().to_owned();
    process.kill().await;
    // Opened and closed in order, so that all is in the one file.
    drop(warifu::storage::sqlite::Sqlite::open(&place.store()).unwrap());
    (place, share, root)
}

async fn still_good(place: &Place, share: &str, root: &str) {
    let process = place.start().await;
    process.open(share).await;
    let http = process.http.with(root);
    for n in 0..20 {
        http.get(&format!("kv/{n}")).await.ok();
    }
    process.kill().await;
}

#[tokio::test]
async fn a_store_that_is_damaged_is_refused_and_left_as_it_is() {
    let (place, share, root) = used().await;
    let file = place.store();
    let good = std::fs::read(&file).unwrap();
    let damages: Vec<(&str, Vec<u8>)> = vec![
        ("truncated", good[..good.len() / 2].to_vec()),
        ("cut within a page", good[..good.len() - 100].to_vec()),
        ("not a store", b"this is a letter to my aunt\n".repeat(100)),
        ("zeros", vec![0; good.len()]),
    ];
    for (what, bytes) in damages {
        std::fs::write(&file, &bytes).unwrap();
        let words = place.refuses().await;
        assert!(
            words.contains("Error:") && words.contains(file.file_name().unwrap().to_str().unwrap()),
            "{what}: {words}"
        );
        assert!(!words.contains("panicked"), "{what}: {words}");
        assert!(std::fs::read(&file).unwrap() == bytes, "{what}: the file was touched");
    }
    std::fs::write(&file, &good).unwrap();
    still_good(&place, &share, &root).await;
}

#[tokio::test]
async fn a_store_of_a_newer_version_or_open_to_others_is_refused() {
    let (place, share, root) = used().await;
    let file = place.store();
    let good = std::fs::read(&file).unwrap();
    let newer = rusqlite::Connection::open(&file).unwrap();
    let version: i64 = newer.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    newer.pragma_update(None, "user_version", version + 1).unwrap();
    drop(newer);
    let words = place.refuses().await;
    assert!(words.contains("newer") || words.contains("version"), "{words}");
    std::fs::write(&file, &good).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let words = place.refuses().await;
    assert!(words.contains("other users") || words.contains("0600") || words.contains("mode"), "{words}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    still_good(&place, &share, &root).await;
}

#[tokio::test]
async fn what_the_server_makes_is_closed_to_others_whatever_the_umask() {
    let place = Place::new();
    let mut process = place.start().await;
    process.init().await;
    let mut seen = 0;
    let mut folders = vec![place.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{folder:?} {mode:o}");
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let facts = entry.metadata().unwrap();
            if facts.is_dir() {
                folders.push(entry.path());
            }
            assert_eq!(facts.permissions().mode() & 0o077, 0, "{:?} {:o}", entry.path(), facts.permissions().mode());
            seen += 1;
        }
    }
    assert!(seen > 0);
    process.kill().await;
}

#[tokio::test]
async fn a_store_belongs_to_one_process() {
    let place = Place::new();
    let mut process = place.start().await;
    process.init().await;
    let words = place.refuses().await;
    assert!(words.contains("another process") || words.contains("locked") || words.contains("in use"), "{words}");
    process.http.put("sys/mounts/kv", json!({"type": "kv"})).await.ok();
    process.kill().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused() {
    let place = Place::new();
    let config = place.folder.path().join("server.hcl");
    let text = std::fs::read_to_string(&config).unwrap();
    let data = place.folder.path().join("data");
    for bad in ["/proc/warifu/store", "/dev/null/store"] {
        std::fs::write(&config, text.replace(data.to_str().unwrap(), bad)).unwrap();
        let words = place.refuses().await;
        assert!(words.contains("Error:") && !words.contains("panicked"), "{words}");
    }
}
