//! `sys/policies/password`: how generated passwords are made.

use super::Sys;
use crate::barrier::View;
use crate::base::{Error, Json, Key, Name, Result, limits};
use crate::engine::{Cx, PasswordPolicies, Reply, Routes};
use crate::params;
use crate::policy::PasswordPolicy;
use crate::system::policies::plain;

fn folder() -> Key {
    Key::new("core/password-policy")
}

/// The password policies in a view of the whole store, for engines.
pub struct StoredPolicies(pub View);

impl PasswordPolicies for StoredPolicies {
    fn named(&self, name: &Name) -> Result<Option<PasswordPolicy>> {
        let text: Option<String> = self.0.get(&folder().join(&name.as_str().to_lowercase()))?;
        text.map(|text| PasswordPolicy::parse(&text)).transpose()
    }
}

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes
        .at("policies/password/", "List the password policies.", |at| at.list(list))
        .at("policies/password/{name!}", "Read, write and delete a password policy.", |at| {
            at.read(read).update(write).delete(delete)
        })
        .at("policies/password/{name!}/generate", "A password by a policy.", |at| at.read(generate))
}

params! {
    /// A password policy by its name.
    pub struct ByName {
        /// Name of the policy.
        name: Name,
    }
    /// The text of a password policy.
    pub struct Write {
        /// Name of the policy.
        name: Name,
        /// The text, in HCL or JSON, plain or in base64.
        policy: Option<String>,
    }
}

async fn list(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.view.list(&folder())?))
}

fn text(cx: &Cx<Sys>, name: &Name) -> Result<String> {
    let text: Option<String> = cx.engine().handles.view.get(&folder().join(name.as_str()))?;
    text.ok_or_else(|| Error::NotFound(vec!["there is no password policy of this name".into()]))
}

async fn read(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    Ok(Reply::data([("policy".to_owned(), Json::from(text(&cx, &p.name)?))]))
}

async fn write(cx: Cx<Sys>, p: Write) -> Result<Reply> {
    let text = plain(p.policy.unwrap_or_default());
    if text.is_empty() {
        return Err(Error::invalid("missing policy"));
    }
    PasswordPolicy::parse(&text)?;
    let mut txn = cx.engine().handles.view.txn();
    let key = folder().join(p.name.as_str());
    if txn.get::<String>(&key)?.is_none()
        && cx.engine().handles.view.list(&folder())?.len() >= limits::PASSWORD_POLICIES
    {
        return Err(Error::invalid(format!("at most {} password policies", limits::PASSWORD_POLICIES)));
    }
    txn.put(&key, &text)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    let mut txn = cx.engine().handles.view.txn();
    txn.delete(&folder().join(p.name.as_str()));
    Ok(Reply::empty(txn))
}

async fn generate(cx: Cx<Sys>, p: ByName) -> Result<Reply> {
    let password = PasswordPolicy::parse(&text(&cx, &p.name)?)?.generate(cx.rng());
    Ok(Reply::data([("password".to_owned(), Json::from(password.reveal().as_str()))]))
}
