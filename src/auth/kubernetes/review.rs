//! The question to the cluster whether a token is good (TokenReview of its authentication API).

use std::path::Path;

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
    let Means { authorities, ours } = Means::of(config, Path::new(POD_FOLDER)).await;
    let shown = ours.as_ref().map_or(jwt, |ours| ours.reveal().as_str()).trim();
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
        .trusting(Config::authorities(&authorities)?);
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

/// What a cluster is asked with.
struct Means {
    /// Whom to trust for TLS: what is configured, or the pod's.
    authorities: String,
    /// What is shown: what is configured, or the pod's; without it, the client's own token.
    ours: Option<Secret<String>>,
}

impl Means {
    async fn of(config: &Config, pod: &Path) -> Self {
        let local = !config.disable_local_ca_jwt;
        let authorities = match config.kubernetes_ca_cert.as_str() {
            "" if local => pod_file(pod, "ca.crt").await.unwrap_or_default(),
            text => text.to_owned(),
        };
        let ours = match config.token_reviewer_jwt.reveal().as_str() {
            // Read each time: Kubernetes writes it anew every hour.
            "" if local => pod_file(pod, "token").await.map(Secret::new),
            "" => None,
            text => Some(Secret::new(text.to_owned())),
        };
        Self { authorities, ours }
    }
}

async fn pod_file(folder: &Path, name: &str) -> Option<String> {
    let path = folder.join(name);
    let length = tokio::fs::metadata(&path).await.ok()?.len();
    if length > POD_FILE_BYTES {
        return None;
    }
    tokio::fs::read_to_string(&path).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_configured_comes_before_what_the_pod_has_and_that_before_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pod = folder.path();
        let means = async |token: &str, ca: &str, disabled: bool| {
            let config = Config {
                token_reviewer_jwt: token.into(),
                kubernetes_ca_cert: ca.into(),
                disable_local_ca_jwt: disabled,
                ..Config::default()
            };
            let means = Means::of(&config, pod).await;
            (means.ours.map(|ours| ours.reveal().clone()), means.authorities)
        };
        let some = |text: &str| Some(text.to_owned());
        // Not in a pod.
        assert_eq!(means("", "", false).await, (None, String::new()));
        std::fs::write(pod.join("token"), "of the pod").unwrap();
        std::fs::write(pod.join("ca.crt"), "its CA").unwrap();
        assert_eq!(means("", "", false).await, (some("of the pod"), "its CA".to_owned()));
        assert_eq!(means("ours", "", false).await, (some("ours"), "its CA".to_owned()));
        assert_eq!(means("", "our CA", false).await, (some("of the pod"), "our CA".to_owned()));
        assert_eq!(means("", "", true).await, (None, String::new()));
        assert_eq!(means("ours", "our CA", true).await, (some("ours"), "our CA".to_owned()));
        // The token is another one each hour, and no file fills the memory.
        std::fs::write(pod.join("token"), "the next one").unwrap();
        std::fs::write(pod.join("ca.crt"), vec![b'x'; POD_FILE_BYTES as usize + 1]).unwrap();
        assert_eq!(means("", "", false).await, (some("the next one"), String::new()));
    }

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
