//! What a process that holds secrets does about itself first: no core dumps, no debugger, no new rights, no open modes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Open files that the process asks for; connections are bounded below it.
const OPEN_FILES: u64 = 65_536;

/// Makes the process harder to look into, before it holds anything and before it has threads. What the system refuses is
/// a text for the log: it starts all the same.
#[must_use = "the warnings are for the log"]
pub fn harden() -> Vec<String> {
    let mut warnings = Vec::new();
    let mut tried = |what: &str, outcome: rustix::io::Result<()>| {
        if let Err(cause) = outcome {
            warnings.push(format!("{what}: {cause}"));
        }
    };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    tried("core dumps could not be turned off", setrlimit(Resource::Core, none));
    tried("the process can be traced and dumped", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    tried("children may gain rights", rustix::thread::set_no_new_privs(true));
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    warnings
}

/// The machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How many files may be open once [`raise_open_files`] has done what it can; none without limit.
pub fn open_files_at_most() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    limit.current.max(Some(limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES))).filter(|_| limit.current.is_some())
}

/// Raises the number of files that may be open to what the system allows, at most 65,536: the usual 1,024 are fewer than
/// the connections that a listener serves. Says what it is afterwards; none means without limit.
///
/// # Errors
/// A text for the log when the system refuses.
pub fn raise_open_files() -> Result<Option<u64>, String> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    match limit.current {
        Some(current) if current < wanted => {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
                .map_err(|cause| format!("only {current} files can be open: {cause}"))?;
            Ok(Some(wanted))
        }
        current => Ok(current),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CHILD: &str = "WARIFU_TEST_HARDENED";

    /// In a process of its own, for it cannot be undone.
    #[test]
    fn a_hardened_process_cannot_be_dumped_and_hides_its_files() {
        if std::env::var_os(CHILD).is_none() {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "base::process::tests::a_hardened_process_cannot_be_dumped_and_hides_its_files"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
            assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
            return;
        }
        assert_eq!(harden(), Vec::<String>::new());
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert!(matches!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable));
        assert!(rustix::thread::no_new_privs().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let raised = raise_open_files().unwrap();
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
    }
}
