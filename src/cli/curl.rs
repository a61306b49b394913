//! A request as the curl command that would send it; the token stays out of it.

use crate::client::{Client, Request};

/// The command line. A shell gives every word back as it was.
pub fn command(client: &Client, request: &Request) -> String {
    let mut words = vec!["curl".to_owned()];
    if request.method().as_str() != "GET" {
        words.push(format!("-X {}", request.method()));
    }
    if client.token().is_some() {
        words.push("-H \"X-Vault-Token: $(vault print token)\"".to_owned());
    }
    words.push("-H \"X-Vault-Request: true\"".to_owned());
    let mut header = |name: &str, value: &str| words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    if let Some(namespace) = client.namespace() {
        header("X-Vault-Namespace", namespace);
    }
    if let Some(ttl) = request.wrap_ttl_or(client.wrap_ttl()) {
        header("X-Vault-Wrap-TTL", ttl);
    }
    if let Some(content_type) = request.content_type().filter(|kind| *kind != "application/json") {
        header("Content-Type", content_type);
    }
    let body = request.body();
    if !body.is_empty() {
        words.push(format!("-d {}", quoted(&String::from_utf8_lossy(&body))));
    }
    let url = client.url(&request.path_and_query());
    words.push(if url.contains(['?', '&', '\'', ' ']) { quoted(&url) } else { url });
    words.join(" ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{base::Secret, client::Settings};

    #[test]
    fn the_token_is_not_in_it_and_quotes_survive_a_shell() {
        let settings = Settings {
            address: "http://127.0.0.1:8200".into(),
            token: Some(Secret::new("hvs.secret".into())),
            wrap_ttl: Some("5m".into()),
            ..Settings::default()
        };
        let client = Client::new(&settings, Arc::new(|| 0.0)).unwrap();
        let request = Request::write("secret/a").json(&json!({"k": "it's"})).unwrap();
        assert_eq!(
            command(&client, &request),
            "curl -X PUT -H \"X-Vault-Token: $(vault print token)\" -H \"X-Vault-Request: true\" \
             -H 'X-Vault-Wrap-TTL: 5m' -d '{\"k\":\"it'\\''s\"}' http://127.0.0.1:8200/v1/secret/a"
        );
        assert!(command(&client, &Request::list("a")).ends_with(" 'http://127.0.0.1:8200/v1/a?list=true'"));
    }
}
