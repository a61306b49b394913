//! `oidc/callback`: the browser is back with a code; it becomes the issuer's token, and that one of ours.
//!
//! A code comes in the query, or in a form that the issuer makes the browser send. The form's sender is a browser without a program behind it,
//! so it gets a page and no token: the code waits in the state until the program that knows the client nonce asks. Nothing that a
//! browser brings is ever shown in a page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Jwt;
use super::admission;
use super::config::{self, Config, authorities};
use super::keys::{self, Issuer};
use super::login::{refused, token};
use super::oidc::form;
use super::role::{self, Role};
use super::state::{self, State};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::outbound::{Address, Fetch, Fetched, fetch};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("oidc/callback", "End a login in a browser.", |at| at.read(finish).update(keep).public().open())
}

params! {
    /// What the browser, or the program that began the login, brings.
    pub struct Back {
        /// Which login it is.
        state: Option<Secret<String>>,
        /// The issuer's code.
        code: Option<Secret<String>>,
        /// What the program gave when it began.
        client_nonce: Option<Secret<String>>,
        /// The issuer's refusal.
        error: Option<String>,
    }
}

const PAGE: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Login</title></head>\
<body><p>This window can be closed. The program in which the login was begun goes on.</p></body></html>\n";

/// A form from a browser: the code is kept for the program that began the login.
async fn keep(cx: Cx<Jwt>, p: Back) -> Result<Reply> {
    let text = p.state.filter(|text| !text.reveal().is_empty()).ok_or_else(state::gone)?;
    state::pending(&cx, text.reveal())?;
    let code = p.code.filter(|code| !code.reveal().is_empty() && code.reveal().len() <= limits::TOKEN_BYTES);
    let code = code.ok_or_else(|| Error::invalid("the issuer refused the login, or sent no code"))?;
    let mut txn = cx.txn();
    let now = cx.now();
    txn.update(&[state::key(text.reveal())], move |rows| {
        let found =
            rows.get::<State>(0)?.filter(|state| state.is_of(text.reveal(), now) && state.code.reveal().is_empty());
        let mut state = found.ok_or_else(state::gone)?;
        state.code = code.clone();
        rows.put(0, &state)
    });
    Ok(Reply::raw(200, "text/html; charset=utf-8", PAGE.as_bytes().to_vec()).with(txn))
}

async fn finish(cx: Cx<Jwt>, p: Back) -> Result<Reply> {
    let text = p.state.filter(|text| !text.reveal().is_empty()).ok_or_else(state::gone)?;
    let state = state::pending(&cx, text.reveal())?;
    if !state.client_nonce.reveal().is_empty()
        && !state.client_nonce.same_as(p.client_nonce.unwrap_or_default().reveal().as_bytes())
    {
        return Err(Error::invalid("invalid client_nonce"));
    }
    let kept = Some(state.code.clone());
    let code = p.code.into_iter().chain(kept).find(|code| !code.reveal().is_empty());
    let Some(code) = code else {
        return Err(Error::invalid(match p.error {
            // The issuer's own words are not repeated: they come from the browser.
            Some(_) => "the issuer refused the login",
            None => "no code has come yet",
        }));
    };
    let config = config::of(&cx)?;
    let found: Option<Role> = cx.get(&role::key(&state.role))?;
    let role = found.ok_or_else(refused)?;
    let issuer = keys::set(&cx, &config).await?.issuer.clone();
    let claims = claims(&cx, &config, &issuer, &state, &code).await?;
    let against = [admission::of_issuer(&config, &claims), admission::of_time(&role, &claims, cx.now())].concat();
    if !against.is_empty() {
        return Err(Error::invalid(format!("error validating token: {}", against.join("; "))));
    }
    let admitted = admission::of_person(&role, &claims, cx.now())
        .map_err(|against| Error::invalid(format!("error validating claims: {}", against.join("; "))))?;
    if !role.rules.admits(cx.client_addr) {
        return Err(Error::Forbidden("permission denied".into()));
    }
    Ok(Reply::login(&cx, token(&state.role, &role, admitted)).with(state::end(&cx, text.reveal())))
}

/// What the issuer says of the person: the claims of its token, and what it tells beside.
async fn claims(cx: &Cx<Jwt>, config: &Config, issuer: &Issuer, state: &State, code: &Secret<String>) -> Result<Map> {
    let answer = exchange(cx, config, issuer, state, code).await?;
    let word = |name: &str| answer.at(name).and_then(Json::as_str).map(str::to_owned);
    let id_token = word("id_token").ok_or_else(|| Error::invalid("the issuer sent no id_token"))?;
    let mut claims = keys::verified(cx, config, &id_token).await?;
    let says = |name: &str| claims.get(name).and_then(Json::as_str);
    if says("iss") != Some(issuer.name.as_str()) {
        return Err(Error::invalid("the id_token is of another issuer ('iss')"));
    }
    if says("nonce") != Some(state.nonce.as_str()) {
        return Err(Error::invalid("the id_token is of another login ('nonce')"));
    }
    let ours = |aud: &Json| aud.as_str() == Some(config.oidc_client_id.as_str());
    let (meant, several) = match claims.get("aud") {
        Some(Json::Array(items)) => (items.iter().any(ours), items.len() > 1),
        Some(one) => (ours(one), false),
        None => (false, false),
    };
    if !meant || (several && says("azp").is_some_and(|azp| azp != config.oidc_client_id)) {
        return Err(Error::invalid("the id_token is for another client ('aud', 'azp')"));
    }
    if let Some(access) = word("access_token").filter(|_| !issuer.userinfo.is_empty()) {
        let address = Address::parse(&issuer.userinfo)?;
        let request = Fetch::get(address).header("authorization", Secret::new(format!("Bearer {access}")));
        let answer = ask(cx, config, request).await?;
        // Signed answers exist, and nobody asked for one; what is no JSON is left out.
        if answer.status == 200
            && let Ok(Json::Object(more)) = Json::parse(&answer.body)
        {
            if more.get("sub") != claims.get("sub") {
                return Err(Error::invalid("the issuer tells of another person ('sub')"));
            }
            // What was signed wins.
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
    }
    Ok(claims)
}

async fn exchange(
    cx: &Cx<Jwt>,
    config: &Config,
    issuer: &Issuer,
    state: &State,
    code: &Secret<String>,
) -> Result<Json> {
    let secret = config.oidc_client_secret.reveal();
    let mut fields = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.reveal().clone()),
        ("redirect_uri", state.redirect_uri.clone()),
        ("code_verifier", state.verifier.reveal().clone()),
    ];
    let in_form = secret.is_empty() || issuer.secret_in_form;
    if in_form {
        fields.push(("client_id", config.oidc_client_id.clone()));
        if !secret.is_empty() {
            fields.push(("client_secret", secret.clone()));
        }
    }
    let address = Address::parse(&issuer.token).map_err(|_| Error::invalid("the issuer has no token_endpoint"))?;
    let mut request = Fetch::post(address, "application/x-www-form-urlencoded", form(&fields).into_bytes());
    if !in_form {
        // RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = STANDARD.encode(format!("{}:{}", encoded(&config.oidc_client_id), encoded(secret)));
        request = request.header("authorization", Secret::new(format!("Basic {pair}")));
    }
    let answer = ask(cx, config, request).await?;
    if answer.status != 200 {
        return Err(Error::invalid(format!("the issuer did not take the code (status {})", answer.status)));
    }
    Json::parse(&answer.body).map_err(|_| Error::invalid("the issuer's answer is not JSON"))
}

async fn ask(cx: &Cx<Jwt>, config: &Config, request: Fetch) -> Result<Fetched> {
    let trusted = authorities("oidc_discovery_ca_pem", &config.oidc_discovery_ca_pem)?;
    fetch(cx.outbound.as_ref(), request.trusting(trusted)).await
}
