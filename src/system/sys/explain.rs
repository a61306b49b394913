//! `sys/internal/explain`: why a request was or would be denied. For operators: all of it needs `sudo`.

use std::net::IpAddr;

use super::Sys;
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Ttl, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::params;
use crate::system::Question;
use crate::token::Token;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("internal/explain", "Explain the decision about a request.", |at| at.update(explain).sudo())
        .at("internal/denials", "The last denials of this node.", |at| at.read(denials).sudo())
        .at("internal/denials/{request_id}", "How a request was denied.", |at| at.read(denial).sudo())
}

params! {
    /// A request that is to be explained.
    pub struct Explain {
        /// The accessor of the token that asks; without it and without policies, the caller's own.
        accessor: Option<String>,
        /// Policies, instead of a token.
        policies: Vec<String>,
        /// The entity that templated policies are filled in from, beside policies.
        entity_id: Option<String>,
        /// The path below /v1/.
        path: String,
        /// create, read, update, patch, delete or list.
        operation: Option<String>,
        /// The parameters of the request.
        parameters: Json,
        /// For how long its answer would be wrapped.
        wrap_ttl: Option<Ttl>,
        /// The address that it comes from.
        remote_address: Option<String>,
    }
    /// A denied request.
    pub struct ByRequest {
        /// The request's id.
        request_id: String,
    }
}

async fn explain(cx: Cx<Sys>, p: Explain) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let work = handles.work()?;
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let is_policies = !p.policies.is_empty();
    if is_policies && given(&p.accessor) {
        return Err(Error::invalid("accessor and policies exclude each other"));
    }
    if p.policies.len() > limits::TOKEN_POLICIES {
        return Err(Error::invalid(format!("field 'policies': at most {}", limits::TOKEN_POLICIES)));
    }
    let token = if is_policies {
        let policies = p.policies.iter().map(|name| name.trim().to_lowercase()).collect();
        Token { policies, entity_id: p.entity_id.unwrap_or_default(), ..Token::default() }
    } else if given(&p.accessor) {
        let found = handles.tokens.by_accessor(p.accessor.as_deref().unwrap_or_default())?;
        found.ok_or_else(|| Error::invalid("no token has this accessor: it ended, was revoked, or is a batch token"))?
    } else {
        work.token_of(cx.caller.text.as_ref().ok_or(Error::BadToken)?)?
    };
    let parameters = match p.parameters {
        Json::Null => Map::new(),
        Json::Object(map) => map,
        _ => return Err(Error::invalid("field 'parameters': expected an object")),
    };
    let address = match p.remote_address.filter(|text| !text.is_empty()) {
        Some(text) => {
            Some(text.parse::<IpAddr>().map_err(|_| Error::invalid("field 'remote_address': expected an address"))?)
        }
        None => None,
    };
    Ok(Reply::data(work.explain(&Question {
        token,
        is_policies,
        path: p.path,
        operation: p.operation.map_or_else(|| "read".to_owned(), |word| word.trim().to_lowercase()),
        parameters,
        wrap: p.wrap_ttl,
        address,
    })?))
}

async fn denials(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let denials = cx.engine().handles.work()?.denials();
    Ok(Reply::data([("denials".to_owned(), Json::Array(denials))]))
}

async fn denial(cx: Cx<Sys>, p: ByRequest) -> Result<Reply> {
    Ok(Reply::data(cx.engine().handles.work()?.explain_denial(&p.request_id)?))
}
