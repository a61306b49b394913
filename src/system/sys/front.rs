//! `sys/config/cors` and `sys/config/ui/headers`: what browsers are told.

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Result, header, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::front::{Cors, PageHeaders, cors_key, page_headers_key};

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("config/cors", "Requests from pages of other origins.", |at| {
            at.read(read_cors).update(write_cors).delete(delete_cors).sudo().flat()
        })
        .at("config/ui/headers/", "List the headers of the web page.", |at| at.list(list_headers).sudo())
        .at("config/ui/headers/{header!}", "A header of the web page.", |at| {
            at.read(read_header).update(write_header).delete(delete_header).sudo()
        })
}

params! {
    /// Who may ask from a page of another origin.
    pub struct WriteCors {
        /// The origins; `*` alone for all.
        allowed_origins: Vec<String>,
        /// More headers that such a page may send.
        allowed_headers: Vec<String>,
        /// Whether browsers may send what they remember.
        allow_credentials: Option<bool>,
        /// Accepted: what is written is enabled.
        enable: Option<bool>,
    }
    /// A header by its name.
    pub struct ByHeader {
        /// Its name.
        header: String,
        /// Whether all of its values are asked for.
        multivalue: Option<bool>,
    }
    /// A header with its values.
    pub struct WriteHeader {
        /// Its name.
        header: String,
        /// Its values.
        values: Vec<String>,
        /// Accepted: how many values there are is seen.
        multivalue: Option<bool>,
    }
}

async fn read_cors(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let cors: Cors = cx.engine().handles.view.get(&cors_key())?.unwrap_or_default();
    let mut data = Map::from([("enabled".to_owned(), Json::Bool(cors.enabled))]);
    if cors.enabled {
        data.insert("allowed_headers".into(), cors.all_headers().into());
        data.insert("allow_credentials".into(), cors.credentials.into());
        data.insert("allowed_origins".into(), cors.origins.into());
    }
    Ok(Reply::data(data))
}

async fn write_cors(cx: Cx<Sys>, p: WriteCors) -> Result<Reply> {
    if p.allowed_origins.is_empty() {
        return Err(Error::invalid("at least one origin or the wildcard must be provided"));
    }
    if p.allowed_origins.len() > 1 && p.allowed_origins.iter().any(|o| o == "*") {
        return Err(Error::invalid("to allow all origins the '*' must be the only value for allowed_origins"));
    }
    let credentials = p.allow_credentials.unwrap_or(false);
    if credentials && p.allowed_origins.iter().any(|o| o == "*") {
        return Err(Error::invalid("'allow_credentials' needs origins that are named"));
    }
    let (origins, headers) = (p.allowed_origins, p.allowed_headers);
    let origin = |o: &String| o == "*" || (o.bytes().all(|b| b.is_ascii_graphic()) && o.len() <= limits::NAME_BYTES);
    if origins.len().max(headers.len()) > limits::FRONT_ITEMS || !origins.iter().all(origin) {
        return Err(Error::invalid("field 'allowed_origins': too many, too long, or not printable"));
    }
    if !headers.iter().all(|h| header::is_name(h)) {
        return Err(Error::invalid("field 'allowed_headers': not the name of a header"));
    }
    let mut txn = cx.engine().handles.view.txn();
    txn.overwrite(&cors_key(), &Cors { enabled: true, origins, headers, credentials })?;
    Ok(Reply::empty(txn))
}

async fn delete_cors(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    txn.delete(&cors_key());
    Ok(Reply::empty(txn))
}

/// `x-custom-a` as people write it: `X-Custom-A`.
fn shown(name: &str) -> String {
    let word = |w: &str| {
        let mut letters = w.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn page_headers(cx: &Cx<Sys>) -> Result<PageHeaders> {
    Ok(cx.engine().handles.view.get(&page_headers_key())?.unwrap_or_default())
}

async fn list_headers(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::list(page_headers(&cx)?.keys().map(|name| shown(name)).collect::<Vec<_>>()))
}

async fn read_header(cx: Cx<Sys>, p: ByHeader) -> Result<Reply> {
    let headers = page_headers(&cx)?;
    let values = headers.get(&p.header).ok_or_else(Error::not_found)?;
    Ok(if p.multivalue == Some(true) {
        Reply::data([("values".to_owned(), Json::from(values.clone()))])
    } else {
        Reply::data([("value".to_owned(), values.first().cloned().unwrap_or_default().into())])
    })
}

async fn write_header(cx: Cx<Sys>, p: WriteHeader) -> Result<Reply> {
    if p.header.starts_with("x-vault-") {
        return Err(Error::invalid("headers whose name begins with 'X-Vault-' cannot be set"));
    }
    // What frames the answer is not for a setting to say.
    if !header::is_name(&p.header) || header::is_framing(&p.header) {
        return Err(Error::invalid("field 'header': not the name of a header that can be set"));
    }
    let fits = |v: &String| v.len() <= limits::HEADER_VALUE_BYTES && v.bytes().all(|b| (0x20..0x7f).contains(&b));
    if p.values.is_empty() || p.values.len() > limits::FRONT_ITEMS || !p.values.iter().all(fits) {
        return Err(Error::invalid("field 'values': none, too many, too long, or not printable"));
    }
    let mut txn = cx.engine().handles.view.txn();
    let mut headers: PageHeaders = txn.get(&page_headers_key())?.unwrap_or_default();
    headers.insert(p.header, p.values);
    if headers.len() > limits::FRONT_ITEMS {
        return Err(Error::invalid(format!("at most {} headers", limits::FRONT_ITEMS)));
    }
    txn.put(&page_headers_key(), &headers)?;
    Ok(Reply::whole(Json::object([("lease_id", "".into())])).with(txn))
}

async fn delete_header(cx: Cx<Sys>, p: ByHeader) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    let mut headers: PageHeaders = txn.get(&page_headers_key())?.unwrap_or_default();
    headers.remove(&p.header);
    txn.put(&page_headers_key(), &headers)?;
    Ok(Reply::empty(txn))
}
