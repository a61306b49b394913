//! The store's file: whose it is, who may see it, and how connections to it are opened.
//!
//! A file is looked at before SQLite is, so that one which is refused stays as it was. It is never opened by other means
//! while SQLite has it open: closing it would drop SQLite's locks. Beside it lie SQLite's `-wal` and `-shm`, and `-lock`,
//! whose lock says that a process uses the store.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::Version;
use super::super::batch::KEY_BYTES;
use crate::base::{Error, Result, limits};

/// `wrfu`, in the file's header.
const APPLICATION: u32 = 0x7772_6675;
/// The newest schema that is understood, in the file's header.
const SCHEMA: u32 = 1;
/// Files up to this size, in bytes, are checked whole when they are opened: some milliseconds.
const CHECK_BYTES: u64 = 8 << 20;
/// What the log keeps of the disk when it starts over.
const LOG_KEEP_BYTES: u32 = 32 << 20;
/// Page cache of the writing connection, in KiB.
const WRITER_CACHE: usize = 8 << 10;
/// Without it, commits would stop all readers, and durability would not be what `writer.rs` says.
const NO_LOG: &str = "lies on a file system that cannot keep a write-ahead log";
/// How long a statement waits for a lock of another process, say a backup.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// The file, and the proof that no other process uses it.
pub struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Locks the store at `path`, checks it, and makes it if it is not there.
    pub fn take(path: &Path) -> Result<Self> {
        let path = locate(path)?;
        let lock = lock(&path)?;
        let place = Self { path, _lock: lock };
        for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
            private(&place.beside(suffix))?;
        }
        match fs::metadata(&place.path) {
            Ok(_) => place.check()?,
            Err(cause) if cause.kind() == ErrorKind::NotFound => place.make()?,
            Err(cause) => return Err(cannot(&place.path, "looked at", &cause)),
        }
        Ok(place)
    }

    /// Opens a connection that writes: to the store, or from its log to its file.
    pub fn writing(&self) -> Result<Connection> {
        let open = || {
            let connection = Connection::open_with_flags(&self.path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
            configure(&connection, WRITER_CACHE)?;
            let logs = log_ahead(&connection)?;
            connection.execute_batch(&format!(
                "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {LOG_KEEP_BYTES};"
            ))?;
            Ok::<_, rusqlite::Error>((connection, logs))
        };
        let (connection, logs) = open().map_err(|cause| self.refuse(cause))?;
        if !logs {
            return Err(self.invalid(NO_LOG));
        }
        Ok(connection)
    }

    /// Opens a connection that reads, with a page cache of so many KiB.
    pub fn reading(&self, cache: usize) -> Result<Connection> {
        let open = || {
            let connection = Connection::open_with_flags(&self.path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
            configure(&connection, cache)?;
            connection.execute_batch("PRAGMA query_only = ON")?;
            // What the file itself says, not what the writer believes.
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((connection, mode == "wal"))
        };
        let (connection, logs) = open().map_err(|cause| self.refuse(cause))?;
        if logs { Ok(connection) } else { Err(self.invalid(NO_LOG)) }
    }

    /// How long the log is, in bytes.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(self.beside("-wal")).map_or(0, |log| log.len())
    }

    /// What it means that SQLite cannot open the file or read its first rows.
    pub fn refuse(&self, cause: rusqlite::Error) -> Error {
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => self.invalid(&format!("is corrupt: {cause}")),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => locked(),
            Some(ErrorCode::DiskFull) => Error::Unavailable("the store is full".into()),
            _ => Error::internal(format_args!("the store {:?}: {cause}", self.path)),
        }
    }

    fn invalid(&self, what: &str) -> Error {
        Error::invalid(format!("the store {:?} {what}", self.path))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn check(&self) -> Result<()> {
        let mut header = [0; 100];
        let mut file = File::open(&self.path).map_err(|cause| cannot(&self.path, "read", &cause))?;
        let bytes = file.metadata()?.len();
        if bytes == 0 {
            return Err(self.invalid("is empty: it was truncated, or never was a store"));
        }
        let read = file.read_exact(&mut header);
        drop(file);
        if read.is_err() || !header.starts_with(b"SQLite format 3\0") {
            return Err(self.invalid("is not a store of this server"));
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(68) != APPLICATION {
            return Err(self.invalid("belongs to another application"));
        }
        let schema = word(60);
        if schema > SCHEMA {
            let what =
                format!("was written by a newer version of this server: schema {schema}, this one knows {SCHEMA}");
            return Err(self.invalid(&what));
        }
        // A page size of 1 stands for 65,536, which does not fit.
        let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
            1 => 65_536,
            page => page,
        };
        // While a log waits to be folded in, the file may be shorter than its header says.
        if self.log_bytes() == 0 && u64::from(word(28)) * page > bytes {
            return Err(self.invalid("is truncated"));
        }
        self.look(bytes)
            .map_err(|cause| self.refuse(cause))?
            .map_or(Ok(()), |what| Err(self.invalid(&format!("is corrupt: {what}"))))
    }

    /// Reads what every store has, and all of a small one, without changing the file.
    fn look(&self, bytes: u64) -> rusqlite::Result<Option<String>> {
        // A journal is what a crash left behind in a file without a log; SQLite must roll it back before it reads.
        let access = match self.beside("-journal").exists() {
            true => OpenFlags::SQLITE_OPEN_READ_WRITE,
            false => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let connection = Connection::open_with_flags(&self.path, flags(access))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        configure(&connection, WRITER_CACHE)?;
        if let Err(cause) = position(&connection) {
            return match cause.sqlite_error_code() {
                // A table is missing, or its row is.
                None | Some(ErrorCode::Unknown) => Ok(Some(cause.to_string())),
                _ => Err(cause),
            };
        }
        if bytes > CHECK_BYTES {
            return Ok(None);
        }
        let answer: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((answer != "ok").then_some(answer))
    }

    /// Makes the file under another name, so that it is whole or absent whatever happens.
    ///
    /// Keys are as good as random, so whatever lies in their order is written to as many pages as there are rows. Values
    /// therefore lie in the order in which they came, many to a page, and only the index is in the order of keys.
    fn make(&self) -> Result<()> {
        if self.log_bytes() > 0 {
            return Err(self.invalid("is gone, but its log is still there: put the file back, or remove the log"));
        }
        let new = self.beside("-new");
        for suffix in ["-new", "-new-journal", "-new-wal", "-new-shm"] {
            let leftover = self.beside(suffix);
            match fs::remove_file(&leftover) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cannot(&leftover, "removed", &cause)),
                _ => {}
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let file = file.map_err(|cause| cannot(&new, "made", &cause))?;
        // The umask may have taken away what the owner needs. SQLite gives its own files the mode of this one.
        file.set_permissions(Permissions::from_mode(0o600))?;
        drop(file);
        let build = || {
            let connection = Connection::open_with_flags(&new, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
            connection.execute_batch(&format!(
                "PRAGMA synchronous = EXTRA;
                 BEGIN EXCLUSIVE;
                 PRAGMA application_id = {APPLICATION};
                 PRAGMA user_version = {SCHEMA};
                 CREATE TABLE entries (
                     place INTEGER PRIMARY KEY,
                     key TEXT NOT NULL UNIQUE COLLATE BINARY,
                     version INTEGER NOT NULL,
                     value BLOB NOT NULL
                 ) STRICT;
                 CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL) STRICT;
                 INSERT INTO meta VALUES (1, 0);
                 COMMIT;"
            ))?;
            let logs = log_ahead(&connection)?;
            connection.close().map_err(|(_, cause)| cause)?;
            Ok::<_, rusqlite::Error>(logs)
        };
        if !build().map_err(|cause| self.refuse(cause))? {
            return Err(self.invalid(NO_LOG));
        }
        fs::rename(&new, &self.path).map_err(|cause| cannot(&self.path, "made", &cause))?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all().map_err(|cause| cannot(folder, "flushed", &cause))
    }
}

/// The position of the last commit in the file.
pub fn position(connection: &Connection) -> rusqlite::Result<Version> {
    connection.query_row("SELECT position FROM meta WHERE one = 1", [], |row| number(row, 0))
}

/// A version in a column.
pub fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Version> {
    let number: i64 = row.get(column)?;
    Version::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Makes the file keep a write-ahead log; false if it cannot.
fn log_ahead(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    // To the end: the change is committed after the row, and a failure of that commit is told only then.
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode == "wal")
}

fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_EXRESCODE
}

/// What all connections have: no trust in the file, little memory, nothing of it on the disk elsewhere.
fn configure(connection: &Connection, cache: usize) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    let longest = i32::try_from(limits::VALUE_BYTES + KEY_BYTES + 1024).unwrap_or(i32::MAX);
    connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, longest)?;
    connection.execute_batch(&format!(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{cache};"
    ))
}

/// The file's real place. Its folder is made if it is absent.
fn locate(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::invalid(format!("the store {path:?} is not the name of a file")));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.exists() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|cause| cannot(folder, "made", &cause))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let folder = folder.canonicalize().map_err(|cause| cannot(folder, "reached", &cause))?;
    let path = folder.join(name);
    // Two names of one file must meet at one lock.
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => path.canonicalize().map_err(|cause| cannot(&path, "reached", &cause)),
        _ => Ok(path),
    }
}

fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let name = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&name).map_err(|cause| cannot(&name, "opened", &cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(locked()),
        Err(TryLockError::Error(cause)) => Err(cannot(&name, "locked", &cause)),
    }
}

fn locked() -> Error {
    Error::Unavailable("the store is locked by another process".into())
}

fn cannot(path: &Path, done: &str, cause: &std::io::Error) -> Error {
    Error::Unavailable(format!("the store: {path:?} cannot be {done}: {cause}"))
}

/// Refuses a file that others than its owner can open.
fn private(path: &Path) -> Result<()> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cannot(path, "looked at", &cause)),
    };
    if !found.is_file() {
        return Err(Error::invalid(format!("the store: {path:?} is not a plain file")));
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("the store: {path:?} is open to other users (mode {mode:04o}); its mode must be 0600");
        return Err(Error::invalid(text));
    }
    Ok(())
}
