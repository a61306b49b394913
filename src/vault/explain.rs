//! "Why 403?": the stages of a request run for another token, up to the decision and no further.
//!
//! Routing, the token's standing, compilation and the policies' evaluation are those of enforcement; only the answer is
//! longer. Nothing of it reaches the client that was refused.

use std::sync::Arc;

use super::Vault;
use super::denials::{Denied, Place, without_tokens};
use super::request::Inbound;
use super::stages::{Routed, Target, query};
use crate::base::json::Map;
use crate::base::{Error, Json, Operation, Path, Result, Timestamp};
use crate::engine::{Mount, RawRequest};
use crate::policy::{Denial, Origin, Query, RuleView};
use crate::system::Question;
use crate::token::{Token, Use};

/// Most rules that an answer or a kept denial lists, and places of each.
pub(super) const RULES_SHOWN: usize = 32;

impl Vault {
    /// Explains how a request would be decided now.
    pub(super) fn explained(&self, question: &Question) -> Result<Map> {
        let (operation, create) = match question.operation.as_str() {
            "create" => (Operation::Update, true),
            word => {
                let found = Operation::ALL.into_iter().find(|operation| operation.word() == word);
                (
                    found
                        .ok_or_else(|| Error::invalid("operation: one of create, read, update, patch, delete, list"))?,
                    false,
                )
            }
        };
        let path = Path::parse(question.path.trim_start_matches('/'))?;
        let path = if operation == Operation::List { path.into_folder() } else { path.without_slash() };
        let token = &question.token;
        let mut data = Map::new();
        data.insert("token".into(), self.shown(token)?);

        let inbound = Inbound {
            id: "explain".into(),
            operation,
            path,
            token: None,
            body: Arc::new(question.parameters.clone()),
            help: false,
            head: false,
            wrap_ttl: question.wrap,
            remote: None,
            client_cert: None,
            raw: Arc::new(RawRequest::default),
            headers: Vec::new(),
            memo: Arc::default(),
        };
        let Routed { inbound, target, public } = self.route(inbound);
        data.insert("path".into(), inbound.path.as_str().into());
        if let Some(mount) = self.mounts.table().find(inbound.path.as_str()).map(|entry| entry.mount.clone()) {
            data.insert("mount".into(), mounted(&mount));
        }
        if public {
            verdict(&mut data, true, "public", "the endpoint needs no token");
            return Ok(data);
        }
        let address = question.address;
        let ended = if question.is_policies { None } else { self.ended(token, self.clock.now())? };
        if let Some(reason) = ended {
            verdict(&mut data, false, "token", reason);
            return Ok(data);
        }
        if !token.bound_cidrs.is_empty() {
            let bound: Vec<String> = token.bound_cidrs.iter().map(ToString::to_string).collect();
            data.insert("bound_cidrs".into(), Json::from(bound));
            if address.is_some() && !token.admits(address) {
                verdict(&mut data, false, "address", "the token is bound to other addresses (bound_cidrs)");
                return Ok(data);
            }
        }
        let session = match self.compile(token.clone(), self.policies.epoch(), self.read_through()) {
            Ok(session) => session,
            Err(Error::Forbidden(_)) => {
                verdict(&mut data, false, "token", "the token's entity is disabled, or gone");
                return Ok(data);
            }
            Err(error) => return Err(error),
        };
        let exists = !create && target.as_ref().map_or(true, |target| self.exists(&inbound, target, &session));
        let query = query(&inbound, target.as_ref().ok(), exists);
        let told = session.acl.explain(&query);
        let missing = self.missing(&session.policies)?;
        data.insert("policies".into(), Json::from(session.policies.clone()));
        if !missing.is_empty() {
            data.insert("missing_policies".into(), Json::from(missing));
        }
        data.insert("operation".into(), operation_word(&query).into());
        data.insert("needs_sudo".into(), query.sudo.into());
        match told.reason {
            None if session.acl.is_root() => verdict(&mut data, true, "policy", "the policy root allows everything"),
            None => verdict(&mut data, true, "policy", "the rule allows it"),
            Some(reason) => verdict(&mut data, false, "policy", &reason.sentence()),
        }
        data.insert("rule".into(), told.rule.as_ref().map(rule).into());
        data.insert("parameter".into(), told.parameter.into());
        let shadowed: Vec<Json> = told.others.iter().take(RULES_SHOWN).map(rule).collect();
        data.insert("shadowed".into(), shadowed.into());
        let dropped: Vec<Json> = told.dropped.iter().take(RULES_SHOWN).map(origin).collect();
        data.insert("unfilled_templates".into(), dropped.into());
        if told.reason.is_some() {
            let remedy = session.acl.remedy(&query);
            data.insert("smallest_rule".into(), remedy.rule.into());
            data.insert("change".into(), remedy.change.into());
        }
        let mut hints = Vec::new();
        if told.reason.is_some() {
            let covers = |path: &str| session.acl.covering(path, operation == Operation::List);
            hints.extend(self.versioned(&inbound.path, operation, &covers));
        }
        if let Err(error) = &target {
            hints.push(format!("a token that were allowed would be answered {}: {error}", error.status()));
        }
        data.insert("hints".into(), Json::from(hints));
        Ok(data)
    }

    /// Explains a denial that is kept: how it was decided, and how it would be now.
    pub(super) fn explained_denial(&self, id: &str) -> Result<Map> {
        let denied = self.denials.of(id).ok_or_else(|| {
            Error::NotFound(vec![
                "no denial of this request id is kept: it was no denial, was on another node, or is too long ago"
                    .into(),
            ])
        })?;
        let mut data = Map::from([("denied".to_owned(), Json::Object(kept(&denied)))]);
        let caller = &denied.caller;
        if caller.accessor.is_empty() && caller.policies.is_empty() {
            return Ok(data);
        }
        let stored = self.tokens.by_accessor(&caller.accessor)?;
        let is_policies = stored.is_none();
        let token = stored.unwrap_or_else(|| Token {
            policies: caller.policies.clone(),
            entity_id: caller.entity_id.clone(),
            display_name: caller.display_name.clone(),
            ..Token::default()
        });
        let now = self.explained(&Question {
            token,
            is_policies,
            path: denied.path.as_str().to_owned(),
            operation: denied.operation.to_owned(),
            // Their values are not kept, so that they decide nothing this time.
            parameters: denied.parameters.iter().map(|name| (name.clone(), Json::Null)).collect(),
            wrap: denied.wrap,
            address: denied.remote,
        })?;
        data.insert("now".into(), Json::Object(now));
        Ok(data)
    }

    /// The denials that are kept, the newest first.
    pub(super) fn kept_denials(&self) -> Vec<Json> {
        self.denials.recent().iter().map(|denied| Json::Object(kept(denied))).collect()
    }

    /// Keeps a denial by policy.
    pub(super) fn keep_denial(
        &self,
        inbound: &Inbound,
        target: Option<&Target>,
        session: &super::sessions::Session,
        denial: &Denial,
    ) {
        let exists = denial.reason() != crate::policy::Reason::Lacks(crate::base::Capabilities::CREATE);
        let query = query(inbound, target, exists);
        let places: Vec<Place> = session.acl.origins(denial).iter().take(RULES_SHOWN).map(place).collect();
        let path = session.acl.deciding_path(denial);
        self.denials.keep(Denied {
            decided_by: "policy",
            reason: denial.reason().sentence(),
            rule: path.map(|path| (path, places)),
            parameter: session.acl.parameter(&query),
            caller: session.caller.clone(),
            operation: operation_word(&query),
            ..self.denied(inbound)
        });
    }

    /// Keeps a refusal for the token's own sake.
    pub(super) fn keep_refusal(&self, inbound: &Inbound) {
        let mut denied = self.denied(inbound);
        let now = self.clock.now();
        let found = match &inbound.token {
            None => Err("no token came with the request"),
            Some(text) => match self.stored(text) {
                Ok(Some(token)) => Ok(token),
                Ok(None) => Err("the token is unknown: it ended, was revoked, or never was"),
                Err(_) => return,
            },
        };
        match found {
            Err(reason) => denied.reason = reason.into(),
            Ok(token) => {
                let ended = self.ended(&token, now).ok().flatten();
                denied.reason = match ended {
                    Some(reason) => reason,
                    None if !token.admits(denied.remote) => {
                        denied.decided_by = "address";
                        "the token is bound to other addresses (bound_cidrs)"
                    }
                    None => "the token's entity is disabled, or gone",
                }
                .into();
                denied.caller = Arc::new(crate::engine::Caller {
                    accessor: token.accessor,
                    display_name: token.display_name,
                    policies: token.policies,
                    entity_id: token.entity_id,
                    ..Default::default()
                });
            }
        }
        self.denials.keep(denied);
    }

    fn denied(&self, inbound: &Inbound) -> Denied {
        Denied {
            id: inbound.id.clone(),
            time: self.clock.now(),
            operation: inbound.operation.word(),
            path: without_tokens(&inbound.path),
            wrap: inbound.wrap_ttl,
            remote: inbound.remote.map(|address| address.ip().to_canonical()),
            caller: Arc::default(),
            parameters: inbound.body.keys().take(RULES_SHOWN).map(|name| name.chars().take(64).collect()).collect(),
            decided_by: "token",
            reason: String::new(),
            rule: None,
            parameter: None,
        }
    }

    /// The names of policies that a token has and that do not exist.
    pub(super) fn missing(&self, names: &[String]) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for name in names.iter().filter(|name| *name != crate::policy::ROOT) {
            if self.policies.get(name, self.read_through())?.is_none() {
                missing.push(name.clone());
            }
        }
        Ok(missing)
    }

    /// The facts of a token that bear on decisions.
    fn shown(&self, token: &Token) -> Result<Json> {
        let standing = self.identities.standing(&token.entity_id)?;
        let uses = match token.uses {
            Use::Counted(left) => Json::from(left),
            Use::Free => Json::Null,
        };
        Ok(Json::object([
            ("accessor", Json::from(token.accessor.as_str())),
            ("display_name", token.display_name.as_str().into()),
            ("token_policies", Json::from(token.policies.clone())),
            ("identity_policies", Json::from(standing.map(|standing| standing.policies()).unwrap_or_default())),
            ("entity_id", token.entity_id.as_str().into()),
            ("expire_time", token.expires.map(|moment: Timestamp| moment.to_string()).into()),
            ("uses_left", uses),
        ]))
    }

    /// What goes wrong with KV version 2 most: its paths have a word in front that the command line hides.
    fn versioned<'a>(
        &self,
        path: &Path,
        operation: Operation,
        covers: &dyn Fn(&str) -> Option<RuleView<'a>>,
    ) -> Vec<String> {
        let table = self.mounts.table();
        let Some(entry) = table.find(path.as_str()) else { return Vec::new() };
        let mount = &entry.mount;
        if mount.kind != "kv" || mount.options.get("version").map(String::as_str) != Some("2") {
            return Vec::new();
        }
        let base = mount.path.as_str();
        let rest = path.as_str().strip_prefix(base).unwrap_or_default();
        let (word, below) = rest.split_once('/').unwrap_or((rest, ""));
        let mut hints = Vec::new();
        if !["data", "metadata", "delete", "undelete", "destroy", "subkeys", "config"].contains(&word) {
            let word = if operation == Operation::List { "metadata" } else { "data" };
            hints.push(format!("\"{base}\" is KV version 2: what is meant is probably \"{base}{word}/{rest}\""));
            return hints;
        }
        if word == "data" && operation == Operation::List {
            hints.push(format!("KV version 2 lists at \"{base}metadata/{below}\""));
        }
        if let Some(rule) = covers(&format!("{base}{below}")).filter(|_| word != "config" && !below.is_empty()) {
            let place = rule.origins.first().map(|o| format!(" (policy {}, line {})", o.policy, o.line));
            hints.push(format!(
                "the rule \"{}\"{} names the secret without \"{word}/\": KV version 2 needs \"{base}{word}/…\"",
                rule.path,
                place.unwrap_or_default()
            ));
        }
        hints
    }
}

fn verdict(data: &mut Map, allowed: bool, decided_by: &str, reason: &str) {
    data.insert("allowed".into(), allowed.into());
    data.insert("decided_by".into(), decided_by.into());
    data.insert("reason".into(), reason.into());
}

fn operation_word(query: &Query<'_>) -> &'static str {
    if query.operation == Operation::Update && query.creates { "create" } else { query.operation.word() }
}

fn mounted(mount: &Mount) -> Json {
    Json::object([
        ("path", Json::from(mount.path.as_str())),
        ("type", mount.kind.as_str().into()),
        ("accessor", mount.accessor.as_str().into()),
        ("version", mount.options.get("version").cloned().into()),
    ])
}

pub(super) fn rule(view: &RuleView<'_>) -> Json {
    let origins: Vec<Json> = view.origins.iter().take(RULES_SHOWN).map(origin).collect();
    Json::object([
        ("path", Json::from(view.path.as_str())),
        ("capabilities", Json::from(view.capabilities.clone())),
        ("origins", origins.into()),
    ])
}

pub(super) fn origin(origin: &Origin<'_>) -> Json {
    at(&place(origin))
}

fn place(origin: &Origin<'_>) -> Place {
    (origin.policy.to_owned(), origin.path.to_owned(), origin.line)
}

fn at((policy, path, line): &Place) -> Json {
    Json::object([("policy", Json::from(policy.as_str())), ("path", path.as_str().into()), ("line", (*line).into())])
}

fn kept(denied: &Denied) -> Map {
    let caller = &denied.caller;
    let rule = denied.rule.as_ref().map(|(path, places)| {
        let places: Vec<Json> = places.iter().map(at).collect();
        Json::object([("path", Json::from(path.as_str())), ("origins", places.into())])
    });
    let Json::Object(map) = Json::object([
        ("request_id", Json::from(&*denied.id)),
        ("time", denied.time.to_string().into()),
        ("operation", denied.operation.into()),
        ("path", denied.path.as_str().into()),
        ("remote_address", denied.remote.map(|address| address.to_string()).into()),
        ("accessor", caller.accessor.as_str().into()),
        ("display_name", caller.display_name.as_str().into()),
        ("policies", Json::from(caller.policies.clone())),
        ("parameters", Json::from(denied.parameters.clone())),
        ("decided_by", denied.decided_by.into()),
        ("reason", denied.reason.as_str().into()),
        ("rule", rule.into()),
        ("parameter", denied.parameter.clone().into()),
    ]) else {
        return Map::new();
    };
    map
}
