//! Policies as files: lint, test, plan, apply, drift.

use serde_json::{Value, json};

use super::Bench;

/// A directory of policies of its own, with these files.
fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tests")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn lint_finds_what_is_wrong_and_says_where() {
    let mut bench = Bench::new(&[(
        "GET /v1/sys/internal/ui/mounts",
        200,
        json!({"data": {"secret": {"kv/": {"type": "kv", "options": {"version": "2"}}, "old/": {"type": "kv", "options": {"version": "1"}}}}}),
    )]);
    let folder = folder_of(&[
        ("a.hcl", "path \"sys/seal\" {\n  capabilities = [\"update\"]\n}\n"),
        ("b.json", r#"{"path": {"kv/a": {"capabilities": ["read"]}, "old/a": {"capabilities": ["read"]}}}"#),
        ("c.hcl", "path \"x\" { capabilities = [\"fly\"] }"),
        ("notes.txt", "no policy"),
    ]);
    let at = folder.path().display();
    let ran = bench.run(&format!("policy lint {at}"));
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.out,
        format!(
            "{at}/c.hcl: error: failed to parse policy: path \"x\": invalid capability \"fly\"\n\
             {at}/a.hcl:1: sudo: path \"sys/seal\": every request to this path needs \"sudo\", which the rule does not give\n"
        )
    );
    assert_eq!(bench.run(&format!("policy lint {at}/b.json")).code, 0);
    assert!(bench.asked().is_empty(), "it works without a server");
    for told in ["-online", "-kv2=kv"] {
        let ran = bench.run(&format!("policy lint -format=json {told} {at}/b.json"));
        let found: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, found.as_array().unwrap().len(), &found[0]["kind"]), (2, 1, &json!("kv2")), "{told}");
        assert_eq!((&found[0]["path"], &found[0]["line"]), (&json!("kv/a"), &json!(1)));
    }
    let ran = bench.run(&format!("policy lint {at}/none"));
    assert_eq!(ran.code, 1);
    assert_eq!(bench.run(&format!("policy lint {at}/tests")).code, 1, "a directory without policies");
}

#[test]
fn assertions_are_checked_without_a_server() {
    let mut bench = Bench::new(&[]);
    let who = "identity \"a\" { policies = [\"a\"] }\n";
    let folder = folder_of(&[
        ("a.hcl", "path \"x/*\" { capabilities = [\"read\"] }\n"),
        ("b.hcl", "path \"y\" {}\n"),
        ("tests/a.hcl", &format!("{who}test \"reads\" {{ identity = \"a\" can \"read\" {{ path = \"x/1\" }} }}\n")),
    ]);
    let at = folder.path().display();
    let ran = bench.run(&format!("policy test {at}"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "Success! All 1 assertions hold\n"), "{}", ran.err);
    assert_eq!(ran.err, "no assertion is about the policy \"b\"\n");
    let wrong =
        "test \"w\" {\n identity = \"a\"\n can \"update\" { path = \"x/1\" }\n cannot \"read\" { path = \"x/2\" }\n}\n";
    std::fs::write(folder.path().join("tests/a.hcl"), format!("{who}{wrong}")).unwrap();
    let ran = bench.run(&format!("policy test {at}"));
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.out,
        format!(
            "{at}/tests/a.hcl:4: w: can update \"x/1\", but the rule lacks the capability \"update\": \"x/*\" of policy a, line 1\n\
             {at}/tests/a.hcl:5: w: cannot read \"x/2\", but it is allowed: \"x/*\" of policy a, line 1\n\
             2 of 2 assertions do not hold\n"
        )
    );
    let ran = bench.run(&format!("policy test -format=json {at}"));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["assertions"], &told["untested"]), (2, &json!(2), &json!(["b"])));
    assert_eq!(told["failures"][0]["line"], 4);
    for (text, said) in
        [("identity \"a\" { policies = [\"none\"] }", "no policy \"none\""), ("identity \"a\" {", "a.hcl:1:")]
    {
        std::fs::write(folder.path().join("tests/a.hcl"), text).unwrap();
        let ran = bench.run(&format!("policy test {at}"));
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    std::fs::remove_file(folder.path().join("tests/a.hcl")).unwrap();
    assert_eq!(bench.run(&format!("policy test {at}")).code, 1, "no assertions are no success");
    assert!(bench.asked().is_empty());
}

#[test]
fn the_policies_of_this_house_are_clean_and_do_what_they_say() {
    let mut bench = Bench::new(&[]);
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let ran = bench.run(&format!("policy lint {at}"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = bench.run(&format!("policy test {at}"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.err, "", "every policy has an assertion");
}

/// A server that has these policies, and three sets of them in use.
fn policied(policies: Value, applied: Value) -> Bench {
    Bench::new(&[
        ("GET /v1/sys/policies/apply", 200, json!({"data": {"state": "s1", "applied": applied, "policies": policies}})),
        (
            "GET /v1/sys/policies/sets",
            200,
            json!({"data": {"complete": true, "sets": [
                {"policies": ["default", "shop"], "tokens": 12, "entities": 4},
                {"policies": ["default", "other"], "tokens": 1, "entities": 0},
                {"policies": ["root"], "tokens": 1, "entities": 0},
            ]}}),
        ),
        ("GET /v1/sys/auth", 200, json!({"data": {"services/": {"accessor": "auth_approle_1"}}})),
        (
            "PUT /v1/sys/policies/apply/c1",
            200,
            json!({"data": {"commit": "c1", "changed": ["shop"], "deleted": ["gone"], "state": "s2"}}),
        ),
    ])
}

const SHOP: &str = "path \"kv/shop/*\" { capabilities = [\"read\"] }\n";

#[test]
fn a_plan_tells_who_gains_and_loses_what_on_which_paths() {
    let applied = json!({"commit": "c0", "policies": {"shop": "x", "gone": "x"}});
    let had = "path \"kv/*\" { capabilities = [\"read\"] }\npath \"kv/+/a\" { capabilities = [\"update\"] }\n";
    let mut bench = policied(
        json!({"shop": had, "gone": "path \"x\" { capabilities = [\"deny\"] }", "by-hand": SHOP, "same": SHOP}),
        applied,
    );
    let folder = folder_of(&[
        (
            "shop.hcl",
            "path \"kv/*\" { capabilities = [\"read\", \"list\"] }\npath \"kv/+/b\" { capabilities = [\"deny\"] }\n",
        ),
        ("same.hcl", "# in other words\npath \"kv/shop/*\" { capabilities = [\"read\"] }\n"),
    ]);
    let at = folder.path().display();
    let ran = bench.run(&format!("policy plan {at}"));
    assert_eq!(ran.code, 2, "{}", ran.err);
    let wanted = "policy same says the same in other words\n\
                  policy shop changes\n  \
                  + list on \"kv/*\" (such as \"kv\"; before: shop line 1; after: shop line 1)\n  \
                  + read on \"kv/+/a\" (such as \"kv/z/a\"; before: shop line 2; after: shop line 1)\n";
    assert!(ran.out.starts_with(wanted), "{}", ran.out);
    for line in [
        "  - update on \"kv/+/a\" (",
        "  - read on \"kv/+/b\" (",
        "  ~ deny added on \"kv/+/b\" (",
        "policy gone is deleted\n  ~ deny removed on \"x\" (before: gone line 1)\n",
        "holders of default, shop (12 tokens, 4 entities)\n  + list on \"kv/*\"",
        "policy by-hand is on the server and not in the directory; it stays\n",
        "Plan: 0 to create, 1 to change, 1 to reword, 1 to delete.\nState: s1\n",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    assert!(!ran.out.contains("holders of default, other"), "{}", ran.out);
    let ran = bench.run(&format!("policy plan -format=json -prune -set=by-hand,same {at}"));
    let plan: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        plan["policies"][3],
        json!({"name": "gone", "action": "delete", "differences": plan["policies"][3]["differences"]})
    );
    assert_eq!(plan["policies"][2]["name"], "by-hand");
    assert_eq!(plan["policies"][2]["differences"][0]["loses"], json!(["read"]));
    // The other policy of this set gives the same, so nobody who has both loses anything.
    assert!(plan["sets"].as_array().unwrap().iter().all(|set| set["policies"] != json!(["by-hand", "same"])), "{plan}");

    let only = folder_of(&[("same.hcl", "path \"kv/shop/*\" { capabilities = [\"read\"] }")]);
    let mut bench = policied(json!({"same": SHOP}), Value::Null);
    let ran = bench.run(&format!("policy plan {}", only.path().display()));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn a_plan_sees_templates_and_accessors() {
    let had = "path \"kv/{{identity.entity.aliases.auth_approle_1.metadata.role}}/*\" { capabilities = [\"read\"] }";
    let mut bench = policied(json!({"shop": had}), Value::Null);
    let folder = folder_of(&[("shop.hcl", &had.replace("auth_approle_1", "@services@"))]);
    let at = folder.path().display();
    let ran = bench.run(&format!("policy plan {at}"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = bench.run(&format!("policy plan -accessor=services=other {at}"));
    assert_eq!(ran.code, 2);
    assert!(ran.out.contains("+ read on \"kv/{{identity.entity.aliases.other.metadata.role}}/*\""), "{}", ran.out);
    let unknown = folder_of(&[("shop.hcl", &had.replace("auth_approle_1", "@people@"))]);
    let ran = bench.run(&format!("policy plan {}", unknown.path().display()));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("\"people/\"") && ran.err.contains("shop.hcl"), "{}", ran.err);
}

#[test]
fn a_directory_is_applied_as_it_was_planned() {
    let applied = json!({"commit": "c0", "policies": {"gone": "x"}});
    let mut bench = policied(json!({"gone": SHOP, "by-hand": SHOP}), applied);
    let folder = folder_of(&[("shop.hcl", SHOP)]);
    let at = folder.path().display();
    let ran = bench.run(&format!("policy apply -commit=c1 {at}"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "wrote shop\ndeleted gone\nSuccess! Applied c1\n"), "{}", ran.err);
    let sent = |bench: &Bench| -> Value {
        let asked = bench.asked();
        serde_json::from_str(asked.last().unwrap().strip_prefix("PUT /v1/sys/policies/apply/c1 ").unwrap()).unwrap()
    };
    assert_eq!(sent(&bench), json!({"state": "s1", "delete": ["gone"], "policies": {"shop": SHOP}}));
    assert_eq!(bench.run(&format!("policy apply -commit=c1 -state=s0 -prune {at}")).code, 0);
    assert_eq!(sent(&bench), json!({"state": "s0", "delete": ["by-hand", "gone"], "policies": {"shop": SHOP}}));

    // A mistake is found before anything is sent.
    let asked = bench.asked().len();
    std::fs::write(folder.path().join("bad.hcl"), "path \"a\" {").unwrap();
    let ran = bench.run(&format!("policy apply -commit=c1 {at}"));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("bad.hcl: failed to parse policy"), "{}", ran.err);
    assert!(bench.asked()[asked..].iter().all(|line| line.starts_with("GET")));
}

#[test]
fn drift_is_what_the_server_has_and_the_applied_directory_has_not() {
    let folder = folder_of(&[("shop.hcl", SHOP), ("lost.hcl", SHOP), ("same.hcl", SHOP)]);
    let at = folder.path().display();
    let digest = hex::encode(crate::crypto::mac::sha256(SHOP.as_bytes()));
    let applied = json!({"commit": "c0", "policies": {"shop": digest, "lost": digest, "same": digest}});
    let there = json!({"shop": SHOP.replace("read", "update"), "same": SHOP, "by-hand": SHOP});
    let mut bench = policied(there, applied.clone());
    let ran = bench.run(&format!("policy drift {at}"));
    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    assert_eq!(
        ran.out,
        "policy lost: missing\npolicy shop: changed\n  \
         + update on \"kv/shop/*\" (such as \"kv/shop/z\"; before: shop line 1; after: shop line 1)\n  \
         - read on \"kv/shop/*\" (such as \"kv/shop/z\"; before: shop line 1; after: shop line 1)\n\
         policy by-hand: unmanaged\n"
    );
    let mut bench = policied(json!({"shop": SHOP, "lost": SHOP, "same": SHOP}), applied.clone());
    let ran = bench.run(&format!("policy drift {at}"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "Success! The server's policies are those of c0\n"));
    std::fs::write(folder.path().join("shop.hcl"), format!("{SHOP}# more\n")).unwrap();
    let ran = bench.run(&format!("policy drift -format=json {at}"));
    assert_eq!((ran.code, ran.err.as_str()), (2, "the directory is not as it was when c0 was applied\n"));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["drift"], json!([{"name": "shop", "drift": "reworded", "differences": []}]));
    let mut bench = policied(json!({}), Value::Null);
    assert_eq!(bench.run(&format!("policy drift {at}")).code, 1);
}
