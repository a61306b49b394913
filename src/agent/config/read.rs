//! Reading the configuration. A key that nobody knows is an error with its place.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::extra;
use super::{AutoAuth, Command, Config, Destination, Exec, Method, Sink, Source, Target, TemplateConfig, Vault};
use crate::hcl::{self, Attr, Block, Body, Error, Result};

/// The most templates, of files and of variables together.
const TEMPLATES_MAX: usize = 1000;
/// How often static secrets are read again when nothing is said.
const STATIC_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);
/// How long a template's command may run when nothing is said.
const COMMAND_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// After which part of a lease it is renewed when nothing is said, in thousandths.
const LEASE_THRESHOLD_DEFAULT: u32 = 667;
/// Where Kubernetes puts the token of a pod.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// How often a failed fetch is tried again before it counts as failed, as vault-agent has it.
const RETRIES_DEFAULT: u32 = 12;

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
            exec: body.block("exec")?.map(|block| exec(&block)).transpose()?,
            exit_after_auth: boolean(&body, "exit_after_auth")?.unwrap_or(false)
                || boolean(&body, "once")?.unwrap_or(false),
            pid_file: path(&body, "pid_file")?,
            log_level: string(&body, "log_level")?,
            log_format: string(&body, "log_format")?,
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
        if is_agent && self.auto_auth.is_none() && self.vault.token.is_none() && self.consul.is_none() {
            return Err(body.error(body.span(), "\"auto_auth\" is missing"));
        }
        Ok(())
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

fn vault(body: &Body) -> Result<Vault> {
    let mut vault = Vault { retries_max: Some(RETRIES_DEFAULT), ..Vault::default() };
    let Some(block) = body.block("vault")? else { return Ok(vault) };
    block.only(&[
        "token",
        "renew_token",
        "ssl",
        "default_lease_duration",
        "lease_renewal_threshold",
        "address",
        "namespace",
        "ca_cert",
        "ca_path",
        "client_cert",
        "client_key",
        "tls_server_name",
        "tls_skip_verify",
        "retry",
    ])?;
    vault.address = string(&block, "address")?;
    vault.namespace = string(&block, "namespace")?;
    vault.ca_cert = path(&block, "ca_cert")?;
    vault.ca_path = path(&block, "ca_path")?;
    vault.client_cert = path(&block, "client_cert")?;
    vault.client_key = path(&block, "client_key")?;
    vault.tls_server_name = string(&block, "tls_server_name")?;
    vault.tls_skip_verify = boolean(&block, "tls_skip_verify")?.unwrap_or(false);
    vault.token = string(&block, "token")?.filter(|token| !token.is_empty()).map(crate::base::Secret::new);
    if let Some(ssl) = block.block("ssl")? {
        ssl.only(&["enabled", "verify", "ca_cert", "ca_path", "cert", "key", "server_name"])?;
        vault.ca_cert = path(&ssl, "ca_cert")?.or(vault.ca_cert);
        vault.ca_path = path(&ssl, "ca_path")?.or(vault.ca_path);
        vault.client_cert = path(&ssl, "cert")?.or(vault.client_cert);
        vault.client_key = path(&ssl, "key")?.or(vault.client_key);
        vault.tls_server_name = string(&ssl, "server_name")?.or(vault.tls_server_name);
        vault.tls_skip_verify |= boolean(&ssl, "verify")? == Some(false);
    }
    if let Some(retry) = block.block("retry")? {
        retry.only(&["num_retries", "enabled", "attempts", "backoff", "max_backoff"])?;
        if let Some(attr) = retry.attr("attempts")? {
            // consul-template: zero is without end.
            let attempts = attr.as_int_in(0..=1_000_000)?;
            vault.retries_max = u32::try_from(attempts).ok().filter(|attempts| *attempts > 0);
        }
        if let Some(attr) = retry.attr("num_retries")? {
            // As in vault-agent: 0 is the default, -1 is one try only.
            vault.retries_max = match attr.as_int_in(-1..=1_000_000)? {
                -1 => Some(0),
                0 => Some(RETRIES_DEFAULT),
                n => u32::try_from(n).ok(),
            };
        }
    }
    Ok(vault)
}

fn auto_auth(body: &Block) -> Result<AutoAuth> {
    body.only(&["method", "sink"])?;
    let methods = body.labelled("method")?;
    let [block] = &methods[..] else {
        return Err(body.error(body.span(), "\"auto_auth\" needs exactly one \"method\""));
    };
    block.only(&["type", "mount_path", "config", "namespace", "min_backoff", "max_backoff", "exit_on_err"])?;
    let kind = kind(block)?;
    let config = match block.block("config")? {
        Some(config) => config,
        // A certificate needs no words of its own.
        None if kind == "cert" => {
            return finish(
                body,
                block,
                Method::Cert {
                    mount: mounted(block, "auth/cert")?,
                    name: None,
                    ca_cert: None,
                    client_cert: None,
                    client_key: None,
                },
            );
        }
        None => return Err(block.error(block.span(), "\"config\" is missing")),
    };
    let method = match kind.as_str() {
        "approle" => {
            config.only(&[
                "role_id_file_path",
                "secret_id_file_path",
                "remove_secret_id_file_after_reading",
                "secret_id_response_wrapping_path",
            ])?;
            let mount = string(block, "mount_path")?.unwrap_or_else(|| "auth/approle".to_owned());
            Method::AppRole {
                mount: mount.trim_matches('/').to_owned(),
                role_id: needed_path(&config, "role_id_file_path")?,
                secret_id: path(&config, "secret_id_file_path")?,
                remove: boolean(&config, "remove_secret_id_file_after_reading")?.unwrap_or(true),
                wrapping_path: string(&config, "secret_id_response_wrapping_path")?
                    .map(|path| path.trim_matches('/').to_owned()),
            }
        }
        "token_file" => {
            config.only(&["token_file_path"])?;
            Method::TokenFile(needed_path(&config, "token_file_path")?)
        }
        "jwt" => {
            config.only(&[
                "path",
                "role",
                "remove_jwt_after_reading",
                "remove_jwt_follows_symlinks",
                "skip_symlinks",
            ])?;
            Method::Jwt {
                mount: mounted(block, "auth/jwt")?,
                role: config.require("role")?.as_str()?.to_owned(),
                path: needed_path(&config, "path")?,
                remove: boolean(&config, "remove_jwt_after_reading")?.unwrap_or(true),
            }
        }
        "kubernetes" => {
            config.only(&["role", "token_path"])?;
            Method::Jwt {
                mount: mounted(block, "auth/kubernetes")?,
                role: config.require("role")?.as_str()?.to_owned(),
                path: path(&config, "token_path")?.unwrap_or_else(|| PathBuf::from(SERVICE_ACCOUNT_TOKEN)),
                remove: false,
            }
        }
        "cert" => {
            config.only(&["name", "ca_cert", "client_cert", "client_key", "reload"])?;
            Method::Cert {
                mount: mounted(block, "auth/cert")?,
                name: string(&config, "name")?.filter(|name| !name.is_empty()),
                ca_cert: path(&config, "ca_cert")?,
                client_cert: path(&config, "client_cert")?,
                client_key: path(&config, "client_key")?,
            }
        }
        _ => {
            let text = "the method must be \"approle\", \"cert\", \"jwt\", \"kubernetes\" or \"token_file\"";
            return Err(block.error(block.span(), text));
        }
    };
    finish(body, block, method)
}

/// Where a method is mounted.
fn mounted(block: &Block, default: &str) -> Result<String> {
    let mount = string(block, "mount_path")?.unwrap_or_else(|| default.to_owned());
    Ok(mount.trim_matches('/').to_owned())
}

/// What all methods share.
fn finish(body: &Block, block: &Block, method: Method) -> Result<AutoAuth> {
    let backoff = |name: &str, default: u64| match block.attr(name)? {
        Some(attr) => some_time(&attr),
        None => Ok(Duration::from_secs(default)),
    };
    let (backoff_min, backoff_max) = (backoff("min_backoff", 1)?, backoff("max_backoff", 300)?);
    let mut sinks = Vec::new();
    for block in body.labelled("sink")? {
        sinks.push(sink(&block)?);
    }
    Ok(AutoAuth {
        method,
        namespace: string(block, "namespace")?,
        backoff_min: backoff_min.min(backoff_max),
        backoff_max,
        exit_on_err: boolean(block, "exit_on_err")?.unwrap_or(false),
        sinks,
    })
}

/// The type of a method or sink: its label, or its `type`.
fn kind(block: &Block) -> Result<String> {
    match string(block, "type")? {
        Some(kind) => Ok(kind),
        None => block.label().map(str::to_owned),
    }
}

fn sink(block: &Block) -> Result<Sink> {
    block.only(&["type", "config", "wrap_ttl", "dh_type", "derive_key", "aad", "aad_env_var"])?;
    if string(block, "dh_type")?.is_some_and(|kind| !kind.is_empty()) {
        return Err(block.error(block.span(), "encrypting a sink by \"dh_type\" is not understood; wrap it"));
    }
    if kind(block)? != "file" {
        return Err(block.error(block.span(), "the sink must be \"file\""));
    }
    let Some(config) = block.block("config")? else {
        return Err(block.error(block.span(), "\"config\" is missing"));
    };
    config.only(&["path", "mode", "owner", "group"])?;
    let id = |name: &str| -> Result<Option<u32>> {
        // -1 is vault-agent's word for leaving it alone.
        let Some(attr) = config.attr(name)? else { return Ok(None) };
        Ok(u32::try_from(attr.as_int_in(-1..=i64::from(u32::MAX))?).ok())
    };
    let wrap_ttl = match block.attr("wrap_ttl")? {
        Some(attr) => Some(format!("{}", some_time(&attr)?.as_secs())),
        None => None,
    };
    Ok(Sink {
        path: needed_path(&config, "path")?,
        mode: mode(&config, "mode")?.unwrap_or(0o640),
        owner: id("owner")?,
        group: id("group")?,
        wrap_ttl,
    })
}

fn file_template(block: &Block) -> Result<TemplateConfig> {
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
    ])?;
    let destination = Destination {
        path: needed_path(block, "destination")?,
        mode: mode(block, "perms")?.unwrap_or(0o600),
        user: string(block, "user")?.filter(|name| !name.is_empty()),
        group: string(block, "group")?.filter(|name| !name.is_empty()),
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
    })
}

/// How long to wait for more changes: at least, at most.
fn waiting(wait: &Block) -> Result<(Duration, Duration)> {
    wait.only(&["enabled", "min", "max"])?;
    let least = wait.require("min")?.as_duration()?;
    let most = wait.attr("max")?.map(|attr| attr.as_duration()).transpose()?.unwrap_or(least * 4);
    if most < least { Err(wait.error(wait.span(), "\"max\" is less than \"min\"")) } else { Ok((least, most)) }
}

/// A part of a life such as 0.9, in thousandths.
fn threshold(attr: &Attr) -> Result<u32> {
    let share: f64 = match attr.as_string() {
        Ok(text) => text.parse().map_err(|_| attr.error("must be a number such as 0.9"))?,
        Err(error) => return Err(error),
    };
    if (0.1..=0.99).contains(&share) {
        Ok((share * 1000.0) as u32)
    } else {
        Err(attr.error("must be from 0.1 to 0.99"))
    }
}

fn env_template(block: &Block) -> Result<TemplateConfig> {
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

fn exec(block: &Block) -> Result<Exec> {
    use rustix::process::Signal;
    block.only(&["command", "restart_on_secret_changes", "restart_stop_signal"])?;
    let attr = block.require("command")?;
    let words = words(&attr)?;
    if words.is_empty() {
        return Err(attr.error("is empty"));
    }
    let restart = match block.attr("restart_on_secret_changes")? {
        None => true,
        Some(attr) => match attr.as_str()? {
            "always" => true,
            "never" => false,
            _ => return Err(attr.error("must be \"always\" or \"never\"")),
        },
    };
    let stop_signal = match block.attr("restart_stop_signal")? {
        None => Signal::TERM,
        Some(attr) => match attr.as_str()?.trim_start_matches("SIG") {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "HUP" => Signal::HUP,
            "QUIT" => Signal::QUIT,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "KILL" => Signal::KILL,
            _ => return Err(attr.error("is not a signal that stops")),
        },
    };
    Ok(Exec { words, restart, stop_signal })
}

/// A command: a list of words, or one string for the shell.
fn words(attr: &Attr) -> Result<Vec<String>> {
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

pub(super) fn string(body: &Body, name: &str) -> Result<Option<String>> {
    body.attr(name)?.map(|attr| attr.as_str().map(str::to_owned)).transpose()
}

pub(super) fn boolean(body: &Body, name: &str) -> Result<Option<bool>> {
    body.attr(name)?.map(|attr| attr.as_bool()).transpose()
}

pub(super) fn path(body: &Body, name: &str) -> Result<Option<PathBuf>> {
    match body.attr(name)? {
        Some(attr) => match attr.as_str()? {
            "" => Ok(None),
            text if text.contains('\0') => Err(attr.error("holds a zero byte")),
            text => Ok(Some(PathBuf::from(text))),
        },
        None => Ok(None),
    }
}

pub(super) fn needed_path(body: &Body, name: &str) -> Result<PathBuf> {
    body.require(name)?;
    path(body, name)?.ok_or_else(|| body.error(body.span(), format!("\"{name}\" is empty")))
}

/// A duration that is not zero.
fn some_time(attr: &Attr) -> Result<Duration> {
    let time = attr.as_duration()?;
    if time.is_zero() { Err(attr.error("must not be zero")) } else { Ok(time) }
}

/// The mode of a file: octal text, or a number that HCL has read as octal.
pub(super) fn mode(body: &Body, name: &str) -> Result<Option<u32>> {
    let Some(attr) = body.attr(name)? else { return Ok(None) };
    let wrong = |attr: &Attr| -> Error { attr.error("must be the permissions of a file in octal, such as \"0640\"") };
    let mode = match attr.as_str() {
        Ok(text) => u32::from_str_radix(text, 8).map_err(|_| wrong(&attr))?,
        Err(_) => u32::try_from(attr.as_int()?).map_err(|_| wrong(&attr))?,
    };
    if mode > 0o777 { Err(wrong(&attr)) } else { Ok(Some(mode)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTH: &str = r#"auto_auth { method "approle" { config { role_id_file_path = "r" } } }"#;

    fn failure(text: &str) -> String {
        Config::parse("agent.hcl", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, part) in [
            ("", "\"auto_auth\" is missing"),
            ("valt { }", "agent.hcl:1:1: unknown key \"valt\", did you mean \"vault\"?"),
            ("vault {\n  adress = \"canary\"\n}", "agent.hcl:2:3: unknown key \"adress\""),
            ("vault { retry { num_retrys = 1 } }", "unknown key"),
            ("vault { retry { num_retries = -2 } }", "must be from"),
            ("auto_auth { }", "exactly one \"method\""),
            ("auto_auth { method \"ldap\" { config { } } }", "must be \"approle\", \"cert\""),
            ("auto_auth { method \"approle\" { config { } } }", "\"role_id_file_path\" is missing"),
            ("auto_auth { method \"approle\" { config { role_id_file_path = \"\" } } }", "is empty"),
            (
                "auto_auth { method \"approle\" { wrap_ttl = \"5m\" config { role_id_file_path = \"r\" } } }",
                "unknown key",
            ),
            ("auto_auth { method \"token_file\" { config { role_id = \"canary\" } } }", "unknown key"),
            ("auto_auth { method \"jwt\" { config { path = \"p\" } } }", "\"role\" is missing"),
            ("auto_auth { method \"kubernetes\" { config { } } }", "\"role\" is missing"),
            ("listener \"tcp\" { address = \"127.0.0.1:1\" }", "\"tls_disable\" must be true"),
            ("listener \"tcp\" { address = \"0.0.0.0:1\" tls_disable = true }", "loopback"),
            ("listener \"pipe\" { address = \"x\" }", "must be \"tcp\" or \"unix\""),
            ("api_proxy { use_auto_auth_token = \"maybe\" }", "\"force\""),
            ("cache { path = \"c\" max_stale = \"900h\" }", "at most 30 days"),
            ("sds { generic \"a\" { contents = \"x\" } }", "\"socket_path\" is missing"),
            ("sds { socket_path = \"s\" generic \"a\" { } }", "\"source\" or \"contents\""),
            ("change_window { hours = \"25:00-26:00\" }", "two times"),
            ("change_window { hours = \"18:00-22:00\" days = [\"someday\"] }", "is not a day"),
            ("change_window { hours = \"18:00-22:00\" time_zone = \"Nowhere/None\" }", "is not a time zone"),
            ("template_config { lease_renewal_threshold = 2 }", "from 0.1 to 0.99"),
            ("consul { ssl { verify = false } }", "cannot be turned off"),
            ("template { }", "\"destination\" is missing"),
            ("template { destination = \"d\" }", "\"source\" or \"contents\""),
            ("template { destination = \"d\" source = \"s\" contents = \"c\" }", "exclude each other"),
            ("template { destination = \"d\" contents = \"c\" perms = \"888\" }", "octal"),
            ("template { destination = \"d\" contents = \"c\" perms = 644 }", "octal"),
            ("template { destination = \"d\" contents = \"c\" perms = \"4755\" }", "octal"),
            ("template { destination = \"d\" contents = \"c\" command = \"a\" exec { command = [\"b\"] } }", "exclude"),
            ("template { destination = \"d\" contents = \"c\" wait { min = \"5s\" max = \"1s\" } }", "less than"),
            ("template_config { static_secret_render_interval = \"0\" }", "must not be zero"),
            ("template_config { max_connections_per_host = 0 }", "must be from"),
            ("exec { command = [] }", "is empty"),
            ("exec { command = [\"a\"] restart_stop_signal = \"SIGFOO\" }", "is not a signal"),
            ("exec { command = [\"a\"] restart_on_secret_changes = \"maybe\" }", "\"always\" or \"never\""),
            ("env_template \"A=B\" { contents = \"x\" }", "name of a variable"),
        ] {
            let error = failure(text);
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.starts_with("agent.hcl:") && !error.contains("canary"), "{error}");
        }
        let twice = format!(
            "{AUTH}\ntemplate {{ destination = \"d\" contents = \"1\" }}\ntemplate {{ destination = \"d\" contents = \"2\" }}"
        );
        assert!(failure(&twice).contains("two templates"));
        assert!(failure(&format!("{AUTH} env_template \"A\" {{ contents = \"x\" }}")).contains("needs \"exec\""));
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let text = r#"
            pid_file = "/run/agent.pid"
            vault { address = "https://vault:8200" ca_cert = "/ca.pem" tls_server_name = "v" retry { num_retries = 5 } }
            auto_auth {
              method { type = "approle" mount_path = "/auth/ci/"
                config { role_id_file_path = "/r" secret_id_file_path = "/s" remove_secret_id_file_after_reading = false
                         secret_id_response_wrapping_path = "auth/ci/role/x/secret-id" } }
              sink "file" { wrap_ttl = "5m" config { path = "/t" mode = 0600 } }
              sink { type = "file" config = { path = "/u" } }
            }
            template { contents = "{{ secret \"a\" }}" destination = "/d" perms = "0644" user = "nobody" backup = true
                       command = "systemctl reload x" wait { min = "2s" max = "10s" } left_delimiter = "[[" }
            template { source = "/a.ctmpl" destination = "/e" create_dest_dirs = false error_on_missing_key = true
                       exec { command = ["touch", "/f"] timeout = "5s" } }
            template_config { exit_on_retry_failure = true static_secret_render_interval = "10m" max_connections_per_host = 3 }
            exec { command = ["/app", "-x"] restart_on_secret_changes = "never" restart_stop_signal = "SIGINT" }
            env_template "DB" { contents = "x" }
        "#;
        let config = Config::parse("agent.hcl", text.as_bytes()).unwrap();
        let auth = config.auto_auth.as_ref().unwrap();
        let Method::AppRole { mount, remove, wrapping_path, .. } = &auth.method else { panic!() };
        assert_eq!(
            (mount.as_str(), *remove, wrapping_path.as_deref()),
            ("auth/ci", false, Some("auth/ci/role/x/secret-id"))
        );
        assert_eq!((auth.sinks[0].mode, auth.sinks[0].wrap_ttl.as_deref()), (0o600, Some("300")));
        assert_eq!((auth.sinks[1].mode, auth.sinks[1].wrap_ttl.as_deref()), (0o640, None));
        assert_eq!(config.templates.len(), 3);
        let Target::File(first) = &config.templates[0].target else { panic!() };
        assert_eq!((first.mode, first.backup, first.create_folders), (0o644, true, true));
        assert_eq!(config.templates[0].command.as_ref().unwrap().words, ["/bin/sh", "-c", "systemctl reload x"]);
        assert_eq!(config.templates[1].command.as_ref().unwrap().words, ["touch", "/f"]);
        assert_eq!(config.templates[1].command.as_ref().unwrap().timeout, Duration::from_secs(5));
        assert!(config.exit_on_retry_failure);
        assert_eq!((config.static_interval, config.connections_max), (Duration::from_secs(600), 3));
        assert_eq!(config.vault.retries_max, Some(5));
        let exec = config.exec.as_ref().unwrap();
        assert!(!exec.restart && exec.stop_signal == rustix::process::Signal::INT);
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let config =
            Config::parse("a", format!("vault {{ address = \"http://file\" namespace = \"ns\" }} {AUTH}").as_bytes())
                .unwrap();
        assert_eq!(config.vault.settings(|_| None).unwrap().address, "http://file");
        let env = |name: &str| match name {
            "VAULT_ADDR" => Some("http://env".into()),
            "VAULT_AGENT_ADDR" | "VAULT_TOKEN" | "VAULT_WRAP_TTL" => Some("http://foreign".into()),
            _ => None,
        };
        let settings = config.vault.settings(env).unwrap();
        assert_eq!((settings.address.as_str(), settings.namespace.as_deref()), ("http://env", Some("ns")));
        assert!(settings.token.is_none() && settings.wrap_ttl.is_none());
    }
}
