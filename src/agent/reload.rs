//! SIGHUP: the whole configuration is read again, and what has changed of it is taken.
//!
//! A configuration that is wrong changes nothing at all. What cannot change without a restart is named.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::config::{Config, Source, TemplateConfig};
use super::render;
use super::store;
use super::template::Functions;

/// Reads the configuration again, from where it was read before.
pub type Reread = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What the rendering takes of a new configuration.
pub(super) struct Change {
    pub templates: Vec<TemplateConfig>,
    pub store: store::Settings,
    pub connections_max: usize,
    pub exit_on_retry_failure: bool,
}

/// What is kept of the configuration in force, to compare the next one with.
pub(super) struct Reloader {
    reread: Option<Reread>,
    fixed: Vec<(&'static str, String)>,
}

impl Reloader {
    pub(super) fn new(config: &Config, reread: Option<Reread>) -> Reloader {
        Reloader { reread, fixed: fixed(config) }
    }

    /// What a new configuration changes; `None` where there is none, or it is wrong.
    pub(super) fn reload(&self) -> Option<Change> {
        match self.reread.as_ref()?().and_then(sound) {
            Ok(config) => {
                for ((part, old), (_, new)) in self.fixed.iter().zip(fixed(&config)) {
                    if *old != new {
                        warn!(part, "this part of the configuration has changed, and takes effect after a restart");
                    }
                }
                info!(templates = config.templates.len(), "the configuration was read again");
                Some(config.into())
            }
            Err(text) => {
                error!(error = text, "the new configuration is wrong; the old one stays in force");
                None
            }
        }
    }
}

impl From<Config> for Change {
    fn from(config: Config) -> Change {
        Change {
            store: config.store_settings(),
            templates: config.templates,
            connections_max: config.connections_max,
            exit_on_retry_failure: config.exit_on_retry_failure,
        }
    }
}

/// A template that stands in the configuration is part of it: it must be right too. One in a file may be put right there.
fn sound(config: Config) -> Result<Config, String> {
    let functions = Functions::agent();
    let inline = config.templates.iter().filter(|template| matches!(template.source, Source::Inline(..)));
    match inline.filter_map(|template| render::parse(template, &functions).err()).next() {
        Some(text) => Err(text),
        None => Ok(config),
    }
}

/// The parts that are in force from the start to the end. `Debug` shows no secret, so a changed one goes unseen.
fn fixed(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("vault", format!("{:?}", config.vault)),
        ("auto_auth", format!("{:?}", config.auto_auth)),
        ("exec", format!("{:?}", config.exec)),
        ("pid_file", format!("{:?}", config.pid_file)),
        (
            "log_level, log_format, log_file",
            format!("{:?}{:?}{:?}", config.log_level, config.log_format, config.log_file),
        ),
        ("consul", format!("{:?}", config.consul)),
        ("listener", format!("{:?}", config.listeners)),
        ("api_proxy", format!("{:?}", config.proxy_token)),
        ("cache", format!("{:?}", config.cache)),
        ("sds", format!("{:?}", config.sds)),
    ]
}
