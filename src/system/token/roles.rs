//! Token roles.

use super::TokenEngine;
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Ttl, limits};
use crate::engine::{Cx, Reply, Routes, TokenKind, TokenParams};
use crate::params;
use crate::token::roles::{Role, key};

/// Adds the endpoints.
pub fn routes(routes: Routes<TokenEngine>) -> Routes<TokenEngine> {
    routes.at("roles/", "List the token roles.", |at| at.list(list)).at(
        "roles/{role_name}",
        "Read, write and delete a token role.",
        |at| at.read(read).upsert(exists, write).delete(delete),
    )
}

params! {
    /// A role by its name.
    pub struct ByName {
        /// Its name.
        role_name: Name,
    }
    /// A role.
    pub struct Write {
        /// Its name.
        role_name: Name,
        /// Policies that may be asked for.
        allowed_policies: Option<Vec<String>>,
        /// The same as globs.
        allowed_policies_glob: Option<Vec<String>>,
        /// Policies that are never given.
        disallowed_policies: Option<Vec<String>>,
        /// The same as globs.
        disallowed_policies_glob: Option<Vec<String>>,
        /// Tokens without a parent.
        orphan: Option<bool>,
        /// Tokens that can be renewed.
        renewable: Option<bool>,
        /// Put behind the path that tokens say they come from.
        path_suffix: Option<String>,
        /// Aliases under which a token can be made.
        allowed_entity_aliases: Option<Vec<String>>,
        /// The older name of `token_period`.
        period: Option<Ttl>,
        /// The older name of `token_explicit_max_ttl`.
        explicit_max_ttl: Option<Ttl>,
        /// The older name of `token_bound_cidrs`.
        bound_cidrs: Option<Vec<ipnet::IpNet>>,
        /// What all roles share.
        rules: TokenParams,
    }
}

fn exists(cx: &Cx<TokenEngine>, p: &Write) -> Result<bool> {
    Ok(cx.engine().handles.tokens.role(p.role_name.as_str())?.is_some())
}

async fn list(cx: Cx<TokenEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.tokens.view().list(&crate::base::Key::new("role"))?))
}

async fn read(cx: Cx<TokenEngine>, p: ByName) -> Result<Reply> {
    let role = cx.engine().handles.tokens.role(p.role_name.as_str())?.ok_or_else(Error::not_found)?;
    let list = |names: &[String]| Json::from(names.to_vec());
    let mut data = Map::from(
        [
            ("name", Json::from(role.name.as_str())),
            ("allowed_policies", list(&role.allowed_policies)),
            ("allowed_policies_glob", list(&role.allowed_policies_glob)),
            ("disallowed_policies", list(&role.disallowed_policies)),
            ("disallowed_policies_glob", list(&role.disallowed_policies_glob)),
            ("orphan", role.orphan.into()),
            ("renewable", role.renewable.into()),
            ("path_suffix", role.path_suffix.as_str().into()),
            ("period", role.period.seconds().into()),
            ("explicit_max_ttl", role.explicit_max_ttl.seconds().into()),
            (
                "allowed_entity_aliases",
                if role.allowed_entity_aliases.is_empty() { Json::Null } else { list(&role.allowed_entity_aliases) },
            ),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    role.rules.show(&mut data);
    for unused in ["token_max_ttl", "token_policies", "token_ttl"] {
        data.remove(unused);
    }
    if role.rules.token_type == TokenKind::Default {
        data.insert("token_type".into(), "default-service".into());
    }
    Ok(Reply::data(data))
}

async fn write(cx: Cx<TokenEngine>, p: Write) -> Result<Reply> {
    let tokens = &cx.engine().handles.tokens;
    let mut txn = tokens.view().txn();
    let at = key(p.role_name.as_str());
    let mut role: Role = txn.get(&at)?.unwrap_or_default();
    p.role_name.as_str().clone_into(&mut role.name);
    let folded = |names: Vec<String>| -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let lists = [
        (p.allowed_policies, &mut role.allowed_policies),
        (p.allowed_policies_glob, &mut role.allowed_policies_glob),
        (p.disallowed_policies, &mut role.disallowed_policies),
        (p.disallowed_policies_glob, &mut role.disallowed_policies_glob),
        (p.allowed_entity_aliases, &mut role.allowed_entity_aliases),
    ];
    for (given, kept) in lists {
        if let Some(names) = given {
            if names.len() > limits::TOKEN_POLICIES {
                return Err(Error::invalid(format!("at most {} names in a list", limits::TOKEN_POLICIES)));
            }
            *kept = folded(names);
        }
    }
    if let Some(v) = p.orphan {
        role.orphan = v;
    }
    if let Some(v) = p.renewable {
        role.renewable = v;
    }
    if let Some(v) = p.path_suffix {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !v.chars().all(fits) || v.len() > limits::SEGMENT_BYTES || v.contains("..") {
            return Err(Error::invalid("given role path suffix contains invalid characters"));
        }
        role.path_suffix = v;
    }
    if let Some(v) = p.period {
        role.period = v;
        role.rules.token_period = v;
    }
    if let Some(v) = p.explicit_max_ttl {
        role.explicit_max_ttl = v;
        role.rules.token_explicit_max_ttl = v;
    }
    if let Some(v) = p.bound_cidrs {
        role.rules.token_bound_cidrs = v;
    }
    role.rules.apply(p.rules)?;
    if role.rules.token_type == TokenKind::Batch && !role.orphan && role.renewable {
        // As recorded: a batch role has to say what its tokens will be.
        return Err(Error::invalid("'token_type' cannot be 'batch' when role is set to generate renewable tokens"));
    }
    txn.put(&at, &role)?;
    Ok(Reply::empty(txn))
}

async fn delete(cx: Cx<TokenEngine>, p: ByName) -> Result<Reply> {
    let mut txn = cx.engine().handles.tokens.view().txn();
    txn.delete(&key(p.role_name.as_str()));
    Ok(Reply::empty(txn))
}
