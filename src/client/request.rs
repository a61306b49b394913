//! A request to be sent: method, escaped path, query, body; its `Debug` shows no body.

use std::{fmt, time::Duration};

use hyper::{
    body::Bytes,
    header::{HeaderName, HeaderValue},
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{Error, Result};
use crate::base::Secret;

/// The methods of the API as they go over the wire; `LIST` goes as a `GET` with `list=true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read or list.
    Get,
    /// Create or update, idempotent by name only.
    Put,
    /// As `Put`; some endpoints are documented with it.
    Post,
    /// Merge.
    Patch,
    /// Delete.
    Delete,
    /// Read, headers only.
    Head,
    /// List, spelled as its own method; for what passes requests on.
    List,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::List => "LIST",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a path keeps unescaped: the slashes between segments and what names are made of.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What a query value keeps unescaped.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// One request. Made by a constructor, refined by the methods that return `Self`.
#[derive(Clone)]
pub struct Request {
    method: Method,
    /// Escaped, from `/v1/` on.
    path: String,
    query: String,
    body: Bytes,
    content_type: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    wrap_ttl: Wrap,
    timeout: Option<Duration>,
    token: bool,
    bare: bool,
}

#[derive(Clone)]
enum Wrap {
    AsClient,
    Never,
    For(String),
}

impl Request {
    /// A request of any method to a path below `/v1/`, not yet escaped.
    pub fn new(method: Method, path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self::verbatim(method, &format!("/v1/{}", utf8_percent_encode(path, PATH)))
    }

    /// A request to a path and query that are escaped already, from the root on.
    pub fn verbatim(method: Method, path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            body: Bytes::new(),
            content_type: None,
            headers: Vec::new(),
            wrap_ttl: Wrap::AsClient,
            timeout: None,
            token: true,
            bare: false,
        }
    }

    /// Reads.
    pub fn read(path: &str) -> Self {
        Self::new(Method::Get, path)
    }

    /// Lists, in the form that every proxy lets through.
    pub fn list(path: &str) -> Self {
        Self::new(Method::Get, path).query("list", "true")
    }

    /// Writes.
    pub fn write(path: &str) -> Self {
        Self::new(Method::Put, path)
    }

    /// Merges.
    pub fn patch(path: &str) -> Self {
        let mut request = Self::new(Method::Patch, path);
        request.content_type = Some("application/merge-patch+json");
        request
    }

    /// Deletes.
    pub fn delete(path: &str) -> Self {
        Self::new(Method::Delete, path)
    }

    /// Adds one query parameter.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.extend(utf8_percent_encode(name, QUERY));
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value, QUERY));
        self
    }

    /// Adds several query parameters.
    pub fn query_all(self, pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(self, |request, (name, value)| request.query(name, value))
    }

    /// Sets a JSON body.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Result<Self> {
        let bytes = serde_json::to_vec(body).map_err(|err| Error::Invalid(format!("the body is not JSON: {err}")))?;
        self.body = bytes.into();
        self.content_type = self.content_type.or(Some("application/json"));
        Ok(self)
    }

    /// Sets a body as it is, without a content type; add one by [`Request::header`].
    pub fn bytes(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Adds a header, which wins over one of the client's own of that name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Asks for this reply to be wrapped for this long.
    pub fn wrapped(mut self, ttl: &str) -> Self {
        self.wrap_ttl = Wrap::For(ttl.to_owned());
        self
    }

    /// Asks for a plain reply even of a client that wraps.
    pub fn unwrapped(mut self) -> Self {
        self.wrap_ttl = Wrap::Never;
        self
    }

    /// Sends no header but those that were added, and the token: for requests that are passed on.
    pub fn as_given(mut self) -> Self {
        self.bare = true;
        self
    }

    pub(super) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Sends no token even if the client has one.
    pub fn without_token(mut self) -> Self {
        self.token = false;
        self
    }

    /// Sets how long this request may take, retries included, instead of the client's timeout.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The method as it goes over the wire.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The escaped path with its query.
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// The body; it may hold secrets.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The media type of the body, if the request says one.
    pub fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// The wrapping time that is asked for, given the client's own.
    pub fn wrap_ttl_or<'a>(&'a self, of_client: Option<&'a str>) -> Option<&'a str> {
        match &self.wrap_ttl {
            Wrap::AsClient => of_client.filter(|ttl| !ttl.is_empty()),
            Wrap::Never => None,
            Wrap::For(ttl) => Some(ttl),
        }
    }

    pub(super) fn verb(&self) -> &'static str {
        self.method.as_str()
    }

    /// Whether sending twice is the same as sending once.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head | Method::List)
    }

    pub(super) fn carries_token(&self) -> bool {
        self.token
    }

    pub(super) fn extra_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    pub(super) fn timeout_or(&self, of_client: Duration) -> Duration {
        self.timeout.unwrap_or(of_client)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Refuses a token that no header can carry, without showing it.
pub(super) fn check_token(token: &Secret<String>) -> Result<()> {
    if token.reveal().bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        Ok(())
    } else {
        Err(Error::Invalid("the token contains non-printable characters and cannot be used".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_no_header_can_carry_are_refused_without_being_shown() {
        for bad in ["a\nb", "a b", "ä", "a\u{7f}"] {
            let err = check_token(&Secret::new(bad.to_owned())).unwrap_err();
            assert!(!err.to_string().contains(bad));
        }
        assert!(check_token(&Secret::new("hvs.CAES-_".to_owned())).is_ok());
    }

    #[test]
    fn paths_are_escaped_once() {
        let of = |path| Request::read(path).path_and_query();
        assert_eq!(of("secret/data/a b"), "/v1/secret/data/a%20b");
        assert_eq!(of("/secret/a?b#c"), "/v1/secret/a%3Fb%23c");
        assert_eq!(of("a%2Fb"), "/v1/a%252Fb");
        assert_eq!(of("a\nb/ä"), "/v1/a%0Ab/%C3%A4");
        assert_eq!(of("pki/cert/3a:5b,x"), "/v1/pki/cert/3a:5b,x");
    }

    #[test]
    fn queries_are_escaped_and_joined() {
        let request = Request::list("a").query("after", "x&y=z").query("limit", "5");
        assert_eq!(request.path_and_query(), "/v1/a?list=true&after=x%26y%3Dz&limit=5");
    }

    #[test]
    fn debug_shows_no_body() {
        let request = Request::write("a").json(&serde_json::json!({"password": "swordfish"})).unwrap();
        assert!(!format!("{request:?}").contains("swordfish"));
    }

    #[test]
    fn a_request_may_refuse_or_set_the_wrapping() {
        assert_eq!(Request::read("a").wrap_ttl_or(Some("5m")), Some("5m"));
        assert_eq!(Request::read("a").unwrapped().wrap_ttl_or(Some("5m")), None);
        assert_eq!(Request::read("a").wrapped("1m").wrap_ttl_or(Some("5m")), Some("1m"));
    }
}
