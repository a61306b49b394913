//! The configuration: what is refused where, and what a whole one says.

use std::time::Duration;

use super::*;

const AUTH: &str = r#"auto_auth { method "approle" { config { role_id_file_path = "r" } } }"#;

fn failure(text: &str) -> String {
    Config::parse("agent.hcl", text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, part) in [
        ("", "\"auto_auth\" is missing"),
        ("valt { }", "agent.hcl:1:1: unknown key \"valt\", did you mean \"vault\"?"),
        ("vault {\n  adress = \"canary\"\n}", "agent.hcl:2:3: unknown key \"adress\""),
        ("vault { retry { num_retrys = 1 } }", "unknown key"),
        ("vault { retry { num_retries = -2 } }", "must be from"),
        ("listener \"tcp\" { address = \"127.0.0.1.example.com:80\" tls_disable = true }", "of the loopback"),
        ("listener \"tcp\" { address = \"localhost:80.example.com:80\" tls_disable = true }", "of the loopback"),
        ("listener \"tcp\" { address = \"0.0.0.0:80\" tls_disable = true }", "of the loopback"),
        ("listener \"tcp\" { address = \"127.0.0.1:80\" }", "\"tls_disable\" must be true"),
        ("log_level = \"loud\"", "log level must be"),
        ("log_format = \"xml\"", "log format must be"),
        ("auto_auth { }", "exactly one \"method\""),
        ("auto_auth { method \"ldap\" { config { } } }", "must be \"approle\", \"cert\""),
        ("auto_auth { method \"approle\" { config { } } }", "\"role_id_file_path\" is missing"),
        ("auto_auth { method \"approle\" { config { role_id_file_path = \"\" } } }", "is empty"),
        ("auto_auth { method \"approle\" { wrap_ttl = \"5m\" config { role_id_file_path = \"r\" } } }", "unknown key"),
        ("auto_auth { method \"token_file\" { config { role_id = \"canary\" } } }", "unknown key"),
        ("auto_auth { method \"jwt\" { config { path = \"p\" } } }", "\"role\" is missing"),
        ("auto_auth { method \"kubernetes\" { config { } } }", "\"role\" is missing"),
        ("listener \"tcp\" { address = \"127.0.0.1:1\" }", "\"tls_disable\" must be true"),
        ("listener \"tcp\" { address = \"0.0.0.0:1\" tls_disable = true }", "loopback"),
        ("listener \"pipe\" { address = \"x\" }", "must be \"tcp\" or \"unix\""),
        ("api_proxy { use_auto_auth_token = \"maybe\" }", "\"force\""),
        ("cache { path = \"c\" max_stale = \"900h\" }", "at most 30 days"),
        ("sds { generic \"a\" { contents = \"x\" } }", "\"socket_path\" is missing"),
        ("sds { socket_path = \"s\" generic \"a\" { } }", "\"source\" or \"contents\""),
        ("change_window { hours = \"25:00-26:00\" }", "two times"),
        ("change_window { hours = \"18:00-22:00\" days = [\"someday\"] }", "is not a day"),
        ("change_window { hours = \"18:00-22:00\" time_zone = \"Nowhere/None\" }", "is not a time zone"),
        ("template_config { lease_renewal_threshold = 2 }", "from 0.1 to 0.99"),
        ("consul { ssl { verify = false } }", "cannot be turned off"),
        ("template { }", "\"destination\" is missing"),
        ("template { destination = \"d\" }", "\"source\" or \"contents\""),
        ("template { destination = \"d\" source = \"s\" contents = \"c\" }", "exclude each other"),
        ("template { destination = \"d\" contents = \"c\" perms = \"888\" }", "octal"),
        ("template { destination = \"d\" contents = \"c\" perms = 644 }", "octal"),
        ("template { destination = \"d\" contents = \"c\" perms = \"4755\" }", "octal"),
        ("template { destination = \"d\" contents = \"c\" command = \"a\" exec { command = [\"b\"] } }", "exclude"),
        ("template { destination = \"d\" contents = \"c\" wait { min = \"5s\" max = \"1s\" } }", "less than"),
        ("template_config { static_secret_render_interval = \"0\" }", "must not be zero"),
        ("template_config { max_connections_per_host = 0 }", "must be from"),
        ("exec { command = [] }", "is empty"),
        ("exec { command = [\"a\"] restart_stop_signal = \"SIGFOO\" }", "is not a signal"),
        ("exec { command = [\"a\"] restart_on_secret_changes = \"maybe\" }", "\"always\" or \"never\""),
        ("exec { command = [\"a\"] kill_timeout = \"0\" }", "must not be zero"),
        ("exec { command = [\"a\"] env { custom = [\"=x\"] } }", "NAME=value"),
        ("template { destination = \"d\" contents = \"c\" uid = -1 }", "must be from"),
        ("env_template \"A=B\" { contents = \"x\" }", "name of a variable"),
    ] {
        let error = failure(text);
        assert!(error.contains(part), "{text}: {error}");
        assert!(error.starts_with("agent.hcl:") && !error.contains("canary"), "{error}");
    }
    let twice = format!(
        "{AUTH}\ntemplate {{ destination = \"d\" contents = \"1\" }}\ntemplate {{ destination = \"d\" contents = \"2\" }}"
    );
    assert!(failure(&twice).contains("two templates"));
    assert!(failure(&format!("{AUTH} env_template \"A\" {{ contents = \"x\" }}")).contains("needs \"exec\""));
}

#[test]
fn a_whole_configuration_is_read() {
    let text = r#"
        pid_file = "/run/agent.pid"
        vault { address = "https://vault:8200" ca_cert = "/ca.pem" tls_server_name = "v" retry { num_retries = 5 } }
        auto_auth {
          method { type = "approle" mount_path = "/auth/ci/"
            config { role_id_file_path = "/r" secret_id_file_path = "/s" remove_secret_id_file_after_reading = false
                     secret_id_response_wrapping_path = "auth/ci/role/x/secret-id" } }
          sink "file" { wrap_ttl = "5m" config { path = "/t" mode = 0600 } }
          sink { type = "file" config = { path = "/u" } }
        }
        template { contents = "{{ secret \"a\" }}" destination = "/d" perms = "0644" user = "nobody" backup = true
                   command = "systemctl reload x" wait { min = "2s" max = "10s" } left_delimiter = "[[" }
        template { source = "/a.ctmpl" destination = "/e" create_dest_dirs = false error_on_missing_key = true
                   exec { command = ["touch", "/f"] timeout = "5s" } }
        template_config { exit_on_retry_failure = true static_secret_render_interval = "10m" max_connections_per_host = 3 }
        exec { command = ["/app", "-x"] restart_on_secret_changes = "never" restart_stop_signal = "SIGINT" }
        env_template "DB" { contents = "x" }
    "#;
    let config = Config::parse("agent.hcl", text.as_bytes()).unwrap();
    let auth = config.auto_auth.as_ref().unwrap();
    let Method::AppRole { mount, remove, wrapping_path, .. } = &auth.method else { panic!() };
    assert_eq!(
        (mount.as_str(), *remove, wrapping_path.as_deref()),
        ("auth/ci", false, Some("auth/ci/role/x/secret-id"))
    );
    assert_eq!((auth.sinks[0].mode, auth.sinks[0].wrap_ttl.as_deref()), (0o600, Some("300")));
    assert_eq!((auth.sinks[1].mode, auth.sinks[1].wrap_ttl.as_deref()), (0o640, None));
    assert_eq!(config.templates.len(), 3);
    let Target::File(first) = &config.templates[0].target else { panic!() };
    assert_eq!((first.mode, first.backup, first.create_folders), (0o644, true, true));
    assert_eq!(config.templates[0].command.as_ref().unwrap().words, ["/bin/sh", "-c", "systemctl reload x"]);
    assert_eq!(config.templates[1].command.as_ref().unwrap().words, ["touch", "/f"]);
    assert_eq!(config.templates[1].command.as_ref().unwrap().timeout, Duration::from_secs(5));
    assert!(config.exit_on_retry_failure);
    assert_eq!((config.static_interval, config.connections_max), (Duration::from_secs(600), 3));
    assert_eq!(config.vault.retries_max, Some(5));
    let exec = config.exec.as_ref().unwrap();
    assert!(!exec.restart && exec.stop_signal == rustix::process::Signal::INT);
}

#[test]
fn consul_templates_own_configuration_is_read() {
    let text = r#"
        consul { address = "127.0.0.1:8500" retry { enabled = true attempts = 12 backoff = "250ms" max_backoff = "1m" } }
        vault {
          address = "https://vault:8200" vault_agent_token_file = "/t" renew_token = false lease_renewal_threshold = 0.8
          ssl { enabled = true verify = true ca_cert = "/ca.pem" cert = "/c.pem" key = "/k.pem" server_name = "v" }
          retry { attempts = 0 }
        }
        reload_signal = "SIGHUP" kill_signal = "SIGINT" max_stale = "10m" log_level = "warn" pid_file = "/run/ct.pid"
        wait { min = "5s" max = "10s" }
        syslog { enabled = false } deduplicate { enabled = false } block_query_wait = "60s"
        default_left_delimiter = "<<" default_right_delimiter = ">>"
        exec {
          command = ["/app"] splay = "5s" reload_signal = "SIGUSR1" kill_signal = "SIGQUIT" kill_timeout = "2s"
          env { pristine = true custom = ["PATH=/bin"] allowlist = ["A*"] denylist = ["AB"] }
        }
        template {
          source = "/in.ctmpl" destination = "/out.conf" create_dest_dirs = true command = ["reload"] command_timeout = "60s"
          error_on_missing_key = false perms = 0640 uid = 7 group = "ssl" backup = true wait { min = "2s" max = "4s" }
          sandbox_path = "/box" function_denylist = ["file"]
        }
        template { contents = "x" destination = "/b" left_delimiter = "[[" command = "y" }
    "#;
    let config = Config::parse("ct.hcl", text.as_bytes()).unwrap();
    assert_eq!(config.vault.token_file.as_deref(), Some(std::path::Path::new("/t")));
    assert_eq!((config.vault.retries_max, config.lease_threshold), (None, 800));
    let settings = config.vault.settings(|_| None).unwrap();
    assert_eq!((settings.tls_server_name.as_deref(), settings.tls_skip_verify), (Some("v"), false));
    assert_eq!(config.consul.as_ref().unwrap().address.as_deref(), Some("http://127.0.0.1:8500"));
    let exec = config.exec.as_ref().unwrap();
    use rustix::process::Signal;
    assert_eq!((exec.reload_signal, exec.stop_signal), (Some(Signal::USR1), Signal::QUIT));
    assert_eq!((exec.splay, exec.stop_time), (Duration::from_secs(5), Duration::from_secs(2)));
    assert!(exec.variables.pristine && exec.variables.custom == ["PATH=/bin"]);
    let [one, two] = &config.templates[..] else { panic!() };
    let Target::File(there) = &one.target else { panic!() };
    assert_eq!((there.mode, there.user.as_deref(), there.group.as_deref()), (0o640, Some("7"), Some("ssl")));
    assert_eq!((one.left.as_str(), one.right.as_str(), one.denied.as_slice()), ("<<", ">>", &["file".to_owned()][..]));
    assert_eq!((two.left.as_str(), two.right.as_str()), ("[[", ">>"));
    let times = |least, most| Some((Duration::from_secs(least), Duration::from_secs(most)));
    assert_eq!((one.wait, two.wait), (times(2, 4), times(5, 10)));
    // Turned off, it is as if it were not there.
    let off = Config::parse("ct.hcl", format!("{AUTH} exec {{ enabled = false }}").as_bytes()).unwrap();
    assert!(off.exec.is_none());
}

#[test]
fn the_environment_goes_before_the_file() {
    let config =
        Config::parse("a", format!("vault {{ address = \"http://file\" namespace = \"ns\" }} {AUTH}").as_bytes())
            .unwrap();
    assert_eq!(config.vault.settings(|_| None).unwrap().address, "http://file");
    let env = |name: &str| match name {
        "VAULT_ADDR" => Some("http://env".into()),
        "VAULT_AGENT_ADDR" | "VAULT_TOKEN" | "VAULT_WRAP_TTL" => Some("http://foreign".into()),
        _ => None,
    };
    let settings = config.vault.settings(env).unwrap();
    assert_eq!((settings.address.as_str(), settings.namespace.as_deref()), ("http://env", Some("ns")));
    assert!(settings.token.is_none() && settings.wrap_ttl.is_none());
}

#[test]
fn who_may_rotate_may_not_quit() {
    let of = |api: &str| {
        let text = format!("{AUTH} listener \"tcp\" {{ address = \"127.0.0.1:0\" tls_disable = true {api} }}");
        let listener = Config::parse("a", text.as_bytes()).unwrap().listeners.remove(0);
        (listener.quit, listener.rotate)
    };
    assert_eq!(of(""), (false, false));
    assert_eq!(of("agent_api { enable_rotate = true }"), (false, true));
    assert_eq!(of("agent_api { enable_quit = true }"), (true, false));
}
