//! Writing files that others read: whole or not at all, with their final mode and owner from the first moment.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, fchown, openat, renameat, unlinkat};

use super::config::Destination;
use super::template::FileWrite;
use crate::base::Rng;

/// The largest file that is read: a token, an id, a template, what was rendered before.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Whether a write changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// There is a new content.
    Changed,
    /// The file had it already.
    Same,
}

/// Puts content in place, unless it is there. The owner is looked up each time: it may come to be later.
pub(super) fn put(destination: &Destination, content: &[u8], rng: &dyn Rng) -> io::Result<Written> {
    let owner = (
        destination.user.as_deref().map(|name| id_of(name, "/etc/passwd")).transpose()?.map(Uid::from_raw),
        destination.group.as_deref().map(|name| id_of(name, "/etc/group")).transpose()?.map(Gid::from_raw),
    );
    let folder = Folder::open(&destination.path, destination.create_folders)?;
    let mode = Mode::from_raw_mode(destination.mode);
    if let Ok(mut existing) = folder.open_file(&folder.name) {
        let mut old = Vec::new();
        Read::take(&mut existing, FILE_BYTES_MAX).read_to_end(&mut old)?;
        if old == content {
            // Permissions may have been changed in the configuration; the content is not touched for that. Wider ones are
            // for the new owner and not for the old.
            fchown(&existing, owner.0, owner.1)?;
            if existing.metadata()?.permissions_mode() & 0o7777 != destination.mode {
                fchmod(&existing, mode)?;
            }
            return Ok(Written::Same);
        }
        if destination.backup {
            let name = format!("{}.bak", folder.name);
            folder.replace(&name, &old, mode, owner, rng)?;
        }
    }
    folder.replace(&folder.name, content, mode, owner, rng)?;
    Ok(Written::Changed)
}

/// Writes a file of our own owner, as a cache.
pub(super) fn put_private(path: &Path, content: &[u8], mode: u32, rng: &dyn Rng) -> io::Result<()> {
    put_owned(path, content, mode, (None, None), rng)
}

/// Writes a file of this owner and group, each our own if not given, as a sink.
pub(super) fn put_owned(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: (Option<u32>, Option<u32>),
    rng: &dyn Rng,
) -> io::Result<()> {
    let folder = Folder::open(path, false)?;
    let owner = (owner.0.map(Uid::from_raw), owner.1.map(Gid::from_raw));
    folder.replace(&folder.name, content, Mode::from_raw_mode(mode), owner, rng)
}

/// Writes what a template's `writeToFile` asks for, below a folder and through no link.
pub(super) fn put_below(root: &Path, write: &FileWrite, rng: &dyn Rng) -> io::Result<()> {
    let outside = || io::Error::other("the path leads out of the allowed folder");
    let below = write.path.strip_prefix(root).map_err(|_| outside())?;
    let mut parts = Vec::new();
    for part in below.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name),
            _ => return Err(outside()),
        }
    }
    let (name, folders) = parts.split_last().ok_or_else(outside)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut fd = openat(rustix::fs::CWD, root, flags, Mode::empty())?;
    for folder in folders {
        match rustix::fs::mkdirat(&fd, *folder, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        fd = openat(&fd, *folder, flags | OFlags::NOFOLLOW, Mode::empty())?;
    }
    let name = name.to_str().ok_or_else(|| io::Error::other("no name of a file"))?;
    let folder = Folder { fd, name: name.to_owned() };
    let mut old = Vec::new();
    if let Ok(mut existing) = folder.open_file(&folder.name) {
        Read::take(&mut existing, FILE_BYTES_MAX).read_to_end(&mut old)?;
    }
    let mut content = if write.append { old.clone() } else { Vec::new() };
    content.extend_from_slice(&write.content);
    if content == old || write.append && old.ends_with(&write.content) {
        return Ok(());
    }
    let given = |name: &str, file| if name.is_empty() { Ok(None) } else { id_of(name, file).map(Some) };
    let owner =
        (given(&write.user, "/etc/passwd")?.map(Uid::from_raw), given(&write.group, "/etc/group")?.map(Gid::from_raw));
    folder.replace(name, &content, Mode::from_raw_mode(write.mode), owner, rng)
}

/// Reads a file of bounded size.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("the file is too large"));
    }
    let mut bytes = Vec::new();
    Read::take(&mut file, FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a line of text, such as an id, without the space around it.
pub(super) fn read_line(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?).map_err(|_| io::Error::other("the file is not UTF-8"))?;
    let line = text.trim();
    if line.is_empty() { Err(io::Error::other("the file is empty")) } else { Ok(line.to_owned()) }
}

/// The folder of a file, held open, so that the rename happens where the temporary file was made.
struct Folder {
    fd: OwnedFd,
    name: String,
}

impl Folder {
    fn open(path: &Path, create: bool) -> io::Result<Folder> {
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or_else(|| io::Error::other("no name of a file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if create && !parent.exists() {
            std::fs::create_dir_all(parent)?;
        }
        let fd = openat(rustix::fs::CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Folder { fd, name: name.to_owned() })
    }

    /// An existing regular file, never through a link.
    fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    fn replace(
        &self,
        name: &str,
        content: &[u8],
        mode: Mode,
        owner: (Option<Uid>, Option<Gid>),
        rng: &dyn Rng,
    ) -> io::Result<()> {
        let mut random = [0; 8];
        rng.fill(&mut random);
        let temporary = format!(".{}.{}", name.chars().take(64).collect::<String>(), hex::encode(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody else may open it before its mode and owner are final.
        let mut file = File::from(openat(&self.fd, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
        let done = (|| {
            file.write_all(content)?;
            if owner.0.is_some() || owner.1.is_some() {
                fchown(&file, owner.0, owner.1)?;
            }
            fchmod(&file, mode)?;
            file.sync_data()?;
            renameat(&self.fd, &temporary, &self.fd, name)?;
            Ok(())
        })();
        if done.is_err() {
            let _ = unlinkat(&self.fd, &temporary, AtFlags::empty());
        }
        done
    }
}

/// The number of a user or group: itself, or as the file of names has it.
pub(super) fn id_of(name: &str, file: &str) -> io::Result<u32> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let names = std::fs::read_to_string(file)?;
    let found = names.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| io::Error::other(format!("no \"{name}\" in {file}")))
}

trait ModeOf {
    fn permissions_mode(&self) -> u32;
}

impl ModeOf for std::fs::Metadata {
    fn permissions_mode(&self) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&self.permissions())
    }
}

/// A file that is removed when this is dropped, such as a pid file.
pub(super) struct Removed(pub(super) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::testing::Seeded;

    fn destination(path: PathBuf) -> Destination {
        Destination { path, mode: 0o640, user: None, group: None, create_folders: true, backup: false }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions_mode() & 0o7777
    }

    fn entries(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_place_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let rng = Seeded::new(1);
        // A folder stands where the file should be: the rename fails after the temporary file was made.
        std::fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(put(&destination(folder.path().join("taken")), b"x", &rng).is_err());
        assert_eq!(entries(folder.path()), 1);
        let file = folder.path().join("file");
        std::fs::write(&file, "good").unwrap();
        assert!(put(&destination(file.join("below")), b"x", &rng).is_err());
        assert!(
            put(&Destination { user: Some("no such user".to_owned()), ..destination(file.clone()) }, b"x", &rng)
                .is_err()
        );
        let no_folder = Destination { create_folders: false, ..destination(folder.path().join("none/file")) };
        assert!(put(&no_folder, b"x", &rng).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"good");
        assert_eq!(entries(folder.path()), 2);
    }

    /// openbao#3733, openbao#2851, vault#13406: owner and mode are final before anybody can open it by its name.
    #[test]
    fn whoever_looks_sees_a_whole_file_of_its_owner_or_one_that_is_closed_to_him() {
        use std::os::unix::fs::MetadataExt;
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let (path, rng) = (folder.path().join("sink"), Seeded::new(1));
        // Only root can give a file away.
        let other = rustix::process::geteuid().is_root().then_some(65534);
        let owner = other.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let over = AtomicBool::new(false);
        let looks = std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) {
                    for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
                        // It may be gone by now.
                        let Ok(there) = entry.metadata() else { continue };
                        let mode = there.mode() & 0o7777;
                        let is_final = (there.uid(), mode) == (owner, 0o640);
                        let is_closed = mode == 0o600 && entry.file_name() != "sink";
                        assert!(is_final || is_closed, "{:?} {} {mode:o}", entry.file_name(), there.uid());
                        if entry.file_name() == "sink" {
                            assert_eq!(std::fs::read(entry.path()).unwrap().len(), 10_000);
                            looks += 1;
                        }
                    }
                }
                looks
            });
            for n in 0..200_u8 {
                put_owned(&path, &vec![n; 10_000], 0o640, (other, other), &rng).unwrap();
            }
            over.store(true, Ordering::Relaxed);
            looker.join().unwrap()
        });
        assert!(looks > 0 && entries(folder.path()) == 1);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "untouched").unwrap();
        let place = folder.path().join("place");
        std::os::unix::fs::symlink(&outside, &place).unwrap();
        assert_eq!(put(&destination(place.clone()), b"untouched", &Seeded::new(1)).unwrap(), Written::Changed);
        assert!(std::fs::symlink_metadata(&place).unwrap().is_file());
        put(&destination(place), b"new", &Seeded::new(2)).unwrap();
        assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
    }

    #[test]
    fn only_a_change_is_written_and_the_mode_is_final() {
        let folder = tempfile::tempdir().unwrap();
        let rng = Seeded::new(1);
        let place = destination(folder.path().join("a/b/file"));
        assert_eq!(put(&place, b"one", &rng).unwrap(), Written::Changed);
        assert_eq!(mode(&place.path), 0o640);
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
        let before = inode(&place.path);
        let tighter = Destination { mode: 0o600, ..place.clone() };
        assert_eq!(put(&tighter, b"one", &rng).unwrap(), Written::Same);
        assert_eq!((inode(&place.path), mode(&place.path)), (before, 0o600));
        let backed = Destination { backup: true, ..place.clone() };
        assert_eq!(put(&backed, b"two", &rng).unwrap(), Written::Changed);
        assert_eq!(std::fs::read(folder.path().join("a/b/file.bak")).unwrap(), b"one");
        assert_eq!(std::fs::read(&place.path).unwrap(), b"two");
        assert_eq!(entries(&folder.path().join("a/b")), 2);
    }

    #[test]
    fn a_write_stays_below_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (root, rng) = (folder.path().join("root"), Seeded::new(1));
        std::fs::create_dir_all(&root).unwrap();
        let write = |path: PathBuf, append| FileWrite {
            path,
            user: String::new(),
            group: String::new(),
            mode: 0o640,
            append,
            content: b"x".to_vec(),
        };
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        for bad in [outside.join("f"), root.join("../outside/f"), root.join("link/f"), root.clone(), "f".into()] {
            assert!(put_below(&root, &write(bad.clone(), false), &rng).is_err(), "{}", bad.display());
        }
        assert_eq!(entries(&outside), 0);
        let place = root.join("a/b");
        put_below(&root, &write(place.clone(), false), &rng).unwrap();
        assert_eq!((std::fs::read(&place).unwrap(), mode(&place)), (b"x".to_vec(), 0o640));
        // A rendering that is repeated does not append again.
        put_below(&root, &write(place.clone(), true), &rng).unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"x");
    }

    #[test]
    fn names_become_numbers() {
        assert_eq!(id_of("root", "/etc/passwd").unwrap(), 0);
        assert_eq!(id_of("1234", "/etc/passwd").unwrap(), 1234);
        assert!(id_of("no such user", "/etc/passwd").is_err());
    }
}
