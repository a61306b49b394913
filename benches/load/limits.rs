//! What the machine can do at most: bare axum, single commits of SQLite, ring's keys and signatures.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rusqlite::{Connection, params};

use crate::Result;

/// Bytes of a row that is committed: about an encrypted secret and its key.
const ROW_BYTES: usize = 512;
/// Bytes that are signed: about a certificate without its signature.
const SIGNED_BYTES: usize = 500;

/// Answers every read of a secret with the content of a file, says on which port, and ends when killed.
pub fn axum(body: &str) -> Result<ExitCode> {
    let body = Bytes::from(std::fs::read(body)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        axum::serve(listener, Router::new().route("/v1/secret/data/{name}", get(answer))).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Commits one row after the other for so long, and prints how many, and how many per second. The settings are those of
/// the store: a log ahead, and `synchronous = FULL`.
///
/// No row is ever written as it already stands there: SQLite notices, writes no page and flushes nothing. So the count
/// goes on where the round before ended, and the caller compares the number of commits with that of flushes.
pub fn commits(folder: &str, seconds: &str) -> Result<ExitCode> {
    let time = Duration::from_secs_f64(seconds.parse()?);
    let connection = Connection::open(Path::new(folder).join("limit.db"))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA mmap_size = 0; PRAGMA cache_size = -8192;
         CREATE TABLE IF NOT EXISTS entries (
             place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE COLLATE BINARY, version INTEGER NOT NULL, value BLOB NOT NULL
         ) STRICT;",
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO entries (key, version, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value",
    )?;
    let (mut begin, mut commit) = (connection.prepare("BEGIN IMMEDIATE")?, connection.prepare("COMMIT")?);
    let mut value = vec![0xa5; ROW_BYTES];
    let before: u32 = connection.query_row("SELECT coalesce(max(version), 0) FROM entries", [], |row| row.get(0))?;
    let (begun, mut count) = (Instant::now(), before);
    while begun.elapsed() < time {
        count += 1;
        value[..4].copy_from_slice(&count.to_le_bytes());
        let key = format!("{:032x}", (count % 1000).wrapping_mul(0x9e37_79b9));
        begin.execute([])?;
        insert.execute(params![key, count, value])?;
        commit.execute([])?;
    }
    let (made, elapsed) = (count - before, begun.elapsed());
    println!("{made} {:.1}", f64::from(made) / elapsed.as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

/// What one core is measured at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A key pair and a signature.
    Pair,
    /// A verification.
    Check,
    /// A verification and a signature.
    Verify,
    /// A signature.
    Sign,
}

/// How often one core does this in a second, with P-256.
pub fn one_core(work: Work, time: Duration) -> Result<f64> {
    if work == Work::Pair {
        return pairs(time);
    }
    let rng = SystemRandom::new();
    let message = [0x5a; SIGNED_BYTES];
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).map_err(|_| "ring refuses")?;
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &rng).map_err(|_| "ring refuses")?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let sign = || key.sign(&rng, &message).map_err(|_| "ring refuses");
    let once = sign()?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        let signature = if work == Work::Check { once } else { sign()? };
        if work != Work::Sign {
            public.verify(&message, signature.as_ref()).map_err(|_| "ring refuses")?;
        }
        std::hint::black_box(signature.as_ref());
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// P-256 key pairs, each with one signature, per second on all cores together: what a certificate costs at least.
pub fn keys(time: Duration) -> Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores).map(|_| std::thread::spawn(move || pairs(time))).collect();
    let mut rate = 0.0;
    for thread in threads {
        rate += thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(rate)
}

fn pairs(time: Duration) -> Result<f64> {
    let rng = SystemRandom::new();
    let message = [0x5a; SIGNED_BYTES];
    let unspecified = |_| "ring refuses";
    // The issuer's key signs; the new key is only made.
    let issuer = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).map_err(unspecified)?;
    let issuer =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, issuer.as_ref(), &rng).map_err(|_| "ring refuses")?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).map_err(unspecified)?;
        std::hint::black_box(made.as_ref());
        std::hint::black_box(issuer.sign(&rng, &message).map_err(unspecified)?.as_ref());
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
