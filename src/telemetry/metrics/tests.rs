//! Metrics as text and as JSON.

use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    let text = String::from_utf8(metrics.text("vault", Duration::from_secs(1))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_name_has_one_type_and_stands_together() {
    let metrics = Metrics::default();
    let second = Duration::from_secs(1);
    metrics.route("secret/", Operation::Read, false, second, second);
    metrics.route("auth/u-p/", Operation::Update, true, second, second);
    metrics.count("token.creation", vec![("mount_point", "auth/u\"p\\/\n".into())], 2);
    metrics.count("token.creation", vec![("mount_point", "auth/b/".into())], 1);
    let lines = lines(&metrics);
    let mut seen = std::collections::BTreeSet::new();
    let mut current = String::new();
    for line in &lines {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            current = name.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(current.clone()), "{current} twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line} under {current}");
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(line[name.len()..].starts_with(['{', ' ']), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value == "NaN" || value.parse::<f64>().is_ok(), "{line}");
        }
    }
    for wanted in [
        "vault_route_read_secret__count 1",
        "vault_route_create_auth_u_p__count 1",
        "vault_token_creation{mount_point=\"auth/u\\\"p\\\\/\\n\"} 2",
        "vault_expire_num_leases 0",
    ] {
        assert!(lines.iter().any(|l| l == wanted), "{wanted} in {lines:#?}");
    }
    assert!(lines.iter().any(|l| l.starts_with("process_cpu_seconds_total ")));
}

#[test]
fn labels_and_mounts_have_a_bound() {
    let metrics = Metrics::default();
    let second = Duration::from_secs(1);
    for n in 0..2 * limits::METRIC_LABELS {
        metrics.count("token.creation", vec![("mount_point", format!("auth/{n}/"))], 1);
        metrics.route(&format!("m{n}/"), Operation::Read, false, second, second);
    }
    let lines = lines(&metrics);
    let of = |prefix: &str| lines.iter().filter(|l| l.starts_with(prefix)).count();
    assert_eq!(of("vault_token_creation{"), limits::METRIC_LABELS + 1);
    assert!(lines.contains(&format!("vault_token_creation{{mount_point=\"others\"}} {}", limits::METRIC_LABELS)));
    assert_eq!(
        lines.iter().filter(|l| l.starts_with("vault_route_read_") && l.contains("_count ")).count(),
        limits::METRIC_MOUNTS + 1
    );
    // What is replaced is gone.
    metrics.replace("token.count", [(vec![("namespace", "root".to_owned())], 3.0)]);
    metrics.replace("token.count", [(vec![("namespace", "root".to_owned())], 4.0)]);
    assert!(self::lines(&metrics).contains(&"vault_token_count{namespace=\"root\"} 4".to_owned()));
}

#[test]
fn json_has_vaults_lists() {
    let metrics = Metrics::default();
    metrics.leases_created.add(3);
    metrics.handle_request.observe(Duration::from_millis(2), Duration::from_secs(1));
    let json = metrics.json("vault", Timestamp::from_second(1_767_225_600).unwrap(), Duration::from_secs(1));
    assert_eq!(json["Timestamp"].as_str(), Some("2026-01-01 00:00:00 +0000 UTC"));
    let text = crate::base::Json::Object(json).text();
    assert!(text.contains("\"vault.core.handle_request\"") && text.contains("\"Count\":3"), "{text}");
}
