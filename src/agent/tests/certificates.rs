//! Certificates that are good are kept; those near their end are replaced.

use super::*;

pub(super) const CERT: &str =
    r#"{{ with pkiCert "pki/issue/app" "common_name=app.test" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ end }}"#;

#[tokio::test]
async fn a_good_certificate_survives_restart_and_hangup() {
    let world = World::new().await;
    let issued = || world.state().count_of("PUT pki/issue/app");
    world.secret("app", json!({ "password": "one" }));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let config = [
        template("junk", junk, ""),
        template("cert", CERT, "command = \"echo x >> DIR/commands\""),
        template("out", PLAIN, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    world.until("rendered", Duration::from_millis(200), || world.text("commands").lines().count() == 1).await;
    let first = world.text("cert");
    assert_eq!((first.matches("BEGIN CERTIFICATE").count(), first.matches("PRIVATE KEY").count()), (2, 2));
    world.secret("app", json!({ "password": "two" }));
    agent.signals.send(Signal::HUP).unwrap();
    world.has("out", "two\n").await;
    agent.kill().await;
    // The server is away: nothing is needed of it.
    world.state().away = true;
    let agent = world.agent(&config);
    world.logs("is still good").await;
    world.nothing_more().await;
    world.state().away = false;
    agent.kill().await;
    assert_eq!((issued(), world.text("cert")), (1, first.clone()));
    // The template was edited: still the same certificate.
    let edited = template("cert", &format!("# edited\n{CERT}"), "");
    let agent = world.agent(&edited);
    world.has("cert", &format!("# edited\n{first}")).await;
    agent.kill().await;
    assert_eq!(issued(), 1);
    // Other names: another certificate.
    let renamed = template("cert", &CERT.replace("app.test", "other.test"), "");
    let agent = world.agent(&renamed);
    world
        .until("another", Duration::from_millis(200), || issued() == 2 && !world.text("cert").contains("# edited"))
        .await;
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_is_issued_again_ahead_of_its_end() {
    let world = World::new().await;
    world.state().certificate_seconds = 1000;
    let issued = || world.state().count_of("PUT pki/issue/app");
    let agent = world.agent(&template("cert", CERT, ""));
    world.until("rendered", Duration::from_millis(1), || !world.text("cert").is_empty()).await;
    let first = world.text("cert");
    for _ in 0..120 {
        world.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((issued(), world.text("cert")), (1, first.clone()), "not before two thirds");
    world.until("again", Duration::from_secs(5), || world.text("cert") != first).await;
    assert_eq!(issued(), 2);
    agent.kill().await;
    // The server is away when the next is due: the old one stays.
    let second = world.text("cert");
    world.state().away = true;
    world.clock.advance(Duration::from_secs(930));
    let agent = world.agent(&template("cert", CERT, ""));
    world.logs("is still good").await;
    world.nothing_more().await;
    assert_eq!(world.text("cert"), second);
    world.state().away = false;
    world.until("again", Duration::from_secs(1), || world.text("cert") != second).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_in_two_files_and_one_of_secret_survive_too() {
    let world = World::new().await;
    let with =
        |body: &str| format!("{{{{ with pkiCert \"pki/issue/app\" \"common_name=app.test\" }}}}{body}{{{{ end }}}}");
    let secret = r#"{{ with secret "pki/issue/app" "common_name=s.test" "ttl=24h" }}{{ .Data.certificate }}
{{ .Data.issuing_ca }}
{{ .Data.private_key }}{{ end }}"#;
    let config = [
        template("crt", &with("{{ .Data.Cert }}"), ""),
        template("key", &with("{{ .Key }}"), "perms = \"0400\""),
        template("json", r#"{{ with secret "pki/issue/app" "common_name=j.test" }}{{ .Data | toJSON }}{{ end }}"#, ""),
        template("pem", secret, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    for name in ["crt", "key", "json", "pem"] {
        world.until(name, Duration::from_millis(1), || !world.text(name).is_empty()).await;
    }
    let issued = world.state().count_of("PUT pki/issue/app");
    assert_eq!(issued, 3);
    agent.kill().await;
    let before: Vec<String> = ["crt", "key", "pem"].map(|name| world.text(name)).into();
    let agent = world.agent(&config);
    world.nothing_more().await;
    agent.kill().await;
    assert_eq!(["crt", "key", "pem"].map(|name| world.text(name)).to_vec(), before);
    // What is rendered as JSON holds more than can be found again: that one is issued anew.
    assert_eq!(world.state().count_of("PUT pki/issue/app"), 4);
}
