//! The route table of an engine: the single declaration of its endpoints.
//!
//! A pattern is made of words, `{name}` for one segment, `{name!}` for one segment whose case does not count (it is folded
//! before policy sees it), `{name~}` for one whose case counts for nobody but people (policy sees it folded, the handler as it was written), and `{path..}` for all that is left, which may be nothing. A pattern that ends in a slash
//! answers LIST. The most specific pattern wins: a word before a capture, a segment before a rest.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use super::params::{Args, Field, Params};
use super::{Cx, Engine, Frame, Reply};
use crate::base::{BoxFuture, Error, Operation, Path, Result};

type AnyArc = Arc<dyn Any + Send + Sync>;
type Run = Arc<dyn Fn(AnyArc, Frame, &mut Args) -> Result<BoxFuture<'static, Result<Reply>>> + Send + Sync>;
type Exists = Arc<dyn Fn(AnyArc, Frame, &mut Args) -> Result<bool> + Send + Sync>;
type Claims = Arc<dyn Fn(AnyArc, Frame, &mut Args, Claimed) -> Result<Option<String>> + Send + Sync>;

/// What is asked of a login before anything is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The alias that it would be of, in the one form that this has after the login. Where there is one, failures lock it out.
    Alias,
    /// The role, for limits of it.
    Role,
}

/// One operation of an endpoint.
#[derive(Clone)]
pub struct Handling {
    run: Run,
    exists: Option<Exists>,
    /// What it takes.
    pub fields: Arc<[Field]>,
    /// Words for people, if they differ from the endpoint's.
    pub doc: &'static str,
}

impl Handling {
    /// Runs the handler.
    ///
    /// # Errors
    /// For parameters that cannot be read.
    pub fn run(&self, engine: AnyArc, frame: Frame, args: &mut Args) -> Result<BoxFuture<'static, Result<Reply>>> {
        (self.run)(engine, frame, args)
    }

    /// Whether what an upsert names exists; true where the endpoint does not tell create from update.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn exists(&self, engine: AnyArc, frame: Frame, args: &mut Args) -> Result<bool> {
        self.exists.as_ref().map_or(Ok(true), |f| f(engine, frame, args))
    }

    /// Whether it tells create from update.
    pub const fn upserts(&self) -> bool {
        self.exists.is_some()
    }
}

/// One row of a table.
pub struct Endpoint {
    /// The pattern.
    pub pattern: &'static str,
    /// Words for people.
    pub doc: &'static str,
    /// What it does, by [`Operation`].
    pub operations: [Option<Handling>; 5],
    /// Needs no token.
    pub public: bool,
    /// Needs the `sudo` capability.
    pub sudo: bool,
    /// Gets bytes and headers.
    pub raw: bool,
    /// Its data stands at the top level of the answer too.
    pub flat: bool,
    /// Takes fields that it does not declare without a warning.
    pub open: bool,
    /// Its reads and lists change nothing at all, so that they may run while audit writes.
    pub inert: bool,
    /// Its answer waits for something: how long it takes is no measure of the server.
    pub waits: bool,
    claims: Option<Claims>,
    parts: Vec<Part>,
    folder: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Word(&'static str),
    Capture(&'static str),
    Folded(&'static str),
    Alike(&'static str),
    Rest(&'static str),
}

impl Endpoint {
    /// What it does for this operation.
    pub const fn handling(&self, operation: Operation) -> Option<&Handling> {
        self.operations[operation as usize].as_ref()
    }

    /// Whether it is a login that can say who wants in.
    pub const fn is_login(&self) -> bool {
        self.claims.is_some()
    }

    /// Who wants in, or as what, as far as the parameters can be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn claim(&self, engine: AnyArc, frame: Frame, args: &mut Args, what: Claimed) -> Result<Option<String>> {
        self.claims.as_ref().map_or_else(|| Ok(None), |f| f(engine, frame, args, what))
    }

    fn rest_is_empty(&self, captures: &[(&'static str, String)]) -> bool {
        matches!(self.parts.last(), Some(Part::Rest(_))) && captures.last().is_some_and(|(_, text)| text.is_empty())
    }

    /// Greater for the more specific of two patterns.
    fn weight(&self) -> Vec<u8> {
        let weigh = |part: &Part| match part {
            Part::Word(_) => 3,
            Part::Capture(_) | Part::Folded(_) | Part::Alike(_) => 2,
            Part::Rest(_) => 0,
        };
        // A pattern that ends where the path ends comes before one with a rest.
        self.parts.iter().map(weigh).chain([1]).collect()
    }
}

/// Builds a table.
pub struct Routes<E> {
    doc: &'static str,
    endpoints: Vec<Endpoint>,
    engine: PhantomData<fn() -> E>,
}

/// Builds one row.
pub struct At<E> {
    endpoint: Endpoint,
    engine: PhantomData<fn() -> E>,
}

impl<E: Engine> Routes<E> {
    /// An empty table, with words for people about the engine.
    pub const fn new(doc: &'static str) -> Self {
        Self { doc, endpoints: Vec::new(), engine: PhantomData }
    }

    /// Adds a row.
    #[must_use]
    pub fn at(mut self, pattern: &'static str, doc: &'static str, f: impl FnOnce(At<E>) -> At<E>) -> Self {
        let folder = pattern.ends_with('/');
        let parts = pattern.split('/').filter(|s| !s.is_empty()).map(part).collect();
        let endpoint = Endpoint {
            pattern,
            doc,
            operations: [const { None }; 5],
            public: false,
            sudo: false,
            raw: false,
            flat: false,
            open: false,
            inert: false,
            waits: false,
            claims: None,
            parts,
            folder,
        };
        self.endpoints.push(f(At { endpoint, engine: PhantomData }).endpoint);
        self
    }

    /// Adds all rows of another builder: a group of endpoints in a file of its own.
    #[must_use]
    pub fn and(self, f: impl FnOnce(Self) -> Self) -> Self {
        f(self)
    }

    pub(super) fn into_table(mut self) -> Table {
        self.endpoints.sort_by_key(|e| std::cmp::Reverse(e.weight()));
        Table { doc: self.doc, endpoints: self.endpoints }
    }
}

fn part(text: &'static str) -> Part {
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        None => Part::Word(text),
        Some(name) => match (name.strip_suffix(".."), name.strip_suffix('!'), name.strip_suffix('~')) {
            (Some(name), ..) => Part::Rest(name),
            (_, Some(name), _) => Part::Folded(name),
            (.., Some(name)) => Part::Alike(name),
            _ => Part::Capture(name),
        },
    }
}

impl<E: Engine> At<E> {
    /// Answers GET.
    #[must_use]
    pub fn read<P: Params, F, Fut>(self, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.set(Operation::Read, P::fields(), erase(f), None)
    }

    /// Answers POST and PUT.
    #[must_use]
    pub fn update<P: Params, F, Fut>(self, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.set(Operation::Update, P::fields(), erase(f), None)
    }

    /// Answers POST and PUT, as create or as update: `exists` looks, and only looks.
    #[must_use]
    pub fn upsert<P: Params, F, Fut>(self, exists: fn(&Cx<E>, &P) -> Result<bool>, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        let look: Exists = Arc::new(move |engine, frame, args| {
            let params = P::parse(args)?;
            exists(&Cx::new(downcast(engine)?, frame), &params)
        });
        self.set(Operation::Update, P::fields(), erase(f), Some(look))
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch<P: Params, F, Fut>(self, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.set(Operation::Patch, P::fields(), erase(f), None)
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete<P: Params, F, Fut>(self, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.set(Operation::Delete, P::fields(), erase(f), None)
    }

    /// Answers LIST, and GET with `?list=true`.
    #[must_use]
    pub fn list<P: Params, F, Fut>(self, f: F) -> Self
    where
        F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.set(Operation::List, P::fields(), erase(f), None)
    }

    /// Needs no token.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.endpoint.public = true;
        self
    }

    /// Needs the `sudo` capability beside the operation's own.
    #[must_use]
    pub const fn sudo(mut self) -> Self {
        self.endpoint.sudo = true;
        self
    }

    /// Gets the bytes and headers of the request.
    #[must_use]
    pub const fn raw(mut self) -> Self {
        self.endpoint.raw = true;
        self
    }

    /// Its data stands at the top level of the answer too, as old clients of `sys/` expect.
    #[must_use]
    pub const fn flat(mut self) -> Self {
        self.endpoint.flat = true;
        self
    }

    /// Its reads and lists change nothing at all, inside the store or outside.
    #[must_use]
    pub const fn inert(mut self) -> Self {
        self.endpoint.inert = true;
        self
    }

    /// Its answer waits for something.
    #[must_use]
    pub const fn waits(mut self) -> Self {
        self.endpoint.waits = true;
        self
    }

    /// Is a login: `f` says who wants in, or as what, and only looks. Parameters that cannot be read claim nothing.
    #[must_use]
    pub fn claims<P: Params>(mut self, f: fn(&Cx<E>, &P, Claimed) -> Result<Option<String>>) -> Self {
        self.endpoint.claims = Some(Arc::new(move |engine, frame, args, what| match P::parse(args) {
            Ok(params) => f(&Cx::new(downcast(engine)?, frame), &params, what),
            Err(_) => Ok(None),
        }));
        self
    }

    /// Takes any fields without a warning.
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.endpoint.open = true;
        self
    }

    fn set(mut self, operation: Operation, fields: Vec<Field>, run: Run, exists: Option<Exists>) -> Self {
        let doc = self.endpoint.doc;
        self.endpoint.operations[operation as usize] = Some(Handling { run, exists, fields: fields.into(), doc });
        self
    }
}

fn downcast<E: Engine>(engine: AnyArc) -> Result<Arc<E>> {
    engine.downcast::<E>().map_err(|_| Error::internal("a handler met the engine of another type"))
}

fn erase<E, P, F, Fut>(f: F) -> Run
where
    E: Engine,
    P: Params,
    F: Fn(Cx<E>, P) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply>> + Send + 'static,
{
    Arc::new(move |engine, frame, args| {
        let params = P::parse(args)?;
        Ok(Box::pin(f(Cx::new(downcast(engine)?, frame), params)))
    })
}

/// The endpoints of an engine, the most specific first.
pub struct Table {
    /// Words for people about the engine.
    pub doc: &'static str,
    endpoints: Vec<Endpoint>,
}

/// Where a path led.
pub struct Matched<'a> {
    /// The row.
    pub endpoint: &'a Endpoint,
    /// Its place in the table.
    pub index: usize,
    /// What the path said.
    pub captures: Vec<(&'static str, String)>,
    /// The path with folded names, if any had to be folded.
    pub folded: Option<Path>,
}

impl Table {
    /// Its rows.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The row that tells what a path is for, whatever the operation; none for the mount itself.
    pub fn describing(&self, path: &Path, skip: usize) -> Option<&Endpoint> {
        let below = path.as_str().get(skip..).filter(|below| !below.is_empty())?;
        self.endpoints.iter().find(|endpoint| capture(&endpoint.parts, below).is_some())
    }

    /// Finds the row for a path, of which the first `skip` bytes are the mount's.
    ///
    /// # Errors
    /// [`Error::UnsupportedPath`], or [`Error::UnsupportedOperation`] where only other operations are answered, and
    /// whether those need no token: then it may be told to anybody.
    pub fn find(&self, path: &Path, skip: usize, operation: Operation) -> Result<Matched<'_>, (Error, bool)> {
        let below = path.as_str().get(skip..).unwrap_or_default();
        let (mut known, mut public) = (false, false);
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let list = operation == Operation::List;
            if endpoint.folder && !list {
                continue;
            }
            let Some((captures, folds)) = capture(&endpoint.parts, below) else { continue };
            // A rest that is nothing is for another pattern, where one ends there.
            if !list && known && endpoint.rest_is_empty(&captures) {
                continue;
            }
            // What has no names to list is, for LIST, not there.
            known |= !list;
            public |= endpoint.public;
            if endpoint.handling(operation).is_none() {
                continue;
            }
            let mut folded = None;
            for (range, name) in folds.into_iter().rev() {
                let from: &Path = folded.as_ref().unwrap_or(path);
                let replaced = from.replaced(skip + range.start..skip + range.end, &name);
                folded = Some(replaced.map_err(|error| (error, false))?);
            }
            return Ok(Matched { endpoint, index, captures, folded });
        }
        Err((if known { Error::UnsupportedOperation } else { Error::UnsupportedPath }, known && public))
    }
}

type Folds = Vec<(std::ops::Range<usize>, String)>;

fn capture(parts: &[Part], path: &str) -> Option<(Vec<(&'static str, String)>, Folds)> {
    let mut captures = Vec::new();
    let mut folds = Vec::new();
    let mut at = 0;
    for part in parts {
        let rest = &path[at..];
        if let Part::Rest(name) = part {
            captures.push((*name, rest.to_owned()));
            return Some((captures, folds));
        }
        let segment = rest.split('/').next().filter(|s| !s.is_empty())?;
        match part {
            Part::Word(word) if *word == segment => {}
            Part::Word(_) | Part::Rest(_) => return None,
            Part::Capture(name) => captures.push((*name, segment.to_owned())),
            Part::Folded(name) | Part::Alike(name) => {
                let lower = segment.to_lowercase();
                let kept = if matches!(part, Part::Alike(_)) { segment } else { &lower };
                captures.push((*name, kept.to_owned()));
                if lower != segment {
                    folds.push((at..at + segment.len(), lower));
                }
            }
        }
        at += segment.len();
        if path.as_bytes().get(at) == Some(&b'/') {
            at += 1;
        }
    }
    (at == path.len()).then_some((captures, folds))
}
