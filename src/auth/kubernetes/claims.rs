//! What a service account's token says of the account: the older form of claims and the present one.

use crate::base::Json;
use crate::base::json::Map;

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The secret that the token was made for; empty in the present form.
    pub secret: String,
}

impl Account {
    /// Whether its names are there, and none is longer than the cluster's are.
    pub fn is_whole(&self) -> bool {
        ![&self.uid, &self.name, &self.namespace].iter().any(|text| text.is_empty() || text.len() > 253)
    }
}

/// The account, if the token names one whole.
pub fn account(claims: &Map) -> Option<Account> {
    let flat = |name: &str| claims.get(&format!("kubernetes.io/serviceaccount/{name}")).and_then(Json::as_str);
    let found = if let Some(nested) = claims.get("kubernetes.io") {
        let word = |at: Option<&Json>| at.and_then(Json::as_str).unwrap_or_default().to_owned();
        let account = nested.at("serviceaccount");
        Account {
            uid: word(account.and_then(|a| a.at("uid"))),
            name: word(account.and_then(|a| a.at("name"))),
            namespace: word(nested.at("namespace")),
            secret: String::new(),
        }
    } else {
        let word = |name: &str| flat(name).unwrap_or_default().to_owned();
        Account {
            uid: word("service-account.uid"),
            name: word("service-account.name"),
            namespace: word("namespace"),
            secret: word("secret.name"),
        }
    };
    found.is_whole().then_some(found)
}

/// For whom the token is.
pub fn audiences(claims: &Map) -> Vec<String> {
    match claims.get("aud") {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_whole_or_not_at_all() {
        let of = |text: &str| match Json::parse(text.as_bytes()).unwrap() {
            Json::Object(map) => account(&map),
            _ => panic!("an object"),
        };
        for text in [
            "{}",
            r#"{"kubernetes.io":{}}"#,
            r#"{"kubernetes.io":{"namespace":"n","serviceaccount":{"name":"a"}}}"#,
            r#"{"kubernetes.io":{"namespace":["n"],"serviceaccount":{"name":"a","uid":"u"}}}"#,
            r#"{"kubernetes.io/serviceaccount/namespace":"n"}"#,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        let now = of(r#"{"kubernetes.io":{"namespace":"n","serviceaccount":{"name":"a","uid":"u"}}}"#).unwrap();
        let before = of(r#"{"kubernetes.io/serviceaccount/namespace":"n",
            "kubernetes.io/serviceaccount/service-account.name":"a",
            "kubernetes.io/serviceaccount/service-account.uid":"u"}"#);
        assert_eq!(before, Some(now));
    }
}
