//! What operators do: init, shares, unseal, rekey, looking at nodes, the log and what is wrong.

use super::*;

#[test]
fn init_and_unseal_have_the_lines_that_scripts_cut() {
    let made = json!({"keys": ["aa", "bb"], "keys_base64": ["qg==", "uw=="], "root_token": "hvs.root"});
    let status =
        json!({"type": "shamir", "initialized": true, "sealed": true, "t": 2, "n": 2, "progress": 1, "nonce": "n"});
    let mut bench = Bench::new(&[
        ("PUT /v1/sys/init", 200, made),
        ("PUT /v1/sys/unseal", 200, status),
        ("GET /v1/sys/init", 200, json!({"initialized": false})),
    ]);
    let ran = bench.run("operator init -key-shares=2 -key-threshold=2");
    assert!(
        ran.out.starts_with("Unseal Key 1: qg==\nUnseal Key 2: uw==\n\nInitial Root Token: hvs.root\n"),
        "{}",
        ran.out
    );
    let ran = bench.run("operator init -n 2 -t 2 -format=json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["unseal_keys_b64"][0], &value["root_token"]), (&json!("qg=="), &json!("hvs.root")));
    bench.answers = vec![" uw== ".into()];
    assert!(bench.run("operator unseal").out.contains("Unseal Progress    1/2"));
    assert_eq!(bench.run("operator unseal qg==").code, 0);
    assert_eq!(bench.run("operator init -status").code, 2);
    let asked = bench.asked();
    assert_eq!(asked[1], r#"PUT /v1/sys/init {"secret_shares":2,"secret_threshold":2}"#);
    assert_eq!(asked[4], r#"PUT /v1/sys/unseal {"key":"uw==","migrate":false}"#);
    assert!(!bench.fake.seen.lock().unwrap()[..5].iter().any(|seen| seen.headers.contains_key("x-vault-token")));
}

#[test]
fn a_server_that_opens_by_itself_is_made_with_recovery_shares() {
    let mut bench = Bench::new(&[
        ("GET /v1/sys/seal-status", 200, json!({"recovery_seal": true})),
        ("PUT /v1/sys/init", 200, json!({"keys": [], "recovery_keys_labelled": ["wfs1-x"], "root_token": "hvs.root"})),
    ]);
    let ran = bench.run("operator init -key-shares=1 -key-threshold=1 -labelled");
    assert!(ran.out.starts_with("Recovery Key 1: wfs1-x\n\nInitial Root Token: hvs.root\n"), "{}", ran.out);
    let asked = r#"PUT /v1/sys/init {"labelled_shares":true,"recovery_shares":1,"recovery_threshold":1}"#;
    assert_eq!(bench.asked()[1], asked);
}

#[test]
fn a_share_is_checked_without_a_server_and_never_shown() {
    let share = crate::base::Secret::new(vec![0xab; 33]);
    let labelled =
        crate::crypto::label::Labelled { store: "3f2a9c1d".into(), generation: 2, index: 3, shares: 5, share };
    let text = labelled.text().reveal().clone();
    let mut bench = Bench::new(&[]);
    let ran = bench.run(&format!("operator share check {text}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("3 of 5") && !ran.out.contains("abab"), "{}", ran.out);
    bench.answers = vec![text.replacen("ab", "ba", 1)];
    let ran = bench.run("operator share check");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("mistyped") && !ran.err.contains("abab"), "{}", ran.err);
    assert!(bench.run("operator share check q6urq6s=").err.contains("no label"));
    assert!(bench.asked().is_empty());
}

#[test]
fn operators_rekey_and_make_root_tokens() {
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/rekey/init",
            200,
            json!({"started": true, "nonce": "N", "t": 2, "n": 3, "progress": 0, "required": 2}),
        ),
        ("PUT /v1/sys/rekey/update", 200, json!({"complete": true, "nonce": "N", "keys_base64": ["qg=="]})),
        ("GET /v1/sys/generate-root/attempt", 200, json!({"started": false, "otp_length": 28})),
        (
            "PUT /v1/sys/generate-root/attempt",
            200,
            json!({"started": true, "nonce": "G", "otp": "ABC", "otp_length": 3, "progress": 0, "required": 2, "complete": false}),
        ),
        ("PUT /v1/sys/rotate", 204, Value::Null),
        ("GET /v1/sys/key-status", 200, json!({"term": 2, "install_time": "t", "encryptions": 5})),
    ]);
    let ran = bench.run("operator rekey share");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Key 1: qg==\n"), "{}", ran.out);
    assert!(bench.asked().contains(&r#"PUT /v1/sys/rekey/update {"key":"share","nonce":"N"}"#.to_owned()));
    assert!(bench.run("operator generate-root -init").out.contains("OTP           ABC"));
    assert_eq!(bench.run("operator generate-root share").code, 1, "nothing was begun");
    assert_eq!(bench.run("operator generate-root -generate-otp").out.len(), 29);
    assert_eq!(bench.run("operator generate-root -decode=AAAA -otp=abc").out, "abc\n");
    assert_eq!(bench.run("operator generate-root -decode=AAAA").code, 1);
    let ran = bench.run("operator rotate");
    assert!(ran.out.starts_with("Success! Rotated key\n\nKey Term            2\n"), "{}", ran.out);
}

#[test]
fn the_nodes_their_versions_and_their_clients_are_columns() {
    let activity = json!({"data": {
        "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-02-28T23:59:59Z",
        "total": {"clients": 3, "entity_clients": 2, "non_entity_clients": 1},
        "by_namespace": [{"namespace_path": "", "counts": {"clients": 3, "entity_clients": 2, "non_entity_clients": 1}}],
    }});
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/ha-status",
            200,
            json!({"data": {"nodes": [{"hostname": "one", "api_address": "https://one", "cluster_address": "",
                "active_node": true, "version": "1.18.0", "last_echo": null}]}}),
        ),
        (
            "GET /v1/sys/version-history?list=true",
            200,
            json!({"data": {"keys": ["1.18.0"], "key_info": {"1.18.0": {"timestamp_installed": "2026-01-01T00:00:00Z",
                "build_date": "2024-10-08T00:00:00Z", "previous_version": null}}}}),
        ),
        (
            "GET /v1/sys/internal/counters/activity?start_time=2026-01-01T00%3A00%3A00Z&end_time=2026-02-15T00%3A00%3A00Z",
            200,
            activity,
        ),
    ]);
    let ran = bench.run("operator members");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let row: Vec<&str> = ran.out.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row, ["one", "https://one", "n/a", "true", "1.18.0", "n/a"]);
    let ran = bench.run("version-history");
    assert!(ran.out.lines().nth(2).unwrap().starts_with("1.18.0 "), "{}{}", ran.out, ran.err);
    let ran = bench.run("operator usage -start-time=2026-01 -end-time=2026-02-15");
    assert!(
        ran.out.starts_with("Period start: 2026-01-01T00:00:00Z\nPeriod end: 2026-02-28T23:59:59Z\n\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    let last: Vec<&str> = ran.out.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["Total", "2", "1", "3"]);
    let ran = bench.run("operator usage -start-time=yesterday");
    assert_eq!((ran.code, ran.err.as_str()), (1, "-start-time must be YYYY-MM, YYYY-MM-DD or RFC 3339\n"));
}

#[test]
fn the_log_is_printed_as_it_comes() {
    let bench = Bench::new(&[]);
    let fake = Fake::new(|_, seen| match seen.path.as_str() {
        "/v1/sys/monitor?log_level=debug&log_format=standard" => (200, Vec::new(), b"one\ntwo\n".to_vec()),
        _ => answer(403, json!({"errors": ["permission denied"]})),
    });
    let mut bench = Bench { fake: fake.clone(), ..bench };
    bench.env.insert("VAULT_ADDR".into(), bench._runtime.block_on(fake.listen()));
    let ran = bench.run("monitor -log-level=debug");
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\ntwo\n"), "{}", ran.err);
    let ran = bench.run("monitor");
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("Error starting monitor: Error making API request."), "{}", ran.err);
    assert_eq!(bench.run("monitor -log-level=off").code, 1);
    assert_eq!(bench.run("monitor -log-format=xml").code, 1);
}

#[test]
fn a_bundle_for_debugging_has_what_could_be_had_and_no_token() {
    let mut bench = Bench::new(&[
        (
            "GET /v1/sys/health?sealedcode=200&uninitcode=200",
            200,
            json!({"server_time_utc": 1_767_225_600, "version": "1.18.0"}),
        ),
        ("GET /v1/sys/host-info", 200, json!({"data": {"host": "one"}})),
        ("GET /v1/sys/config/state/sanitized", 200, json!({"data": {"disable_mlock": true}})),
        ("GET /v1/sys/metrics", 200, json!({"Gauges": []})),
        ("GET /v1/sys/in-flight-req", 200, json!({})),
        ("GET /v1/sys/seal-status", 403, json!({"errors": ["permission denied"]})),
    ]);
    let folder = bench.home.path().join("bundle");
    let line = format!(
        "debug -duration=0s -output={} -target=host,config,metrics,requests,server-status,log",
        folder.display()
    );
    let ran = bench.run(&line);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let parsed = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    assert_eq!(parsed("host_info.json"), json!([{"host": "one"}]));
    assert_eq!(parsed("config.json"), json!([{"disable_mlock": true}]));
    assert_eq!(parsed("metrics.json"), json!([{"Gauges": []}]));
    let index = parsed("index.json");
    let failed: Vec<&str> = index["errors"].as_array().unwrap().iter().map(|e| e["target"].as_str().unwrap()).collect();
    assert_eq!(failed, ["log", "server-status"]);
    assert!(ran.err.contains("2 times"), "{}", ran.err);
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        assert!(!std::fs::read_to_string(entry.path()).unwrap().contains("hvs.test"), "{:?}", entry.path());
    }
    // What is there is not written over, and what is not known is not gathered.
    let ran = bench.run(&line);
    assert!(ran.code == 1 && ran.err.contains("Error creating"), "{}", ran.err);
    for line in ["debug -target=pprof", "debug -compress", "debug -duration=long", "debug -duration=9000h"] {
        assert_eq!(bench.run(line).code, 1, "{line}");
    }
}

#[test]
fn a_diagnosis_tells_by_its_exit_code_how_bad_it_is() {
    let mut bench = Bench::new(&[]);
    let ran = bench.run("operator diagnose");
    assert_eq!((ran.code, ran.err.as_str()), (3, "Must specify a configuration file using -config.\n"));
    let file = bench.home.path().join("server.hcl");
    let line = format!("operator diagnose -config={}", file.display());
    let listener = "listener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }";
    for (config, code, words) in [
        (format!("storage \"inmem\" {{}} {listener}"), 2, "[ warning ] Check Storage"),
        ("storage \"sqlite\" { pth = 1 }".to_owned(), 1, "[ failure ] Parse Configuration"),
    ] {
        std::fs::write(&file, config).unwrap();
        let ran = bench.run(&line);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(words), "{}", ran.out);
        let shown: Value = serde_json::from_str(&bench.run(&format!("{line} -format=json")).out).unwrap();
        assert_eq!(shown["name"], "Vault Diagnose");
    }
}
