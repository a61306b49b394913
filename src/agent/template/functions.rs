//! The table of functions that a template may call, and what a function gets and gives.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::value::{Text, Value};
use super::{builtins, collections, consul, encoding, math, scratch, secrets, sprig, strings};

/// What a template asks for that is not in it: answered by whoever runs the rendering.
pub trait Host {
    /// The value of a dependency, if it is there.
    fn lookup(&mut self, dependency: &Dependency) -> Answer;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// The present, in seconds since 1970.
    fn now(&self) -> i64;
    /// The folders that `file` may read below; none means everywhere.
    fn file_roots(&self) -> &[PathBuf];
    /// Whether `file` may give what an open file holds.
    fn may_read(&self, _: &File) -> bool {
        true
    }
    /// Takes a file to be written if the rendering succeeds.
    ///
    /// # Errors
    /// No file may be written there; the text carries no argument.
    fn write_file(&mut self, _: FileWrite) -> Result<(), String> {
        Err("writing files is not allowed: the template has no \"sandbox_path\"".to_owned())
    }
}

/// A file that a template wants written. Its `Debug` shows neither place nor content.
#[derive(Clone, PartialEq, Eq)]
pub struct FileWrite {
    /// Where; below the allowed folder.
    pub path: PathBuf,
    /// The owner, or empty.
    pub user: String,
    /// The group, or empty.
    pub group: String,
    /// The permissions.
    pub mode: u32,
    /// After what is there, instead of in its place.
    pub append: bool,
    /// What to write.
    pub content: Vec<u8>,
}

impl fmt::Debug for FileWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileWrite({} bytes)", self.content.len())
    }
}

/// What a host knows about a dependency.
pub enum Answer {
    /// Here it is.
    Ready(Value),
    /// Not fetched yet: the rendering will be repeated.
    Pending,
    /// It could not be had. The text must carry no secret.
    Failed(String),
}

/// How a dependency is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A read of a path.
    Read,
    /// A write, whose answer is wanted.
    Write,
    /// The keys below a path.
    List,
    /// A certificate, kept while it is good.
    Certificate,
    /// The value of a key in Consul.
    ConsulKey,
    /// Keys below a prefix in Consul, with their values.
    ConsulTree,
    /// The names of Consul's services.
    ConsulServices,
    /// The healthy instances of a service.
    ConsulService,
    /// Consul's nodes.
    ConsulNodes,
    /// One node with its services; the agent's own without a name.
    ConsulNode,
    /// The names of Consul's datacenters.
    ConsulDatacenters,
}

impl Kind {
    /// Whether Consul answers, and not the server.
    pub fn is_consul(self) -> bool {
        !matches!(self, Kind::Read | Kind::Write | Kind::List | Kind::Certificate)
    }
}

/// Something that a template needs from the server. Equal ones are fetched once.
#[derive(Clone)]
pub struct Dependency {
    /// How.
    pub kind: Kind,
    /// The path, without slashes around it.
    pub path: String,
    /// Parameters in the order of their names.
    pub parameters: Vec<(String, String)>,
    /// Whether the path was computed, so that it is not shown in errors.
    pub computed: bool,
}

impl Dependency {
    fn identity(&self) -> (Kind, &str, &[(String, String)]) {
        (self.kind, &self.path, &self.parameters)
    }

    /// The path for a log or an error: only as the template spells it.
    pub fn shown(&self) -> &str {
        if self.computed { "(computed path)" } else { &self.path }
    }
}

impl PartialEq for Dependency {
    fn eq(&self, other: &Dependency) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Dependency {}

impl PartialOrd for Dependency {
    fn partial_cmp(&self, other: &Dependency) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dependency {
    fn cmp(&self, other: &Dependency) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{:?} {} {names:?}", self.kind, self.shown())
    }
}

/// What a function has at hand besides its arguments.
pub struct Ctx<'a> {
    /// The outside.
    pub host: &'a mut dyn Host,
    /// What `scratch` holds.
    pub scratch: &'a mut BTreeMap<Text, Value>,
    /// Whether all arguments stand in the template as constants, and may be shown in an error.
    pub literal: bool,
    /// The longest string that a function may make, in bytes.
    pub bytes_max: usize,
}

/// Why a function gave no value.
pub enum FnErr {
    /// It needs this first.
    Pending(Dependency),
    /// It cannot. The text must carry no argument, unless [`Ctx::literal`] allows it.
    Failed(String),
}

impl From<&str> for FnErr {
    fn from(text: &str) -> FnErr {
        FnErr::Failed(text.to_owned())
    }
}

impl From<String> for FnErr {
    fn from(text: String) -> FnErr {
        FnErr::Failed(text)
    }
}

/// The code of a function.
pub type Body = Arc<dyn Fn(&mut Ctx, &[Value]) -> Result<Value, FnErr> + Send + Sync>;

/// A function with the number of arguments that it takes.
#[derive(Clone)]
pub struct Function {
    /// The fewest arguments.
    pub least: usize,
    /// The most, if there is a most.
    pub most: Option<usize>,
    /// Whether a call leaves something behind that later calls see.
    pub remembers: bool,
    /// What it does.
    pub body: Body,
}

/// Functions by name.
#[derive(Clone, Default)]
pub struct Functions {
    table: BTreeMap<&'static str, Function>,
}

impl Functions {
    /// Go's own functions: `and`, `eq`, `index`, `printf` …
    pub fn go() -> Functions {
        let mut functions = Functions::default();
        builtins::add(&mut functions);
        functions
    }

    /// Go's own, and consul-template's.
    pub fn agent() -> Functions {
        let mut functions = Functions::go();
        strings::add(&mut functions);
        encoding::add(&mut functions);
        math::add(&mut functions);
        collections::add(&mut functions);
        secrets::add(&mut functions);
        consul::add(&mut functions);
        scratch::add(&mut functions);
        sprig::add(&mut functions);
        functions
    }

    /// Adds or replaces a function that takes `least` to `most` arguments.
    pub fn add(
        &mut self,
        name: &'static str,
        least: usize,
        most: impl Into<Option<usize>>,
        body: impl Fn(&mut Ctx, &[Value]) -> Result<Value, FnErr> + Send + Sync + 'static,
    ) {
        self.table.insert(name, Function { least, most: most.into(), remembers: false, body: Arc::new(body) });
    }

    /// All but these.
    pub fn without(&self, denied: &[String]) -> Functions {
        let mut fewer = self.clone();
        fewer.table.retain(|name, _| !denied.iter().any(|denied| denied == name));
        fewer
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.table.keys().copied()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Function> {
        self.table.get(name)
    }
}

/// An argument that must be a string.
pub(super) fn text(value: &Value) -> Result<&Text, FnErr> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text),
        other => Err(FnErr::Failed(format!("expected string; found {}", other.kind()))),
    }
}

/// An argument that must be a string of UTF-8.
pub(super) fn utf8(value: &Value) -> Result<&str, FnErr> {
    std::str::from_utf8(text(value)?.bytes()).map_err(|_| FnErr::from("the string is not UTF-8"))
}

/// An argument that must be a whole number.
pub(super) fn int(value: &Value) -> Result<i64, FnErr> {
    value.as_int().ok_or_else(|| FnErr::Failed(format!("expected integer; found {}", value.kind())))
}

/// A string that a function made, unless it is too long.
pub(super) fn bounded(ctx: &Ctx, bytes: Vec<u8>) -> Result<Value, FnErr> {
    if bytes.len() > ctx.bytes_max { Err(too_long(ctx)) } else { Ok(Value::Text(Text::from(bytes))) }
}

pub(super) fn too_long(ctx: &Ctx) -> FnErr {
    FnErr::Failed(format!("the result is longer than {} bytes", ctx.bytes_max))
}
