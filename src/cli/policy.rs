//! Policies: list, read, write, delete, and laying out their text.

use std::{fs, path::Path};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    pairs,
};
use crate::client::Request;

/// Work with policies.
#[derive(Args, Debug)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(List),
    Read(Read),
    Write(Write),
    Delete(Delete),
    Fmt(Fmt),
}

/// List the policies.
#[derive(Args, Debug)]
struct List {}

/// Print a policy's text.
#[derive(Args, Debug)]
struct Read {
    /// The policy.
    name: String,
}

/// Write a policy.
#[derive(Args, Debug)]
struct Write {
    /// The policy.
    name: String,
    /// The file with its text, or - for standard input.
    file: String,
}

/// Delete a policy.
#[derive(Args, Debug)]
struct Delete {
    /// The policy.
    name: String,
}

/// Lay out a policy file, in place.
#[derive(Args, Debug)]
struct Fmt {
    /// The file.
    file: String,
}

impl Policy {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::List(_) => list(cx).await,
            Command::Read(command) => command.run(cx).await,
            Command::Write(command) => command.run(cx).await,
            Command::Delete(command) => command.run(cx).await,
            Command::Fmt(command) => command.run(cx),
        }
    }
}

async fn list(cx: &mut Cx<'_, '_>) -> Outcome {
    let reply = cx.send(Request::list("sys/policies/acl")).await.doing("Error listing policies")?;
    let names = reply.keys();
    if !cx.is_table() {
        return cx.value(&names.into_iter().collect());
    }
    names.into_iter().try_for_each(|name| cx.say(name))
}

impl Read {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let path = format!("sys/policies/acl/{name}");
        let reply = cx.ask(Request::read(&path)).await.doing(format!("Error reading policy named {name}"))?;
        let reply = reply.ok_or_else(|| Failure::Remote(format!("No policy named: {name}")))?;
        let text = reply.text("policy")?.trim().to_owned();
        if cx.is_table() { cx.say(&text) } else { cx.value(&json!({"policy": text})) }
    }
}

impl Write {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let text = pairs::text(&self.file, cx.world.stdin)?;
        let request = Request::write(&format!("sys/policies/acl/{name}")).json(&json!({"policy": text}))?;
        let reply = cx.send(request).await.doing("Error uploading policy")?;
        cx.warnings(&reply)?;
        cx.success(&format!("Uploaded policy: {name}"))
    }
}

impl Delete {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let name = self.name.trim().to_lowercase();
        let request = Request::delete(&format!("sys/policies/acl/{name}"));
        cx.send(request).await.doing(format!("Error deleting {name}"))?;
        cx.success(&format!("Deleted policy: {name}"))
    }
}

impl Fmt {
    fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let text = pairs::text(&self.file, cx.world.stdin)?;
        let laid_out = lay_out(&text).ok_or_else(|| {
            Failure::Local(format!("Error formatting \"{}\": brackets, quotes or comments are not closed", self.file))
        })?;
        if self.file == "-" {
            write!(cx.world.stdout, "{laid_out}")?;
            return Ok(());
        }
        fs::write(Path::new(&self.file), laid_out)
            .map_err(|err| Failure::Local(format!("Error writing \"{}\": {err}", self.file)))?;
        cx.success(&format!("Formatted policy: {}", self.file))
    }
}

/// Indents each line by its depth in brackets and drops surplus blank lines. Nothing within a line, a
/// comment of several lines or a heredoc is touched. `None` when something stays open or closes twice.
fn lay_out(text: &str) -> Option<String> {
    let mut out: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut inside = Inside::Code;
    for line in text.lines() {
        if !matches!(inside, Inside::Code) {
            out.push(line.trim_end().to_owned());
            (inside, depth) = scan(line, inside, depth)?;
            continue;
        }
        let bare = line.trim();
        if bare.is_empty() {
            if out.last().is_some_and(|last| !last.is_empty() && !last.ends_with(['{', '['])) {
                out.push(String::new());
            }
            continue;
        }
        let closing = bare.chars().take_while(|c| matches!(c, '}' | ']')).count();
        if closing > 0 && out.last().is_some_and(String::is_empty) {
            out.pop();
        }
        out.push(format!("{}{bare}", "  ".repeat(depth.checked_sub(closing)?)));
        (inside, depth) = scan(bare, Inside::Code, depth)?;
    }
    if depth > 0 || !matches!(inside, Inside::Code) {
        return None;
    }
    while out.last().is_some_and(String::is_empty) {
        out.pop();
    }
    Some(out.into_iter().map(|line| line + "\n").collect())
}

/// What a line begins within.
enum Inside {
    Code,
    Comment,
    Heredoc(String),
}

/// Follows one line: where the next begins, and how deep.
fn scan(line: &str, inside: Inside, mut depth: usize) -> Option<(Inside, usize)> {
    let mut rest = match inside {
        Inside::Heredoc(end) => {
            let open = if line.trim() == end { Inside::Code } else { Inside::Heredoc(end) };
            return Some((open, depth));
        }
        Inside::Comment => match line.split_once("*/") {
            Some((_, rest)) => rest,
            None => return Some((Inside::Comment, depth)),
        },
        Inside::Code => line,
    };
    while let Some(c) = rest.chars().next() {
        if c == '#' || rest.starts_with("//") {
            break;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            match comment.split_once("*/") {
                Some((_, after)) => rest = after,
                None => return Some((Inside::Comment, depth)),
            }
            continue;
        }
        if let Some(heredoc) = rest.strip_prefix("<<") {
            return Some((Inside::Heredoc(heredoc.trim_start_matches('-').trim().to_owned()), depth));
        }
        if c == '"' {
            rest = after_string(&rest[1..])?;
            continue;
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
    }
    Some((Inside::Code, depth))
}

/// What follows a text in quotes, given what follows its first quote; texts end on their line.
fn after_string(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_closed_is_left_alone() {
        for bad in ["path \"a\" {", "}", "a = \"b", "/* a", "a = <<EOT\nx", "a = [ }"] {
            // The last is balanced by count; reading it as a policy is the server's task.
            assert_eq!(lay_out(bad).is_none(), bad != "a = [ }", "{bad}");
        }
        assert_eq!(lay_out("").as_deref(), Some(""));
    }

    #[test]
    fn lines_are_indented_and_texts_left_alone() {
        let text = "\n\n# read { it\npath \"secret/{{x}}/*\" {\ncapabilities = [\n\"read\", // }\n]\n\n\n\n   a = 1\n\n}\n\
                    /* one\n   { two */\nc = <<-EOT\n  { kept\n EOT\nd { e = \"\\\"}\" }\n";
        let wanted = "# read { it\npath \"secret/{{x}}/*\" {\n  capabilities = [\n    \"read\", // }\n  ]\n\n  a = 1\n}\n\
                      /* one\n   { two */\nc = <<-EOT\n  { kept\n EOT\nd { e = \"\\\"}\" }\n";
        assert_eq!(lay_out(text).as_deref(), Some(wanted));
        assert_eq!(lay_out(wanted).as_deref(), Some(wanted), "once is enough");
    }
}
