//! A reply as rows, as JSON in Vault's order of fields, and by its single fields.

use serde::Serialize;
use serde_json::{Value, json};

use super::table::{duration, map_rows};
use crate::client::{Auth, Reply, WrapInfo};

/// The rows of a reply's table, without the header; none when there is nothing to show.
pub fn rows(reply: &Reply) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![key.to_owned(), value]);
    if reply.lease_duration > 0 {
        if reply.lease_id.is_empty() {
            // Plain secrets have no lease, only a hint when to look again.
            row("refresh_interval", duration(reply.lease_duration));
        } else {
            row("lease_id", reply.lease_id.clone());
            row("lease_duration", duration(reply.lease_duration));
            row("lease_renewable", reply.renewable.to_string());
        }
    }
    if let Some(auth) = &reply.auth {
        row("token", auth.client_token.reveal().clone());
        row("token_accessor", auth.accessor.clone());
        row("token_duration", if auth.lease_duration == 0 { "∞".into() } else { duration(auth.lease_duration) });
        row("token_renewable", auth.renewable.to_string());
        row("token_policies", quoted(&auth.token_policies));
        row("identity_policies", quoted(&auth.identity_policies));
        row("policies", quoted(&auth.policies));
        for (key, value) in &auth.metadata {
            row(&format!("token_meta_{key}"), value.clone());
        }
    }
    if let Some(wrap) = &reply.wrap_info {
        row("wrapping_token:", wrap.token.reveal().clone());
        row("wrapping_accessor:", wrap.accessor.clone());
        row("wrapping_token_ttl:", duration(wrap.ttl));
        row("wrapping_token_creation_time:", wrap.creation_time.clone());
        row("wrapping_token_creation_path:", wrap.creation_path.clone());
        if !wrap.wrapped_accessor.is_empty() {
            row("wrapped_accessor:", wrap.wrapped_accessor.clone());
        }
    }
    match &reply.data {
        Value::Object(map) => rows.extend(map_rows(map)),
        Value::Null => {}
        other => rows.push(vec!["data".into(), super::table::go(other)]),
    }
    rows
}

/// One field by the name that the table or the data gives it.
pub fn field(reply: &Reply, name: &str) -> Option<Value> {
    let data = || reply.data.get(name).cloned();
    let auth = reply.auth.as_ref();
    let wrap = reply.wrap_info.as_ref();
    let of_auth = |pick: fn(&Auth) -> Value| auth.map(pick);
    let of_wrap = |pick: fn(&WrapInfo) -> Value| wrap.map(pick);
    let special = match name {
        "lease_id" => (!reply.lease_id.is_empty()).then(|| reply.lease_id.clone().into()),
        "lease_duration" if auth.is_none() => (reply.lease_duration > 0).then(|| reply.lease_duration.into()),
        "lease_renewable" => (!reply.lease_id.is_empty()).then(|| reply.renewable.into()),
        "refresh_interval" => {
            (reply.lease_id.is_empty() && reply.lease_duration > 0).then(|| reply.lease_duration.into())
        }
        "token" => of_auth(|auth| auth.client_token.reveal().clone().into()),
        "token_accessor" => of_auth(|auth| auth.accessor.clone().into()),
        "token_duration" => of_auth(|auth| auth.lease_duration.into()),
        "token_renewable" => of_auth(|auth| auth.renewable.into()),
        "token_policies" => of_auth(|auth| auth.token_policies.clone().into()),
        "identity_policies" => of_auth(|auth| auth.identity_policies.clone().into()),
        "policies" => of_auth(|auth| auth.policies.clone().into()),
        "wrapping_token" => of_wrap(|wrap| wrap.token.reveal().clone().into()),
        "wrapping_accessor" => of_wrap(|wrap| wrap.accessor.clone().into()),
        "wrapping_token_ttl" => of_wrap(|wrap| wrap.ttl.into()),
        "wrapping_token_creation_time" => of_wrap(|wrap| wrap.creation_time.clone().into()),
        "wrapping_token_creation_path" => of_wrap(|wrap| wrap.creation_path.clone().into()),
        "wrapped_accessor" => of_wrap(|wrap| wrap.wrapped_accessor.clone().into()),
        _ => name
            .strip_prefix("token_meta_")
            .and_then(|key| auth.and_then(|auth| auth.metadata.get(key)).cloned().map(Value::from)),
    };
    special.or_else(data).or_else(|| (name == "data" && !reply.data.is_null()).then(|| reply.data.clone()))
}

/// Indented JSON, fields in the order that Vault's clients print.
pub fn json(reply: &Reply) -> String {
    serde_json::to_string_pretty(&Shown::of(reply)).unwrap_or_default()
}

/// The same as a value, fields sorted.
pub fn value(reply: &Reply) -> Value {
    serde_json::to_value(Shown::of(reply)).unwrap_or_default()
}

#[derive(Serialize)]
struct Shown<'a> {
    request_id: &'a str,
    lease_id: &'a str,
    lease_duration: u64,
    renewable: bool,
    data: &'a Value,
    warnings: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_info: Option<Value>,
}

impl<'a> Shown<'a> {
    fn of(reply: &'a Reply) -> Self {
        Self {
            request_id: &reply.request_id,
            lease_id: &reply.lease_id,
            lease_duration: reply.lease_duration,
            renewable: reply.renewable,
            data: &reply.data,
            warnings: Some(reply.warnings.as_slice()).filter(|list| !list.is_empty()),
            auth: reply.auth.as_ref().map(|auth| {
                json!({
                    "client_token": auth.client_token.reveal(),
                    "accessor": auth.accessor,
                    "policies": auth.policies,
                    "token_policies": auth.token_policies,
                    "identity_policies": auth.identity_policies,
                    "metadata": auth.metadata,
                    "orphan": auth.orphan,
                    "entity_id": auth.entity_id,
                    "lease_duration": auth.lease_duration,
                    "renewable": auth.renewable,
                    "token_type": auth.token_type,
                    "num_uses": auth.num_uses,
                    "mfa_requirement": auth.mfa_requirement,
                })
            }),
            wrap_info: reply.wrap_info.as_ref().map(|wrap| {
                json!({
                    "token": wrap.token.reveal(),
                    "accessor": wrap.accessor,
                    "ttl": wrap.ttl,
                    "creation_time": wrap.creation_time,
                    "creation_path": wrap.creation_path,
                    "wrapped_accessor": wrap.wrapped_accessor,
                })
            }),
        }
    }
}

/// A list as Go prints it with `%q`.
fn quoted(list: &[String]) -> String {
    let items: Vec<_> = list.iter().map(|item| Value::from(item.as_str()).to_string()).collect();
    format!("[{}]", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Secret,
        cli::table::{key_value, table},
    };

    fn login() -> Reply {
        Reply {
            auth: Some(Auth {
                client_token: Secret::new("hvs.t".into()),
                accessor: "acc".into(),
                policies: vec!["a".into(), "default".into()],
                token_policies: vec!["a".into(), "default".into()],
                metadata: [("username".to_owned(), "mitsuko".to_owned())].into(),
                lease_duration: 2_764_800,
                renewable: true,
                ..Auth::default()
            }),
            ..Reply::default()
        }
    }

    #[test]
    fn nothing_has_no_rows_and_no_fields() {
        assert!(rows(&Reply::default()).is_empty());
        assert_eq!(field(&Reply::default(), "token"), None);
        assert_eq!(field(&Reply::default(), "data"), None);
    }

    #[test]
    fn a_login_is_shown_as_scripts_expect() {
        assert_eq!(
            table(&key_value(rows(&login()))),
            "Key                    Value\n\
             ---                    -----\n\
             token                  hvs.t\n\
             token_accessor         acc\n\
             token_duration         768h\n\
             token_renewable        true\n\
             token_policies         [\"a\" \"default\"]\n\
             identity_policies      []\n\
             policies               [\"a\" \"default\"]\n\
             token_meta_username    mitsuko"
        );
        assert_eq!(field(&login(), "token"), Some("hvs.t".into()));
        assert_eq!(field(&login(), "token_meta_username"), Some("mitsuko".into()));
    }

    #[test]
    fn leases_wrapping_and_data_have_their_rows() {
        let reply = Reply { lease_duration: 60, data: json!({"k": "v"}), ..Reply::default() };
        assert_eq!(rows(&reply), [["refresh_interval", "1m"], ["k", "v"]]);
        let reply = Reply { lease_id: "db/1".into(), ..reply };
        assert_eq!(rows(&reply)[..3], [["lease_id", "db/1"], ["lease_duration", "1m"], ["lease_renewable", "false"]]);
        let wrap = WrapInfo { token: Secret::new("hvs.w".into()), ttl: 300, ..WrapInfo::default() };
        let reply = Reply { wrap_info: Some(wrap), ..Reply::default() };
        assert_eq!(rows(&reply)[0], ["wrapping_token:", "hvs.w"]);
        assert_eq!(field(&reply, "wrapping_token"), Some("hvs.w".into()));
    }

    #[test]
    fn json_keeps_vaults_order() {
        let text = json(&Reply { request_id: "r".into(), data: json!({"k": "v"}), ..Reply::default() });
        assert_eq!(
            text,
            "{\n  \"request_id\": \"r\",\n  \"lease_id\": \"\",\n  \"lease_duration\": 0,\n  \"renewable\": false,\n  \
             \"data\": {\n    \"k\": \"v\"\n  },\n  \"warnings\": null\n}"
        );
        assert_eq!(value(&login())["auth"]["client_token"], "hvs.t");
    }
}
