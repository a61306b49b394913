//! What a policy's text may say, and what the built-in ones do.

use std::borrow::Cow;

use super::*;

fn refused(text: &str) -> String {
    let error = Policy::parse("p", text).expect_err("must be refused");
    assert_eq!(error.status(), 400);
    error.to_string()
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    for (text, error) in [
        ("path {", "p:1:6: the '{' is not closed"),
        ("garbage {", "p:1:9: the '{' is not closed"),
        ("\npth \"x\" {}", "p:2:1: unknown key \"pth\", did you mean \"path\"?"),
        ("path { capabilities = [\"read\"] }", "p:1:1: \"path\" needs a label, as in path \"x\" { }"),
        ("path \"x\" \"y\" {}", "p:1:10: \"path\" takes one label"),
        ("path \"x\" { capabilities = [\"bogus\"] }", "path \"x\": invalid capability \"bogus\""),
        ("path \"x\" { capabilities = [\"Read\"] }", "path \"x\": invalid capability \"Read\""),
        ("path \"x\" { capabilities = [1] }", "path \"x\": \"capabilities\" must be a string, not a number at line 1"),
        ("path \"x\" { policy = \"fly\" }", "path \"x\": invalid policy \"fly\""),
        ("path \"x\" {\n colour = \"red\" }", "path \"x\": unknown key \"colour\" at line 2"),
        (
            "path \"x\" { capabilites = [] }",
            "path \"x\": unknown key \"capabilites\", did you mean \"capabilities\"? at line 1",
        ),
        ("path \"x/+*\" {}", "path \"x/+*\": invalid use of wildcards ('+*' is forbidden)"),
        ("path \"x/{{identity.entity.id\" {}", "path \"x/{{identity.entity.id\": \"{{\" without its \"}}\""),
        ("path \"{{identity.x}}\" {}", "path \"{{identity.x}}\": unknown template \"identity.x\""),
        (
            "path \"x\" { min_wrapping_ttl = \"100s\" max_wrapping_ttl = \"10s\" }",
            "path \"x\": max_wrapping_ttl cannot be less than min_wrapping_ttl",
        ),
        (
            "path \"x\" { min_wrapping_ttl = \"junk\" }",
            "path \"x\": \"min_wrapping_ttl\" must be a duration such as 90, \"90s\" or \"1h30m\" at line 1",
        ),
        (
            "path \"x\" { max_wrapping_ttl = \"1ms\" }",
            "path \"x\": \"max_wrapping_ttl\" must be at least a second at line 1",
        ),
        (
            "path \"x\" { allowed_parameters = { a = [[1]] } }",
            "path \"x\": \"a\" must have strings, numbers and booleans as values at line 1",
        ),
        (
            "path \"x\" { allowed_parameters = 1 }",
            "path \"x\": \"allowed_parameters\" must be a block, not a number at line 1",
        ),
        (
            "{\"path\": {\"x\": {\"denied_parameters\": {\"a\": null}}}}",
            "path \"x\": \"a\" must be a list, not null at line 1",
        ),
        ("path \"x\" { capabilities = [] capabilities = [] }", "p:1:30: \"capabilities\" is already set at line 1"),
    ] {
        assert_eq!(refused(text), format!("failed to parse policy: {error}"), "{text}");
    }
    let large = " ".repeat(crate::base::limits::POLICY_BYTES + 1);
    assert_eq!(refused(&large), "failed to parse policy: a policy has at most 1048576 bytes");
}

#[test]
fn root_is_not_written_in_any_spelling() {
    for name in ["root", "Root", " root ", "ROOT\n", "\troot"] {
        assert!(Policy::parse(name, "").is_err(), "{name:?}");
    }
    assert_eq!(Policy::parse(" Web ", "").unwrap().name(), "web");
    assert!(!acl("path \"*\" { capabilities = [\"sudo\"] }").is_root());
}

#[test]
fn every_form_of_a_document_is_read() {
    for text in [
        "path \"a\" { capabilities = [\"read\"] }",
        "path \"/a\" { capabilities = \"read\" }",
        "name = \"x\" path \"a\" { capabilities = [\"read\",] min_wrapping_ttl = 0 }",
        "# one\n// two\n/* three */\npath \"a\" {\n  capabilities = [\"read\"] # four\n}\n",
        "path = { \"a\" = { capabilities = [\"read\"] } }",
        "\"path\" \"a\" { \"capabilities\" = [\"read\"] }",
        "path \"a\" {} path \"a\" { capabilities = [\"read\"] }",
        "{\"path\": {\"a\": {\"capabilities\": [\"read\"]}}}",
        "{\"path\": [{\"a\": {\"capabilities\": [\"read\"]}}]}",
    ] {
        assert_eq!(acl(text).capabilities("a"), ["read"], "{text}");
    }
    for text in ["", "# nothing here\n", "{}", "{\"path\": {}}", "path \"a\" {}"] {
        assert_eq!(acl(text).capabilities("a"), ["deny"], "{text}");
    }
}

#[test]
fn words_of_old_policies_are_known() {
    for (word, expected) in [
        ("deny", vec!["deny"]),
        ("read", vec!["list", "read"]),
        ("write", vec!["create", "delete", "list", "read", "update"]),
        ("sudo", vec!["create", "delete", "list", "read", "sudo", "update"]),
    ] {
        assert_eq!(acl(&format!("path \"a\" {{ policy = \"{word}\" }}")).capabilities("a"), expected);
    }
    let both = acl("path \"a\" { policy = \"read\" capabilities = [\"patch\"] }");
    assert_eq!(both.capabilities("a"), ["list", "patch", "read"]);
}

/// An entity `e-1` called `ann`, of one group, with an alias at each of two mounts.
struct Ann;

impl Facts for Ann {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        let text = match fact {
            Fact::Entity(Field::Id) => "e-1",
            Fact::Entity(Field::Name) => "ann",
            Fact::Entity(Field::Metadata(key)) if &**key == "team" => "blue",
            Fact::Entity(Field::Metadata(key)) if &**key == "evil" => "../x",
            Fact::Entity(Field::Metadata(key)) if &**key == "star" => "*",
            Fact::Entity(Field::Metadata(key)) if &**key == "plus" => "+",
            Fact::Alias { accessor, field: Field::Name } if &**accessor == "up_1" => "ann@one",
            Fact::Alias { accessor, field: Field::Name } if &**accessor == "up_2" => "ann@two",
            Fact::GroupByName { name, field: Field::Id } if &**name == "ops" => "g-1",
            _ => return None,
        };
        Some(text.into())
    }
}

fn as_ann(text: &str) -> Acl {
    Acl::compile(&[policy("p", text)], &Ann)
}

#[test]
fn a_template_opens_only_its_own_part() {
    let acl = as_ann("path \"kv/{{identity.entity.name}}/*\" { capabilities = [\"read\"] }");
    assert!(may(&acl, Operation::Read, "kv/ann/x"));
    assert!(!may(&acl, Operation::Read, "kv/bob/x"));
    assert!(!may(&acl, Operation::Read, "kv/{{identity.entity.name}}/x"));
    let acl = as_ann("path \"g/{{identity.groups.names.ops.id}}\" { capabilities = [\"read\"] }");
    assert!(may(&acl, Operation::Read, "g/g-1"));
}

#[test]
fn a_value_with_a_mark_grants_nothing() {
    for key in ["evil", "star", "plus", "none"] {
        let text = format!("path \"kv/{{{{identity.entity.metadata.{key}}}}}\" {{ capabilities = [\"read\"] }}");
        let acl = as_ann(&text);
        for at in ["kv/x", "kv/*", "kv/+", "kv/", "kv/blue", "x"] {
            assert!(!may(&acl, Operation::Read, at), "{key} {at}");
        }
        let (at, line) = (path("kv/x"), 1);
        let dropped = acl.explain(&Query::new(Operation::Read, &at)).dropped;
        assert_eq!((dropped.len(), dropped[0].policy, dropped[0].line), (1, "p", line));
    }
}

#[test]
fn an_alias_is_that_of_the_named_mount() {
    let acl = as_ann("path \"kv/{{identity.entity.aliases.up_2.name}}\" { capabilities = [\"read\"] }");
    assert!(may(&acl, Operation::Read, "kv/ann@two"));
    assert!(!may(&acl, Operation::Read, "kv/ann@one"));
    let acl = as_ann("path \"kv/{{identity.entity.aliases.up_3.name}}\" { capabilities = [\"read\"] }");
    assert_eq!(acl.outline().count(), 0);
}

#[test]
fn the_default_policy_lets_a_token_look_after_itself() {
    let acl = as_ann(DEFAULT);
    for (at, expected) in [
        ("auth/token/lookup-self", vec!["read"]),
        ("auth/token/renew-self", vec!["update"]),
        ("auth/token/revoke-self", vec!["update"]),
        ("auth/token/create", vec!["deny"]),
        ("sys/capabilities-self", vec!["update"]),
        ("sys/internal/ui/resultant-acl", vec!["read"]),
        ("sys/internal/ui/mounts", vec!["read"]),
        ("sys/internal/ui/mounts/secret/x", vec!["read"]),
        ("sys/renew", vec!["update"]),
        ("sys/leases/renew", vec!["update"]),
        ("sys/leases/lookup", vec!["update"]),
        ("sys/mounts", vec!["deny"]),
        ("sys/wrapping/wrap", vec!["update"]),
        ("sys/wrapping/lookup", vec!["update"]),
        ("sys/wrapping/unwrap", vec!["update"]),
        ("sys/tools/hash", vec!["update"]),
        ("sys/tools/hash/sha2-256", vec!["update"]),
        ("sys/control-group/request", vec!["update"]),
        ("cubbyhole/x", vec!["create", "delete", "list", "read", "update"]),
        ("cubbyhole/", vec!["create", "delete", "list", "read", "update"]),
        ("identity/entity/id/e-1", vec!["read"]),
        ("identity/entity/id/x", vec!["deny"]),
        ("identity/entity/name/ann", vec!["read"]),
        ("identity/oidc/provider/any/authorize", vec!["read", "update"]),
    ] {
        assert_eq!(acl.capabilities(at), expected, "{at}");
    }
    assert!(may(&acl, Operation::List, "cubbyhole/"));
}

#[test]
fn a_wrapping_token_opens_its_parcel_and_nothing_else() {
    let acl = acl(RESPONSE_WRAPPING);
    let paths: Vec<(&str, bool)> = acl.outline().map(|outline| (outline.path, outline.glob)).collect();
    assert_eq!(paths, [("cubbyhole/response", false), ("sys/wrapping/unwrap", false)]);
    assert_eq!(acl.capabilities("cubbyhole/response"), ["create", "read"]);
    assert_eq!(acl.capabilities("sys/wrapping/unwrap"), ["update"]);
}

#[test]
fn a_denial_says_which_line_of_which_policy() {
    let acl = acl_of(&[
        "path \"*\" { capabilities = [\"read\"] }\n\npath \"kv/a\" { capabilities = [\"read\"] }",
        "\npath \"/kv/a\" { capabilities = [\"deny\"] }\npath \"kv/+\" { capabilities = [\"list\"] }",
    ]);
    let at = path("kv/a");
    let query = Query::new(Operation::Read, &at);
    let Decision::Deny(denial) = acl.check(&query) else { panic!("must be denied") };
    let origin = |policy, path, line| Origin { policy, path, line };
    assert_eq!(denial.reason(), Reason::Denied);
    assert_eq!(acl.origins(&denial), [origin("p0", "kv/a", 3), origin("p1", "kv/a", 2)]);
    let explained = acl.explain(&query);
    assert_eq!(explained.rule.unwrap().path, "kv/a");
    let others: Vec<&str> = explained.others.iter().map(|rule| rule.path.as_str()).collect();
    assert_eq!(others, ["kv/+", "*"]);
    let limited = super::acl("path \"x\" { capabilities = [\"update\"] denied_parameters = { \"A\" = [] } }");
    let (at, json) = (path("x"), Json::parse(b"{\"a\": \"hunter2\"}").unwrap());
    let explained = limited.explain(&Query { parameters: json.as_object(), ..Query::new(Operation::Update, &at) });
    assert_eq!((explained.reason, explained.parameter.as_deref()), (Some(Reason::ParameterDenied), Some("a")));
    assert!(!format!("{limited:?}").contains("hunter2"));
}
