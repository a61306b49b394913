//! One test for each line of the section on policy semantics in the API's description, and for what the recorded peer
//! does.

use Operation::{Delete, List, Patch, Read, Update};

use super::*;

#[test]
fn list_tries_the_folder_first_and_slashes_do_not_matter() {
    let both = |acl: &Acl, at: &str| {
        let verdict = may(acl, List, at);
        assert_eq!(verdict, may(acl, List, &format!("{at}/")), "{at}");
        verdict
    };
    // A more specific deny of the folder holds.
    let text = "path \"kv/*\" { capabilities = [\"list\"] } path \"kv/a/*\" { capabilities = [\"deny\"] }";
    assert!(!both(&acl(text), "kv/a") && both(&acl(text), "kv/b"));
    // So does one that is written without the slash, whether as a path or with a plus.
    let text = "path \"kv/*\" { capabilities = [\"list\"] } path \"kv/a\" { capabilities = [\"deny\"] }";
    assert!(!both(&acl(text), "kv/a") && both(&acl(text), "kv/b"));
    let text = "path \"kv/*\" { capabilities = [\"list\"] } path \"kv/+\" { capabilities = [\"deny\"] }";
    assert!(!both(&acl(text), "kv/a") && both(&acl(text), "kv/a/b"));
    // A deny that is less specific does not.
    let text = "path \"kv/*\" { capabilities = [\"deny\"] } path \"kv/a/*\" { capabilities = [\"list\"] }";
    assert!(both(&acl(text), "kv/a") && !both(&acl(text), "kv/b"));
    // The recorded ways to write a folder.
    for (rule, yes, no) in [
        ("m/a", vec!["m/a"], vec!["m/b", "m"]),
        ("m/a/", vec!["m/a"], vec!["m/b", "m"]),
        ("m/+", vec!["m/a", "m/b", "m"], vec!["m/a/b"]),
        ("m/*", vec!["m/a", "m/b", "m"], vec!["n"]),
        ("m/", vec!["m"], vec!["m/a"]),
    ] {
        let acl = acl(&format!("path \"{rule}\" {{ capabilities = [\"list\"] }}"));
        assert!(yes.iter().all(|at| both(&acl, at)), "{rule}");
        assert!(!no.iter().any(|at| both(&acl, at)), "{rule}");
        assert!(!may(&acl, Read, "m/a"));
    }
}

#[test]
fn deny_wins_on_the_same_path_only() {
    let read = "path \"kv/a\" { capabilities = [\"read\"] } path \"kv/open/*\" { capabilities = [\"read\",\"list\"] }";
    let deny = "path \"kv/a\" { capabilities = [\"deny\"] } path \"kv/open/secret\" { capabilities = [\"deny\"] }";
    for texts in [[read, deny], [deny, read]] {
        let acl = acl_of(&texts);
        assert_eq!(acl.capabilities("kv/a"), ["deny"]);
        assert_eq!(acl.capabilities("kv/open/secret"), ["deny"]);
        assert_eq!(acl.capabilities("kv/open/x"), ["list", "read"]);
    }
    let within = acl("path \"a\" { capabilities = [\"read\", \"deny\"] } path \"a\" { capabilities = [\"list\"] }");
    assert_eq!(within.capabilities("a"), ["deny"]);
    let wider = acl("path \"a*\" { capabilities = [\"deny\"] } path \"ab\" { capabilities = [\"read\"] }");
    assert_eq!(wider.capabilities("ab"), ["read"]);
}

#[test]
fn between_paths_the_documented_order_decides() {
    let text = |rules: &[(&str, &str)]| -> String {
        rules.iter().map(|(path, word)| format!("path \"p/{path}\" {{ capabilities = [\"{word}\"] }}\n")).collect()
    };
    let acl = super::acl(&text(&[
        ("+/one/*", "read"),
        ("a/+/*", "update"),
        ("+/+/three", "delete"),
        ("a/one/+", "list"),
        ("a*", "create"),
        ("a/one/three/*", "patch"),
    ]));
    for (at, word) in [
        ("a", "create"),
        ("a/one", "create"),
        ("a/one/three", "list"),
        ("a/one/three/y", "patch"),
        ("a/one/x", "list"),
        ("a/one/x/y", "update"),
        ("a/two/three", "update"),
        ("a/two/x", "update"),
        ("ax", "create"),
        ("b/one/three", "delete"),
        ("b/one/x", "read"),
        ("b/one/x/y", "read"),
        ("b/two/three", "delete"),
        ("b/two", "deny"),
    ] {
        assert_eq!(acl.capabilities(&format!("p/{at}")), [word], "{at}");
    }
    let acl = super::acl(&text(&[
        ("*", "update"),
        ("a/*", "read"),
        ("a/b/*", "create"),
        ("a/b/c", "delete"),
        ("a/+/d", "list"),
    ]));
    for (at, word) in [
        ("top", "update"),
        ("a/x", "read"),
        ("a/b/d", "create"),
        ("a/b/c", "delete"),
        ("a/b/c/d", "create"),
        ("a/q/d", "list"),
        ("a/q/e", "read"),
    ] {
        assert_eq!(acl.capabilities(&format!("p/{at}")), [word], "{at}");
    }
}

#[test]
fn lists_of_values_are_matched_element_by_element() {
    let acl = super::acl("path \"x\" { capabilities = [\"update\"] denied_parameters = { \"p\" = [\"admin\"] } }");
    assert_eq!(with(&acl, Update, "{\"p\": [\"admin\"]}"), Some(Reason::ParameterDenied));
    assert_eq!(with(&acl, Update, "{\"p\": [\"a\", \"admin\"]}"), Some(Reason::ParameterDenied));
    assert_eq!(with(&acl, Update, "{\"p\": [\"a\"]}"), None);
    let acl = super::acl("path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"p\" = [\"a\", \"b\"] } }");
    assert_eq!(with(&acl, Update, "{\"p\": [\"a\", \"b\"]}"), None);
    assert_eq!(with(&acl, Update, "{\"p\": [\"a\", \"c\"]}"), Some(Reason::ParameterValue));
}

#[test]
fn booleans_and_numbers_match_booleans_and_numbers() {
    let rule = "{ capabilities = [\"create\", \"update\"] allowed_parameters = { \"flag\" = [true] \"num\" = [5] } }";
    let json = "{\"path\": {\"x\": {\"capabilities\": [\"update\"], \"allowed_parameters\": {\"flag\": [true], \"num\": [5]}}}}";
    for text in [format!("path \"x\" {rule}").as_str(), json] {
        let acl = acl(text);
        assert_eq!(with(&acl, Update, "{\"flag\": true, \"num\": 5}"), None);
        assert_eq!(with(&acl, Update, "{\"flag\": false}"), Some(Reason::ParameterValue));
        assert_eq!(with(&acl, Update, "{\"num\": \"5\"}"), Some(Reason::ParameterValue));
        assert_eq!(with(&acl, Update, "{\"num\": 6}"), Some(Reason::ParameterValue));
    }
}

#[test]
fn a_star_is_any_name_but_only_a_part_of_a_value() {
    let acl = super::acl(
        "path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"*\" = [] \"lvl\" = [\"1\", \"2\", \"*\", \"y*\"] } }",
    );
    assert_eq!(with(&acl, Update, "{\"other\": \"1\", \"lvl\": \"2\"}"), None);
    assert_eq!(with(&acl, Update, "{\"lvl\": \"*\"}"), None);
    assert_eq!(with(&acl, Update, "{\"lvl\": \"yes\"}"), None);
    assert_eq!(with(&acl, Update, "{\"lvl\": \"3\"}"), Some(Reason::ParameterValue));
    let acl = super::acl("path \"x\" { capabilities = [\"update\"] denied_parameters = { \"*\" = [] } }");
    assert_eq!(with(&acl, Update, "{\"a\": 1}"), Some(Reason::ParameterDenied));
    assert_eq!(with(&acl, Update, "{}"), None);
    let acl =
        super::acl("path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"a\" = [] \"b\" = [\"x\"] } }");
    assert_eq!(with(&acl, Update, "{\"a\": \"any\", \"b\": \"x\"}"), None);
    assert_eq!(with(&acl, Update, "{\"a\": \"any\", \"c\": \"x\"}"), Some(Reason::ParameterUnnamed));
}

#[test]
fn a_bound_on_wrapping_makes_it_mandatory() {
    let acl = super::acl("path \"x\" { capabilities = [\"read\"] max_wrapping_ttl = \"60s\" }");
    assert_eq!(wrapped(&acl, None), Some(Reason::WrapMissing));
    assert_eq!(wrapped(&acl, Some(0)), Some(Reason::WrapMissing));
    assert_eq!(wrapped(&acl, Some(60)), None);
    assert_eq!(wrapped(&acl, Some(61)), Some(Reason::WrapLong));
    let acl = super::acl("path \"x\" { capabilities = [\"read\"] min_wrapping_ttl = \"10s\" max_wrapping_ttl = 100 }");
    assert_eq!(wrapped(&acl, None), Some(Reason::WrapMissing));
    assert_eq!(wrapped(&acl, Some(5)), Some(Reason::WrapShort));
    assert_eq!(wrapped(&acl, Some(50)), None);
    assert_eq!(wrapped(&acl, Some(500)), Some(Reason::WrapLong));
    let at = path("x");
    match acl.check(&Query { wrap: Some(Ttl::from_seconds(50)), ..Query::new(Read, &at) }) {
        Decision::Allow(grant) => {
            let expected = Wrapping { min: Ttl::from_seconds(10), max: Ttl::from_seconds(100) };
            assert_eq!(grant.wrapping(), expected);
            assert!(grant.wrapping().is_mandatory() && !grant.is_root() && !grant.creates());
        }
        Decision::Deny(denial) => panic!("{denial:?}"),
    }
    let free = super::acl("path \"x\" { capabilities = [\"read\"] }");
    assert_eq!((wrapped(&free, None), wrapped(&free, Some(500))), (None, None));
}

#[test]
fn plus_is_exactly_one_segment() {
    let acl = super::acl(
        "path \"m/+/app/cfg\" { capabilities = [\"read\"] }
         path \"m/t1/+/se*\" { capabilities = [\"read\"] }
         path \"m/+/+/sub/+\" { capabilities = [\"read\"] }",
    );
    for (at, expected) in [
        ("m/t1/app/cfg", true),
        ("m/t2/app/cfg", true),
        ("m/t1/web/cfg", false),
        ("m/t1/app/sub/cfg", true),
        ("m/t1/app/secretx", true),
        ("m/t1/x/app/cfg", false),
        ("m/app/cfg", false),
        ("m/t1/app/sub/", true),
        ("m/t1/app/sub", false),
    ] {
        assert_eq!(may(&acl, Read, at), expected, "{at}");
    }
}

#[test]
fn json_refuses_a_repeated_key_and_hcl_merges_blocks() {
    let error = Policy::parse("p", "{\"path\": {\"a\": {}, \"a\": {}}}").unwrap_err().to_string();
    assert_eq!(error, "failed to parse policy: p:1:20: the key \"a\" is given twice");
    let acl = acl("path \"a\" { capabilities = [\"read\"] } path \"/a\" { capabilities = [\"list\"] }");
    assert_eq!(acl.capabilities("a"), ["list", "read"]);
}

#[test]
fn names_of_parameters_have_no_case() {
    let acl = super::acl(
        "path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"Aé\" = [] \"Own\" = [] } required_parameters = [\"OWN\"] }",
    );
    assert_eq!(with(&acl, Update, "{\"aÉ\": 1, \"oWn\": 1}"), None);
    assert_eq!(with(&acl, Update, "{\"aé\": 1}"), Some(Reason::ParameterMissing));
    let acl = super::acl("path \"x\" { capabilities = [\"update\"] denied_parameters = { \"Secret\" = [] } }");
    assert_eq!(with(&acl, Update, "{\"sECRET\": 1}"), Some(Reason::ParameterDenied));
}

#[test]
fn rules_with_the_same_path_are_merged() {
    // A limit of one binds the capabilities of the other.
    let limited = "path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"a\" = [\"1\"] } }";
    let acl = acl_of(&[limited, "path \"x\" { capabilities = [\"create\", \"patch\"] }"]);
    assert_eq!(with(&acl, Patch, "{\"b\": 1}"), Some(Reason::ParameterUnnamed));
    assert_eq!(acl.capabilities("x"), ["create", "patch", "update"]);
    // Values are joined; none at all, which is any, beats them.
    let two = "path \"x\" { capabilities = [\"update\"] allowed_parameters = { \"a\" = [\"2\"] } }";
    let acl = acl_of(&[limited, two]);
    assert_eq!(with(&acl, Update, "{\"a\": \"1\"}"), None);
    assert_eq!(with(&acl, Update, "{\"a\": \"2\"}"), None);
    assert_eq!(with(&acl, Update, "{\"a\": \"3\"}"), Some(Reason::ParameterValue));
    let any = "path \"x\" { allowed_parameters = { \"a\" = [] } denied_parameters = { \"b\" = [] } }";
    for texts in [[limited, any], [any, limited]] {
        assert_eq!(with(&acl_of(&texts), Update, "{\"a\": \"3\"}"), None);
    }
    let some = "path \"x\" { capabilities = [\"update\"] denied_parameters = { \"b\" = [\"1\"] } }";
    for texts in [[some, any], [any, some]] {
        assert_eq!(with(&acl_of(&texts), Update, "{\"b\": \"2\"}"), Some(Reason::ParameterDenied));
    }
    // Required names add up.
    let need = |name: &str| format!("path \"x\" {{ capabilities = [\"update\"] required_parameters = [\"{name}\"] }}");
    let acl = acl_of(&[&need("a"), &need("b")]);
    assert_eq!(with(&acl, Update, "{\"a\": 1}"), Some(Reason::ParameterMissing));
    assert_eq!(with(&acl, Update, "{\"a\": 1, \"b\": 2}"), None);
    // The least minimum and the least maximum count.
    let times = |min: u64, max: u64| {
        format!("path \"x\" {{ capabilities = [\"read\"] min_wrapping_ttl = {min} max_wrapping_ttl = {max} }}")
    };
    let acl = acl_of(&[&times(10, 100), &times(20, 50)]);
    assert_eq!(wrapped(&acl, Some(9)), Some(Reason::WrapShort));
    assert_eq!((wrapped(&acl, Some(10)), wrapped(&acl, Some(50))), (None, None));
    assert_eq!(wrapped(&acl, Some(51)), Some(Reason::WrapLong));
    let acl = acl_of(&[&times(60, 0), &times(0, 30)]);
    assert_eq!(wrapped(&acl, Some(45)), Some(Reason::WrapImpossible));
    // A deny wipes the rest.
    let acl = acl_of(&[limited, "path \"x\" { capabilities = [\"deny\"] }"]);
    assert_eq!(with(&acl, Update, "{\"a\": \"1\"}"), Some(Reason::Denied));
}

#[test]
fn parameters_bind_writes_and_reads_but_not_list_and_delete() {
    let all = "\"create\", \"update\", \"patch\", \"read\", \"list\", \"delete\"";
    for (limit, reason) in [
        ("allowed_parameters = { \"a\" = [] }", Reason::ParameterUnnamed),
        ("denied_parameters = { \"b\" = [] }", Reason::ParameterDenied),
        ("required_parameters = [\"a\"]", Reason::ParameterMissing),
    ] {
        let acl = super::acl(&format!("path \"x\" {{ capabilities = [{all}] {limit} }}"));
        for operation in [Update, Patch, Read] {
            assert_eq!(with(&acl, operation, "{\"b\": 1}"), Some(reason), "{operation}");
        }
        for operation in [List, Delete] {
            assert_eq!(with(&acl, operation, "{\"b\": 1}"), None, "{operation}");
        }
        // Nothing given passes, unless something is required.
        let expected = (reason == Reason::ParameterMissing).then_some(reason);
        assert_eq!(with(&acl, Update, "{}"), expected);
        assert_eq!(super::reason(&acl, &Query::new(Update, &path("x"))), expected);
    }
}

#[test]
fn wildcards_count_only_in_their_place() {
    let acl = super::acl(
        "path \"/a+b\" { capabilities = [\"read\"] } path \"//c\" { capabilities = [\"read\"] } path \"a*b\" { capabilities = [\"list\"] }",
    );
    assert!(may(&acl, Read, "a+b") && !may(&acl, Read, "axb") && !may(&acl, Read, "c"));
    assert_eq!(acl.capabilities("a*b"), ["list"]);
    assert_eq!(acl.capabilities("axb"), ["deny"]);
    let acl = super::acl("path \"d/x\" { capabilities = [\"read\"] } path \"s\" { capabilities = [\"sudo\"] }");
    assert_eq!(acl.capabilities("d/x/"), ["read"]);
    assert_eq!(acl.capabilities("/d/x"), ["read"]);
    assert_eq!(acl.capabilities("s"), ["sudo"]);
    for operation in Operation::ALL {
        assert!(!may(&acl, operation, "s"));
    }
}

#[test]
fn sudo_is_asked_for_beside_the_capability() {
    let acl = super::acl("path \"a\" { capabilities = [\"read\", \"sudo\"] } path \"b\" { capabilities = [\"read\"] }");
    let (a, b) = (path("a"), path("b"));
    let query = |path| Query { sudo: true, ..Query::new(Read, path) };
    assert_eq!(reason(&acl, &query(&a)), None);
    assert_eq!(reason(&acl, &query(&b)), Some(Reason::Sudo));
    assert_eq!(reason(&acl, &Query { operation: Update, ..query(&a) }), Some(Reason::Lacks(Capabilities::UPDATE)));
}

#[test]
fn create_and_update_are_two() {
    let acl = super::acl("path \"c\" { capabilities = [\"create\"] } path \"u\" { capabilities = [\"update\"] }");
    let (c, u) = (path("c"), path("u"));
    let creating = |path| Query { creates: true, ..Query::new(Update, path) };
    assert_eq!(reason(&acl, &Query::new(Update, &c)), Some(Reason::Lacks(Capabilities::UPDATE)));
    assert_eq!(reason(&acl, &creating(&u)), Some(Reason::Lacks(Capabilities::CREATE)));
    assert!(matches!(acl.check(&creating(&c)), Decision::Allow(grant) if grant.creates()));
    assert!(matches!(acl.check(&Query::new(Update, &u)), Decision::Allow(grant) if !grant.creates()));
}

#[test]
fn root_may_do_everything_and_nothing_else_is_root() {
    let acl =
        Acl::compile(&[policy("p", "path \"a\" { capabilities = [\"deny\"] }"), Arc::new(Policy::root())], &NoFacts);
    let a = path("a");
    assert!(acl.is_root() && acl.may_see_mount("x/"));
    assert_eq!(acl.capabilities("a"), ["root"]);
    let query = Query { sudo: true, creates: true, ..Query::new(Update, &a) };
    assert!(matches!(acl.check(&query), Decision::Allow(grant) if grant.is_root() && grant.creates()));
    let none = Acl::compile(&[], &NoFacts);
    assert_eq!(reason(&none, &Query::new(Read, &a)), Some(Reason::NoRule));
    assert_eq!(none.capabilities("a"), ["deny"]);
}

#[test]
fn a_mount_is_seen_by_whoever_may_do_something_in_it() {
    for (text, seen) in [
        ("path \"kv/x\" { capabilities = [\"read\"] }", true),
        ("path \"kv/x/*\" { capabilities = [\"list\"] }", true),
        ("path \"kv/\" { capabilities = [\"list\"] }", true),
        ("path \"kv\" { capabilities = [\"list\"] }", true),
        ("path \"k*\" { capabilities = [\"read\"] }", true),
        ("path \"+/x/y\" { capabilities = [\"read\"] }", true),
        ("path \"kv/+/y\" { capabilities = [\"read\"] }", true),
        ("path \"kv/x\" { capabilities = [\"deny\"] }", false),
        ("path \"kv/x\" {}", false),
        ("path \"kvx/y\" { capabilities = [\"read\"] }", false),
        ("path \"other/+\" { capabilities = [\"read\"] }", false),
        ("path \"kv/+/y\" { capabilities = [\"deny\"] }", false),
        ("", false),
    ] {
        assert_eq!(acl(text).may_see_mount("kv/"), seen, "{text}");
    }
}

#[test]
fn names_with_dots_still_work() {
    let acl = super::acl("path \"kv/a..b\" { capabilities = [\"read\"] }");
    assert!(may(&acl, Read, "kv/a..b"));
}
