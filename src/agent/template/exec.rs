//! Walks a tree and writes the output, with a bound on steps, depth and bytes.
//!
//! A dependency that is not there yet becomes [`Value::Awaited`]: what is computed from it is awaited too, nothing is
//! called with it, and the walk goes on to find what else is needed. The output is then thrown away.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Branch, Command, List, Node, Operand, Pipe, Term};
use super::error::Error;
use super::format::print_value;
use super::functions::{Ctx, Dependency, FnErr, Function, Functions, Host, Kind};
use super::value::{Text, Value};
use super::{Limits, Outcome, Template};

pub(super) fn execute(
    template: &Template,
    functions: &Functions,
    data: &Value,
    host: &mut dyn Host,
    limits: &Limits,
) -> Result<Outcome, Error> {
    let mut exec = Exec {
        template,
        functions,
        host,
        limits,
        out: Vec::new(),
        variables: vec![("$", data.clone())],
        frame: 0,
        steps: 0,
        depth: 0,
        pending: BTreeSet::new(),
        uncertain: false,
        scratch: BTreeMap::new(),
    };
    let walked = match template.trees.get(&template.name) {
        Some(root) => exec.list(root, data),
        None => Err(exec.error(0, "the template is empty")),
    };
    if !exec.pending.is_empty() {
        // Whatever failed may have failed for want of these.
        return Ok(Outcome::Pending(exec.pending.into_iter().collect()));
    }
    walked.map(|_| Outcome::Rendered(exec.out))
}

struct Exec<'a> {
    template: &'a Template,
    functions: &'a Functions,
    host: &'a mut dyn Host,
    limits: &'a Limits,
    out: Vec<u8>,
    variables: Vec<(&'a str, Value)>,
    /// Where the variables of the present template begin.
    frame: usize,
    steps: usize,
    depth: usize,
    pending: BTreeSet<Dependency>,
    /// A branch was skipped for want of a dependency: what a later variable holds is not sure.
    uncertain: bool,
    /// What `scratch` holds during this rendering.
    scratch: BTreeMap<Text, Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Exec<'a> {
    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        Error::at(&self.template.name, &self.template.source, at, message)
    }

    fn step(&mut self, at: usize) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(self.error(at, format!("took more than {} steps", self.limits.steps)));
        }
        Ok(())
    }

    fn deeper(&mut self, at: usize) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.error(at, format!("exceeded maximum template depth ({})", self.limits.depth)));
        }
        Ok(())
    }

    fn write(&mut self, at: usize) -> Result<(), Error> {
        if self.out.len() > self.limits.bytes {
            return Err(self.error(at, format!("the output is longer than {} bytes", self.limits.bytes)));
        }
        Ok(())
    }

    fn list(&mut self, list: &'a List, dot: &Value) -> Result<Flow, Error> {
        for node in list {
            match node {
                Node::Text { start, end } => {
                    self.step(*start)?;
                    self.out.extend_from_slice(&self.template.source.as_bytes()[*start..*end]);
                    self.write(*start)?;
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        match value {
                            Value::Function(_) => return Err(self.error(pipe.at, "can't print a function")),
                            value => print_value(&mut self.out, &value),
                        }
                        self.write(pipe.at)?;
                    }
                }
                Node::If(branch) => {
                    let flow = self.branch(branch, dot, false)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::With(branch) => {
                    let flow = self.branch(branch, dot, true)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => {
                    let flow = self.range(branch, dot)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Template { at, name, pipe } => self.template(*at, name, pipe.as_ref(), dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn template(&mut self, at: usize, name: &'a str, pipe: Option<&'a Pipe>, dot: &Value) -> Result<(), Error> {
        let Some(tree) = self.template.trees.get(name) else {
            return Err(self.error(at, format!("template \"{name}\" not defined")));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        self.run(at, tree, dot)
    }

    /// Runs a definition, which sees no variables but `$`.
    fn run(&mut self, at: usize, tree: &'a List, dot: Value) -> Result<(), Error> {
        self.step(at)?;
        self.deeper(at)?;
        let frame = std::mem::replace(&mut self.frame, self.variables.len());
        self.variables.push(("$", dot.clone()));
        self.list(tree, &dot)?;
        self.variables.truncate(self.frame);
        self.frame = frame;
        self.depth -= 1;
        Ok(())
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, with: bool) -> Result<Flow, Error> {
        let scope = self.variables.len();
        self.deeper(branch.pipe.at)?;
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if matches!(value, Value::Awaited) {
            self.uncertain = true;
            Flow::On
        } else if value.truth() {
            self.list(&branch.list, if with { &value } else { dot })?
        } else if let Some(otherwise) = &branch.otherwise {
            self.list(otherwise, dot)?
        } else {
            Flow::On
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(flow)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result<Flow, Error> {
        let scope = self.variables.len();
        self.deeper(branch.pipe.at)?;
        let value = self.pipe(&branch.pipe, dot)?;
        let at = branch.pipe.at;
        let mut ran = false;
        match &value {
            Value::Awaited => {
                self.uncertain = true;
                ran = true;
            }
            Value::Missing | Value::Nil => {}
            Value::Int(count) => {
                if branch.pipe.variables.len() > 1 {
                    return Err(self.error(at, "can't iterate over a number with more than one variable"));
                }
                for i in 0..*count {
                    ran = true;
                    if self.iteration(branch, Value::Missing, Value::Int(i))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::List(list) => {
                for (i, item) in list.iter().enumerate() {
                    ran = true;
                    let index = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    if self.iteration(branch, index, item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in map.iter() {
                    ran = true;
                    if self.iteration(branch, Value::Text(key.clone()), item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            other => return Err(self.error(at, format!("range can't iterate over {}", other.kind()))),
        }
        let mut flow = Flow::On;
        if !ran && let Some(otherwise) = &branch.otherwise {
            flow = self.list(otherwise, dot)?;
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(flow)
    }

    fn iteration(&mut self, branch: &'a Branch, index: Value, item: Value) -> Result<Flow, Error> {
        self.step(branch.pipe.at)?;
        let scope = self.variables.len();
        let names = &branch.pipe.variables;
        let values = match names.len() {
            0 => [None, None],
            1 => [Some(item.clone()), None],
            _ => [Some(index), Some(item.clone())],
        };
        for (i, (name, value)) in names.iter().zip(values.into_iter().flatten()).enumerate() {
            if branch.pipe.assigns {
                self.assign(branch.pipe.at, name, value)?;
            } else {
                // The pipeline declared them last, in order.
                let slot = scope - names.len() + i;
                self.variables[slot].1 = value;
            }
        }
        let flow = self.list(&branch.list, &item)?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn assign(&mut self, at: usize, name: &str, value: Value) -> Result<(), Error> {
        let found = self.variables[self.frame..].iter_mut().rev().find(|(known, _)| *known == name);
        match found {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => Err(self.error(at, format!("undefined variable: {name}"))),
        }
    }

    /// The value of a pipeline, after it has set its variables.
    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, Error> {
        self.step(pipe.at)?;
        let mut value = None;
        for command in &pipe.commands {
            value = match self.command(command, dot, value)? {
                // A null that went through a pipeline is no value at all.
                Value::Nil => Some(Value::Missing),
                other => Some(other),
            };
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(pipe.at, name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, dot: &Value, last: Option<Value>) -> Result<Value, Error> {
        let first = &command.operands[0]; // the parser refuses an empty command
        let rest = &command.operands[1..];
        let has_arguments = !rest.is_empty() || last.is_some();
        match &first.term {
            Term::Function(name) => return self.call(first.at, name, rest, dot, last),
            Term::Nil => return Err(self.error(first.at, "nil is not a command")),
            Term::Field(fields) | Term::Variable(_, fields) | Term::Chain(_, fields) if has_arguments => {
                let value = self.operand(first, dot)?;
                match &value {
                    Value::Awaited => return Ok(value),
                    // A method of `scratch`: no other map holds functions.
                    Value::Function(method) => {
                        let name = fields.last().map_or("a function", String::as_str);
                        return self.apply(first.at, name, method, rest, dot, last);
                    }
                    _ => {}
                }
                let name = fields.last().map_or("a variable", String::as_str);
                return Err(self.error(first.at, format!("{name} is not a function but has arguments")));
            }
            _ if has_arguments => return Err(self.error(first.at, "can't give argument to non-function")),
            _ => {}
        }
        self.operand(first, dot)
    }

    /// The value of an operand as a command by itself or as an argument.
    fn operand(&mut self, operand: &'a Operand, dot: &Value) -> Result<Value, Error> {
        self.step(operand.at)?;
        match &operand.term {
            Term::Bool(b) => Ok(Value::Bool(*b)),
            Term::Int(n) => Ok(Value::Int(*n)),
            Term::Float(f) => Ok(Value::Float(*f)),
            Term::Unsigned => Err(self.error(operand.at, "the constant overflows int")),
            Term::Text(text) => Ok(Value::Text(text.clone())),
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Field(fields) => self.fields(operand.at, dot.clone(), fields),
            Term::Variable(name, fields) => {
                let found = self.variables[self.frame..].iter().rev().find(|(known, _)| known == name);
                let Some((_, value)) = found else {
                    return Err(self.error(operand.at, format!("undefined variable: {name}")));
                };
                let value = value.clone();
                self.fields(operand.at, value, fields)
            }
            Term::Function(name) => self.call(operand.at, name, &[], dot, None),
            Term::Pipe(pipe) => {
                self.deeper(operand.at)?;
                let value = self.pipe(pipe, dot)?;
                self.depth -= 1;
                Ok(value)
            }
            Term::Chain(inner, fields) => {
                let value = self.operand(inner, dot)?;
                self.fields(operand.at, value, fields)
            }
        }
    }

    fn fields(&mut self, at: usize, mut value: Value, fields: &'a [String]) -> Result<Value, Error> {
        for field in fields {
            value = match &value {
                Value::Awaited => return Ok(Value::Awaited),
                Value::Missing if self.template.error_on_missing_key => {
                    return Err(self.error(at, format!("no value to take key \"{field}\" from")));
                }
                Value::Missing => Value::Missing,
                Value::Nil => return Err(self.error(at, format!("nil value to take key \"{field}\" from"))),
                Value::Map(map) => match map.get(field.as_bytes()) {
                    Some(value) => value.clone(),
                    None if self.template.error_on_missing_key => {
                        return Err(self.error(at, format!("map has no entry for key \"{field}\"")));
                    }
                    None => Value::Missing,
                },
                other => {
                    return Err(self.error(at, format!("can't evaluate field {field} in type {}", other.kind())));
                }
            };
        }
        Ok(value)
    }

    fn call(
        &mut self,
        at: usize,
        name: &'a str,
        operands: &'a [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Error> {
        self.step(at)?;
        let Some(function) = self.functions.find(name) else {
            return Err(self.error(at, format!("\"{name}\" is not a defined function")));
        };
        if name == "and" || name == "or" {
            self.arity(at, name, function, operands.len() + usize::from(last.is_some()))?;
            let mut value = Value::Missing;
            for operand in operands {
                value = self.operand(operand, dot)?;
                if matches!(value, Value::Awaited) || value.truth() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        self.apply(at, name, function, operands, dot, last)
    }

    fn arity(&self, at: usize, name: &str, function: &Function, given: usize) -> Result<(), Error> {
        if given < function.least {
            return Err(self
                .error(at, format!("wrong number of args for {name}: want at least {} got {given}", function.least)));
        }
        match function.most.filter(|most| given > *most) {
            Some(most) => {
                Err(self.error(at, format!("wrong number of args for {name}: want at most {most} got {given}")))
            }
            None => Ok(()),
        }
    }

    /// Evaluates the arguments of a function, then runs it.
    fn apply(
        &mut self,
        at: usize,
        name: &str,
        function: &Function,
        operands: &'a [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let given = operands.len() + usize::from(last.is_some());
        self.arity(at, name, function, given)?;
        let mut args = Vec::with_capacity(given);
        for operand in operands {
            args.push(self.operand(operand, dot)?);
        }
        let literal = last.is_none() && operands.iter().all(|operand| operand.term.is_literal());
        args.extend(last);
        if args.iter().any(|arg| matches!(arg, Value::Awaited)) {
            // What this call would have left behind is missing from now on.
            self.uncertain |= function.remembers;
            return Ok(Value::Awaited);
        }
        if name == "executeTemplate" {
            return self.execute_template(at, &args);
        }
        let mut ctx = Ctx { host: &mut *self.host, scratch: &mut self.scratch, literal, bytes_max: self.limits.bytes };
        match (function.body)(&mut ctx, &args) {
            Ok(value) => Ok(value),
            Err(FnErr::Pending(dependency)) => {
                // A write with doubtful parameters must not be made; the next pass will ask for it.
                let writes = matches!(dependency.kind, Kind::Write | Kind::Certificate);
                if !(writes && self.uncertain) {
                    self.pending.insert(dependency);
                }
                Ok(Value::Awaited)
            }
            Err(FnErr::Failed(reason)) => Err(self.error(at, format!("{name}: {reason}"))),
        }
    }

    /// The output of a definition as a string.
    fn execute_template(&mut self, at: usize, args: &[Value]) -> Result<Value, Error> {
        let template = self.template;
        let tree = match &args[0] {
            Value::Text(name) => std::str::from_utf8(name.bytes()).ok().and_then(|name| template.trees.get(name)),
            _ => None,
        };
        let Some(tree) = tree else {
            return Err(self.error(at, "executeTemplate: no template of this name is defined"));
        };
        let outside = std::mem::take(&mut self.out);
        let ran = self.run(at, tree, args.get(1).cloned().unwrap_or_default());
        let inside = std::mem::replace(&mut self.out, outside);
        ran.map(|()| Value::Text(Text::from(inside)))
    }
}
