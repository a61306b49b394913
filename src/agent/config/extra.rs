//! Reading the parts of the configuration that most agents lack: Consul, listeners, the cache, Envoy, change windows.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::templates::source;
use super::values::{boolean, mode, needed_path, path, string};
use super::{Cache, Consul, Listener, Place, ProxyToken, Socket, Target, TemplateConfig};
use crate::agent::sds;
use crate::agent::windows::Windows;
use crate::base::Secret;
use crate::hcl::{Block, Body, Result};

/// How old a remembered value may be when nothing is said: a working day.
const STALE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The longest.
const STALE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn consul(body: &Body) -> Result<Option<Consul>> {
    let Some(block) = body.block("consul")? else { return Ok(None) };
    block.only(&["address", "token", "ssl", "retry", "transport", "namespace"])?;
    let mut consul = Consul {
        address: string(&block, "address")?.filter(|address| !address.is_empty()),
        token: string(&block, "token")?.filter(|token| !token.is_empty()).map(Secret::new),
        ..Consul::default()
    };
    if let Some(ssl) = block.block("ssl")? {
        ssl.only(&["enabled", "verify", "ca_cert", "ca_path", "cert", "key", "server_name"])?;
        if boolean(&ssl, "verify")? == Some(false) {
            return Err(ssl.error(ssl.span(), "\"verify\" cannot be turned off"));
        }
        consul.ca_cert = path(&ssl, "ca_cert")?;
        consul.client_cert = path(&ssl, "cert")?;
        consul.client_key = path(&ssl, "key")?;
        consul.server_name = string(&ssl, "server_name")?;
        if boolean(&ssl, "enabled")?.unwrap_or(true)
            && let Some(address) = consul.address.take()
        {
            consul.address = Some(if address.contains("://") { address } else { format!("https://{address}") });
        }
    }
    consul.address = consul.address.map(|address| match address.contains("://") {
        true => address,
        false => format!("http://{address}"),
    });
    Ok(Some(consul))
}

pub(super) fn listeners(body: &Body) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for block in body.labelled("listener")? {
        block.only(&[
            "type",
            "address",
            "tls_disable",
            "require_request_header",
            "role",
            "agent_api",
            "socket_mode",
            "socket_user",
            "socket_group",
        ])?;
        let kind = match string(&block, "type")? {
            Some(kind) => kind,
            None => block.label()?.to_owned(),
        };
        let address = block.require("address")?;
        let place = match kind.as_str() {
            "tcp" => {
                // Local only: without TLS, what leaves the host would be read by others.
                if boolean(&block, "tls_disable")? != Some(true) {
                    return Err(
                        block.error(block.span(), "\"tls_disable\" must be true: the agent has no TLS listener")
                    );
                }
                let text = address.as_str()?;
                if !is_loopback(text) {
                    return Err(address.error("must be an address of the loopback, such as \"127.0.0.1:8100\""));
                }
                Place::Tcp(text.to_owned())
            }
            "unix" => Place::Unix(Socket {
                path: PathBuf::from(address.as_str()?),
                mode: mode(&block, "socket_mode")?.unwrap_or(0o600),
                user: string(&block, "socket_user")?,
                group: string(&block, "socket_group")?,
            }),
            _ => return Err(block.error(block.span(), "the listener must be \"tcp\" or \"unix\"")),
        };
        let metrics_only = match string(&block, "role")?.as_deref() {
            None | Some("" | "default") => false,
            Some("metrics_only") => true,
            Some(_) => return Err(block.error(block.span(), "\"role\" must be \"default\" or \"metrics_only\"")),
        };
        let (mut quit, mut rotate) = (false, false);
        if let Some(api) = block.block("agent_api")? {
            api.only(&["enable_quit", "enable_rotate"])?;
            quit = boolean(&api, "enable_quit")?.unwrap_or(false);
            rotate = boolean(&api, "enable_rotate")?.unwrap_or(false);
        }
        listeners.push(Listener {
            place,
            require_header: boolean(&block, "require_request_header")?.unwrap_or(false),
            metrics_only,
            quit,
            rotate,
        });
    }
    Ok(listeners)
}

/// Whether an address can be reached from this host alone, by what it is and not by what it begins with.
fn is_loopback(text: &str) -> bool {
    let named = text.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok());
    named || text.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

/// `api_proxy`, or as older configurations have it, `cache`.
pub(super) fn proxy_token(body: &Body) -> Result<ProxyToken> {
    let mut found = ProxyToken::No;
    for name in ["cache", "api_proxy"] {
        let Some(block) = body.block(name)? else { continue };
        block.only(&[
            "use_auto_auth_token",
            "enforce_consistency",
            "when_inconsistent",
            "prepend_configured_namespace",
            "path",
            "max_stale",
        ])?;
        if let Some(attr) = block.attr("use_auto_auth_token")? {
            found = match (attr.as_bool(), attr.as_str()) {
                (_, Ok("force")) => ProxyToken::Force,
                (Ok(true), _) => ProxyToken::IfMissing,
                (Ok(false), _) => ProxyToken::No,
                _ => return Err(attr.error("must be true, false or \"force\"")),
            };
        }
    }
    Ok(found)
}

/// The last known good: `cache { path = "…" max_stale = "12h" }`.
pub(super) fn cache(body: &Body) -> Result<Option<Cache>> {
    let Some(block) = body.block("cache")? else { return Ok(None) };
    let Some(path) = path(&block, "path")? else { return Ok(None) };
    let max_stale = match block.attr("max_stale")? {
        Some(attr) => {
            let time = attr.as_duration()?;
            if time > STALE_MAX {
                return Err(attr.error("must be at most 30 days"));
            }
            time
        }
        None => STALE_DEFAULT,
    };
    Ok(Some(Cache { path, max_stale }))
}

/// The socket for Envoy, and the templates of what it serves.
pub(super) fn envoy(body: &Body) -> Result<Option<(sds::Settings, Vec<TemplateConfig>)>> {
    let Some(block) = body.block("sds")? else { return Ok(None) };
    block.only(&["socket_path", "mode", "allowed_uids", "tls_certificate", "validation_context", "generic"])?;
    let mut uids = Vec::new();
    if let Some(attr) = block.attr("allowed_uids")? {
        for item in attr.as_list()? {
            uids.push(u32::try_from(item.as_int()?).map_err(|_| item.error("is not the number of a user"))?);
        }
    }
    let mut templates = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for kind in [sds::Kind::Certificate, sds::Kind::Validation, sds::Kind::Generic] {
        for secret in block.labelled(kind.word())? {
            secret.only(&["source", "contents", "left_delimiter", "right_delimiter", "error_on_missing_key"])?;
            let name = secret.label()?.to_owned();
            if !names.insert(name.clone()) {
                return Err(secret.error(secret.span(), "a second secret of this name"));
            }
            templates.push(TemplateConfig {
                source: source(&secret)?,
                target: Target::Envoy(name, kind),
                left: string(&secret, "left_delimiter")?.unwrap_or_default(),
                right: string(&secret, "right_delimiter")?.unwrap_or_default(),
                error_on_missing_key: boolean(&secret, "error_on_missing_key")?.unwrap_or(true),
                command: None,
                wait: None,
                sandbox: None,
                denied: Vec::new(),
            });
        }
    }
    let socket = Socket {
        path: needed_path(&block, "socket_path")?,
        mode: mode(&block, "mode")?.unwrap_or(0o600),
        user: None,
        group: None,
    };
    let settings = sds::Settings { socket, uids };
    Ok(Some((settings, templates)))
}

/// `change_window { time_zone = "…" days = ["mon", …] hours = "18:00-22:00" except = ["2026-12-25"] }`.
pub(super) fn windows(body: &Body) -> Result<Option<Windows>> {
    let Some(block) = body.block("change_window")? else { return Ok(None) };
    block.only(&["time_zone", "days", "hours", "except"])?;
    let zone = match block.attr("time_zone")? {
        None => TimeZone::UTC,
        Some(attr) => match attr.as_str()? {
            "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| attr.error("is not a time zone that this host knows"))?,
        },
    };
    Ok(Some(Windows { zone, days: days(&block)?, hours: hours(&block)?, except: except(&block)? }))
}

fn days(block: &Block) -> Result<Vec<Weekday>> {
    const WORDS: [(&str, Weekday); 7] = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    let Some(attr) = block.attr("days")? else { return Ok(WORDS.map(|(_, day)| day).to_vec()) };
    let mut days = Vec::new();
    for item in attr.as_list()? {
        let word = item.as_str()?.to_ascii_lowercase();
        let found = WORDS.iter().find(|(short, _)| word.starts_with(short) && word.len() >= 3);
        days.push(found.ok_or_else(|| item.error("is not a day such as \"mon\""))?.1);
    }
    if days.is_empty() { Err(attr.error("is empty")) } else { Ok(days) }
}

fn hours(block: &Block) -> Result<(Time, Time)> {
    let attr = block.require("hours")?;
    let time = |text: &str| -> Option<Time> {
        let (hour, minute) = text.trim().split_once(':')?;
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    let parts = attr.as_str()?.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
    match parts {
        Some((from, to)) if from != to => Ok((from, to)),
        _ => Err(attr.error("must be two times such as \"18:00-22:00\"")),
    }
}

fn except(block: &Block) -> Result<Vec<Date>> {
    let Some(attr) = block.attr("except")? else { return Ok(Vec::new()) };
    let day = |item: crate::hcl::Attr| -> Result<Date> {
        item.as_str()?.parse().map_err(|_| item.error("is not a day such as \"2026-12-25\""))
    };
    attr.as_list()?.into_iter().map(day).collect()
}
