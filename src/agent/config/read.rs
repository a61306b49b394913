//! Reading the configuration. A key that nobody knows is an error with its place.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::child::exec;
use super::extra;
use super::method::auto_auth;
use super::server::{RETRIES_DEFAULT, vault};
use super::templates::{env_template, file_template, waiting};
use super::values::{boolean, path, some_time, string, threshold};
use super::{Config, Target, Vault};
use crate::hcl::{self, Attr, Body, Result};

/// The most templates, of files and of variables together.
const TEMPLATES_MAX: usize = 1000;
/// How often static secrets are read again when nothing is said.
const STATIC_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);
/// After which part of a lease it is renewed when nothing is said, in thousandths.
const LEASE_THRESHOLD_DEFAULT: u32 = 667;

impl Config {
    /// Reads a configuration; `file` is its name for errors.
    ///
    /// # Errors
    /// The text is malformed or says something that cannot be; the error names the place.
    pub fn parse(file: &str, text: &[u8]) -> Result<Config> {
        Config::read(file, text, true)
    }

    /// As [`Config::parse`], for who renders once: variables need no child, and the environment may have the token.
    ///
    /// # Errors
    /// As there.
    pub fn parse_for_once(file: &str, text: &[u8]) -> Result<Config> {
        Config::read(file, text, false)
    }

    fn read(file: &str, text: &[u8], is_agent: bool) -> Result<Config> {
        let body = hcl::parse(file, text)?;
        body.only(&[
            "vault",
            "auto_auth",
            "template",
            "template_config",
            "exec",
            "env_template",
            "exit_after_auth",
            "pid_file",
            "log_level",
            "log_format",
            "log_file",
            "api_proxy",
            "cache",
            "listener",
            "telemetry",
            "consul",
            "sds",
            "change_window",
            // consul-template's own.
            "wait",
            "once",
            "kill_signal",
            "reload_signal",
            "max_stale",
            "syslog",
            "deduplicate",
            "block_query_wait",
            "default_left_delimiter",
            "default_right_delimiter",
        ])?;
        for (name, usual) in [("kill_signal", "SIGINT"), ("reload_signal", "SIGHUP")] {
            if let Some(attr) = body.attr(name)?
                && attr.as_str()? != usual
            {
                return Err(attr.error(format!("only \"{usual}\" is understood")));
            }
        }
        let mut config = Config {
            vault: vault(&body)?,
            auto_auth: body.block("auto_auth")?.map(|block| auto_auth(&block)).transpose()?,
            exec: body.block("exec")?.map(|block| exec(&block)).transpose()?.flatten(),
            exit_after_auth: boolean(&body, "exit_after_auth")?.unwrap_or(false)
                || boolean(&body, "once")?.unwrap_or(false),
            pid_file: path(&body, "pid_file")?,
            log_level: parsed(&body, "log_level")?,
            log_format: parsed(&body, "log_format")?,
            log_file: log_file(&body)?,
            consul: extra::consul(&body)?,
            listeners: extra::listeners(&body)?,
            proxy_token: extra::proxy_token(&body)?,
            cache: extra::cache(&body)?,
            windows: extra::windows(&body)?,
            ..bare()
        };
        if let Some(block) = body.block("vault")?
            && let Some(attr) = block.attr("lease_renewal_threshold")?
        {
            config.lease_threshold = threshold(&attr)?;
        }
        if let Some(block) = body.block("template_config")? {
            block.only(&[
                "exit_on_retry_failure",
                "static_secret_render_interval",
                "max_connections_per_host",
                "lease_renewal_threshold",
            ])?;
            if let Some(attr) = block.attr("lease_renewal_threshold")? {
                config.lease_threshold = threshold(&attr)?;
            }
            config.exit_on_retry_failure = boolean(&block, "exit_on_retry_failure")?.unwrap_or(false);
            if let Some(attr) = block.attr("static_secret_render_interval")? {
                config.static_interval = some_time(&attr)?;
            }
            if let Some(attr) = block.attr("max_connections_per_host")? {
                config.connections_max = usize::try_from(attr.as_int_in(1..=100)?).unwrap_or(1);
            }
        }
        for block in body.blocks("template")? {
            config.templates.push(file_template(&block)?);
        }
        let mut names = BTreeSet::new();
        for block in body.labelled("env_template")? {
            let template = env_template(&block)?;
            if !names.insert(block.label()?.to_owned()) {
                return Err(block.error(block.span(), "a second template for this variable"));
            }
            config.templates.push(template);
        }
        if let Some((settings, templates)) = extra::envoy(&body)? {
            config.sds = Some(settings);
            config.templates.extend(templates);
        }
        let delimiters = (string(&body, "default_left_delimiter")?, string(&body, "default_right_delimiter")?);
        for template in &mut config.templates {
            for (own, default) in [(&mut template.left, &delimiters.0), (&mut template.right, &delimiters.1)] {
                if let (true, Some(default)) = (own.is_empty(), default) {
                    own.clone_from(default);
                }
            }
        }
        if let Some(wait) = body.block("wait")? {
            let wait = waiting(&wait)?;
            for template in config.templates.iter_mut().filter(|template| template.command.is_some()) {
                template.wait = template.wait.or(Some(wait));
            }
        }
        config.check(&body, is_agent)?;
        Ok(config)
    }

    fn check(&self, body: &Body, is_agent: bool) -> Result<()> {
        let mut places = BTreeSet::new();
        for template in &self.templates {
            match &template.target {
                Target::File(destination) if !places.insert(&destination.path) => {
                    let text = format!("two templates have the destination \"{}\"", destination.path.display());
                    return Err(body.error(body.span(), text));
                }
                Target::Variable(_) if self.exec.is_none() && is_agent => {
                    return Err(body.error(body.span(), "\"env_template\" needs \"exec\""));
                }
                _ => {}
            }
        }
        if self.templates.len() > TEMPLATES_MAX {
            return Err(body.error(body.span(), format!("there are more than {TEMPLATES_MAX} templates")));
        }
        if self.exec.is_some() && self.exit_after_auth && is_agent {
            return Err(body.error(body.span(), "\"exec\" and \"exit_after_auth\" exclude each other"));
        }
        if is_agent && self.auto_auth.is_none() && !self.vault.has_token() && self.consul.is_none() {
            return Err(body.error(body.span(), "\"auto_auth\" is missing"));
        }
        Ok(())
    }
}

/// A word that its type reads.
fn parsed<T: FromStr<Err: Display>>(body: &Body, name: &str) -> Result<Option<T>> {
    let read = |attr: Attr| attr.as_str()?.parse().map_err(|error: T::Err| attr.error(error.to_string()));
    body.attr(name)?.map(read).transpose()
}

/// `log_file = "…"`, or as consul-template has it, `log_file { path = "…" }`.
fn log_file(body: &Body) -> Result<Option<PathBuf>> {
    match body.block("log_file") {
        Ok(Some(block)) => {
            block.only(&["path"])?;
            path(&block, "path")
        }
        _ => path(body, "log_file"),
    }
}

/// A configuration of defaults.
pub(super) fn bare() -> Config {
    Config {
        vault: Vault { retries_max: Some(RETRIES_DEFAULT), ..Vault::default() },
        auto_auth: None,
        templates: Vec::new(),
        exec: None,
        exit_after_auth: false,
        pid_file: None,
        log_level: None,
        log_format: None,
        log_file: None,
        exit_on_retry_failure: false,
        static_interval: STATIC_INTERVAL_DEFAULT,
        connections_max: 10,
        lease_threshold: LEASE_THRESHOLD_DEFAULT,
        consul: None,
        listeners: Vec::new(),
        proxy_token: super::ProxyToken::No,
        cache: None,
        sds: None,
        windows: None,
        fail_fast: false,
    }
}
