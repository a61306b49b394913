//! Tokens: create, look up, renew, revoke, and what they may do.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    context::{Cx, items},
    failure::{Doing, Failure, Outcome},
    pairs,
    table::go,
};
use crate::client::Request;

/// Work with tokens.
#[derive(Args, Debug)]
pub struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Create(Box<Create>),
    Lookup(Lookup),
    Renew(Renew),
    Revoke(Revoke),
    Capabilities(Capabilities),
}

impl Token {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::Create(command) => command.run(cx).await,
            Command::Lookup(command) => command.run(cx).await,
            Command::Renew(command) => command.run(cx).await,
            Command::Revoke(command) => command.run(cx).await,
            Command::Capabilities(command) => command.run(cx).await,
        }
    }
}

/// Create a token.
#[derive(Args, Debug)]
struct Create {
    /// The token itself; made up if absent. Needs a root token.
    #[arg(long, value_name = "TEXT")]
    id: Option<String>,
    /// A name for logs.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// How long it lives.
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long it lives at most, renewals included.
    #[arg(long, value_name = "DURATION")]
    explicit_max_ttl: Option<String>,
    /// Makes it live as long as it is renewed within this time.
    #[arg(long, value_name = "DURATION")]
    period: Option<String>,
    /// Whether it can be renewed.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    renewable: Option<bool>,
    /// Without a parent, so that it outlives the current token.
    #[arg(long)]
    orphan: bool,
    /// Without the policy "default".
    #[arg(long)]
    no_default_policy: bool,
    /// How often it can be used; 0 is without a count.
    #[arg(long, value_name = "N")]
    use_limit: Option<u64>,
    /// service or batch.
    #[arg(long, value_name = "KIND", default_value = "service")]
    r#type: String,
    /// The token role to create it by.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The alias of the entity it belongs to; needs a role.
    #[arg(long, value_name = "NAME")]
    entity_alias: Option<String>,
    /// A policy; may be repeated.
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Metadata, as k=v; may be repeated.
    #[arg(long, value_name = "K=V")]
    metadata: Vec<String>,
}

/// Show a token's facts.
#[derive(Args, Debug)]
struct Lookup {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// The token; the current one if absent.
    token: Option<String>,
}

/// Renew a token.
#[derive(Args, Debug)]
struct Renew {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// For how long, if the server agrees.
    #[arg(long, alias = "i", value_name = "DURATION")]
    increment: Option<String>,
    /// The token; the current one if absent.
    token: Option<String>,
}

/// Revoke a token.
#[derive(Args, Debug)]
struct Revoke {
    /// The argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// Revoke the current token.
    #[arg(long = "self")]
    itself: bool,
    /// orphan: leave its children; path: all tokens of a login path.
    #[arg(long, value_name = "orphan|path")]
    mode: Option<Mode>,
    /// The token, or the path.
    token: Option<String>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Orphan,
    Path,
}

/// Show what a token may do at a path.
#[derive(Args, Debug)]
struct Capabilities {
    /// The first argument is an accessor.
    #[arg(long)]
    accessor: bool,
    /// [TOKEN] PATH
    #[arg(num_args = 1..=2, value_name = "[TOKEN] PATH", required = true)]
    args: Vec<String>,
}

impl Create {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("id", self.id.map(Value::from));
        put("display_name", self.display_name.map(Value::from));
        put("ttl", self.ttl.map(Value::from));
        put("explicit_max_ttl", self.explicit_max_ttl.map(Value::from));
        put("period", self.period.map(Value::from));
        put("renewable", self.renewable.map(Value::from));
        put("num_uses", self.use_limit.map(Value::from));
        put("entity_alias", self.entity_alias.map(Value::from));
        put("type", Some(self.r#type.into()));
        put("no_parent", self.orphan.then_some(Value::Bool(true)));
        put("no_default_policy", self.no_default_policy.then_some(Value::Bool(true)));
        let policies = items(&self.policy);
        put("policies", (!policies.is_empty()).then(|| policies.into()));
        let metadata = pairs::plain(&self.metadata)?;
        put("meta", (!metadata.is_empty()).then(|| metadata.into()));
        let path = match &self.role {
            Some(role) => format!("auth/token/create/{role}"),
            None => "auth/token/create".to_owned(),
        };
        let reply = cx.send(Request::write(&path).json(&body)?).await.doing("Error creating token")?;
        cx.reply(&reply)
    }
}

impl Lookup {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = match (self.accessor, self.token.as_deref()) {
            (true, Some(accessor)) => {
                Request::write("auth/token/lookup-accessor").json(&json!({"accessor": accessor}))?
            }
            (true, None) => return Err(no_accessor()),
            (false, Some(token)) => {
                let token = cx.secret("Token", Some(token))?;
                Request::write("auth/token/lookup").json(&json!({"token": token.reveal()}))?
            }
            (false, None) => Request::read("auth/token/lookup-self"),
        };
        let reply = cx.send(request).await.doing("Error looking up token")?;
        cx.reply(&reply)
    }
}

impl Renew {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mut body = Map::new();
        if let Some(increment) = self.increment {
            body.insert("increment".into(), increment.into());
        }
        let path = match (self.accessor, self.token.as_deref()) {
            (true, Some(accessor)) => {
                body.insert("accessor".into(), accessor.into());
                "auth/token/renew-accessor"
            }
            (true, None) => return Err(no_accessor()),
            (false, Some(token)) => {
                body.insert("token".into(), cx.secret("Token", Some(token))?.reveal().as_str().into());
                "auth/token/renew"
            }
            (false, None) => "auth/token/renew-self",
        };
        let reply = cx.send(Request::write(path).json(&body)?).await.doing("Error renewing token")?;
        cx.reply(&reply)
    }
}

impl Revoke {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let request = match (self.itself, self.accessor, self.mode, self.token.as_deref()) {
            (true, false, None, None) => Request::write("auth/token/revoke-self").json(&Map::new())?,
            (true, ..) => return Err(Failure::local("-self goes with no other argument")),
            (false, _, _, None) => return Err(Failure::local("Not enough arguments: a token, an accessor or -self")),
            (false, true, None, Some(accessor)) => {
                Request::write("auth/token/revoke-accessor").json(&json!({"accessor": accessor}))?
            }
            (false, true, Some(_), _) => return Err(Failure::local("-accessor cannot be used together with -mode")),
            (false, false, Some(Mode::Path), Some(path)) => {
                let path = super::context::clean(path);
                Request::write(&format!("sys/leases/revoke-prefix/{path}")).json(&Map::new())?
            }
            (false, false, mode, Some(token)) => {
                let token = cx.secret("Token", Some(token))?;
                let path = if mode.is_some() { "auth/token/revoke-orphan" } else { "auth/token/revoke" };
                Request::write(path).json(&json!({"token": token.reveal()}))?
            }
        };
        cx.send(request).await.doing("Error revoking token")?;
        cx.success("Revoked token (if it existed)")
    }
}

impl Capabilities {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let (path, body, at) = match self.args.as_slice() {
            [_] if self.accessor => return Err(no_accessor()),
            [path] => (path, json!({"path": path}), "sys/capabilities-self"),
            [accessor, path] if self.accessor => {
                (path, json!({"path": path, "accessor": accessor}), "sys/capabilities-accessor")
            }
            [token, path] => {
                let token = cx.secret("Token", Some(token))?;
                (path, json!({"path": path, "token": token.reveal()}), "sys/capabilities")
            }
            _ => return Err(Failure::local("Not enough arguments (expected 1-2)")),
        };
        let reply = cx.send(Request::write(at).json(&body)?).await.doing("Error listing capabilities")?;
        let list = reply.field("capabilities").or_else(|| reply.field(path)).and_then(Value::as_array);
        let mut list: Vec<String> = list.into_iter().flatten().map(go).collect();
        list.sort();
        if cx.is_table() { cx.say(&list.join(", ")) } else { cx.value(&list.into()) }
    }
}

fn no_accessor() -> Failure {
    Failure::local("Accessor must be specified: -accessor ACCESSOR")
}
