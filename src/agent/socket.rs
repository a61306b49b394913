//! A Unix socket of ours: taken in place of one that an earlier agent left, with its mode and owner.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use tokio::net::UnixListener;

use super::config::Socket;
use super::file::id_of;

/// How long to wait after a connection could not be accepted: the host may be out of descriptors for a while.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes the socket.
///
/// # Errors
/// Another agent listens there, or the place cannot be used.
pub(super) fn bind(socket: &Socket) -> Result<UnixListener, String> {
    let path = &socket.path;
    let wrong = |error: &dyn std::fmt::Display| format!("socket {}: {error}", path.display());
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(wrong(&"something that is no socket is in its place"));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(wrong(&"somebody listens there already"));
        }
        std::fs::remove_file(path).map_err(|error| wrong(&error))?;
    }
    let id = |name: &Option<String>, file| match name.as_deref() {
        None | Some("") => Ok(None),
        Some(name) => id_of(name, file).map(Some).map_err(|error| wrong(&error)),
    };
    let (user, group) = (id(&socket.user, "/etc/passwd")?, id(&socket.group, "/etc/group")?);
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(|error| wrong(&error))?;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group).map_err(|error| wrong(&error))?;
    }
    let mode = std::fs::Permissions::from_mode(socket.mode);
    std::fs::set_permissions(path, mode).map_err(|error| wrong(&error))?;
    listener.set_nonblocking(true).map_err(|error| wrong(&error))?;
    UnixListener::from_std(listener).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[tokio::test]
    async fn a_socket_takes_the_place_of_a_dead_one_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let own = rustix::process::geteuid().as_raw().to_string();
        let socket = Socket { path: path.clone(), mode: 0o640, user: Some(own.clone()), group: None };
        std::fs::write(&path, "kept").unwrap();
        assert!(bind(&socket).unwrap_err().contains("no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        std::fs::remove_file(&path).unwrap();
        let stranger = Socket { user: Some("no such user".to_owned()), ..socket.clone() };
        assert!(bind(&stranger).unwrap_err().contains("no such user") && !path.exists());
        let first = bind(&socket).unwrap();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.mode() & 0o777, there.uid().to_string()), (0o640, own));
        assert!(bind(&socket).unwrap_err().contains("listens there already"));
        drop(first);
        bind(&socket).unwrap();
    }
}
