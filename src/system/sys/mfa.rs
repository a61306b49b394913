//! `sys/mfa/validate`: the second step of a login that needs more than what it brought.

use super::Sys;
use crate::base::{Error, Json, Result, Secret};
use crate::engine::{Cx, Reply, Resumed, Routes};
use crate::params;

/// Adds the endpoint.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("mfa/validate", "Bring the codes that a login waits for.", |at| at.update(validate).public())
}

params! {
    /// The codes.
    pub struct Codes {
        /// The id under which the login waits.
        mfa_request_id: Option<String>,
        /// By the id of a method, its code in a list.
        mfa_payload: Payload,
    }
}

/// What proves a factor, by the id of its method. All of it is secret.
#[derive(Debug, Default)]
pub struct Payload(Vec<(String, Secret<String>)>);

impl crate::engine::params::Scalar for Payload {
    const KIND: &'static str = "object";
    const SECRET: bool = true;
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
    fn read(value: Json) -> Result<Self, String> {
        const WHAT: &str = "expected an object of lists";
        let Json::Object(map) = value else { return Err(WHAT.into()) };
        let mut codes = Vec::new();
        for (id, list) in map {
            let first = match list {
                Json::Array(items) => items.into_iter().next().unwrap_or_default(),
                other => other,
            };
            if let Json::String(text) = first {
                // Some clients write it as for Duo and others.
                let text = text.strip_prefix("passcode=").unwrap_or(&text).to_owned();
                codes.push((id, Secret::new(text)));
            } else if let Json::Number(text) = first {
                codes.push((id, Secret::new(text.into())));
            } else {
                return Err(WHAT.into());
            }
        }
        Ok(Self(codes))
    }
}

async fn validate(cx: Cx<Sys>, p: Codes) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let identities = &handles.identities;
    let id = p.mfa_request_id.filter(|id| !id.is_empty()).ok_or_else(|| Error::invalid("missing request ID"))?;
    let Payload(codes) = p.mfa_payload;
    let work = handles.work()?;
    let mut txn = identities.view().txn();
    let waiting = identities.waiting(&mut txn, &id, cx.now())?;
    if codes.is_empty() {
        return Err(Error::invalid("missing 'mfa_payload'"));
    }
    let mut taken: Vec<&str> = Vec::new();
    for methods in waiting.needs.values() {
        if methods.iter().any(|m| taken.contains(&m.id.as_str())) {
            continue;
        }
        let brought = methods.iter().find_map(|m| codes.iter().find(|(id, _)| *id == m.id).map(|(_, code)| (m, code)));
        let Some((method, code)) = brought else {
            return Err(Error::Forbidden("login MFA validation failed: a method's code is missing".into()));
        };
        // The try counts whatever comes of it, hence in a commit of its own.
        work.commit(identities.count_try(method, &waiting.entity_id, cx.now())?).await?;
        identities.take_code(&mut txn, method, &waiting.entity_id, code, cx.now())?;
        taken.push(&method.id);
    }
    identities.ready(&mut txn, &id);
    let mut login = waiting.login;
    login.resumed = Some(Resumed { mount_accessor: waiting.mount_accessor, path: waiting.path });
    Ok(Reply::login(&cx, login).with(txn))
}
