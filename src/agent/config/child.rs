//! The child that is run beside the rendering: in vault-agent's words, and in consul-template's.

use std::ffi::OsString;
use std::time::Duration;

use rustix::process::Signal;

use super::templates::words;
use super::values::{boolean, some_time};
use crate::base::glob;
use crate::hcl::{Block, Result};

/// How long a child may take to stop when nothing is said.
const STOP_TIME_DEFAULT: Duration = Duration::from_secs(30);

/// The child.
#[derive(Debug)]
pub struct Exec {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Whether it is restarted when something rendered changed.
    pub restart: bool,
    /// What asks it to stop.
    pub stop_signal: Signal,
    /// How long it may take to stop before it is killed.
    pub stop_time: Duration,
    /// What it is sent instead of being restarted.
    pub reload_signal: Option<Signal>,
    /// The longest wait before either, by chance, so that many do not do it at once.
    pub splay: Duration,
    /// What it sees of our environment.
    pub variables: Variables,
}

/// What a child sees of our environment, besides what is rendered for it.
#[derive(Debug, Default)]
pub struct Variables {
    /// Nothing.
    pub pristine: bool,
    /// More of them, as `NAME=value`.
    pub custom: Vec<String>,
    /// Only names of these forms, if there are any.
    pub allowed: Vec<String>,
    /// No names of these forms.
    pub denied: Vec<String>,
}

impl Exec {
    /// A child of which nothing else is said.
    pub(super) fn of(words: Vec<String>) -> Exec {
        Exec {
            words,
            restart: true,
            stop_signal: Signal::TERM,
            stop_time: STOP_TIME_DEFAULT,
            reload_signal: None,
            splay: Duration::ZERO,
            variables: Variables::default(),
        }
    }
}

impl Variables {
    /// What is left of an environment.
    pub fn of(&self, environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
        let passes = |name: &OsString| {
            let name = name.to_string_lossy();
            !self.pristine
                && (self.allowed.is_empty() || glob::fits_any(&self.allowed, &name))
                && !glob::fits_any(&self.denied, &name)
        };
        let custom = self.custom.iter().filter_map(|pair| pair.split_once('='));
        let custom = custom.map(|(name, value)| (name.into(), value.into()));
        environment.filter(|(name, _)| passes(name)).chain(custom).collect()
    }
}

/// `None` when it is turned off.
pub(super) fn exec(block: &Block) -> Result<Option<Exec>> {
    block.only(&[
        "command",
        "restart_on_secret_changes",
        "restart_stop_signal",
        // consul-template's own.
        "enabled",
        "kill_signal",
        "kill_timeout",
        "reload_signal",
        "splay",
        "env",
    ])?;
    if boolean(block, "enabled")? == Some(false) {
        return Ok(None);
    }
    let attr = block.require("command")?;
    let words = words(&attr)?;
    if words.is_empty() {
        return Err(attr.error("is empty"));
    }
    let mut exec = Exec::of(words);
    exec.restart = match block.attr("restart_on_secret_changes")? {
        None => true,
        Some(attr) => match attr.as_str()? {
            "always" => true,
            "never" => false,
            _ => return Err(attr.error("must be \"always\" or \"never\"")),
        },
    };
    for name in ["kill_signal", "restart_stop_signal"] {
        exec.stop_signal = signal(block, name)?.unwrap_or(exec.stop_signal);
    }
    exec.reload_signal = signal(block, "reload_signal")?;
    if let Some(attr) = block.attr("kill_timeout")? {
        exec.stop_time = some_time(&attr)?;
    }
    if let Some(attr) = block.attr("splay")? {
        exec.splay = attr.as_duration()?;
    }
    if let Some(env) = block.block("env")? {
        exec.variables = variables(&env)?;
    }
    Ok(Some(exec))
}

fn variables(env: &Block) -> Result<Variables> {
    env.only(&["pristine", "custom", "allowlist", "denylist", "whitelist", "blacklist"])?;
    let list = |names: [&str; 2]| -> Result<Vec<String>> {
        let mut all = Vec::new();
        for name in names {
            if let Some(attr) = env.attr(name)? {
                all.extend(attr.as_strings()?);
            }
        }
        Ok(all)
    };
    let custom = match env.attr("custom")? {
        Some(attr) => {
            let pairs = attr.as_strings()?;
            let sound = |pair: &String| pair.split_once('=').is_some_and(|(name, _)| !name.is_empty());
            if !pairs.iter().all(|pair| sound(pair) && !pair.contains('\0')) {
                return Err(attr.error("must be a list of \"NAME=value\""));
            }
            pairs
        }
        None => Vec::new(),
    };
    Ok(Variables {
        pristine: boolean(env, "pristine")?.unwrap_or(false),
        custom,
        allowed: list(["allowlist", "whitelist"])?,
        denied: list(["denylist", "blacklist"])?,
    })
}

/// A signal by its name; an empty one is none.
fn signal(block: &Block, name: &str) -> Result<Option<Signal>> {
    let Some(attr) = block.attr(name)? else { return Ok(None) };
    Ok(Some(match attr.as_str()?.trim_start_matches("SIG") {
        "" => return Ok(None),
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "QUIT" => Signal::QUIT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "KILL" => Signal::KILL,
        _ => return Err(attr.error("is not a signal that stops or reloads")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_what_it_may() {
        let seen = |variables: &Variables| {
            let ours = ["HOME", "AWS_KEY", "AWS_REGION", "PATH"].map(|name| (name.into(), "v".into()));
            let seen = variables.of(ours.into_iter()).into_iter();
            seen.map(|(name, value)| format!("{}={}", name.display(), value.display())).collect::<Vec<_>>()
        };
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let mut rules = Variables::default();
        assert_eq!(seen(&rules), ["HOME=v", "AWS_KEY=v", "AWS_REGION=v", "PATH=v"]);
        rules.denied = list(&["AWS_K*", "P*T*"]);
        assert_eq!(seen(&rules), ["HOME=v", "AWS_REGION=v"]);
        rules.allowed = list(&["AWS_*"]);
        assert_eq!(seen(&rules), ["AWS_REGION=v"], "what is denied is not allowed");
        rules.custom = list(&["A=b=c"]);
        rules.pristine = true;
        assert_eq!(seen(&rules), ["A=b=c"]);
    }
}
