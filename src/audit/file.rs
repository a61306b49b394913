//! The file below a device: opened without following a link, followed when it is rotated, appended to line by line.
//!
//! Everything here may block, so only a device's own thread calls it. A device that was made over the API must not
//! become a way to write into other files: the file is new, or a regular one of ours with one name and nobody's
//! right to execute it, and when the device is first enabled, empty or an audit log already.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, Stat, fallocate, fchmod, fcntl_setfl, fstat, openat, statat,
};

use super::chain::{Digest, End, end_of};
use super::config::{Plan, Target};

/// Where an audit log has shown that it is one: its first entry starts before.
const HEAD_BYTES: usize = 192;
/// How much of a file's end is looked at for its last line.
const TAIL_BYTES: u64 = 64 << 10;
/// Room for the first lines.
const ROOM_BYTES: u64 = 4096;

/// An open file, and where it hangs.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// Where the file hangs; none of standard output.
    place: Option<Place>,
    end: End,
    /// Of the last whole line that was there when the file was opened.
    last: Option<Digest>,
}

#[derive(Debug)]
struct Place {
    /// The folder, kept open: looking the name up again is then one short step.
    folder: OwnedFd,
    name: String,
    identity: (u64, u64),
}

impl Sink {
    /// Opens the file, or makes it. `first` is when an operator enables the device.
    ///
    /// # Errors
    /// What the system says, or `PermissionDenied` with a text that says which property of the file is wrong.
    pub(super) fn open(plan: &Plan, first: bool) -> io::Result<Self> {
        let (folder, name) = match &plan.target {
            Target::Discard => return Err(ErrorKind::Unsupported.into()),
            Target::Stdout => {
                let file = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
                return Ok(Self { file, place: None, end: End::Line, last: None });
            }
            Target::Below(directory, rest) => {
                // The folder itself is the configuration's: made when it is missing, and it may be a link.
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
                descend(directory, rest)?
            }
            Target::Anywhere(path) => {
                let parent = path.parent().unwrap_or(path);
                (openat(CWD, parent, FOLDER, Mode::empty())?, name_of(path)?)
            }
        };
        let devices = matches!(plan.target, Target::Anywhere(_));
        // Non-blocking, so that opening a FIFO does not wait for its other end; a regular file knows no such thing.
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match openat(&folder, name.as_str(), flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {
                openat(&folder, name.as_str(), flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o600))
            }
            other => other,
        };
        let file = File::from(fd.map_err(|error| match error {
            rustix::io::Errno::LOOP => refuse("the file is a link"),
            rustix::io::Errno::ISDIR => refuse("the file is a folder"),
            rustix::io::Errno::NXIO => refuse("the file is not a regular one"),
            other => other.into(),
        })?);
        let facts = file.metadata()?;
        let (mut end, mut last) = (End::Line, None);
        if facts.is_file() {
            admit(&file, &facts, first)?;
            let mode = plan.mode.unwrap_or(facts.mode() & 0o666);
            if facts.mode() & 0o7777 != mode {
                fchmod(&file, Mode::from_raw_mode(mode))?;
            }
            let mut tail = vec![0; usize::try_from(facts.len().min(TAIL_BYTES)).unwrap_or(0)];
            let from = facts.len() - tail.len() as u64;
            file.read_exact_at(&mut tail, from)?;
            (end, last) = end_of(&tail);
        } else if devices && facts.file_type().is_fifo() {
            // Its other end is held here too, so that a reader who comes back finds what was written meanwhile; while nobody
            // reads, writing waits, and only this device's thread with it.
            fcntl_setfl(&file, OFlags::APPEND)?;
        } else if !(devices && facts.file_type().is_char_device()) {
            return Err(refuse("the file is not a regular one"));
        }
        let place = Place { folder, name, identity: (facts.dev(), facts.ino()) };
        Ok(Self { file, place: Some(place), end, last })
    }

    /// Whether the file ends with a piece of a line.
    pub(super) fn is_torn(&self) -> bool {
        self.end == End::Torn
    }

    /// The digest of the last whole line that was there when the file was opened.
    pub(super) fn last_digest(&self) -> Option<Digest> {
        self.last
    }

    /// Whether the name still leads to this file.
    pub(super) fn is_in_place(&self) -> bool {
        // The widths of the fields differ between systems.
        #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
        let identity = |stat: &Stat| (stat.st_dev as u64, stat.st_ino as u64);
        let Some(place) = &self.place else { return true };
        statat(&place.folder, place.name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| identity(&stat) == place.identity)
    }

    /// Whether the file still has a name somewhere: what is written can be found.
    pub(super) fn has_a_name(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }

    /// Whether something can be written at all: a device that cannot would refuse every request from then on, that which
    /// disables it among them.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn has_room(&self) -> io::Result<()> {
        let facts = self.file.metadata()?;
        if facts.file_type().is_fifo() || self.place.is_none() {
            // Nobody may be reading yet.
            return Ok(());
        }
        if !facts.is_file() {
            // A character device has no room to ask for: it gets an empty line.
            return whole(&self.file, b"\n").1;
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, facts.len(), ROOM_BYTES) {
            // A file system that cannot say so will say it when the first line comes.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Appends lines, `ends` being where each one ends, and says how many of them are whole.
    pub(super) fn append(&mut self, bytes: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        if self.end != End::Line && !bytes.is_empty() {
            if let Err(error) = whole(&self.file, b"\n").1 {
                return (0, Err(error));
            }
            self.end = End::Line;
        }
        let (written, result) = whole(&self.file, bytes);
        let (lines, end) = lines_within(written, ends);
        if !bytes.is_empty() {
            self.end = end;
        }
        (lines, result)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Walks down one part at a time, so that no part can be a link, now or later.
fn descend(directory: &Path, rest: &Path) -> io::Result<(OwnedFd, String)> {
    let mut folder = openat(CWD, directory, FOLDER, Mode::empty())?;
    for part in rest.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else { return Err(refuse("the file is outside its folder")) };
        folder = openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok((folder, name_of(rest)?))
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.ok_or_else(|| refuse("the file has no name"))?.to_owned())
}

fn admit(file: &File, facts: &std::fs::Metadata, first: bool) -> io::Result<()> {
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse("the file belongs to another user"));
    }
    if facts.nlink() > 1 {
        return Err(refuse("the file has more than one name"));
    }
    if facts.mode() & 0o7111 != 0 {
        return Err(refuse("the file can be executed"));
    }
    if first && facts.len() > 0 {
        // Not when it is opened again: after a crash a file system may leave anything in it.
        let mut head = [0; HEAD_BYTES];
        let count = file.read_at(&mut head, 0)?;
        if !head[..count].windows(2).any(|pair| pair == b"{\"") {
            return Err(refuse("the file holds something else than an audit log"));
        }
    }
    Ok(())
}

/// How many lines so many bytes hold, and how they end. A line is whole without its break: the next one brings it.
fn lines_within(written: usize, ends: &[usize]) -> (usize, End) {
    let lines = ends.partition_point(|end| *end <= written);
    let whole = lines.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
    match ends.get(lines) {
        _ if written == whole => (lines, End::Line),
        Some(end) if *end == written + 1 => (lines + 1, End::Whole),
        _ => (lines, End::Torn),
    }
}

fn refuse(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

/// Writes all of it, or says how far it came.
fn whole(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::config::Rules;
    use super::super::config::tests::config;
    use super::*;

    fn plan(path: &Path, mode: &str, rules: &Rules) -> Plan {
        config("file", &[("file_path", path.to_str().unwrap()), ("mode", mode)]).plan(rules).unwrap()
    }

    fn below(folder: &Path) -> Rules {
        Rules { directory: Some(folder.to_owned()), ..Rules::default() }
    }

    fn anywhere() -> Rules {
        Rules { unsafe_anywhere: true, ..Rules::default() }
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_not_a_plain_file_of_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("target"), "").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::from_raw_mode(0o600)).unwrap();
        fs::write(at("linked"), "").unwrap();
        fs::hard_link(at("linked"), at("second-name")).unwrap();
        fs::write(at("run"), "").unwrap();
        fs::set_permissions(at("run"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("store.db"), "SQLite format 3\0").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for rules in [below(folder.path()), anywhere()] {
            let fifo = (!rules.unsafe_anywhere).then_some("fifo");
            for name in
                ["link", "dangling", "folder", "second-name", "run", "store.db", "socket"].into_iter().chain(fifo)
            {
                let error = Sink::open(&plan(&at(name), "0600", &rules), true).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{name}: {error}");
            }
        }
        // A pipe is for those who may write anywhere.
        assert!(Sink::open(&plan(&at("fifo"), "0600", &anywhere()), true).is_ok());
        assert!(!at("nowhere").exists());
        assert_eq!(fs::read(at("store.db")).unwrap(), b"SQLite format 3\0");
    }

    #[test]
    fn no_part_of_the_way_may_be_a_link() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(other.path(), folder.path().join("way")).unwrap();
        let path = folder.path().join("way/a.log");
        assert!(Sink::open(&plan(&path, "0600", &below(folder.path())), true).is_err());
        assert!(Sink::open(&plan(&folder.path().join("no/a.log"), "0600", &below(folder.path())), true).is_err());
        assert!(!other.path().join("a.log").exists());
        assert!(Sink::open(&plan(&path, "0600", &anywhere()), true).is_ok());
    }

    #[test]
    fn devices_are_for_those_who_may_write_anywhere() {
        let rules = below(Path::new("/dev"));
        assert!(Sink::open(&plan(Path::new("/dev/full"), "0600", &rules), true).is_err());
        assert!(Sink::open(&plan(Path::new("/dev/full"), "0600", &anywhere()), true).is_ok());
    }

    #[test]
    fn the_mode_is_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub").join("a.log");
        let rules = below(path.parent().unwrap());
        drop(Sink::open(&plan(&path, "0640", &rules), true).unwrap());
        assert_eq!((mode_of(&path), mode_of(path.parent().unwrap())), (0o640, 0o700));
        drop(Sink::open(&plan(&path, "0000", &rules), true).unwrap());
        assert_eq!(mode_of(&path), 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        drop(Sink::open(&plan(&path, "0600", &rules), true).unwrap());
        assert_eq!(mode_of(&path), 0o600);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "{\"torn").unwrap();
        let mut sink = Sink::open(&plan(&path, "0600", &below(folder.path())), true).unwrap();
        let (lines, result) = sink.append(b"one\ntwo\n", &[4, 8]);
        assert!(result.is_ok() && lines == 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"torn\none\ntwo\n");
    }

    #[test]
    fn a_partial_write_counts_whole_lines_only() {
        let cases = [
            (0, (0, End::Line)),
            (2, (0, End::Torn)),
            (3, (1, End::Whole)),
            (4, (1, End::Line)),
            (5, (1, End::Torn)),
            (7, (2, End::Whole)),
            (8, (2, End::Line)),
        ];
        for (written, expected) in cases {
            assert_eq!(lines_within(written, &[4, 8]), expected);
        }
        // An empty line is written as soon as what stands before it is.
        assert_eq!(lines_within(0, &[0, 4]), (1, End::Line));
    }

    #[test]
    fn a_file_that_is_moved_or_removed_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("b.log"));
        let sink = Sink::open(&plan(&path, "0600", &below(folder.path())), true).unwrap();
        assert!(sink.is_in_place() && sink.has_a_name());
        fs::rename(&path, &moved).unwrap();
        assert!(!sink.is_in_place() && sink.has_a_name());
        fs::remove_file(&moved).unwrap();
        assert!(!sink.has_a_name());
    }
}
