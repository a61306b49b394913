//! An answer becomes bytes. What an engine said comes here only as an [`Outbound`](super::Answer): recorded and released.

use futures_util::StreamExt;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::Answer;
use super::listener::Body;
use crate::base::json::{self, Map};
use crate::base::{Error, Json};
use crate::system::front::PageHeaders;
use crate::vault::Content;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer of an engine.
pub fn outbound(answer: Answer) -> Response<Body> {
    let status = answer.status;
    match answer.content {
        Content::Empty => response(status, None, Vec::new()),
        Content::Envelope { request_id, response: envelope, flat } => {
            let mut bytes = Vec::with_capacity(1024);
            envelope.write(&request_id, flat, &mut bytes);
            response(status, Some(JSON), bytes)
        }
        Content::Errors(texts) => errors(status, &texts),
        Content::Stream { media_type, pieces } => {
            let mut answer = response(status, HeaderValue::from_str(media_type).ok(), Vec::new());
            *answer.body_mut() = Body::stream(pieces.map(Into::into));
            answer
        }
        Content::Raw { media_type, headers, bytes } => {
            let mut answer = response(status, HeaderValue::from_str(media_type).ok(), bytes);
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    answer.headers_mut().append(name, value);
                }
            }
            answer
        }
    }
}

/// The answer to what reached no engine.
pub fn error(error: &Error) -> Response<Body> {
    let texts: Vec<String> = error.texts().into_iter().filter(|text| !text.is_empty()).collect();
    errors(error.status(), &texts)
}

/// An object at the top level, as the endpoints outside of the engines answer.
pub fn object(status: u16, map: &Map) -> Response<Body> {
    let mut bytes = Vec::with_capacity(512);
    json::write_object(map, &mut bytes);
    response(status, Some(JSON), bytes)
}

/// Bytes of a media type.
pub fn plain(status: u16, media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    response(status, Some(HeaderValue::from_static(media_type)), bytes)
}

/// A status without a body.
pub fn empty(status: u16) -> Response<Body> {
    response(status, None, Vec::new())
}

/// 204.
pub fn nothing() -> Response<Body> {
    response(204, None, Vec::new())
}

/// The answer to a path that is not below `/v1/`.
pub fn elsewhere(path: &str, page_headers: &PageHeaders) -> Response<Body> {
    let mut answer = bare(path);
    if path.starts_with("/ui") {
        for (name, value) in page_headers.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v))) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                answer.headers_mut().append(name, value);
            }
        }
    }
    answer
}

fn bare(path: &str) -> Response<Body> {
    // The web page is not there yet: what it would answer is what a server without one answers.
    if path == "/" || path.starts_with("/ui") {
        return response(
            404,
            Some(HeaderValue::from_static("text/plain; charset=utf-8")),
            b"404 page not found\n".to_vec(),
        );
    }
    errors(404, &[])
}

fn errors(status: u16, texts: &[String]) -> Response<Body> {
    let map = Map::from([("errors".to_owned(), Json::from(texts.to_vec()))]);
    object(status, &map)
}

fn response(status: u16, media_type: Option<HeaderValue>, bytes: Vec<u8>) -> Response<Body> {
    let body = if bytes.is_empty() { Body::empty() } else { Body::whole(bytes) };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    answer
}
