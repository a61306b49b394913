//! The verbs of the API on any path: read, list, write, patch, delete, unwrap, path-help.

use clap::Args;
use serde_json::{Map, Value};

use super::{
    context::{Cx, Format, clean},
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::client::{Reply, Request};

/// Read a path.
#[derive(Args, Debug)]
pub struct Read {
    /// The path.
    path: String,
    /// Parameters, as k=v.
    data: Vec<String>,
}

/// List the names below a path.
#[derive(Args, Debug)]
pub struct List {
    /// The path.
    path: String,
}

/// Write data to a path.
#[derive(Args, Debug)]
pub struct Write {
    /// Write even without any data.
    #[arg(long, alias = "f")]
    force: bool,
    /// The path.
    path: String,
    /// The data: k=v, k=@file, k=-, @file or -.
    data: Vec<String>,
}

/// Merge data into what is at a path.
#[derive(Args, Debug)]
pub struct Patch {
    /// Send even without any data.
    #[arg(long, alias = "f")]
    force: bool,
    /// The path.
    path: String,
    /// The data: k=v, k=@file, k=-, @file or -.
    data: Vec<String>,
}

/// Delete what is at a path.
#[derive(Args, Debug)]
pub struct Delete {
    /// The path.
    path: String,
    /// Parameters, as k=v.
    data: Vec<String>,
}

/// Open what a wrapping token holds.
#[derive(Args, Debug)]
pub struct Unwrap {
    /// The wrapping token; the current token if absent.
    token: Option<String>,
}

/// Show the server's own description of a path.
#[derive(Args, Debug)]
pub struct PathHelp {
    /// The path.
    path: String,
}

impl Read {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = clean(&self.path);
        let request = with_query(Request::read(path), &self.data, cx)?;
        let what = format!("Error reading {path}");
        if cx.format() == Format::Raw && cx.globals.field.is_none() {
            let reply = cx.raw(request).await.doing(&what)?;
            cx.world.stdout.write_all(&reply.body)?;
            return if reply.status < 400 { Ok(()) } else { Err(Failure::Exit(2)) };
        }
        match cx.ask(request).await.doing(what)? {
            Some(reply) => cx.reply(&reply),
            None => Err(absent(path)),
        }
    }
}

impl List {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = super::context::folder(&self.path);
        let reply = cx.ask(Request::list(&path)).await.doing(format!("Error listing {path}"))?;
        show_names(cx, reply.as_ref(), &path)
    }
}

impl Write {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let data = data_or_force(&self.data, self.force, cx)?;
        write(cx, clean(&self.path), &data).await
    }
}

impl Patch {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let data = data_or_force(&self.data, self.force, cx)?;
        let path = clean(&self.path);
        let request = Request::patch(path).json(&data)?;
        let reply = cx.send(request).await.doing(format!("Error writing data to {path}"))?;
        written(cx, path, &reply)
    }
}

impl Delete {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let path = clean(&self.path);
        let request = with_query(Request::delete(path), &self.data, cx)?;
        let reply = cx.send(request).await.doing(format!("Error deleting {path}"))?;
        deleted(cx, path, &reply)
    }
}

impl Unwrap {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        // The wrapping token is itself the right to open it: it goes as the token, not in the body.
        if let Some(token) = &self.token {
            let token = cx.secret("Wrapping token", Some(token))?;
            cx.use_token(Some(token))?;
        }
        let request = Request::write("sys/wrapping/unwrap").unwrapped().json(&Map::new())?;
        let reply = cx.send(request).await.doing("Error unwrapping")?;
        cx.reply(&reply)
    }
}

impl PathHelp {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        help(cx, clean(&self.path)).await
    }
}

/// Shows the server's description of a path.
pub async fn help(cx: &mut Cx<'_, '_>, path: &str) -> Outcome {
    let reply =
        cx.send(Request::read(path).query("help", "1")).await.doing(format!("Error retrieving help for {path}"))?;
    if !cx.is_table() {
        return cx.value(&reply.data);
    }
    match reply.field("help").and_then(Value::as_str) {
        Some(text) => {
            let text = text.trim_end().to_owned();
            cx.say(&text)
        }
        None => Err(Failure::Remote(format!("No help found for {path}"))),
    }
}

/// Writes, and says so or shows the answer.
pub async fn write(cx: &mut Cx<'_, '_>, path: &str, data: &Map<String, Value>) -> Outcome {
    let request = Request::write(path).json(data)?;
    let reply = cx.send(request).await.doing(format!("Error writing data to {path}"))?;
    written(cx, path, &reply)
}

/// Says that data was written, unless the server had more to say.
pub fn written(cx: &mut Cx<'_, '_>, path: &str, reply: &Reply) -> Outcome {
    if is_empty(reply) {
        cx.warnings(reply)?;
        return cx.success(&format!("Data written to: {path}"));
    }
    cx.reply(reply)
}

/// Says that data was deleted, unless the server had more to say.
pub fn deleted(cx: &mut Cx<'_, '_>, path: &str, reply: &Reply) -> Outcome {
    if is_empty(reply) {
        cx.warnings(reply)?;
        return cx.success(&format!("Data deleted (if it existed) at: {path}"));
    }
    cx.reply(reply)
}

/// Shows the names of a list reply.
pub fn show_names(cx: &mut Cx<'_, '_>, reply: Option<&Reply>, path: &str) -> Outcome {
    let Some(reply) = reply else {
        if !cx.is_table() {
            cx.value(&Value::Object(Map::new()))?;
            return Err(Failure::Exit(2));
        }
        return Err(absent(path));
    };
    if reply.wrap_info.is_some() {
        return cx.reply(reply);
    }
    if cx.is_table() {
        cx.warnings(reply)?;
    }
    if reply.field("keys").is_none() {
        return Err(Failure::Remote(format!("No entries found at {path}")));
    }
    cx.names("Keys", &reply.keys())
}

/// What is said of a path where nothing is.
pub fn absent(path: &str) -> Failure {
    Failure::Remote(format!("No value found at {path}"))
}

fn is_empty(reply: &Reply) -> bool {
    let nothing = match &reply.data {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    nothing && reply.auth.is_none() && reply.wrap_info.is_none() && reply.lease_id.is_empty()
}

fn data_or_force(data: &[String], force: bool, cx: &mut Cx<'_, '_>) -> Outcome<Map<String, Value>> {
    if data.is_empty() && !force {
        return Err(Failure::local("Must supply data or use -force"));
    }
    pairs::object(data, cx.world.stdin)
}

fn with_query(request: Request, data: &[String], cx: &mut Cx<'_, '_>) -> Outcome<Request> {
    let pairs = pairs::object(data, cx.world.stdin)?;
    Ok(pairs.iter().fold(request, |request, (name, value)| match value {
        Value::String(text) => request.query(name, text),
        Value::Array(items) => items.iter().fold(request, |request, item| match item {
            Value::String(text) => request.query(name, text),
            other => request.query(name, &other.to_string()),
        }),
        other => request.query(name, &other.to_string()),
    }))
}
