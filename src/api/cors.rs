//! Requests from pages of other origins: who may ask, and what a browser is told (the Fetch standard's CORS).

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response};

use super::encode;
use super::listener::Body;
use crate::base::Error;
use crate::system::front::Cors;

/// What such a page may do.
const METHODS: [&str; 7] = ["DELETE", "GET", "OPTIONS", "POST", "PUT", "LIST", "PATCH"];
/// For how many seconds a browser may remember the answer.
const AGE: HeaderValue = HeaderValue::from_static("300");

/// What was decided about an origin.
pub enum Crossing {
    /// Nothing is said about origins.
    None,
    /// The answer is complete: a refusal, or the answer to a browser's question.
    Answered(Response<Body>),
    /// The page may read the answer.
    Allowed(Marks),
}

/// The headers that let a page read an answer.
pub struct Marks {
    origin: HeaderValue,
    credentials: bool,
}

impl Marks {
    /// Puts them on an answer.
    pub fn put(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Decides by the configuration in force.
pub fn judge(cors: &Cors, method: &Method, headers: &HeaderMap) -> Crossing {
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| cors.enabled) else { return Crossing::None };
    if !origin.to_str().is_ok_and(|origin| cors.admits(origin)) {
        return Crossing::Answered(encode::error(&Error::Forbidden("origin not allowed".into())));
    }
    let marks = Marks { origin: origin.clone(), credentials: cors.credentials };
    if method != Method::OPTIONS {
        return Crossing::Allowed(marks);
    }
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|m| m.to_str().ok());
    if !wanted.is_some_and(|wanted| METHODS.contains(&wanted)) {
        return Crossing::Answered(encode::error(&Error::Method));
    }
    let mut answer = encode::empty(200);
    let told = answer.headers_mut();
    marks.put(told);
    let list = |items: &[String]| HeaderValue::from_str(&items.join(",")).ok();
    let methods = METHODS.map(str::to_owned);
    told.extend(list(&methods).map(|value| (header::ACCESS_CONTROL_ALLOW_METHODS, value)));
    told.extend(list(&cors.all_headers()).map(|value| (header::ACCESS_CONTROL_ALLOW_HEADERS, value)));
    told.insert(header::ACCESS_CONTROL_MAX_AGE, AGE);
    Crossing::Answered(answer)
}
