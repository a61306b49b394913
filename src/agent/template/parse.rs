//! Tokens to trees, one for the template and one for each `define` or `block` in it.

use std::collections::BTreeMap;

use super::ast::{Branch, Command, List, Node, Operand, Pipe, Term, is_blank};
use super::error::Error;
use super::functions::Functions;
use super::lex::{Kind, Token, lex};
use super::literal;
use super::value::Text;

/// How deep blocks and parentheses may nest, together.
const NESTING_MAX: usize = 200;

/// Parses a source into its trees by name; its own is under `name`.
pub(super) fn parse(
    name: &str,
    source: &str,
    delimiters: (&str, &str),
    functions: &Functions,
) -> Result<BTreeMap<String, List>, Error> {
    let tokens = lex(source, delimiters.0, delimiters.1);
    let mut parser = Parser {
        name,
        source,
        tokens,
        at: 0,
        furthest: 0,
        functions,
        variables: vec!["$".to_owned()],
        ranges: 0,
        nesting: 0,
        trees: BTreeMap::new(),
    };
    let root = parser.top()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

struct Parser<'a> {
    name: &'a str,
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// The last token looked at, which is where an error is reported.
    furthest: usize,
    functions: &'a Functions,
    variables: Vec<String>,
    ranges: usize,
    nesting: usize,
    trees: BTreeMap<String, List>,
}

/// What ended a list of nodes.
enum Stop {
    End,
    Else,
}

enum Parsed {
    Node(Node),
    Stop(Stop),
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token {
        let token = self.peek();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn peek(&mut self) -> Token {
        self.furthest = self.furthest.max(self.at);
        self.tokens[self.at]
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next();
        }
    }

    fn peek_solid(&mut self) -> Token {
        self.skip_space();
        self.peek()
    }

    fn next_solid(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn of(&self, token: Token) -> &'a str {
        &self.source[token.start..token.end]
    }

    fn error(&self, message: impl Into<String>) -> Error {
        let offset = self.tokens[self.furthest.min(self.tokens.len() - 1)].start;
        Error::at(self.name, self.source, offset, message)
    }

    fn unexpected(&self, token: Token, context: &str) -> Error {
        // A string or number in the source is not shown: somebody may have put a secret into the template itself.
        let what = match token.kind {
            Kind::Error(reason) => return Error::at(self.name, self.source, token.start, reason),
            Kind::Eof => "end of template".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::LeftDelim | Kind::RightDelim => "delimiter".to_owned(),
            Kind::Space => "space".to_owned(),
            Kind::Number => "number".to_owned(),
            Kind::String | Kind::RawString => "string".to_owned(),
            Kind::CharConstant => "character constant".to_owned(),
            _ => format!("\"{}\"", self.of(token)),
        };
        self.error(format!("unexpected {what} in {context}"))
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(self.error(format!("nests deeper than {NESTING_MAX}"))) } else { Ok(()) }
    }

    fn add(&mut self, name: String, list: List) -> Result<(), Error> {
        match self.trees.get(&name) {
            Some(old) if !is_blank(old, self.source) => {
                if is_blank(&list, self.source) {
                    Ok(())
                } else {
                    Err(self.error(format!("multiple definition of template \"{name}\"")))
                }
            }
            _ => {
                self.trees.insert(name, list);
                Ok(())
            }
        }
    }

    fn top(&mut self) -> Result<List, Error> {
        let mut root = List::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let back = self.at;
                self.next();
                if self.next_solid().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.at = back;
            }
            match self.text_or_action()? {
                Parsed::Node(node) => root.push(node),
                Parsed::Stop(Stop::End) => return Err(self.error("unexpected {{end}}")),
                Parsed::Stop(Stop::Else) => return Err(self.error("unexpected {{else}}")),
            }
        }
        Ok(root)
    }

    fn definition(&mut self) -> Result<(), Error> {
        let token = self.next_solid();
        let name = self.template_name(token, "define clause")?;
        let token = self.next_solid();
        if token.kind != Kind::RightDelim {
            return Err(self.unexpected(token, "define clause"));
        }
        self.body(name, "define clause")
    }

    /// The body of a `define` or `block`: a tree of its own, which sees no variables of the outside.
    fn body(&mut self, name: String, context: &str) -> Result<(), Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::replace(&mut self.ranges, 0);
        let (list, stop) = self.list()?;
        if matches!(stop, Stop::Else) {
            return Err(self.error(format!("unexpected {{{{else}}}} in {context}")));
        }
        self.variables = variables;
        self.ranges = ranges;
        self.add(name, list)
    }

    fn template_name(&mut self, token: Token, context: &str) -> Result<String, Error> {
        match token.kind {
            Kind::String | Kind::RawString => {
                let text = self.string(token)?;
                String::from_utf8(text.bytes().to_vec()).map_err(|_| self.error("the name of a template is not UTF-8"))
            }
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn list(&mut self) -> Result<(List, Stop), Error> {
        self.deeper()?;
        let mut list = List::new();
        while self.peek_solid().kind != Kind::Eof {
            match self.text_or_action()? {
                Parsed::Node(node) => list.push(node),
                Parsed::Stop(stop) => {
                    self.nesting -= 1;
                    return Ok((list, stop));
                }
            }
        }
        Err(self.error("unexpected end of template"))
    }

    fn text_or_action(&mut self) -> Result<Parsed, Error> {
        let token = self.next_solid();
        match token.kind {
            Kind::Text => Ok(Parsed::Node(Node::Text { start: token.start, end: token.end })),
            Kind::LeftDelim => self.action(),
            _ => Err(self.unexpected(token, "input")),
        }
    }

    fn action(&mut self) -> Result<Parsed, Error> {
        let back = self.at;
        let token = self.next_solid();
        Ok(Parsed::Node(match token.kind {
            Kind::Block => self.block(token)?,
            Kind::Break => {
                self.leave("break")?;
                Node::Break
            }
            Kind::Continue => {
                self.leave("continue")?;
                Node::Continue
            }
            Kind::Else => {
                // `else if` and `else with` are read by the branch that they belong to.
                if !matches!(self.peek_solid().kind, Kind::If | Kind::With) {
                    let token = self.next_solid();
                    if token.kind != Kind::RightDelim {
                        return Err(self.unexpected(token, "else"));
                    }
                }
                return Ok(Parsed::Stop(Stop::Else));
            }
            Kind::End => {
                let token = self.next_solid();
                if token.kind != Kind::RightDelim {
                    return Err(self.unexpected(token, "end"));
                }
                return Ok(Parsed::Stop(Stop::End));
            }
            Kind::If => Node::If(self.branch("if")?),
            Kind::Range => Node::Range(self.branch("range")?),
            Kind::With => Node::With(self.branch("with")?),
            Kind::Template => {
                let token = self.next_solid();
                let name = self.template_name(token, "template clause")?;
                let pipe = if self.peek_solid().kind == Kind::RightDelim {
                    self.next();
                    None
                } else {
                    Some(self.pipeline("template clause", Kind::RightDelim)?)
                };
                Node::Template { at: token.start, name, pipe }
            }
            _ => {
                self.at = back;
                Node::Action(self.pipeline("command", Kind::RightDelim)?)
            }
        }))
    }

    fn leave(&mut self, word: &str) -> Result<(), Error> {
        let token = self.next_solid();
        if token.kind != Kind::RightDelim {
            return Err(self.unexpected(token, word));
        }
        if self.ranges == 0 {
            return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(())
    }

    fn block(&mut self, block: Token) -> Result<Node, Error> {
        let token = self.next_solid();
        let name = self.template_name(token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        self.body(name.clone(), "block clause")?;
        Ok(Node::Template { at: block.start, name, pipe: Some(pipe) })
    }

    fn branch(&mut self, word: &str) -> Result<Branch, Error> {
        let scope = self.variables.len();
        let pipe = self.pipeline(word, Kind::RightDelim)?;
        let ranges = usize::from(word == "range");
        self.ranges += ranges;
        let (list, stop) = self.list()?;
        self.ranges -= ranges;
        let otherwise = match stop {
            Stop::End => None,
            Stop::Else => Some(match (word, self.peek().kind) {
                ("if", Kind::If) => {
                    self.next();
                    self.deeper()?;
                    let inner = Node::If(self.branch("if")?);
                    self.nesting -= 1;
                    vec![inner]
                }
                ("with", Kind::With) => {
                    self.next();
                    self.deeper()?;
                    let inner = Node::With(self.branch("with")?);
                    self.nesting -= 1;
                    vec![inner]
                }
                _ => match self.list()? {
                    (list, Stop::End) => list,
                    (_, Stop::Else) => return Err(self.error("expected end; found {{else}}")),
                },
            }),
        };
        self.variables.truncate(scope);
        Ok(Branch { pipe, list, otherwise })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, Error> {
        let mut pipe =
            Pipe { at: self.peek_solid().start, variables: Vec::new(), assigns: false, commands: Vec::new() };
        while self.peek_solid().kind == Kind::Variable {
            let back = self.at;
            let variable = self.next();
            let next = self.peek_solid();
            let name = self.of(variable).to_owned();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next();
                    pipe.assigns = next.kind == Kind::Assign;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                }
                Kind::Other if self.of(next) == "," => {
                    self.next();
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err(self.error(format!("too many declarations in {context}")));
                    }
                    if !matches!(self.peek_solid().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return Err(self.error("range can only initialize variables"));
                    }
                    continue;
                }
                _ => self.at = back,
            }
            break;
        }
        loop {
            let back = self.at;
            let token = self.next_solid();
            if token.kind == end {
                self.check(&pipe, context)?;
                return Ok(pipe);
            }
            match token.kind {
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at = back;
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(token, context)),
            }
        }
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Result<(), Error> {
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = &command.operands[0].term; // a command has at least one operand
            if first.is_literal() || matches!(first, Term::Dot) {
                return Err(self.error(format!("non executable command in pipeline stage {}", i + 1)));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let back = self.at;
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.at = back,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(token, "operand")),
            }
            break;
        }
        if operands.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(self.of(token)[1..].to_owned());
        }
        let at = operand.at;
        let term = match operand.term {
            Term::Field(mut first) => {
                first.append(&mut fields);
                Term::Field(first)
            }
            Term::Variable(name, mut first) => {
                first.append(&mut fields);
                Term::Variable(name, first)
            }
            Term::Function(_) | Term::Pipe(_) | Term::Chain(..) => Term::Chain(Box::new(operand), fields),
            _ => return Err(self.error("unexpected . after a literal")),
        };
        Ok(Some(Operand { at, term }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let back = self.at;
        let token = self.next_solid();
        let text = self.of(token);
        let term = match token.kind {
            Kind::Identifier if !self.functions.has(text) => {
                return Err(self.error(format!("function \"{text}\" not defined")));
            }
            Kind::Identifier => Term::Function(text.to_owned()),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if !self.variables.iter().any(|v| v == text) => {
                return Err(self.error(format!("undefined variable \"{text}\"")));
            }
            Kind::Variable => Term::Variable(text.to_owned(), Vec::new()),
            Kind::Field => Term::Field(vec![text[1..].to_owned()]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::CharConstant => Term::Int(literal::character(text).map_err(|e| self.error(e))?),
            Kind::Number => literal::number(text).map_err(|e| self.error(e))?,
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::Text(self.string(token)?),
            _ => {
                self.at = back;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.start, term }))
    }

    fn string(&self, token: Token) -> Result<Text, Error> {
        let text = self.of(token);
        let inner = &text[1..text.len() - 1]; // the lexer saw both quotes
        if token.kind == Kind::RawString {
            return Ok(Text::from(inner.replace('\r', "").as_bytes()));
        }
        literal::unquote(inner, '"').map(Text::from).map_err(|e| self.error(e))
    }
}
