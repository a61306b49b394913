//! Tests of the reader as a whole. The accepted forms and their values are those of `hashicorp/hcl` v1.0.1-vault-7,
//! which was asked.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Body {
    parse("t.hcl", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: impl AsRef<[u8]>) -> String {
    parse("t.hcl", text).expect_err("must be refused").to_string()
}

/// A document as one line, so that a test can say what the tree is.
fn shape(body: &Body) -> String {
    let items: Vec<String> = body
        .items()
        .iter()
        .map(|item| {
            let labels: String = item.labels().iter().map(|label| format!(" {}", label.text())).collect();
            let sign = if item.is_assigned() { "=" } else { " " };
            format!("{}{labels}{sign}{}", item.key().text(), shape_value(item.value()))
        })
        .collect();
    items.join(";")
}

fn shape_value(value: &Value) -> String {
    match value.kind() {
        Kind::Null => "null".into(),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Str(text) => format!("{text:?}"),
        Kind::List(values) => format!("[{}]", values.iter().map(shape_value).collect::<Vec<_>>().join(",")),
        Kind::Object(body) => format!("{{{}}}", shape(body)),
    }
}

#[test]
fn bad_documents_are_refused_with_their_place() {
    for (text, error) in [
        ("path {", "t.hcl:1:6: the '{' is not closed"),
        ("a = 1\n}", "t.hcl:2:1: unexpected '}'"),
        ("a", "t.hcl:1:2: expected '=' or '{' after a key, found the end of the text"),
        ("a =", "t.hcl:1:4: expected a value, found the end of the text"),
        ("a = b", "t.hcl:1:5: expected a value, found a word without quotes"),
        ("a b = 1", "t.hcl:1:5: expected '{': a key with labels begins a block"),
        ("= 1", "t.hcl:1:1: expected a key, found '='"),
        ("a = [1 2]", "t.hcl:1:8: expected ',' or ']' in the list, found a number"),
        ("a = [", "t.hcl:1:5: the '[' is not closed"),
        ("a = \"x", "t.hcl:1:5: the string is not closed"),
        ("a = \"x\ny\"", "t.hcl:1:5: the string is not closed on its line"),
        ("a = \"${x\"", "t.hcl:1:5: the string is not closed"),
        ("a = \"\\q\"", "t.hcl:1:6: unknown escape in a string"),
        ("a = \"\\xff\"", "t.hcl:1:5: the string is not valid UTF-8"),
        ("a = 'x'", "t.hcl:1:5: strings are written in double quotes"),
        ("a = 09", "t.hcl:1:5: a number that begins with 0 is octal and has no 8 or 9"),
        ("a = 0x", "t.hcl:1:5: expected hexadecimal digits after '0x'"),
        ("a = 9223372036854775808", "t.hcl:1:5: the number is out of range"),
        ("a = 1e999", "t.hcl:1:5: the number is out of range"),
        ("a = - 1", "t.hcl:1:5: expected a digit after '-'"),
        ("/ x", "t.hcl:1:1: expected '//' or '/*' for a comment"),
        ("a = 1 /* x", "t.hcl:1:7: the comment is not closed"),
        ("a = <<EOT\nx\n", "t.hcl:1:5: the heredoc is not closed"),
        ("a = <<\nx\n", "t.hcl:1:5: the heredoc has no anchor"),
        ("a = \"x\0\"", "t.hcl:1:7: unexpected null character"),
        ("# \0", "t.hcl:1:3: unexpected null character"),
        ("ü = 1\nü = 2", "t.hcl:2:1: \"ü\" is already set at line 1"),
        ("a = 1\n\"a\" = 2", "t.hcl:2:1: \"a\" is already set at line 1"),
        ("\"a\\nb\"", "t.hcl:1:7: expected '=' or '{' after a key, found the end of the text"),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
    assert_eq!(refused(b"a = 1\nb = \"\xff\"".as_slice()), "t.hcl:2:6: the text is not valid UTF-8");
}

#[test]
fn bad_json_is_refused_with_its_place() {
    for (text, error) in [
        ("{\"a\": 1, \"a\": 2}", "t.hcl:1:10: the key \"a\" is given twice"),
        ("{\"p\": {\n \"x\": {}, \"x\": {}}}", "t.hcl:2:11: the key \"x\" is given twice"),
        ("{\"a\" 1}", "t.hcl:1:6: expected ':' after \"a\""),
        ("{\"a\": 1", "t.hcl:1:8: expected ',' or '}'"),
        ("{\"a\": 1} x", "t.hcl:1:10: unexpected text after the end of the document"),
        ("{a: 1}", "t.hcl:1:2: expected a key in double quotes"),
        ("{\"a\": nil}", "t.hcl:1:7: expected a value, found a word without quotes"),
        ("{\"a\": 01}", "t.hcl:1:7: a number cannot begin with 0"),
        ("{\"a\": 1.}", "t.hcl:1:7: expected digits after the point"),
        ("{\"a\": \"\\ud800\"}", "t.hcl:1:8: unknown escape in a string"),
        ("{\"a\": \"\\q\"}", "t.hcl:1:8: unknown escape in a string"),
        ("{\"a\": \"x\ny\"}", "t.hcl:1:9: a control character in a string must be escaped"),
        ("{\"a\": }", "t.hcl:1:7: expected a value"),
        ("{", "t.hcl:1:1: the '{' is not closed"),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
}

#[test]
fn limits_hold() {
    let deep =
        |n: usize| (format!("{}{}", "a{".repeat(n), "}".repeat(n)), format!("a = {}{}", "[".repeat(n), "]".repeat(n)));
    let (blocks, lists) = deep(DEPTH_MAX);
    read(&blocks);
    read(&lists);
    let (blocks, lists) = deep(DEPTH_MAX + 1);
    assert!(refused(blocks).contains("nested deeper than 64 levels"));
    assert!(refused(lists).contains("nested deeper than 64 levels"));
    let json = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(json).contains("nested deeper"));
    assert!(refused("a{".repeat(100_000)).contains("nested deeper"));
    assert!(refused(" ".repeat(INPUT_BYTES_MAX + 1)).contains("larger than 1048576 bytes"));
    assert!(read(&" ".repeat(INPUT_BYTES_MAX)).is_empty());
    assert!(refused("a{}".repeat(NODES_MAX + 1)).contains("more than 100000 keys"));
    assert!(refused(format!("\"{}\"", "x".repeat(1 << 19))).len() < 500);
}

/// Every row of the table of inputs which other readers get wrong.
#[test]
fn what_go_reads_is_read() {
    for (text, expected) in [
        ("path \"x\" { capabilities = [\"read\"] }", "path x {capabilities=[\"read\"]}"),
        ("# a\n// b\n/* c\n */ x = /* d */ 1 # e", "x=1"),
        ("a = { \"b\" = 1 c = 2 }", "a={b=1;c=2}"),
        ("path \"a\" {} path \"a\" {}", "path a {};path a {}"),
        (
            "path \"a\" { capabilities=[\"read\"] min_wrapping_ttl=\"1s\" }",
            "path a {capabilities=[\"read\"];min_wrapping_ttl=\"1s\"}",
        ),
        ("vault { address=\"...\" retry { num_retries=5 } }", "vault {address=\"...\";retry {num_retries=5}}"),
        ("a { b = 1, c = 2 }", "a {b=1;c=2}"),
        ("allowed_parameters { \"k\" = [\"v\"] }", "allowed_parameters {k=[\"v\"]}"),
        ("\"capabilities\" = 1 \"path\" \"a\" {}", "capabilities=1;path a {}"),
        (
            "{\"path\": {\"a\": {\"capabilities\": [\"read\"], \"n\": null}}}",
            "path={a={capabilities=[\"read\"];n=null}}",
        ),
        ("perms = 0644", "perms=420"),
        ("a = 0x1F b = -0X1f c = -5 d = 1.5 e = -2.5e-3 f = 00 g = .5", "a=31;b=-31;c=-5;d=1.5;e=-0.0025;f=0;g=0.5"),
        (
            "a = \"${foo}\" b = \"x${f(\"y\")}z\" c = \"$${x} %{y}\"",
            "a=\"${foo}\";b=\"x${f(\\\"y\\\")}z\";c=\"$${x} %{y}\"",
        ),
        ("a = <<EOT\n$${x} ${foo} %{bar}\n  EOTX\nEOT\nb = 1", "a=\"$${x} ${foo} %{bar}\\n  EOTX\\n\";b=1"),
        ("path = { \"a\" = { b = 1 } }", "path={a={b=1}}"),
        ("a = <<-EOT\n    x\n      y\n    EOT\n", "a=\"x\\n  y\\n\""),
        ("a = <<-EOT\n  x\n\n    y\n  EOT\n", "a=\"  x\\n\\n    y\\n\""),
        ("a = <<EOT\nx\n  EOT\n", "a=\"x\\n  \""),
        ("a = [<<E\nx\nE\n, 2]", "a=[\"x\\n\",2]"),
        ("a = [1, 2,] b = [,1,,2] c = [[1] [2]]", "a=[1,2];b=[1,2];c=[[1],[2]]"),
        ("a = \"\\n\\t\\\"\\\\\\x41\\101\\u00e9\\U0001F600\"", "a=\"\\n\\t\\\"\\\\AAé😀\""),
        ("a-b.c = true é = false", "a-b.c=true;é=false"),
        ("a = <<EOT\r\nx\r\nEOT\r\n", "a=\"x\\n\""),
        ("a {}\na {}\na = {}", "a {};a {};a={}"),
        ("", ""),
        (" \n# nothing here", ""),
        ("\u{feff}a = 1", "a=1"),
        (
            " {\"a\": [1, true, {\"b\": \"\\u00e9\\ud83d\\ude00\\/\"},], \"c\": 1e3,}",
            "a=[1,true,{b=\"é😀/\"}];c=1000.0",
        ),
    ] {
        assert_eq!(shape(&read(text)), expected, "{text}");
    }
    assert!(refused("{ \"x\": [] }x").contains("after the end"));
    assert!(refused("x: []").contains("unexpected ':'"));
}

#[test]
fn places_are_lines_and_columns_of_characters() {
    let body = read("é = 1\n\n  path \"a\" {\n    x = \"y\"\n  }");
    let block = &body.labelled("path").unwrap()[0];
    assert_eq!(block.span(), Span { line: 3, column: 3 });
    assert_eq!(block.labels()[0].span(), Span { line: 3, column: 8 });
    assert_eq!(block.attr("x").unwrap().unwrap().span(), Span { line: 4, column: 9 });
}

#[test]
fn blocks_are_the_same_however_written() {
    for text in [
        "path \"a\" { x = 1 } path \"b\" { x = 2 }",
        "path { \"a\" { x = 1 } \"b\" { x = 2 } }",
        "path = { \"a\" = { x = 1 } \"b\" = { x = 2 } }",
        "path \"a\" { x = 1 } path = { b = { x = 2 } }",
        "path = [{ a = { x = 1 } }, { b = { x = 2 } }]",
        "{\"path\": {\"a\": {\"x\": 1}, \"b\": {\"x\": 2}}}",
        "{\"path\": [{\"a\": {\"x\": 1}}, {\"b\": {\"x\": 2}}]}",
        "{\"path\": {\"a\": [{\"x\": 1}], \"b\": {\"x\": 2}}}",
    ] {
        let body = read(text);
        let found: Vec<(&str, i64)> = body
            .labelled("path")
            .unwrap()
            .iter()
            .map(|block| (block.label().unwrap(), block.require("x").unwrap().as_int().unwrap()))
            .collect();
        assert_eq!(found, [("a", 1), ("b", 2)], "{text}");
    }
    assert!(read("path = {}").labelled("path").unwrap().is_empty());
    assert!(read("{\"path\": null}").labelled("path").unwrap().is_empty());
}

#[test]
fn blocks_of_the_wrong_form_are_refused() {
    for (text, error) in [
        ("path = 1", "t.hcl:1:8: \"path\" must be a block, not a number"),
        ("path = [1]", "t.hcl:1:9: \"path\" must be a block, not a number"),
        ("path \"a\" \"b\" {}", "t.hcl:1:10: \"path\" takes one label"),
        ("path { \"a\" \"b\" {} }", "t.hcl:1:12: \"path\" takes one label"),
    ] {
        assert_eq!(read(text).labelled("path").unwrap_err().to_string(), error);
    }
    let body = read("path {\n x = 1 }");
    let error = body.labelled("path").unwrap()[0].label().unwrap_err();
    assert_eq!(error.to_string(), "t.hcl:1:1: \"path\" needs a label, as in path \"x\" { }");
    assert!(read("path {}").labelled("path").unwrap()[0].label().is_err());
    let body = read("retry { a = 1 }\nretry { a = 2 }");
    assert_eq!(body.block("retry").unwrap_err().to_string(), "t.hcl:2:1: there is more than one \"retry\"");
    assert_eq!(body.attr("retry").unwrap_err().to_string(), "t.hcl:2:1: \"retry\" is already set at line 1");
    assert_eq!(body.require("none").unwrap_err().to_string(), "t.hcl:1:1: \"none\" is missing");
    assert_eq!(read("a \"b\" {}").attr("a").unwrap_err().to_string(), "t.hcl:1:3: \"a\" takes no label");
    assert_eq!(read("a {} a {}").attrs().unwrap_err().to_string(), "t.hcl:1:6: \"a\" is set twice");
}

#[test]
fn values_of_the_wrong_kind_are_refused_without_saying_them() {
    let body = read("s = \"hunter2\"\ni = 7\nl = [1]\nf = 1.5");
    let attr = |name: &str| body.attr(name).unwrap().unwrap();
    for (error, expected) in [
        (attr("s").as_bool().unwrap_err(), "t.hcl:1:5: \"s\" must be true or false"),
        (attr("s").as_int().unwrap_err(), "t.hcl:1:5: \"s\" must be a whole number"),
        (attr("s").as_duration().unwrap_err(), "t.hcl:1:5: \"s\" must be a duration such as 90, \"90s\" or \"1h30m\""),
        (attr("s").as_list().unwrap_err(), "t.hcl:1:5: \"s\" must be a list, not a string"),
        (attr("s").as_object().unwrap_err(), "t.hcl:1:5: \"s\" must be an object, not a string"),
        (attr("i").as_str().unwrap_err(), "t.hcl:2:5: \"i\" must be a string, not a number"),
        (attr("i").as_bool().unwrap_err(), "t.hcl:2:5: \"i\" must be true or false"),
        (attr("i").as_int_in(1..=6).unwrap_err(), "t.hcl:2:5: \"i\" must be from 1 to 6"),
        (attr("l").as_int().unwrap_err(), "t.hcl:3:5: \"l\" must be a whole number, not a list"),
        (attr("l").as_list().unwrap()[0].as_str().unwrap_err(), "t.hcl:3:6: \"l\" must be a string, not a number"),
        (attr("f").as_int().unwrap_err(), "t.hcl:4:5: \"f\" must be a whole number"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
    assert!(!format!("{body:?}").contains("hunter2"));
}

#[test]
fn values_are_read_leniently() {
    let body = read(
        "a = \"true\" b = 1 c = \"0\" d = \"8200\" e = 90 f = \"1h\" g = \"90\" h = [\"x\", 2] i = \"x, y,\" j = 1e3 k = 1.5 n = \"\"",
    );
    let attr = |name: &str| body.require(name).unwrap();
    assert!(attr("a").as_bool().unwrap() && attr("b").as_bool().unwrap());
    assert!(!attr("c").as_bool().unwrap() && !attr("n").as_bool().unwrap());
    assert_eq!(attr("d").as_int().unwrap(), 8200);
    assert_eq!(attr("j").as_int().unwrap(), 1000);
    assert_eq!(attr("e").as_duration().unwrap(), Duration::from_secs(90));
    assert_eq!(attr("f").as_duration().unwrap(), Duration::from_secs(3600));
    assert_eq!(attr("g").as_duration().unwrap(), Duration::from_secs(90));
    assert_eq!(attr("k").as_duration().unwrap(), Duration::from_millis(1500));
    assert_eq!(attr("h").as_strings().unwrap(), ["x", "2"]);
    assert_eq!(attr("i").as_strings().unwrap(), ["x", "y"]);
    assert_eq!(attr("e").as_string().unwrap(), "90");
    assert!(read("{\"a\": null}").attr("a").unwrap().is_none());
}

#[test]
fn unknown_keys_are_named_with_what_was_meant() {
    let body = read("address = 1\ntls-disable = 1\nadress = 2\nzzz = 3\n\"tls_cert_fil\" = 4");
    let known = ["address", "tls_disable", "tls_cert_file"];
    let found: Vec<String> = body.unknown(&known).iter().map(|unknown| unknown.error.to_string()).collect();
    assert_eq!(
        found,
        [
            "t.hcl:2:1: unknown key \"tls-disable\", did you mean \"tls_disable\"?",
            "t.hcl:3:1: unknown key \"adress\", did you mean \"address\"?",
            "t.hcl:4:1: unknown key \"zzz\"",
            "t.hcl:5:1: unknown key \"tls_cert_fil\", did you mean \"tls_cert_file\"?",
        ]
    );
    assert!(body.only(&known).is_err());
    assert!(body.only(&["address", "tls-disable", "adress", "zzz", "tls_cert_fil"]).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse("f", &bytes);
    }

    #[test]
    fn near_documents_never_panic(parts in proptest::collection::vec(
        proptest::sample::select(vec!["a", "path", "\"x\"", "=", "{", "}", "[", "]", ",", ":", "1", "-", "0x", "1.", "e", "\"", "\\",
            "${", "<<E\n", "<<-E\n", "E\n", "\r\n", "\n", " ", "#", "/*", "*/", "true", "null", "\\u00", "é", "\0", "{\"a\":"]), 0..40)) {
        let text = parts.concat();
        if let Ok(body) = parse("f", &text) {
            let _ = (body.labelled("path").map(|b| b.len()), body.blocks("a").map(|b| b.len()), body.attrs().map(|a| a.len()));
            let _ = body.attr("a").map(|attr| attr.map(|a| (a.as_int(), a.as_duration(), a.as_strings(), a.as_bool())));
        }
    }
}
