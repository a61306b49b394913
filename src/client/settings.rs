//! What a client is told about its server, from the environment that Vault's clients share.
//!
//! Each name is read as `VAULT_…` first, then as `BAO_…`.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use super::{Error, Result};
use crate::base::{Secret, Ttl};

/// Where Vault's clients look when nothing else is said.
pub const ADDRESS_DEFAULT: &str = "https://127.0.0.1:8200";
/// How long a request may take, retries included.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How often a request is sent again.
pub const RETRIES_DEFAULT: u32 = 2;
/// More is a mistake in the environment, not patience.
const RETRIES_MAX: u32 = 100;

/// How to reach and trust one server. Its `Debug` shows no token.
#[derive(Clone)]
pub struct Settings {
    /// `https://host:port`, `http://host:port` or `unix:///path`.
    pub address: String,
    /// The token to send.
    pub token: Option<Secret<String>>,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// PEM certificates to trust instead of the system's.
    pub ca_cert_bytes: Option<Vec<u8>>,
    /// A folder of PEM files to trust instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// A PEM file with the client's own chain.
    pub client_cert: Option<PathBuf>,
    /// A PEM file with the key of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// The name to ask for and to check, instead of the address's host.
    pub tls_server_name: Option<String>,
    /// Trusts any certificate. For experiments only.
    pub tls_skip_verify: bool,
    /// The namespace to name in each request.
    pub namespace: Option<String>,
    /// The wrapping to ask for in each request.
    pub wrap_ttl: Option<String>,
    /// How long a request may take, retries included.
    pub timeout: Duration,
    /// How often a request is sent again after a failure that may pass.
    pub retries_max: u32,
    /// The first wait before sending again; it doubles each time.
    pub retry_wait: Duration,
    /// Whether a redirect to the same host is followed.
    pub redirects: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: ADDRESS_DEFAULT.to_owned(),
            token: None,
            ca_cert: None,
            ca_cert_bytes: None,
            ca_path: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            tls_skip_verify: false,
            namespace: None,
            wrap_ttl: None,
            timeout: TIMEOUT_DEFAULT,
            retries_max: RETRIES_DEFAULT,
            retry_wait: Duration::from_secs(1),
            redirects: true,
        }
    }
}

impl Settings {
    /// Reads the environment through `lookup`, which is given whole names. An unusable value is
    /// an error that names its variable.
    pub fn from_env(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let env = Env(&lookup);
        let mut settings = Self::default();
        if let Some(address) = env.text("AGENT_ADDR")?.or(env.text("ADDR")?) {
            settings.address = address;
        }
        settings.token = env.text("TOKEN")?.map(Secret::new);
        settings.ca_cert = env.path("CACERT");
        settings.ca_cert_bytes = env.text("CACERT_BYTES")?.map(String::into_bytes);
        settings.ca_path = env.path("CAPATH");
        settings.client_cert = env.path("CLIENT_CERT");
        settings.client_key = env.path("CLIENT_KEY");
        settings.tls_server_name = env.text("TLS_SERVER_NAME")?;
        settings.tls_skip_verify = env.boolean("SKIP_VERIFY")?.unwrap_or(false);
        settings.namespace = env.text("NAMESPACE")?;
        settings.wrap_ttl = env.text("WRAP_TTL")?;
        settings.redirects = !env.boolean("DISABLE_REDIRECTS")?.unwrap_or(false);
        if let Some(text) = env.text("CLIENT_TIMEOUT")? {
            settings.timeout = duration(&text).ok_or_else(|| unusable("CLIENT_TIMEOUT", "a duration"))?;
        }
        if let Some(text) = env.text("MAX_RETRIES")? {
            let count: u32 = text.parse().map_err(|_| unusable("MAX_RETRIES", "a number"))?;
            settings.retries_max = count.min(RETRIES_MAX);
        }
        Ok(settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &self.address)
            .field("ca_cert", &self.ca_cert)
            .field("ca_path", &self.ca_path)
            .field("client_cert", &self.client_cert)
            .field("tls_server_name", &self.tls_server_name)
            .field("tls_skip_verify", &self.tls_skip_verify)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .field("retries_max", &self.retries_max)
            .finish_non_exhaustive()
    }
}

struct Env<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Env<'_> {
    /// An empty variable counts as unset.
    fn value(&self, name: &str) -> Option<OsString> {
        ["VAULT_", "BAO_"]
            .into_iter()
            .find_map(|prefix| (self.0)(&format!("{prefix}{name}")).filter(|value| !value.is_empty()))
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.value(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(unusable(name, "text in UTF-8")),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(unusable(name, "true or false")),
        }
    }
}

fn unusable(name: &str, wanted: &str) -> Error {
    Error::Invalid(format!("environment variable VAULT_{name} must be {wanted}"))
}

/// At least a second: zero is no time to live with.
fn duration(text: &str) -> Option<Duration> {
    let ttl = Ttl::parse(text).ok()?;
    (!ttl.is_zero()).then(|| ttl.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_env(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn unusable_values_name_their_variable_and_not_themselves() {
        for (name, value) in [
            ("VAULT_CLIENT_TIMEOUT", "soon"),
            ("VAULT_CLIENT_TIMEOUT", "0"),
            ("VAULT_CLIENT_TIMEOUT", "99999999999999999999h"),
            ("VAULT_MAX_RETRIES", "-1"),
            ("VAULT_SKIP_VERIFY", "perhaps"),
        ] {
            let text = from(&[(name, value)]).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
            assert!(!text.contains(&format!(" {value}")), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let settings = from(&[("VAULT_TOKEN", "hvs.secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("hvs.secret"));
    }

    #[test]
    fn both_families_of_names_are_read_and_vault_comes_first() {
        let settings = from(&[
            ("VAULT_ADDR", "http://127.0.0.1:1"),
            ("BAO_ADDR", "http://127.0.0.1:2"),
            ("BAO_NAMESPACE", "team"),
            ("VAULT_CLIENT_TIMEOUT", "1m30s"),
            ("VAULT_MAX_RETRIES", "7"),
            ("VAULT_CACERT", ""),
        ])
        .unwrap();
        assert_eq!(settings.address, "http://127.0.0.1:1");
        assert_eq!(settings.namespace.as_deref(), Some("team"));
        assert_eq!(settings.timeout, Duration::from_secs(90));
        assert_eq!(settings.retries_max, 7);
        assert!(settings.ca_cert.is_none());
    }

    #[test]
    fn an_empty_environment_gives_the_documented_defaults() {
        let settings = from(&[]).unwrap();
        assert_eq!(settings.address, "https://127.0.0.1:8200");
        assert_eq!((settings.retries_max, settings.timeout), (2, Duration::from_secs(60)));
        assert!(settings.redirects && !settings.tls_skip_verify);
    }
}
