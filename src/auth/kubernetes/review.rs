//! The question to the cluster whether a token is good (TokenReview of its authentication API).

use serde_json::json;

use super::Kubernetes;
use super::claims::Account;
use super::config::Config;
use crate::base::{Error, Json, Result, Secret};
use crate::engine::Cx;
use crate::outbound::{Address, Fetch, fetch};

/// Where a pod finds who it is (Kubernetes mounts it there).
const POD_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Largest file that is read there, in bytes.
const POD_FILE_BYTES: u64 = 1 << 20;

/// The cluster's word: the namespace and name of the account, and its id.
#[derive(Debug)]
pub struct Reviewed {
    /// The account's namespace.
    pub namespace: String,
    /// The account's name.
    pub name: String,
    /// The account's id.
    pub uid: String,
}

impl Reviewed {
    /// Whether it is the account that the token names.
    pub fn is(&self, account: &Account) -> bool {
        self.namespace == account.namespace && self.name == account.name && self.uid == account.uid
    }
}

/// Asks the cluster; `None` when it does not vouch for the token.
///
/// # Errors
/// [`Error::Unavailable`] when it does not answer, or does not let us ask.
pub async fn review(cx: &Cx<Kubernetes>, config: &Config, audience: &str, jwt: &str) -> Result<Option<Reviewed>> {
    let local = !config.disable_local_ca_jwt;
    let ca = match config.kubernetes_ca_cert.as_str() {
        "" if local => pod_file("ca.crt").await.unwrap_or_default(),
        text => text.to_owned(),
    };
    // The configured token, the pod's, or the client's own.
    let ours = match config.token_reviewer_jwt.reveal().as_str() {
        "" if local => pod_file("token").await,
        "" => None,
        text => Some(text.to_owned()),
    };
    let shown = ours.as_deref().unwrap_or(jwt).trim();
    let mut spec = json!({"token": jwt});
    if !audience.is_empty() {
        spec["audiences"] = json!([audience]);
    }
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
    let host = config.kubernetes_host.trim_end_matches('/');
    let address = Address::parse(&format!("{host}/apis/authentication.k8s.io/v1/tokenreviews"))?;
    let request = Fetch::post(address, "application/json", body.to_string().into_bytes())
        .header("accept", Secret::new("application/json".into()))
        .header("authorization", Secret::new(format!("Bearer {shown}")))
        .trusting(Config::authorities(&ca)?);
    let answer = fetch(cx.outbound.as_ref(), request).await?;
    match answer.status {
        200 | 201 => {}
        // Where the client's own token asks for itself, this is how the cluster says no.
        401 if ours.is_none() => return Ok(None),
        status => return Err(Error::Unavailable(format!("the cluster's token review answered with status {status}"))),
    }
    let told = Json::parse(&answer.body).map_err(|_| Error::Unavailable("the cluster's answer is not JSON".into()))?;
    Ok(vouched(&told, audience))
}

/// What the cluster vouches for. An audience that was asked for must be told back: an API that knows nothing of audiences says nothing of them.
fn vouched(told: &Json, audience: &str) -> Option<Reviewed> {
    let status = told.at("status")?;
    if status.at("authenticated") != Some(&Json::Bool(true))
        || status.at("error").is_some_and(|e| e.as_str() != Some(""))
    {
        return None;
    }
    if !audience.is_empty() {
        let Some(Json::Array(told)) = status.at("audiences") else { return None };
        if !told.iter().any(|aud| aud.as_str() == Some(audience)) {
            return None;
        }
    }
    let user = status.at("user")?;
    let name = user.at("username")?.as_str()?.strip_prefix("system:serviceaccount:")?;
    let (namespace, name) = name.split_once(':').filter(|(_, name)| !name.contains(':'))?;
    let uid = user.at("uid")?.as_str()?;
    Some(Reviewed { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() })
}

async fn pod_file(name: &str) -> Option<String> {
    let path = format!("{POD_FOLDER}/{name}");
    let length = tokio::fs::metadata(&path).await.ok()?.len();
    if length > POD_FILE_BYTES {
        return None;
    }
    tokio::fs::read_to_string(&path).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_yes_is_a_yes() {
        let said = |text: &str, audience: &str| vouched(&Json::parse(text.as_bytes()).unwrap(), audience).is_some();
        let user = r#""user":{"username":"system:serviceaccount:n:a","uid":"u"}"#;
        for text in [
            "{}".to_owned(),
            r#"{"status":{"authenticated":true}}"#.into(),
            format!(r#"{{"status":{{"authenticated":false,{user}}}}}"#),
            format!(r#"{{"status":{{"authenticated":"true",{user}}}}}"#),
            format!(r#"{{"status":{{"authenticated":true,"error":"expired",{user}}}}}"#),
            r#"{"status":{"authenticated":true,"user":{"username":"admin","uid":"u"}}}"#.into(),
            r#"{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:n:a:b","uid":"u"}}}"#.into(),
            r#"{"status":{"authenticated":true,"user":{"username":"system:node:n:a","uid":"u"}}}"#.into(),
        ] {
            assert!(!said(&text, ""), "{text}");
        }
        let yes = format!(r#"{{"status":{{"authenticated":true,"audiences":["a"],{user}}}}}"#);
        assert!(said(&yes, "") && said(&yes, "a") && !said(&yes, "b"));
        assert!(!said(&format!(r#"{{"status":{{"authenticated":true,{user}}}}}"#), "a"));
    }
}
