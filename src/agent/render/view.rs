//! A template and what it sees of the outside.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Environment;
use crate::agent::config::{Source, TemplateConfig};
use crate::agent::file;
use crate::agent::store::Store;
use crate::agent::template::{Answer, Dependency, FileWrite, Functions, Host, Options, Template};

/// The most files that one template writes besides its own.
const WRITES_MAX: usize = 100;

/// Reads and parses a template's source.
pub(in crate::agent) fn parse(config: &TemplateConfig, functions: &Functions) -> Result<Template, String> {
    let options = Options {
        left: config.left.clone(),
        right: config.right.clone(),
        error_on_missing_key: config.error_on_missing_key,
    };
    let fewer = (!config.denied.is_empty()).then(|| functions.without(&config.denied));
    let functions = fewer.as_ref().unwrap_or(functions);
    match &config.source {
        Source::Inline(text, place) => {
            Template::parse(place, text, &options, functions).map_err(|error| error.to_string())
        }
        Source::File(path) => file::read(path)
            .map_err(|error| format!("{}: {error}", path.display()))
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", path.display())))
            .and_then(|text| {
                let name = path.display().to_string();
                Template::parse(&name, &text, &options, functions).map_err(|error| error.to_string())
            }),
    }
}

/// What a template sees of the outside.
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) used: BTreeSet<Dependency>,
    pub(super) environment: &'a Environment,
    pub(super) now: i64,
    pub(super) roots: &'a [PathBuf],
    pub(super) writes: Vec<FileWrite>,
    /// Files that are the agent's own.
    pub(super) private: &'a [PathBuf],
}

impl Host for View<'_> {
    fn lookup(&mut self, dependency: &Dependency) -> Answer {
        self.used.insert(dependency.clone());
        self.store.answer(dependency)
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.environment)(name).and_then(|value| value.into_string().ok())
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn file_roots(&self) -> &[PathBuf] {
        self.roots
    }

    /// Whoever writes a template chooses what it reads, and is not given what the agent logs in with. Compared is the file
    /// itself, whatever path led to it.
    fn may_read(&self, file: &File) -> bool {
        let Ok(there) = file.metadata() else { return false };
        let same = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|own| own.dev() == there.dev() && own.ino() == there.ino())
        };
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
        let of_process = path.strip_prefix("/proc").is_ok_and(|below| {
            let first = below.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
            first.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        });
        !of_process && !self.private.iter().any(same)
    }

    fn write_file(&mut self, write: FileWrite) -> Result<(), String> {
        let allowed = self.roots.iter().any(|root| write.path.starts_with(root) && write.path != *root);
        if !allowed {
            return Err("the path is not below an allowed folder (\"sandbox_path\")".to_owned());
        }
        if self.writes.len() == WRITES_MAX {
            return Err(format!("more than {WRITES_MAX} files"));
        }
        self.writes.push(write);
        Ok(())
    }
}
