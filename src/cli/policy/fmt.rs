//! `policy fmt`: lays out the text of a policy.

use std::{fs, path::Path};

use clap::Args;

use crate::cli::{
    context::Cx,
    failure::{Failure, Outcome},
    pairs,
};

/// Lay out a policy file, in place.
#[derive(Args, Debug)]
pub struct Fmt {
    /// The file.
    file: String,
}

impl Fmt {
    pub fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
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
