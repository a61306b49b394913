//! Where `login` leaves its token: `.vault-token` in the home folder, readable by its owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::failure::{Failure, Outcome};
use crate::base::Secret;

/// The name that Vault's clients share.
const NAME: &str = ".vault-token";
/// No token is longer: servers take headers of 8 KiB at most.
const TOKEN_BYTES_MAX: u64 = 8 * 1024;

/// The file, whether it exists or not.
#[derive(Debug, Clone)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The file in this home folder.
    pub fn within(home: &Path) -> Self {
        Self(home.join(NAME))
    }

    /// The token that was left there, if any.
    pub fn load(&self) -> Outcome<Option<Secret<String>>> {
        let mut text = Secret::new(String::new());
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(self.trouble("reading", &err)),
        };
        file.take(TOKEN_BYTES_MAX + 1)
            .read_to_string(text.reveal_mut())
            .map_err(|err| self.trouble("reading", &err))?;
        if text.reveal().len() as u64 > TOKEN_BYTES_MAX {
            return Err(Failure::local(format!("\"{}\" is too long to hold a token", self.0.display())));
        }
        let token = Secret::new(text.reveal().trim().to_owned());
        Ok((!token.reveal().is_empty()).then_some(token))
    }

    /// Leaves a token there, in one step: a reader sees the old one or this one.
    pub fn store(&self, token: &Secret<String>, unique: u64) -> Outcome {
        let beside = self.0.with_file_name(format!("{NAME}.{unique:016x}"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(token.reveal().as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.0)
        };
        write().map_err(|err| {
            // Whatever was left half-written is ours alone.
            let _ = fs::remove_file(&beside);
            self.trouble("writing", &err)
        })
    }

    fn trouble(&self, doing: &str, err: &io::Error) -> Failure {
        Failure::local(format!("Error {doing} the token file \"{}\": {err}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn token(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn troubles_name_the_file_and_no_token() {
        let file = TokenFile::within(Path::new("/absent/folder"));
        assert!(file.load().unwrap().is_none());
        let failure = file.store(&token("hvs.secret"), 1).unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains(".vault-token") && !text.contains("hvs.secret"), "{text}");

        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::within(dir.path());
        fs::write(&file.0, "x".repeat(TOKEN_BYTES_MAX as usize + 1)).unwrap();
        assert!(file.load().is_err());
        fs::write(&file.0, " \n").unwrap();
        assert!(file.load().unwrap().is_none());
    }

    #[test]
    fn a_token_is_kept_for_its_owner_only_even_over_a_wider_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::within(dir.path());
        fs::write(&file.0, "old").unwrap();
        fs::set_permissions(&file.0, fs::Permissions::from_mode(0o644)).unwrap();
        file.store(&token("hvs.new"), 1).unwrap();
        assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.load().unwrap().unwrap().reveal(), "hvs.new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::within(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        symlink(&elsewhere, &file.0).unwrap();
        file.store(&token("hvs.new"), 1).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
    }
}
