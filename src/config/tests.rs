//! What a configuration says, and the mistakes that are named with their places.

use super::*;
use crate::base::Secret;

fn wrong(text: &str) -> String {
    match Config::parse("c.hcl", text, Path::new("/data/warifu.db")) {
        Ok(_) => panic!("read without an error: {text}"),
        Err(error) => error.to_string(),
    }
}

fn read(text: &str) -> (Config, Vec<String>) {
    match Config::parse("c.hcl", text, Path::new("/data/warifu.db")) {
        Ok((config, warnings)) => (config, warnings.iter().map(ToString::to_string).collect()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn errors_name_file_line_column_and_what_was_meant() {
    let golden = [
        ("ui = true\nlisteners \"tcp\" {}\n", "c.hcl:2:1: unknown key \"listeners\", did you mean \"listener\"?"),
        ("wibble = 1", "c.hcl:1:1: unknown key \"wibble\""),
        ("listener \"tcp\" {\n  adress = \"a:1\"\n}", "c.hcl:2:3: unknown key \"adress\", did you mean \"address\"?"),
        ("listener \"tcp\" {\n  address = 1\n}", "c.hcl:2:13: \"address\" must be a string, not a number"),
        (
            "listener \"tcp\" { address = \"::x\" }",
            "c.hcl:1:28: \"address\" must be a host and port such as \"127.0.0.1:8200\"",
        ),
        (
            "listener \"tcp\" { address = \"{{ GetPrivateIP }}:8200\" }",
            "c.hcl:1:28: \"address\" must be a host and port such as \"127.0.0.1:8200\"",
        ),
        ("listener \"unix\" {}", "c.hcl:1:1: listener \"unix\" is not available, use \"tcp\""),
        ("listener {\n}", "c.hcl:1:1: \"listener\" needs a label, as in listener \"x\" { }"),
        (
            "listener \"tcp\" { tls_cert_file = \"a\" }",
            "c.hcl:1:34: \"tls_cert_file\" needs \"tls_key_file\" beside it",
        ),
        ("listener \"tcp\" { tls_key_file = \"a\" }", "c.hcl:1:33: \"tls_key_file\" needs \"tls_cert_file\" beside it"),
        (
            "listener \"tcp\" { tls_min_version = \"tls10\" }",
            "c.hcl:1:36: \"tls_min_version\" must be \"tls12\" or \"tls13\": older versions are broken",
        ),
        (
            "listener \"tcp\" { tls_max_version = \"x\" }",
            "c.hcl:1:36: \"tls_max_version\" must be \"tls12\" or \"tls13\"",
        ),
        (
            "listener \"tcp\" {\n tls_min_version = \"tls13\"\n tls_max_version = \"tls12\"\n}",
            "c.hcl:3:20: \"tls_max_version\" must not be older than \"tls_min_version\"",
        ),
        (
            "listener \"tcp\" { tls_require_and_verify_client_cert = true }",
            "c.hcl:1:55: \"tls_require_and_verify_client_cert\" needs \"tls_client_ca_file\" beside it",
        ),
        (
            "listener \"tcp\" {\n tls_disable = 1\n tls_require_and_verify_client_cert = \"true\"\n}",
            "c.hcl:3:39: \"tls_require_and_verify_client_cert\" needs TLS, which \"tls_disable\" turns off",
        ),
        (
            "listener \"tcp\" { tls_require_and_verify_client_cert = 1 tls_disable_client_certs = 1 }",
            "c.hcl:1:84: \"tls_disable_client_certs\" contradicts \"tls_require_and_verify_client_cert\"",
        ),
        ("listener \"tcp\" { tls_disable = \"yes\" }", "c.hcl:1:32: \"tls_disable\" must be true or false"),
        ("listener \"tcp\" { tls_acme_email = \"a\" }", "c.hcl:1:18: \"tls_acme_email\" is not available"),
        (
            "listener \"tcp\" { proxy_protocol_behavior = \"use_always\" }",
            "c.hcl:1:44: \"proxy_protocol_behavior\" is not available: have the proxy send X-Forwarded-For instead",
        ),
        (
            "listener \"tcp\" { x_forwarded_for_authorized_addrs = \"10.0.0.0/99\" }",
            "c.hcl:1:53: \"x_forwarded_for_authorized_addrs\" must be addresses or networks such as \"10.0.0.0/8\"",
        ),
        (
            "listener \"tcp\" { http_idle_timeout = 0 }",
            "c.hcl:1:38: \"http_idle_timeout\" must be longer than 0 and at most 24h0m0s",
        ),
        (
            "listener \"tcp\" { max_request_duration = \"soon\" }",
            "c.hcl:1:41: \"max_request_duration\" must be a duration such as 90, \"90s\" or \"1h30m\"",
        ),
        (
            "listener \"tcp\" { address = \"a:1\" }\nlistener \"tcp\" { address = \"a:1\" }",
            "c.hcl:2:1: there is already a listener at a:1, of c.hcl:1:1",
        ),
        (
            "storage \"raft\" { path = \"x\" }",
            "c.hcl:1:1: storage \"raft\" is not available, use \"sqlite\", \"file\" or \"inmem\"",
        ),
        ("storage \"sqlite\" {}", "c.hcl:1:18: \"path\" is missing"),
        ("storage \"sqlite\" { path = \"\" }", "c.hcl:1:27: \"path\" must be a path"),
        ("storage \"sqlite\" { pth = \"\" }", "c.hcl:1:20: unknown key \"pth\", did you mean \"path\"?"),
        ("storage \"inmem\" {}\nbackend \"inmem\" {}", "c.hcl:2:1: there is more than one storage"),
        ("seal \"awskms\" {}", "c.hcl:1:1: seal \"awskms\" is not available, use \"shamir\" or \"static\""),
        ("initialize \"a\" {}", "c.hcl:1:1: \"initialize\" is not available: run the operator's init"),
        (
            "api_addr = \"vault:8200\"",
            "c.hcl:1:12: \"api_addr\" must be a URL such as \"https://vault.example.com:8200\"",
        ),
        (
            "default_lease_ttl = \"0s\"",
            "c.hcl:1:21: \"default_lease_ttl\" must be at least a second and at most a hundred years",
        ),
        (
            "default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"",
            "c.hcl:1:21: \"default_lease_ttl\" conflicts: default_lease_ttl must not be longer than max_lease_ttl",
        ),
        ("log_level = \"loud\"", "c.hcl:1:13: \"log_level\" must be trace, debug, info, warn, error or off"),
        ("log_format = \"xml\"", "c.hcl:1:14: \"log_format\" must be standard or json"),
        ("ui = []", "c.hcl:1:6: \"ui\" must be true or false, not a list"),
        (
            "telemetry { statsd_adress = 1 }",
            "c.hcl:1:13: unknown key \"statsd_adress\", did you mean \"statsd_address\"?",
        ),
        (
            "user_lockout \"jwt\" {}",
            "c.hcl:1:1: user_lockout \"jwt\" is not known, use \"all\", \"userpass\", \"approle\" or \"ldap\"",
        ),
        (
            "user_lockout \"all\" { lockout_threshold = 0 }",
            "c.hcl:1:42: \"lockout_threshold\" must be from 1 to 1000000",
        ),
        ("audit \"http\" \"x\" {}", "c.hcl:1:1: audit \"http\" is not known, use \"file\", \"socket\" or \"syslog\""),
        ("audit \"file\" { path = 1 }", "c.hcl:1:1: an audit device needs a name, as in audit \"file\" \"main\" { }"),
        ("ui = ", "c.hcl:1:6: expected a value, found the end of the text"),
        ("{\"ui\": tru}", "c.hcl:1:8: expected a value, found a word without quotes"),
    ];
    for (text, error) in golden {
        assert_eq!(wrong(text), error, "{text}");
    }
}

#[test]
fn a_value_is_never_repeated_in_an_error() {
    for text in ["api_addr = \"canary\"", "log_level = \"canary\"", "listener \"tcp\" { address = \"can:ary\" }"] {
        assert!(!wrong(text).contains("can"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_and_a_folder_without_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let store = Path::new("x");
    let absent = folder.path().join("absent.hcl");
    let error = Config::read(&absent, store).unwrap_err().to_string();
    assert_eq!(error, format!("{}: cannot be read: No such file or directory (os error 2)", absent.display()));
    let error = Config::read(folder.path(), store).unwrap_err().to_string();
    assert_eq!(error, format!("{}: no *.hcl or *.json file in this folder", folder.path().display()));
    let error = Config::read(Path::new("/dev/zero"), store).unwrap_err().to_string();
    assert_eq!(error, "/dev/zero:1:1: the document is larger than 1048576 bytes");
}

#[test]
fn keys_without_effect_are_warnings_with_their_place() {
    let (_, warnings) = read(
        "ha_storage \"consul\" {}\nplugin_directory = \"/p\"\nlistener \"tcp\" {\n  cluster_address = \"a:1\"\n  \
         max_request_size = -1\n  tls_client_ca_file = \"ca.pem\"\n}\ntelemetry { statsd_address = \"a\" }\nseal \"shamir\" {}",
    );
    assert_eq!(
        warnings,
        [
            "c.hcl:1:1: \"ha_storage\" has no effect: there is no clustering",
            "c.hcl:2:1: \"plugin_directory\" has no effect: there are no plugins",
            "c.hcl:4:3: \"cluster_address\" has no effect: there is no clustering",
            "c.hcl:5:22: \"max_request_size\" is taken as 33554432, the largest there is",
            "c.hcl:6:24: \"tls_client_ca_file\" has no effect without \"tls_require_and_verify_client_cert\"",
            "c.hcl:8:13: \"statsd_address\" has no effect: not available",
        ]
    );
}

#[test]
fn an_empty_document_is_all_defaults() {
    let (config, warnings) = read("");
    assert_eq!(config, Config::new("/data/warifu.db"));
    assert!(warnings.is_empty());
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8200");
    assert_eq!(config.listeners[0].tls, Tls::SelfSigned);
    assert_eq!(config.folder(), Some(Path::new("/data")));
}

#[test]
fn what_test_suites_of_clients_use_is_read_in_both_syntaxes() {
    let hcl = r#"
        backend "inmem" {}
        listener "tcp" {
          address     = "127.0.0.1:8200"
          tls_disable = 1
        }
        disable_mlock     = true
        default_lease_ttl = "768h"
        max_lease_ttl     = "768h"
        api_addr          = "http://127.0.0.1:8200/"
        ui                = true
    "#;
    let json = r#"{"backend": {"inmem": {}}, "listener": [{"tcp": {"address": "127.0.0.1:8200", "tls_disable": "true"}}],
        "disable_mlock": true, "default_lease_ttl": "768h", "max_lease_ttl": 2764800,
        "api_addr": "http://127.0.0.1:8200", "ui": "1"}"#;
    let (config, warnings) = read(hcl);
    assert_eq!(read(json), (config.clone(), warnings.clone()));
    assert!(warnings.is_empty());
    assert_eq!(config.storage, Storage::Memory);
    assert_eq!(config.listeners[0].tls, Tls::Disabled);
    assert_eq!(config.api_addr.as_deref(), Some("http://127.0.0.1:8200"));
    assert!(config.disable_mlock && config.ui);
}

#[test]
fn every_key_arrives() {
    let (config, warnings) = read(
        r#"
        storage "file" { path = "/var/lib/w" }
        api_addr = "https://v.example:8200"
        cluster_addr = "https://v.example:8201"
        cluster_name = "north"
        default_lease_ttl = 60
        max_lease_ttl = "1h30m"
        default_max_request_duration = "45s"
        log_level = "Warning"
        log_format = "json"
        pid_file = "/run/w.pid"
        disable_mlock = "true"
        enable_ui = true
        raw_storage_endpoint = true
        introspection_endpoint = true
        audit_directory = "/var/log/w"
        unsafe_allow_api_audit_creation = true
        disable_unauthed_rekey_endpoints = false
        disable_unauthed_generate_root_endpoints = false
        telemetry { prometheus_retention_time = "0s" unauthenticated_metrics_access = true }
        user_lockout "all" { lockout_threshold = "9" lockout_duration = "5m" lockout_counter_reset = 30 }
        user_lockout "ldap" { disable_lockout = "true" }
        seal "static" {
          current_key_id = "b"
          current_key = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
          previous_key_id = "a"
          previous_key = "abababababababababababababababababababababababababababababababab"
          disabled = "true"
        }
        audit "file" "main" { description = "to disk" options { file_path = "/var/log/w/a.log" log_raw = true } }
        listener "tcp" {
          address = "[::1]:9000"
          tls_cert_file = "c.pem"
          tls_key_file = "k.pem"
          tls_min_version = "tls13"
          tls_client_ca_file = "ca.pem"
          tls_require_and_verify_client_cert = true
          max_request_size = 1024
          max_request_duration = "7s"
          require_request_header = true
          http_read_timeout = "1s"
          http_read_header_timeout = "2s"
          http_write_timeout = "3s"
          http_idle_timeout = "4s"
          x_forwarded_for_authorized_addrs = ["10.0.0.0/8", "::1"]
          x_forwarded_for_hop_skips = "1"
          x_forwarded_for_reject_not_present = false
          x_forwarded_for_reject_not_authorized = "false"
          telemetry { unauthenticated_metrics_access = true }
          disable_unauthed_rekey_endpoints = true
          disable_unauthed_generate_root_endpoints = false
        }
        listener "tcp" { address = ":9001" tls_disable_client_certs = true tls_max_version = "tls12" }
    "#,
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    let first = ListenerConfig {
        address: "[::1]:9000".parse().unwrap(),
        tls: Tls::Files { cert: "c.pem".into(), key: "k.pem".into() },
        tls_min: TlsVersion::Tls13,
        tls_max: TlsVersion::Tls13,
        client_certs: ClientCerts::Required { ca: "ca.pem".into() },
        max_request_size: 1024,
        max_request_duration: Duration::from_secs(7),
        require_request_header: true,
        header_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(1),
        write_timeout: Duration::from_secs(3),
        idle_timeout: Duration::from_secs(4),
        forwarded: Some(Forwarded {
            authorized: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            hop_skips: 1,
            reject_not_present: false,
            reject_not_authorized: false,
        }),
        unauthenticated_metrics_access: true,
        disable_unauthed_rekey_endpoints: Some(true),
        disable_unauthed_generate_root_endpoints: Some(false),
    };
    let second = ListenerConfig {
        client_certs: ClientCerts::NotAsked,
        tls_max: TlsVersion::Tls12,
        max_request_duration: Duration::from_secs(45),
        ..ListenerConfig::new(":9001".parse().unwrap())
    };
    let all = UserLockout {
        method: "all".into(),
        threshold: 9,
        duration: Duration::from_secs(300),
        counter_reset: Duration::from_secs(30),
        disable: false,
    };
    let ldap = UserLockout {
        method: "ldap".into(),
        threshold: 5,
        duration: Duration::from_secs(900),
        counter_reset: Duration::from_secs(900),
        disable: true,
    };
    let audit = AuditDevice {
        kind: "file".into(),
        path: "main".into(),
        description: "to disk".into(),
        options: vec![("file_path".into(), "/var/log/w/a.log".into()), ("log_raw".into(), "true".into())],
    };
    let expected = Config {
        storage: Storage::Sqlite { path: "/var/lib/w/warifu.db".into() },
        listeners: vec![first, second],
        api_addr: Some("https://v.example:8200".into()),
        cluster_addr: Some("https://v.example:8201".into()),
        cluster_name: Some("north".into()),
        default_lease_ttl: Ttl::from_seconds(60),
        max_lease_ttl: Ttl::from_seconds(5400),
        log_level: Level::Warn,
        log_format: Format::Json,
        pid_file: Some("/run/w.pid".into()),
        disable_mlock: true,
        ui: true,
        raw_storage_endpoint: true,
        introspection_endpoint: true,
        audit_directory: Some("/var/log/w".into()),
        unsafe_allow_api_audit_creation: true,
        disable_unauthed_rekey_endpoints: false,
        disable_unauthed_generate_root_endpoints: false,
        telemetry: TelemetryConfig {
            prometheus_retention: None,
            unauthenticated_metrics_access: true,
            ..TelemetryConfig::default()
        },
        user_lockout: vec![all, ldap],
        audit: vec![audit],
        seal: Some(StaticSeal {
            current: StaticKey { id: "b".into(), key: Secret::new(vec![b'k'; 32]) },
            previous: Some(StaticKey { id: "a".into(), key: Secret::new(vec![0xab; 32]) }),
            disabled: true,
        }),
    };
    assert_eq!(config, expected);
}

#[test]
fn audit_devices_are_read_in_json_too() {
    let (config, _) = read(r#"{"audit": {"file": {"main": {"options": {"file_path": "stdout"}}}}}"#);
    let device = &config.audit[0];
    assert_eq!((device.kind.as_str(), device.path.as_str(), device.options.len()), ("file", "main", 1));
}

#[test]
fn files_of_a_folder_and_several_flags_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("b.json", r#"{"log_level": "error", "listener": {"tcp": {"address": "b:1"}}}"#);
    file("a.hcl", "log_level = \"debug\"\nui = true\nlistener \"tcp\" { address = \"a:1\" }");
    file("note.txt", "not read");
    file(".swap.hcl", "not read");
    let last = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(last.path(), "storage \"sqlite\" { path = \"z.db\" }").unwrap();
    let (config, _) = Config::load(&[folder.path(), last.path()], Config::new("x")).unwrap();
    let addresses: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["a:1", "b:1"]);
    assert_eq!((config.log_level, config.ui), (Level::Error, true));
    assert_eq!(config.storage, Storage::Sqlite { path: "z.db".into() });
    assert_eq!(config.folder(), Some(Path::new(".")));

    file("c.hcl", "listener \"tcp\" { address = \"a:1\" }");
    let error = Config::read(folder.path(), Path::new("x")).unwrap_err().to_string();
    assert!(error.ends_with("a.hcl:3:1") && error.contains("c.hcl:1:1: there is already"), "{error}");
}

#[test]
fn addresses_are_read_as_go_reads_them() {
    for (text, shown) in [
        ("127.0.0.1:8200", "127.0.0.1:8200"),
        ("127.0.0.1", "127.0.0.1:8200"),
        (":8200", ":8200"),
        ("[::]:80", "[::]:80"),
        ("::1", "[::1]:8200"),
        ("localhost:0", "localhost:0"),
    ] {
        assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(shown.to_owned()));
    }
    for text in ["", "a:b", "a:70000", "a b:1", "[::1", "a:1:2", "http://a:1"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn a_server_to_try_things_on_keeps_nothing_and_speaks_plainly() {
    let config = Config::dev("127.0.0.1:0".parse().unwrap());
    assert_eq!((config.storage.clone(), config.folder()), (Storage::Memory, None));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].tls, Tls::Disabled);
}

#[test]
fn files_add_their_listeners_to_one_that_is_there_to_try_things_on() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "listener \"tcp\" { address = \"b:2\" max_request_duration = \"90s\" }\nui = false")
        .unwrap();
    let (config, _) = Config::load_dev(&[file.path()], "127.0.0.1:1".parse().unwrap()).unwrap();
    let addresses: Vec<String> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:1", "b:2"]);
    assert_eq!((config.storage, config.ui), (Storage::Memory, false));
}
