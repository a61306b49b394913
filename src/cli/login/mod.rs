//! Logging in: a method turns what a person has into a token, which is left for the next commands.

mod callback;
mod oidc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    context::{Cx, clean},
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::{
    base::Secret,
    client::{Auth, Reply, Request},
};

/// Log in and keep the token.
#[derive(Args, Debug)]
pub struct Login {
    /// token, userpass, oidc, approle, jwt, cert, kubernetes, ldap, or any other method's name.
    #[arg(long, value_name = "NAME", default_value = "token")]
    method: String,
    /// Where the method is mounted, if not under its own name.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Do not keep the token.
    #[arg(long)]
    no_store: bool,
    /// Print nothing about the token.
    #[arg(long)]
    no_print: bool,
    /// Print the token and do not keep it.
    #[arg(long)]
    token_only: bool,
    /// The token (- for standard input), or what the method wants, as k=v.
    data: Vec<String>,
}

impl Login {
    pub async fn run(mut self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.token_only {
            self.no_store = true;
            cx.globals.field = Some("token".to_owned());
        }
        // A new login does not lean on an old token.
        cx.use_token(None)?;
        let reply = if self.method == "token" { self.by_token(cx).await? } else { self.by_method(cx).await? };
        let reply = second_factor(cx, reply).await?;
        let Some(auth) = &reply.auth else {
            // A wrapped login is for whoever unwraps it.
            return if reply.wrap_info.is_some() {
                cx.reply(&reply)
            } else {
                Err(Failure::Remote("Error authenticating: the server sent no token".into()))
            };
        };
        if !self.no_store {
            self.keep(cx, &auth.client_token)?;
        }
        if self.no_print {
            return Ok(());
        }
        if cx.is_table() && cx.globals.field.is_none() {
            cx.say(if self.no_store {
                "Success! You are now authenticated. The token was not kept: pass it in VAULT_TOKEN to use it.\n"
            } else {
                "Success! You are now authenticated. The token below was kept, and the next commands will use it.\n"
            })?;
        }
        cx.reply(&reply)
    }

    /// A token is no login; it is looked up, so that a wrong one is never kept.
    async fn by_token(&self, cx: &mut Cx<'_, '_>) -> Outcome<Reply> {
        let token = match self.data.as_slice() {
            [] => cx.secret("Token", None)?,
            [one] => match one.strip_prefix("token=") {
                Some(token) => cx.secret("Token", Some(token))?,
                None => cx.secret("Token", Some(one))?,
            },
            _ => return Err(Failure::local("Too many arguments for the token method (expected 0-1)")),
        };
        if token.reveal().is_empty() {
            return Err(Failure::local("A token must be passed to auth"));
        }
        cx.use_token(Some(token.clone()))?;
        let found = cx.send(Request::read("auth/token/lookup-self")).await.doing("Error authenticating")?;
        if found.wrap_info.is_some() {
            return Ok(found);
        }
        let text = |name: &str| found.field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |name: &str| {
            let items = found.field(name).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let (token_policies, identity_policies) = (list("policies"), list("identity_policies"));
        let mut policies = [token_policies.clone(), identity_policies.clone()].concat();
        policies.sort();
        policies.dedup();
        let metadata = found.field("meta").and_then(Value::as_object).into_iter().flatten();
        let auth = Auth {
            client_token: token,
            accessor: text("accessor"),
            policies,
            token_policies,
            identity_policies,
            metadata: metadata.map(|(key, value)| (key.clone(), super::table::go(value))).collect(),
            lease_duration: found.field("ttl").and_then(Value::as_u64).unwrap_or(0),
            renewable: found.field("renewable") == Some(&Value::Bool(true)),
            entity_id: text("entity_id"),
            token_type: text("type"),
            orphan: found.field("orphan") == Some(&Value::Bool(true)),
            num_uses: found.field("num_uses").and_then(Value::as_u64).unwrap_or(0),
            ..Auth::default()
        };
        Ok(Reply { auth: Some(auth), data: Value::Null, ..found })
    }

    async fn by_method(&self, cx: &mut Cx<'_, '_>) -> Outcome<Reply> {
        let mut data = pairs::object(&self.data, cx.world.stdin)?;
        // Some documents name the mount among the data.
        let mount = data.remove("mount").and_then(|mount| mount.as_str().map(str::to_owned));
        let mount = self.path.clone().or(mount).unwrap_or_else(|| self.method.clone());
        let mount = clean(&mount).to_owned();
        pairs::trim(&mut data, "jwt");
        let path = match self.method.as_str() {
            "oidc" => return oidc::login(cx, &mount, data).await,
            "userpass" | "ldap" | "okta" | "radius" => {
                let user = self.username(cx, &mut data)?;
                if !data.contains_key("password") {
                    let password = cx.hidden("Password")?;
                    data.insert("password".into(), password.reveal().as_str().into());
                }
                format!("auth/{mount}/login/{user}")
            }
            _ => format!("auth/{mount}/login"),
        };
        let request = Request::write(&path).without_token().json(&data)?;
        cx.send(request).await.doing("Error authenticating")
    }

    fn username(&self, cx: &mut Cx<'_, '_>, data: &mut Map<String, Value>) -> Outcome<String> {
        if let Some(Value::String(name)) = data.remove("username") {
            return Ok(name);
        }
        ["VAULT_LDAP_USERNAME", "LOGNAME", "USER"]
            .into_iter()
            .skip(usize::from(self.method != "ldap"))
            .find_map(|name| (cx.world.env)(name)?.into_string().ok().filter(|name| !name.is_empty()))
            .ok_or_else(|| Failure::local("'username' not supplied and no user of this machine is known"))
    }

    fn keep(&self, cx: &mut Cx<'_, '_>, token: &Secret<String>) -> Outcome {
        let Some(file) = cx.token_file() else {
            return Err(Failure::local("Error storing token: HOME is not set; use -no-store"));
        };
        file.store(token, cx.world.rng.below(u64::MAX))?;
        if (cx.world.env)("VAULT_TOKEN").is_some_and(|token| !token.is_empty()) {
            cx.warn(
                "WARNING! VAULT_TOKEN is set and wins over the token that was kept; unset it to use the new one.\n",
            )?;
        }
        Ok(())
    }
}

/// Asks for the code of a login that waits for one. Where several would be needed, or nobody may be asked, it is said how to go on.
async fn second_factor(cx: &mut Cx<'_, '_>, reply: Reply) -> Outcome<Reply> {
    let waits = |auth: &&Auth| !auth.mfa_requirement.is_null() && auth.client_token.reveal().is_empty();
    let Some(auth) = reply.auth.as_ref().filter(waits) else { return Ok(reply) };
    let needs = &auth.mfa_requirement;
    let id = needs["mfa_request_id"].as_str().unwrap_or_default();
    let constraints: Vec<&Value> = needs["mfa_constraints"].as_object().into_iter().flat_map(Map::values).collect();
    let methods: Vec<&Value> = constraints.iter().filter_map(|any| any["any"].as_array()).flatten().collect();
    let ([_], [method], false) = (constraints.as_slice(), methods.as_slice(), cx.globals.non_interactive) else {
        return Err(Failure::Remote(format!(
            "A second factor is required: write mfa_request_id={id} and mfa_payload to sys/mfa/validate"
        )));
    };
    let (name, kind) = (method["id"].as_str().unwrap_or_default(), method["type"].as_str().unwrap_or_default());
    let passcode = cx.hidden(&format!("Passcode of the {kind} method {name}"))?;
    let body = json!({"mfa_request_id": id, "mfa_payload": {name: [passcode.reveal()]}});
    let request = Request::write("sys/mfa/validate").without_token().json(&body)?;
    cx.send(request).await.doing("Error authenticating")
}

/// Print what the client holds.
#[derive(Args, Debug)]
pub struct Print {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// The current token.
    Token,
}

impl Print {
    pub fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let What::Token = self.what;
        let client = cx.client()?;
        let token = client.token().map(|token| token.reveal().as_str()).unwrap_or_default();
        if cx.is_table() { cx.say(token) } else { cx.value(&json!({"token": token})) }
    }
}
