//! What a command is given: the flags that all share, a client made when first needed, the streams.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{
    curl,
    failure::{Failure, Outcome},
    output,
    table::{columns, table},
    token_file::TokenFile,
    yaml::yaml,
};
use crate::{
    base::{Rng, Secret},
    client::{self, Client, Reply, Request, Settings},
};

/// Flags of every command.
#[derive(Args, Debug, Default)]
pub struct Globals {
    /// Address of the server: https://host:port, http://host:port or unix:///path [VAULT_ADDR].
    #[arg(long, global = true, alias = "agent-address", value_name = "URL", help_heading = "Connection")]
    pub address: Option<String>,
    /// File of PEM certificates to trust [VAULT_CACERT].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub ca_cert: Option<PathBuf>,
    /// Folder of PEM certificates to trust [VAULT_CAPATH].
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Connection")]
    pub ca_path: Option<PathBuf>,
    /// The client's own certificate, in PEM [VAULT_CLIENT_CERT].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub client_cert: Option<PathBuf>,
    /// The key of the client's certificate, in PEM [VAULT_CLIENT_KEY].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub client_key: Option<PathBuf>,
    /// The name to ask for and check in TLS [VAULT_TLS_SERVER_NAME].
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub tls_server_name: Option<String>,
    /// Trust any certificate; for experiments only [VAULT_SKIP_VERIFY].
    #[arg(long, global = true, help_heading = "Connection")]
    pub tls_skip_verify: bool,
    /// Follow no redirect [VAULT_DISABLE_REDIRECTS].
    #[arg(long, global = true, help_heading = "Connection")]
    pub disable_redirects: bool,
    /// The namespace of all paths [VAULT_NAMESPACE].
    #[arg(long, global = true, alias = "ns", value_name = "NAME", help_heading = "Connection")]
    pub namespace: Option<String>,
    /// Ask for the reply to be wrapped, for this long [VAULT_WRAP_TTL].
    #[arg(long, global = true, value_name = "DURATION", help_heading = "Connection")]
    pub wrap_ttl: Option<String>,
    /// A header to add, as name=value; may be repeated.
    #[arg(long, global = true, value_name = "NAME=VALUE", help_heading = "Connection")]
    pub header: Vec<String>,
    /// Form of the output: table, json, yaml or raw [VAULT_FORMAT].
    #[arg(long, global = true, value_name = "FORMAT", ignore_case = true, help_heading = "Output")]
    pub format: Option<Format>,
    /// Print only this field.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Output")]
    pub field: Option<String>,
    /// Print a curl command instead of sending the request.
    #[arg(long, global = true, help_heading = "Output")]
    pub output_curl_string: bool,
    /// Never ask; fail instead.
    #[arg(long, global = true, help_heading = "Output")]
    pub non_interactive: bool,
}

/// How replies are shown.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// Indented JSON.
    Json,
    /// YAML.
    #[value(alias = "yml")]
    Yaml,
    /// The server's own bytes.
    Raw,
}

/// The process around a command; a test has its own.
pub struct World<'w> {
    /// The environment.
    pub env: &'w dyn Fn(&str) -> Option<OsString>,
    /// Standard input.
    pub stdin: &'w mut dyn Read,
    /// Standard output.
    pub stdout: &'w mut dyn Write,
    /// Standard error.
    pub stderr: &'w mut dyn Write,
    /// Whether a person reads standard output.
    pub terminal: bool,
    /// Asks a person, without echo.
    pub ask: &'w mut dyn FnMut(&str) -> io::Result<String>,
    /// Shows a person an address of the web.
    pub browse: &'w mut dyn FnMut(&str) -> io::Result<()>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
}

/// One command's context.
pub struct Cx<'c, 'w> {
    /// The flags of every command.
    pub globals: Globals,
    /// The streams and the environment.
    pub world: &'c mut World<'w>,
    settings: Settings,
    format: Format,
    client: Option<Client>,
    /// Whether the command itself said which token to use.
    token_chosen: bool,
}

impl<'c, 'w> Cx<'c, 'w> {
    /// Puts flags before the environment. Nothing is opened yet.
    pub fn new(globals: Globals, world: &'c mut World<'w>) -> Outcome<Self> {
        let mut settings = Settings::from_env(world.env)?;
        // A person at a terminal sees the first failure at once, unless they ask for patience.
        if ["VAULT_MAX_RETRIES", "BAO_MAX_RETRIES"].iter().all(|name| (world.env)(name).is_none()) {
            settings.retries_max = 0;
        }
        let format = match globals.format {
            Some(format) => format,
            None => match (world.env)("VAULT_FORMAT").or_else(|| (world.env)("BAO_FORMAT")) {
                Some(name) if !name.is_empty() => Format::from_str(&name.to_string_lossy(), true)
                    .map_err(|_| Failure::local("VAULT_FORMAT must be table, json, yaml or raw"))?,
                _ => Format::default(),
            },
        };
        fn put<T: Clone>(flag: &Option<T>, setting: &mut Option<T>) {
            if flag.is_some() {
                setting.clone_from(flag);
            }
        }
        if let Some(address) = &globals.address {
            settings.address.clone_from(address);
        }
        put(&globals.ca_cert, &mut settings.ca_cert);
        put(&globals.ca_path, &mut settings.ca_path);
        put(&globals.client_cert, &mut settings.client_cert);
        put(&globals.client_key, &mut settings.client_key);
        put(&globals.tls_server_name, &mut settings.tls_server_name);
        put(&globals.namespace, &mut settings.namespace);
        put(&globals.wrap_ttl, &mut settings.wrap_ttl);
        settings.tls_skip_verify |= globals.tls_skip_verify;
        settings.redirects &= !globals.disable_redirects;
        Ok(Self { globals, world, settings, format, client: None, token_chosen: false })
    }

    /// The client, with the environment's token or the one that `login` left.
    pub fn client(&mut self) -> Outcome<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        if self.settings.token.is_none()
            && !self.token_chosen
            && let Some(file) = self.token_file()
        {
            self.settings.token = file.load()?;
        }
        let rng = self.world.rng.clone();
        let client = Client::new(&self.settings, Arc::new(move || rng.below(1 << 20) as f64 / f64::from(1 << 20)))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Makes the rest of the command run with this token or none, whatever was there before: a
    /// login must not fail because of an old token that is broken.
    pub fn use_token(&mut self, token: Option<Secret<String>>) -> Outcome {
        self.client = match &self.client {
            Some(client) => Some(client.with_token(token.clone())?),
            None => None,
        };
        self.settings.token = token;
        self.token_chosen = true;
        Ok(())
    }

    /// Where tokens are left, if there is a home.
    pub fn token_file(&self) -> Option<TokenFile> {
        (self.world.env)("HOME").filter(|home| !home.is_empty()).map(|home| TokenFile::within(home.as_ref()))
    }

    /// Sends a request, or prints it when `-output-curl-string` was given.
    pub async fn send(&mut self, request: Request) -> Outcome<Reply> {
        let (client, request) = self.prepared(request)?;
        Ok(client.send(request).await?)
    }

    /// As [`Cx::send`]; what does not exist is `None`.
    pub async fn ask(&mut self, request: Request) -> Outcome<Option<Reply>> {
        let (client, request) = self.prepared(request)?;
        Ok(client.ask(request).await?)
    }

    /// As [`Cx::send`], and the server's bytes as they come.
    pub async fn raw(&mut self, request: Request) -> Outcome<client::RawReply> {
        let (client, request) = self.prepared(request)?;
        Ok(client.raw(request).await?)
    }

    /// As [`Cx::send`], for a reply that comes over time.
    pub async fn stream(&mut self, request: Request) -> Outcome<client::Streaming> {
        let (client, request) = self.prepared(request)?;
        Ok(client.stream(request).await?)
    }

    /// Sends a request that belongs to no command of its own (a lookup on the way): never printed, never wrapped.
    pub async fn aside(&mut self, request: Request) -> Outcome<Reply> {
        let request = self.with_headers(request.unwrapped())?;
        Ok(self.client()?.send(request).await?)
    }

    fn prepared(&mut self, request: Request) -> Outcome<(Client, Request)> {
        let request = self.with_headers(request)?;
        let client = self.client()?;
        if self.globals.output_curl_string {
            self.say(&curl::command(&client, &request))?;
            return Err(Failure::Exit(0));
        }
        Ok((client, request))
    }

    fn with_headers(&self, request: Request) -> Outcome<Request> {
        self.globals.header.iter().try_fold(request, |request, pair| {
            let bad = || Failure::local("-header must be name=value");
            let (name, value) = pair.split_once('=').ok_or_else(bad)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| bad())?;
            let value = HeaderValue::try_from(value).map_err(|_| bad())?;
            Ok(request.header(name, value))
        })
    }

    /// The address of a path, for messages.
    pub fn url(&self, path: &str) -> String {
        match &self.client {
            Some(client) => client.url(path),
            None => format!("{}{path}", self.settings.address),
        }
    }

    /// The server's address.
    pub fn address(&self) -> &str {
        &self.settings.address
    }

    /// The namespace, for messages.
    pub fn namespace(&self) -> Option<&str> {
        self.settings.namespace.as_deref()
    }

    /// Whether columns are wanted.
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// How replies are to be shown.
    pub fn format(&self) -> Format {
        self.format
    }

    /// A line on standard output.
    pub fn say(&mut self, line: &str) -> Outcome {
        writeln!(self.world.stdout, "{line}")?;
        Ok(())
    }

    /// A line about success; only for people, not in JSON or YAML.
    pub fn success(&mut self, line: &str) -> Outcome {
        if self.format == Format::Table { self.say(&format!("Success! {line}")) } else { Ok(()) }
    }

    /// A line on standard error.
    pub fn warn(&mut self, line: &str) -> Outcome {
        writeln!(self.world.stderr, "{line}")?;
        Ok(())
    }

    /// A table whose first row is its header.
    pub fn table(&mut self, rows: &[Vec<String>]) -> Outcome {
        self.say(&table(rows))
    }

    /// Columns without a header.
    pub fn columns(&mut self, rows: &[Vec<String>]) -> Outcome {
        self.say(&columns(rows))
    }

    /// A value in JSON or YAML, whichever was asked for.
    pub fn value(&mut self, value: &Value) -> Outcome {
        match self.format {
            Format::Yaml => {
                write!(self.world.stdout, "{}", yaml(value))?;
                Ok(())
            }
            _ => self.say(&format!("{value:#}")),
        }
    }

    /// A reply in the form that was asked for, or its one field. Warnings go to standard error.
    pub fn reply(&mut self, reply: &Reply) -> Outcome {
        if let Some(field) = self.globals.field.clone() {
            return self.field(&field, output::field(reply, &field));
        }
        match self.format {
            Format::Table => {
                self.warnings(reply)?;
                let rows = output::rows(reply);
                if rows.is_empty() { Ok(()) } else { self.table(&super::table::key_value(rows)) }
            }
            Format::Yaml => self.value(&output::value(reply)),
            Format::Json | Format::Raw => self.say(&output::json(reply)),
        }
    }

    /// Warnings of a reply, on standard error.
    pub fn warnings(&mut self, reply: &Reply) -> Outcome {
        if reply.warnings.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = reply.warnings.iter().map(|text| format!("  * {text}")).collect();
        self.warn(&format!("WARNING! The following warnings were returned from Vault:\n\n{}\n", list.join("\n\n")))
    }

    /// One field's value, bare in a table's place; a newline follows only for a person.
    pub fn field(&mut self, name: &str, value: Option<Value>) -> Outcome {
        let Some(value) = value else {
            return Err(Failure::Local(format!("Field \"{name}\" not present in secret")));
        };
        if matches!(self.format, Format::Json | Format::Yaml) {
            return self.value(&value);
        }
        write!(self.world.stdout, "{}", super::table::go(&value))?;
        if self.world.terminal {
            writeln!(self.world.stdout)?;
        }
        Ok(())
    }

    /// A list of names below a header, or as an array.
    pub fn names(&mut self, header: &str, names: &[&str]) -> Outcome {
        if self.is_table() {
            let rows = std::iter::once(header).chain(names.iter().copied()).map(|name| vec![name.to_owned()]);
            self.table(&rows.collect::<Vec<_>>())
        } else {
            self.value(&names.iter().copied().collect())
        }
    }

    /// Asks for a secret without echo. Fails when nobody may be asked.
    pub fn hidden(&mut self, what: &str) -> Outcome<Secret<String>> {
        if self.globals.non_interactive {
            return Err(Failure::Local(format!("{what} must be given, as -non-interactive forbids asking")));
        }
        let answer = (self.world.ask)(&format!("{what} (will be hidden): "))
            .map_err(|err| Failure::Local(format!("An error occurred asking for {what}: {err}")))?;
        let answer = Secret::new(answer);
        Ok(Secret::new(answer.reveal().trim().to_owned()))
    }

    /// A secret from an argument (`-` is standard input), or by asking.
    pub fn secret(&mut self, what: &str, arg: Option<&str>) -> Outcome<Secret<String>> {
        match arg {
            None => self.hidden(what),
            Some("-") => {
                let text = Secret::new(super::pairs::text("-", self.world.stdin)?);
                Ok(Secret::new(text.reveal().trim().to_owned()))
            }
            Some(text) => Ok(Secret::new(text.to_owned())),
        }
    }
}

/// A path without slashes at its ends.
pub fn clean(path: &str) -> &str {
    path.trim_matches('/')
}

/// A path with exactly one slash at its end.
pub fn folder(path: &str) -> String {
    format!("{}/", clean(path))
}

/// The items of a flag that may be repeated or separated by commas.
pub fn items(flag: &[String]) -> Vec<String> {
    flag.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).filter(|t| !t.is_empty()).collect()
}
