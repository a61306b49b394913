//! `login -method=oidc`: the person's browser is sent to the issuer, and comes back to a listener here.
//!
//! What comes back is of use only with the client nonce, which never leaves this process but to the server; the code is bound to the server
//! besides (PKCE). So who reads along in the browser has nothing.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::callback::{Callback, PATH, Page};
use crate::base::{Json, Secret, form, ids, limits};
use crate::cli::argv;
use crate::cli::context::Cx;
use crate::cli::failure::{Doing, Failure, Outcome};
use crate::client::{Reply, Request};

/// The port that roles allow by custom.
const PORT: u16 = 8250;
const DOING: &str = "Error authenticating";

/// What may be said on the command line, in Vault's words.
struct Settings {
    role: String,
    listen_address: String,
    port: u16,
    callback_method: String,
    callback_host: String,
    callback_port: Option<u16>,
    skip_browser: bool,
    abort_on_error: bool,
}

impl Settings {
    fn take(mut data: Map<String, Value>) -> Outcome<Self> {
        let mut word = |name: &str| match data.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(Failure::Local(format!("'{name}' must be given once"))),
        };
        let port = |name: &str, text: Option<String>| {
            let wrong = || Failure::Local(format!("'{name}' must be a port"));
            text.map(|text| text.parse::<u16>().map_err(|_| wrong())).transpose()
        };
        let switch = |name: &str, text: Option<String>| {
            let wrong = |_| Failure::Local(format!("'{name}' must be true or false"));
            text.map_or(Ok(false), |text| argv::boolean(&text).map_err(wrong))
        };
        let listen_address = word("listenaddress")?.unwrap_or_else(|| "localhost".to_owned());
        let settings = Self {
            role: word("role")?.unwrap_or_default(),
            callback_host: word("callbackhost")?.unwrap_or_else(|| listen_address.clone()),
            listen_address,
            port: port("port", word("port")?)?.unwrap_or(PORT),
            callback_method: word("callbackmethod")?.unwrap_or_else(|| "http".to_owned()),
            callback_port: port("callbackport", word("callbackport")?)?,
            skip_browser: switch("skip_browser", word("skip_browser")?)?,
            abort_on_error: switch("abort_on_error", word("abort_on_error")?)?,
        };
        if !matches!(settings.callback_method.as_str(), "http" | "https") {
            return Err(Failure::local("'callbackmethod' must be http or https"));
        }
        match data.keys().next() {
            Some(name) => Err(Failure::Local(format!("'{name}' is no setting of the oidc method"))),
            None => Ok(settings),
        }
    }

    /// Where the browser is to come back to.
    fn redirect_uri(&self, port: u16) -> String {
        let host = &self.callback_host;
        // An address of six parts stands in brackets (RFC 3986, section 3.2.2).
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        format!("{}://{host}:{}{PATH}", self.callback_method, self.callback_port.unwrap_or(port))
    }
}

/// Logs in.
pub async fn login(cx: &mut Cx<'_, '_>, mount: &str, data: Map<String, Value>) -> Outcome<Reply> {
    let settings = Settings::take(data)?;
    // First the place, then the login: one that cannot be ended is not begun.
    let callback = Callback::bind(&settings.listen_address, settings.port).await?;
    let nonce = ids::letters(cx.world.rng.as_ref(), 32);
    let body = json!({
        "role": settings.role,
        "redirect_uri": settings.redirect_uri(callback.port()),
        "client_nonce": nonce.reveal(),
    });
    let begin = Request::write(&format!("auth/{mount}/oidc/auth_url")).without_token().unwrapped().json(&body)?;
    let begun = cx.send(begin).await.doing(DOING)?;
    let url = begun.field("auth_url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let state = state_of(&url)?;
    tell(cx, &settings, &url)?;
    let span = Duration::from_secs(limits::OIDC_STATE_SECONDS);
    let late = |_| Failure::Remote(format!("{DOING}: nobody came back from the browser within {} s", span.as_secs()));
    let visit = tokio::time::timeout(span, callback.visit(state.clone())).await.map_err(late)?;
    let ended = match &visit.said {
        Err(refusal) => Err(Failure::Remote(format!("{DOING}: the issuer refused the login: {refusal}"))),
        Ok(code) => {
            let end = Request::read(&format!("auth/{mount}/oidc/callback")).without_token().query_all(&[
                ("state", state.reveal()),
                ("code", code.reveal()),
                ("client_nonce", nonce.reveal()),
            ]);
            cx.send(end).await.doing(DOING)
        }
    };
    visit.show(if ended.is_ok() { Page::SignedIn } else { Page::Failed }).await;
    ended
}

/// The state within the address of the issuer, which is an address that a browser may be given.
fn state_of(url: &str) -> Outcome<Secret<String>> {
    let wrong =
        || Failure::Remote(format!("{DOING}: the server sent no address to log in at; see the role's settings"));
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(wrong)?;
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let (_, query) = rest.split_once('?').ok_or_else(wrong)?;
    let query = form::parse(query).map_err(|_| wrong())?;
    let state = query.get("state").and_then(Json::as_str).filter(|state| !state.is_empty()).ok_or_else(wrong)?;
    Ok(Secret::new(state.to_owned()))
}

fn tell(cx: &mut Cx<'_, '_>, settings: &Settings, url: &str) -> Outcome {
    let how = if settings.skip_browser { "Open the following link in your browser" } else { "Launching browser to" };
    cx.warn(&format!("Complete the login via your OIDC provider. {how}:\n\n    {url}\n\n"))?;
    if !settings.skip_browser
        && let Err(err) = (cx.world.browse)(url)
    {
        if settings.abort_on_error {
            return Err(Failure::Local(format!("Error launching the browser: {err}")));
        }
        cx.warn(&format!("No browser could be launched ({err}): open the link yourself.\n"))?;
    }
    cx.warn("Waiting for OIDC authentication to complete...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(words: &[(&str, &str)]) -> Outcome<Settings> {
        Settings::take(words.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect())
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for words in [
            ("port", "x"),
            ("port", "65536"),
            ("callbackport", "-1"),
            ("skip_browser", "maybe"),
            ("callbackmethod", "ftp"),
            ("jwt", "x"),
        ] {
            let Err(failure) = settings(&[words]) else { panic!("{words:?}") };
            assert_eq!(failure.code(), 1);
        }
    }

    #[test]
    fn the_browser_comes_back_to_where_the_settings_say() {
        let uri = |words: &[(&str, &str)], port| settings(words).map(|settings| settings.redirect_uri(port)).unwrap();
        assert_eq!(uri(&[], PORT), "http://localhost:8250/oidc/callback");
        assert_eq!(uri(&[("listenaddress", "127.0.0.1"), ("port", "0")], 4711), "http://127.0.0.1:4711/oidc/callback");
        assert_eq!(uri(&[("listenaddress", "::1")], 4711), "http://[::1]:4711/oidc/callback");
        let proxied = [("callbackmethod", "https"), ("callbackhost", "login.test"), ("callbackport", "443")];
        assert_eq!(uri(&proxied, 4711), "https://login.test:443/oidc/callback");
    }

    #[test]
    fn only_an_address_of_the_web_is_given_to_a_browser() {
        for url in [
            "",
            "file:///etc/passwd?state=x",
            "-x?state=x",
            "https://i.test/a",
            "https://i.test/?state=",
            "http://i.test/a b?state=x",
        ] {
            assert!(state_of(url).is_err(), "{url}");
        }
        assert_eq!(state_of("https://i.test/auth?a=b&state=x%2By").unwrap().reveal(), "x+y");
    }
}
