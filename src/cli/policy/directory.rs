//! A directory of policies: `NAME.hcl` or `NAME.json` each, and assertions in `tests/`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    base::limits,
    cli::failure::{Failure, Outcome},
    policy,
};

/// A policy's file.
pub struct Source {
    /// Where it lies.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
}

/// The policies of a directory by their names.
pub type Directory = BTreeMap<String, Source>;

/// Reads the policies of a directory, or the one of a file.
pub fn read(path: &Path) -> Outcome<Directory> {
    let files = if path.is_dir() { files(path)? } else { vec![path.to_owned()] };
    let mut directory = Directory::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().trim().to_lowercase();
        let text = text(&file)?;
        if let Some(other) = directory.insert(name.clone(), Source { file: file.clone(), text }) {
            let (one, two) = (other.file.display(), file.display());
            return Err(Failure::Local(format!("the policy \"{name}\" has two files: \"{one}\" and \"{two}\"")));
        }
    }
    if directory.is_empty() {
        return Err(Failure::Local(format!("\"{}\" has no policies: no *.hcl and no *.json", path.display())));
    }
    Ok(directory)
}

/// The files of a directory that can be read as HCL or JSON, sorted; those of folders within are not among them.
pub fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |err| Failure::Local(format!("Error reading \"{}\": {err}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_known = path.extension().is_some_and(|end| end == "hcl" || end == "json");
        if is_known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file's text, of which there is no more than a policy may have.
pub fn text(file: &Path) -> Outcome<String> {
    let failed = |err: &dyn std::fmt::Display| Failure::Local(format!("Error reading \"{}\": {err}", file.display()));
    let length = fs::metadata(file).map_err(|err| failed(&err))?.len();
    if length > limits::POLICY_BYTES as u64 {
        return Err(failed(&format_args!("it has more than {} bytes", limits::POLICY_BYTES)));
    }
    fs::read_to_string(file).map_err(|err| failed(&err))
}

/// The policies, parsed; the first that cannot be is an error with its file.
pub fn parsed(directory: &Directory) -> Outcome<BTreeMap<String, Arc<policy::Policy>>> {
    let parse = |(name, source): (&String, &Source)| {
        let parsed = policy::Policy::parse(name, &source.text);
        let parsed = parsed.map_err(|err| Failure::Local(format!("{}: {err}", source.file.display())))?;
        Ok((name.clone(), Arc::new(parsed)))
    };
    directory.iter().map(parse).collect()
}
