//! Source to tokens, by the rules of Go's text/template.
//!
//! Text between actions is one token, already trimmed where a `{{- ` or ` -}}` asks for it. Spaces inside an action
//! are tokens, because they separate operands.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The lexer gave up here, for this reason.
    Error(&'static str),
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other printable character of ASCII, such as the comma.
    Other,
    Bool,
    CharConstant,
    Number,
    String,
    RawString,
    Identifier,
    Field,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token and the bytes of the source that it covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// All tokens of a source; the last is `Eof` or `Error`.
pub(super) fn lex(source: &str, left: &str, right: &str) -> Vec<Token> {
    let mut lexer = Lexer { source, left, right, at: 0, tokens: Vec::new() };
    let end = match lexer.text() {
        Ok(()) => Token { kind: Kind::Eof, start: source.len(), end: source.len() },
        Err((start, reason)) => Token { kind: Kind::Error(reason), start, end: start },
    };
    lexer.tokens.push(end);
    lexer.tokens
}

struct Lexer<'a> {
    source: &'a str,
    left: &'a str,
    right: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

/// Where the offending token began, and what is wrong with it.
type Failure = (usize, &'static str);

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, start, end: self.at });
    }

    fn text(&mut self) -> Result<(), Failure> {
        // Text after a trimming delimiter starts behind the spaces; `start` never lies behind `at`.
        loop {
            let start = self.at;
            let Some(found) = self.rest().find(self.left) else {
                self.at = self.source.len();
                if self.at > start {
                    self.push(Kind::Text, start);
                }
                return Ok(());
            };
            let delim = start + found;
            let after = delim + self.left.len();
            let trims = trims_left(&self.source[after..]);
            let text = &self.source[start..delim];
            let kept = if trims { text.trim_end_matches(SPACES).len() } else { text.len() };
            if kept > 0 {
                self.at = start + kept;
                self.push(Kind::Text, start);
            }
            self.at = after;
            let inside = after + if trims { 2 } else { 0 };
            if self.source[inside..].starts_with("/*") {
                self.comment(inside)?;
            } else {
                self.push(Kind::LeftDelim, delim);
                self.at = inside;
                self.action()?;
            }
        }
    }

    /// A comment, from its opening `/*`, with the delimiter that must follow it.
    fn comment(&mut self, start: usize) -> Result<(), Failure> {
        let Some(end) = self.source[start + 2..].find("*/") else { return Err((start, "unclosed comment")) };
        self.at = start + 2 + end + 2;
        let Some(trims) = self.right_delim() else { return Err((start, "comment ends before closing delimiter")) };
        self.close(trims);
        Ok(())
    }

    /// Whether a right delimiter is next; if so, whether it trims.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[2..].starts_with(self.right) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    /// Steps over the right delimiter, its marker, and the spaces it trims.
    fn close(&mut self, trims: bool) {
        self.at += self.right.len() + if trims { 2 } else { 0 };
        if trims {
            self.at = self.source.len() - self.rest().trim_start_matches(SPACES).len();
        }
    }

    fn action(&mut self) -> Result<(), Failure> {
        let mut parens = 0usize;
        loop {
            let start = self.at;
            if let Some(trims) = self.right_delim() {
                if parens > 0 {
                    return Err((start, "unclosed left paren"));
                }
                self.close(trims);
                let end = start + self.right.len() + if trims { 2 } else { 0 };
                self.tokens.push(Token { kind: Kind::RightDelim, start: start + if trims { 2 } else { 0 }, end });
                return Ok(());
            }
            let Some(c) = self.next() else { return Err((start, "unclosed action")) };
            match c {
                ' ' | '\t' | '\r' | '\n' => {
                    while self.peek().is_some_and(is_space) {
                        self.next();
                    }
                    // The last space may belong to a closing ` -}}`. Spaces are one byte each.
                    let tail = &self.source[self.at - 1..];
                    if trims_right(tail) && tail[2..].starts_with(self.right) {
                        self.at -= 1;
                    }
                    if self.at > start {
                        self.push(Kind::Space, start);
                    }
                }
                '=' => self.push(Kind::Assign, start),
                ':' => {
                    if self.next() != Some('=') {
                        return Err((start, "expected :="));
                    }
                    self.push(Kind::Declare, start);
                }
                '|' => self.push(Kind::Pipe, start),
                '"' => self.quoted('"', start, "unterminated quoted string", Kind::String)?,
                '\'' => self.quoted('\'', start, "unterminated character constant", Kind::CharConstant)?,
                '`' => {
                    let Some(end) = self.rest().find('`') else {
                        return Err((start, "unterminated raw quoted string"));
                    };
                    self.at += end + 1;
                    self.push(Kind::RawString, start);
                }
                '$' => self.name(start, Kind::Variable, Kind::Variable)?,
                '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && self.at < self.source.len() => {
                    self.name(start, Kind::Field, Kind::Dot)?;
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = start;
                    self.number(start)?;
                }
                '(' => {
                    parens += 1;
                    self.push(Kind::LeftParen, start);
                }
                ')' => {
                    parens = parens.checked_sub(1).ok_or((start, "unexpected right paren"))?;
                    self.push(Kind::RightParen, start);
                }
                c if is_alphanumeric(c) => self.word(start)?,
                c if c.is_ascii_graphic() => self.push(Kind::Other, start),
                _ => return Err((start, "unrecognized character in action")),
            }
        }
    }

    fn quoted(&mut self, quote: char, start: usize, unterminated: &'static str, kind: Kind) -> Result<(), Failure> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return Err((start, unterminated));
                    }
                }
                None | Some('\n') => return Err((start, unterminated)),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.push(kind, start);
        Ok(())
    }

    fn name(&mut self, start: usize, kind: Kind, alone: Kind) -> Result<(), Failure> {
        if self.at_terminator() {
            self.push(alone, start);
            return Ok(());
        }
        self.alphanumerics();
        if !self.at_terminator() {
            return Err((start, "bad character after a name"));
        }
        self.push(kind, start);
        Ok(())
    }

    fn alphanumerics(&mut self) {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
    }

    fn word(&mut self, start: usize) -> Result<(), Failure> {
        self.alphanumerics();
        if !self.at_terminator() {
            return Err((start, "bad character after a name"));
        }
        let kind = match &self.source[start..self.at] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.push(kind, start);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) if is_space(c) => true,
            Some(_) => self.rest().starts_with(self.right),
        }
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn number(&mut self, start: usize) -> Result<(), Failure> {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits == DECIMAL && self.accept("eE") || digits == HEX && self.accept("pP") {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        if self.peek().is_some_and(is_alphanumeric) {
            // Go has complex constants (`2i`); no function here takes one.
            return Err((start, "bad number syntax"));
        }
        self.push(Kind::Number, start);
        Ok(())
    }
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn trims_left(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn trims_right(rest: &str) -> bool {
    rest.strip_prefix(is_space).is_some_and(|rest| rest.starts_with('-'))
}
