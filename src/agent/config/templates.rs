//! Reading what is rendered, and what runs with it.

use std::time::Duration;

use super::values::{boolean, mode, needed_path, path, some_time, string};
use super::{Command, Destination, Source, Target, TemplateConfig};
use crate::hcl::{Attr, Block, Result};

/// How long a template's command may run when nothing is said.
const COMMAND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

pub(super) fn file_template(block: &Block) -> Result<TemplateConfig> {
    block.only(&[
        "source",
        "contents",
        "destination",
        "perms",
        "user",
        "group",
        "command",
        "command_timeout",
        "exec",
        "left_delimiter",
        "right_delimiter",
        "error_on_missing_key",
        "create_dest_dirs",
        "backup",
        "wait",
        "sandbox_path",
        // consul-template's own.
        "uid",
        "gid",
        "function_denylist",
        "function_blacklist",
    ])?;
    let destination = Destination {
        path: needed_path(block, "destination")?,
        mode: mode(block, "perms")?.unwrap_or(0o600),
        user: owner(block, "user", "uid")?,
        group: owner(block, "group", "gid")?,
        create_folders: boolean(block, "create_dest_dirs")?.unwrap_or(true),
        backup: boolean(block, "backup")?.unwrap_or(false),
    };
    let timeout = match block.attr("command_timeout")? {
        Some(attr) => some_time(&attr)?,
        None => COMMAND_TIMEOUT_DEFAULT,
    };
    let mut command =
        block.attr("command")?.map(|attr| words(&attr)).transpose()?.map(|words| Command { words, timeout });
    if let Some(exec) = block.block("exec")? {
        exec.only(&["command", "timeout"])?;
        if command.is_some() {
            return Err(exec.error(exec.span(), "\"exec\" and \"command\" exclude each other"));
        }
        let timeout = match exec.attr("timeout")? {
            Some(attr) => some_time(&attr)?,
            None => timeout,
        };
        command = Some(Command { words: words(&exec.require("command")?)?, timeout });
    }
    let wait = block.block("wait")?.map(|wait| waiting(&wait)).transpose()?;
    Ok(TemplateConfig {
        source: source(block)?,
        target: Target::File(destination),
        left: string(block, "left_delimiter")?.unwrap_or_default(),
        right: string(block, "right_delimiter")?.unwrap_or_default(),
        error_on_missing_key: boolean(block, "error_on_missing_key")?.unwrap_or(false),
        command: command.filter(|command| !command.words.is_empty()),
        wait,
        sandbox: path(block, "sandbox_path")?,
        denied: match (block.attr("function_denylist")?, block.attr("function_blacklist")?) {
            (Some(attr), _) | (None, Some(attr)) => attr.as_strings()?,
            (None, None) => Vec::new(),
        },
    })
}

/// A name, or a number under another word.
fn owner(block: &Block, name: &str, number: &str) -> Result<Option<String>> {
    let named = string(block, name)?.filter(|name| !name.is_empty());
    match block.attr(number)? {
        Some(attr) if named.is_none() => Ok(Some(attr.as_int_in(0..=i64::from(u32::MAX))?.to_string())),
        _ => Ok(named),
    }
}

/// How long to wait for more changes: at least, at most.
pub(super) fn waiting(wait: &Block) -> Result<(Duration, Duration)> {
    wait.only(&["enabled", "min", "max"])?;
    let least = wait.require("min")?.as_duration()?;
    let most = wait.attr("max")?.map(|attr| attr.as_duration()).transpose()?.unwrap_or(least * 4);
    if most < least { Err(wait.error(wait.span(), "\"max\" is less than \"min\"")) } else { Ok((least, most)) }
}

pub(super) fn env_template(block: &Block) -> Result<TemplateConfig> {
    block.only(&["source", "contents", "left_delimiter", "right_delimiter", "error_on_missing_key"])?;
    let name = block.label()?;
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(block.error(block.span(), "the label is not the name of a variable"));
    }
    Ok(TemplateConfig {
        source: source(block)?,
        target: Target::Variable(name.to_owned()),
        left: string(block, "left_delimiter")?.unwrap_or_default(),
        right: string(block, "right_delimiter")?.unwrap_or_default(),
        error_on_missing_key: boolean(block, "error_on_missing_key")?.unwrap_or(true),
        command: None,
        wait: None,
        sandbox: None,
        denied: Vec::new(),
    })
}

pub(super) fn source(block: &Block) -> Result<Source> {
    match (path(block, "source")?, block.attr("contents")?) {
        (Some(path), None) => Ok(Source::File(path)),
        (None, Some(attr)) => {
            let place = format!("{}({})", block.file(), attr.span());
            Ok(Source::Inline(attr.as_str()?.to_owned(), place))
        }
        (Some(_), Some(_)) => Err(block.error(block.span(), "\"source\" and \"contents\" exclude each other")),
        (None, None) => Err(block.error(block.span(), "\"source\" or \"contents\" is missing")),
    }
}

/// A command: a list of words, or one string for the shell.
pub(super) fn words(attr: &Attr) -> Result<Vec<String>> {
    if let Ok(line) = attr.as_str() {
        let line = line.trim();
        return Ok(if line.is_empty() {
            Vec::new()
        } else {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()]
        });
    }
    let words = attr.as_strings()?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err(attr.error("holds a zero byte"));
    }
    // A list of one is a line for the shell too, as in consul-template.
    match &words[..] {
        [line] if line.contains(char::is_whitespace) => Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
        _ => Ok(words),
    }
}
