//! Looking at tokens: by their text, by their accessor, at oneself.

use super::{TokenEngine, of_accessor, of_text, own};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret};
use crate::engine::{Cx, Reply, Routes};
use crate::identity::Standing;
use crate::params;
use crate::token::{Token, Use};

/// Adds the endpoints.
pub fn routes(routes: Routes<TokenEngine>) -> Routes<TokenEngine> {
    routes
        .at("lookup", "What is known of a token.", |at| at.read(lookup).update(lookup))
        .at("lookup-self", "What is known of this token.", |at| at.read(lookup_self).update(lookup_self))
        .at("lookup-accessor", "What is known of the token of an accessor.", |at| at.update(lookup_accessor))
        .at("accessors/", "The accessors of all tokens.", |at| at.list(accessors).sudo())
}

params! {
    /// A token.
    pub struct ByToken {
        /// The token; the caller's own where it is absent.
        token: Option<Secret<String>>,
    }
    /// A token's accessor.
    pub struct ByAccessor {
        /// The accessor.
        accessor: Option<String>,
    }
}

async fn lookup(cx: Cx<TokenEngine>, p: ByToken) -> Result<Reply> {
    match p.token.filter(|t| !t.reveal().is_empty()) {
        None => {
            let (token, text) = own(&cx)?;
            show(&cx, &token, text.reveal())
        }
        Some(text) => {
            let token = of_text(&cx, &text)?.ok_or_else(|| Error::Forbidden("bad token".into()))?;
            show(&cx, &token, text.reveal())
        }
    }
}

async fn lookup_self(cx: Cx<TokenEngine>, _: ByToken) -> Result<Reply> {
    let (token, text) = own(&cx)?;
    show(&cx, &token, text.reveal())
}

async fn lookup_accessor(cx: Cx<TokenEngine>, p: ByAccessor) -> Result<Reply> {
    let accessor = p.accessor.filter(|a| !a.is_empty()).ok_or_else(|| Error::invalid("missing accessor"))?;
    let token = of_accessor(&cx, &accessor)?;
    show(&cx, &token, "")
}

async fn accessors(cx: Cx<TokenEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.tokens.accessors()?))
}

/// What is known of a token. Its parent is nobody's business.
fn show(cx: &Cx<TokenEngine>, token: &Token, text: &str) -> Result<Reply> {
    let now = cx.now();
    let standing = cx.engine().handles.identities.standing(&token.entity_id)?;
    let entity_id = standing.as_ref().map_or(token.entity_id.as_str(), |s| s.entity.id.as_str());
    let identity_policies = standing.as_ref().map(Standing::policies).unwrap_or_default();
    let meta: Map = token.meta.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    let mut data = Map::from(
        [
            ("accessor", Json::from(token.accessor.as_str())),
            ("creation_time", token.created.as_second().into()),
            ("creation_ttl", token.creation_ttl.seconds().into()),
            ("display_name", token.display_name.as_str().into()),
            ("entity_id", entity_id.into()),
            ("expire_time", token.expires.map(|t| t.to_string()).into()),
            ("explicit_max_ttl", token.explicit_max_ttl.seconds().into()),
            ("id", text.into()),
            ("issue_time", token.created.to_string().into()),
            ("meta", if meta.is_empty() { Json::Null } else { meta.into() }),
            ("num_uses", if let Use::Counted(left) = token.uses { left } else { 0 }.into()),
            ("orphan", token.parent.is_empty().into()),
            ("path", token.path.as_str().into()),
            ("policies", token.policies.clone().into()),
            ("renewable", token.renewable.into()),
            ("ttl", token.ttl(now).seconds().into()),
            ("type", token.kind.word().into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    if !identity_policies.is_empty() {
        data.insert("identity_policies".into(), identity_policies.into());
    }
    if let Some(renewed) = token.renewed {
        data.insert("last_renewal".into(), renewed.to_string().into());
        data.insert("last_renewal_time".into(), renewed.as_second().into());
    }
    if !token.role.is_empty() {
        data.insert("role".into(), token.role.as_str().into());
    }
    if !token.period.is_zero() {
        data.insert("period".into(), token.period.seconds().into());
    }
    if !token.bound_cidrs.is_empty() {
        let cidrs: Vec<String> = token.bound_cidrs.iter().map(crate::engine::show_network).collect();
        data.insert("bound_cidrs".into(), cidrs.into());
    }
    Ok(Reply::data(data))
}
