//! `oidc/auth_url`: where a person is sent to log in with the issuer, with PKCE and a nonce.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Jwt;
use super::config;
use super::keys;
use super::login::find_role;
use super::role::{Role, RoleType};
use super::state;
use crate::base::{Error, Json, Result, Secret, limits};
use crate::crypto::sha256;
use crate::engine::{Cx, Reply, Routes};
use crate::outbound::Address;
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("oidc/auth_url", "Begin a login in a browser.", |at| at.update(auth_url).public())
}

params! {
    /// A login to begin.
    pub struct Begin {
        /// The role; the configured one if none is given.
        role: Option<String>,
        /// Where the browser comes back to.
        redirect_uri: Option<String>,
        /// What the program that begins it will repeat.
        client_nonce: Option<Secret<String>>,
    }
}

async fn auth_url(cx: Cx<Jwt>, p: Begin) -> Result<Reply> {
    let config = config::of(&cx)?;
    if config.oidc_client_id.is_empty() {
        return Err(Error::invalid("the method is not configured for logins in a browser ('oidc_client_id')"));
    }
    let redirect_uri = p.redirect_uri.filter(|uri| !uri.is_empty());
    let redirect_uri = redirect_uri.ok_or_else(|| Error::invalid("missing redirect_uri"))?;
    let client_nonce = p.client_nonce.unwrap_or_default();
    if redirect_uri.len() > limits::OUTBOUND_ADDRESS_BYTES || client_nonce.reveal().len() > limits::METADATA_BYTES {
        return Err(Error::invalid("'redirect_uri' or 'client_nonce' is too long"));
    }
    let (name, role) = find_role(&cx, &config, p.role)?;
    let role = role.filter(|role| role.role_type == RoleType::Oidc && allows(role, &redirect_uri));
    let role = role.ok_or_else(|| Error::invalid("there is no such role, or it does not allow this redirect_uri"))?;
    let issuer = keys::set(&cx, &config).await?.issuer.clone();
    let (text, state, txn) = state::begin(&cx, name, redirect_uri, client_nonce)?;
    let challenge = URL_SAFE_NO_PAD.encode(sha256(state.verifier.reveal().as_bytes()));
    let scopes: Vec<&str> =
        ["openid"].into_iter().chain(role.oidc_scopes.iter().map(String::as_str).filter(|s| *s != "openid")).collect();
    let mut query = vec![
        ("client_id", config.oidc_client_id.clone()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".into()),
        ("nonce", state.nonce),
        ("redirect_uri", state.redirect_uri),
        ("response_type", "code".into()),
        ("scope", scopes.join(" ")),
        ("state", text),
    ];
    if config.oidc_response_mode == "form_post" {
        query.push(("response_mode", "form_post".into()));
    }
    if !role.max_age.is_zero() {
        query.push(("max_age", role.max_age.seconds().to_string()));
    }
    let address = Address::parse(&issuer.authorization).map(|_| issuer.authorization);
    let address = address.map_err(|_| Error::invalid("the issuer's metadata has no authorization_endpoint"))?;
    let joint = if address.contains('?') { '&' } else { '?' };
    let url = format!("{address}{joint}{}", form(&query));
    Ok(Reply::data([("auth_url".to_owned(), Json::from(url))]).with(txn))
}

/// Pairs as a form or a query has them.
pub fn form(pairs: &[(&str, String)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a role allows a browser to come back there. A program on the person's own machine may listen on any port (RFC 8252, section 7.3);
/// everything else is compared as it is.
fn allows(role: &Role, uri: &str) -> bool {
    let without_port = |text: &str| {
        let address = Address::parse(text).ok()?;
        let own = matches!(address.host.as_str(), "127.0.0.1" | "::1" | "localhost") && !address.secure;
        own.then(|| (address.host.clone(), address.target().to_owned()))
    };
    role.allowed_redirect_uris.iter().any(|allowed| {
        allowed == uri || without_port(allowed).is_some_and(|at| without_port(uri).is_some_and(|own| own == at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_comes_back_only_where_the_role_says() {
        let role = Role {
            allowed_redirect_uris: vec!["http://localhost:8250/oidc/callback".into(), "https://v.test/cb".into()],
            ..Role::default()
        };
        for uri in [
            "",
            "http://localhost:1/other",
            "http://localhost.evil.test:8250/oidc/callback",
            "http://localhost@evil.test/oidc/callback",
            "https://localhost:8250/oidc/callback",
            "https://v.test/cb/",
            "https://v.test:8443/cb",
            "https://V.test/cb",
            "http://127.0.0.1:8250/oidc/callback",
        ] {
            assert!(!allows(&role, uri), "{uri}");
        }
        assert!(allows(&role, "http://localhost:8250/oidc/callback"));
        assert!(allows(&role, "http://localhost:49152/oidc/callback"));
        assert!(allows(&role, "https://v.test/cb"));
    }
}
