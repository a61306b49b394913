//! Reading how the agent logs in, and where its token goes.

use std::path::PathBuf;
use std::time::Duration;

use super::values::{boolean, mode, needed_path, path, some_time, string};
use super::{AutoAuth, Method, Sink};
use crate::hcl::{Block, Result};

/// Where Kubernetes puts the token of a pod.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) fn auto_auth(body: &Block) -> Result<AutoAuth> {
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
