//! What every setting is when nobody says it, as one table: a default that changes, or a new setting, is seen in review.

use std::fmt::Write;

use super::*;
use crate::agent::template::Limits;

/// The least that each part needs to be there at all.
const LEAST: &str = r#"
    auto_auth {
      method "approle" { config { role_id_file_path = "r" secret_id_file_path = "s" } }
      sink "file" { config { path = "t" } }
    }
    template { contents = "c" destination = "d" command = "x" }
    template { contents = "c" destination = "e" exec { command = ["x"] } wait { min = "1s" } }
    exec { command = ["x"] }
    env_template "E" { contents = "c" }
    listener "tcp" { address = "127.0.0.1:1" tls_disable = true }
    listener "unix" { address = "u" agent_api { } }
    api_proxy { }
    cache { path = "c" }
    consul { ssl { } }
    sds { socket_path = "s" tls_certificate "a" { contents = "c" } validation_context "b" { contents = "c" }
      generic "g" { contents = "c" } }
    change_window { hours = "18:00-22:00" }
    template_config { }
    vault { ssl { } retry { } }
"#;

/// In place of a number, for what holds one thing.
const WRAPPER: usize = usize::MAX;

/// A value's `Debug` as lines `name.of.field = value`, so that no field can be left out.
fn table(title: &str, value: &dyn std::fmt::Debug) -> String {
    let (mut out, mut at) = (String::new(), Vec::<(String, usize)>::new());
    for line in format!("{value:#?}").lines().map(str::trim) {
        if matches!(line.trim_end_matches(','), "}" | ")" | "]") {
            at.pop();
            continue;
        }
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') => (name.to_owned(), value),
            _ => {
                // What has no name has a number, if it is in a list.
                let count = at.last_mut().map_or(WRAPPER, |(_, count)| {
                    std::mem::replace(count, if *count == WRAPPER { WRAPPER } else { *count + 1 })
                });
                (if count == WRAPPER { String::new() } else { count.to_string() }, line)
            }
        };
        let opened = value.strip_suffix(['{', '(', '[']);
        let kind = opened.unwrap_or_default().trim_end();
        let variant = match name.as_str() {
            "method" | "source" | "target" | "place" => format!("{name}({kind})"),
            _ => name,
        };
        if value == ".." {
            continue;
        }
        if opened.is_some() {
            let wraps = at.is_empty() && !kind.is_empty() || matches!(kind, "Some" | "File" | "Variable");
            at.push((variant, if wraps { WRAPPER } else { 0 }));
        } else {
            let path = at.iter().map(|(name, _)| name.as_str()).chain([variant.as_str()]);
            let path: Vec<&str> = path.filter(|name| !name.is_empty()).collect();
            let value = value.trim_end_matches(',');
            // The permissions of files are read in octal.
            let is_mode = path.last().is_some_and(|name| name.ends_with("mode"));
            let octal = value.parse::<u32>().ok().filter(|_| is_mode).map(|mode| format!("0o{mode:o}"));
            writeln!(out, "{} = {}", path.join("."), octal.as_deref().unwrap_or(value)).unwrap();
        }
    }
    format!("# {title}\n{out}\n")
}

fn parsed(text: &str) -> Config {
    Config::parse("agent.hcl", text.as_bytes()).unwrap()
}

#[test]
fn every_default_is_in_the_table() {
    let mut whole = table("Nothing is said", &Config::bare());
    whole += &table("Each part is there, and says no more than it must", &parsed(LEAST));
    for (title, method) in [
        ("A token from a file", r#"method "token_file" { config { token_file_path = "t" } }"#),
        ("A JWT", r#"method "jwt" { config { path = "p" role = "r" } }"#),
        ("Kubernetes", r#"method "kubernetes" { config { role = "r" } }"#),
        ("A certificate", r#"method "cert" { }"#),
    ] {
        whole += &table(title, &parsed(&format!("auto_auth {{ {method} }}")).auto_auth.unwrap().method);
    }
    let mut run = Config::bare();
    run.add_variable("NAME", "path", "field").unwrap();
    run.add_file("source".into(), "destination".into());
    whole += &table("-env and -template", &run.templates);
    run.supervise(vec!["program".to_owned()], true);
    whole += &table("-supervise", &run.exec);
    let settings = Config::bare().vault.settings(|_| None).unwrap();
    whole += table("How the server is spoken to", &settings).trim_end();
    // What its `Debug` leaves out.
    let Settings { token, ca_cert_bytes, client_key, wrap_ttl, retry_wait, redirects, .. } = settings;
    assert!(token.is_none() && ca_cert_bytes.is_none() && client_key.is_none() && wrap_ttl.is_none());
    whole += &format!("\nretry_wait = {retry_wait:?}\nredirects = {redirects}\n\n");
    whole += &table("What one rendering may cost", &Limits::default());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/agent/defaults.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(std::path::Path::new(file).parent().unwrap()).unwrap();
        std::fs::write(file, &whole).unwrap();
    }
    let known = std::fs::read_to_string(file).unwrap();
    for (now, before) in whole.lines().zip(known.lines()) {
        assert_eq!(now, before, "a default has changed; if it should, UPDATE=1 writes the table anew");
    }
    assert_eq!(whole.lines().count(), known.lines().count());
}

/// What must not be otherwise, whatever the table says.
#[test]
fn nothing_is_open_unless_it_is_said() {
    let config = parsed(LEAST);
    assert!(!config.vault.tls_skip_verify && config.vault.settings(|_| None).is_ok_and(|it| !it.tls_skip_verify));
    assert_eq!(config.proxy_token, ProxyToken::No);
    for listener in &config.listeners {
        assert!(!listener.quit && !listener.rotate);
        assert!(
            matches!(&listener.place, Place::Tcp(_)) || matches!(&listener.place, Place::Unix(it) if it.mode == 0o600)
        );
    }
    assert_eq!(config.sds.unwrap().socket.mode, 0o600);
    for template in &config.templates {
        assert!(template.sandbox.is_none(), "no folder is open to writing");
        assert!(!matches!(&template.target, Target::File(it) if it.mode != 0o600 || it.backup));
    }
    let auth = config.auto_auth.unwrap();
    assert!(matches!(auth.method, Method::AppRole { remove: true, .. }));
    assert!(auth.sinks.iter().all(|sink| sink.mode & 0o007 == 0));
}
