//! Reading where the server is, and how it is spoken to.

use super::Vault;
use super::values::{boolean, path, string};
use crate::hcl::{Body, Result};

/// How often a failed fetch is tried again before it counts as failed, as vault-agent has it.
pub(super) const RETRIES_DEFAULT: u32 = 12;

pub(super) fn vault(body: &Body) -> Result<Vault> {
    let mut vault = Vault { retries_max: Some(RETRIES_DEFAULT), ..Vault::default() };
    let Some(block) = body.block("vault")? else { return Ok(vault) };
    block.only(&[
        "token",
        "vault_agent_token_file",
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
    vault.token_file = path(&block, "vault_agent_token_file")?;
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
