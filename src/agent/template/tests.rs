//! What the engine promises beyond Go's: bounds, silence about values, dependencies, consul-template's functions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Answer, Dependency, Functions, Host, Kind, Limits, Options, Outcome, Template, Value};

#[derive(Default)]
struct World {
    known: BTreeMap<String, Value>,
    failing: Vec<String>,
    env: BTreeMap<String, String>,
    roots: Vec<PathBuf>,
}

impl Host for World {
    fn lookup(&mut self, dependency: &Dependency) -> Answer {
        if self.failing.contains(&dependency.path) {
            return Answer::Failed("permission denied".to_owned());
        }
        self.known.get(&dependency.path).map_or(Answer::Pending, |value| Answer::Ready(value.clone()))
    }
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
    fn now(&self) -> i64 {
        1_700_000_000
    }
    fn file_roots(&self) -> &[PathBuf] {
        &self.roots
    }
}

fn try_with(source: &str, host: &mut World, limits: &Limits) -> Result<Outcome, String> {
    let functions = Functions::agent();
    let options = Options::default();
    let template = Template::parse("t.ctmpl", source, &options, &functions).map_err(|e| e.to_string())?;
    template.render(&functions, &Value::Nil, host, limits).map_err(|e| e.to_string())
}

fn render(source: &str) -> String {
    render_in(source, &mut World::default()).unwrap()
}

fn render_in(source: &str, host: &mut World) -> Result<String, String> {
    match try_with(source, host, &Limits::default())? {
        Outcome::Rendered(out) => Ok(String::from_utf8(out).unwrap()),
        Outcome::Pending(pending) => Err(format!("pending {pending:?}")),
    }
}

fn failure(source: &str) -> String {
    render_in(source, &mut World::default()).unwrap_err()
}

fn with_secret(json: &str) -> World {
    World { known: BTreeMap::from([("kv/data/app".to_owned(), Value::from_json(json).unwrap())]), ..World::default() }
}

#[test]
fn an_error_never_shows_a_value() {
    let secret = r#"{"Data": {"data": {"s": "canary", "list": ["canary"], "map": {"canary": "canary"}, "n": 5, "b64": "Y2FuYXJ5", "nil": null}}}"#;
    let failing = [
        "{{ $s.s.x }}",
        "{{ $s.list.x }}",
        "{{ $s.nil.x }}",
        "{{ index $s.map 1 }}",
        "{{ index $s.list $s.s }}",
        "{{ index $s.s 99 }}",
        "{{ index $s.n $s.s }}",
        "{{ slice $s.s 9 }}",
        "{{ parseInt $s.s }}",
        "{{ parseBool $s.s }}",
        "{{ parseFloat $s.s }}",
        "{{ parseJSON $s.s }}",
        "{{ parseJSON (printf \"{%q: %q\" $s.s $s.s) }}",
        "{{ base64Decode (printf \"%s!\" $s.s) }}",
        "{{ base64URLDecode (printf \"%s!\" $s.s) }}",
        "{{ toLower $s.list }}",
        "{{ add $s.s 1 }}",
        "{{ divide $s.s $s.s }}",
        "{{ eq $s.s 1 }}",
        "{{ eq $s.map $s.list }}",
        "{{ lt $s.map $s.s }}",
        "{{ len $s.n }}",
        "{{ call $s.s }}",
        "{{ range $s.s }}{{ end }}",
        "{{ mustEnv $s.s }}",
        "{{ file $s.s }}",
        "{{ secret $s.s }}",
        "{{ secret (printf \"%s/x\" $s.s) }}",
        "{{ secret \"deny\" $s.s }}",
        "{{ pkiCert \"deny\" $s.s }}",
        "{{ secrets $s.s }}",
        "{{ timestamp $s.list }}",
        "{{ regexMatch (printf \"(%s\" $s.s) \"x\" }}",
        "{{ regexReplaceAll (printf \"(%s\" $s.s) \"x\" \"y\" }}",
        "{{ indent -1 $s.s }}",
        "{{ indent $s.s $s.s }}",
        "{{ join $s.s $s.s }}",
        "{{ split $s.list $s.s }}",
        "{{ explode $s.s }}",
        "{{ in $s.n $s.s }}",
        "{{ loop $s.s }}",
        "{{ template \"none\" $s.s }}",
        "{{ $s.s | $s.s }}",
        "{{ $s.s.y $s.s }}",
        "{{ printf $s.n $s.s }}",
        "{{ toJSON $s.s | parseInt }}",
        "{{ base64Decode $s.b64 | parseInt }}",
    ];
    for action in failing {
        let source = format!("{{{{ $s := (secret \"kv/data/app\").Data.data }}}}\n  {action}");
        let mut host = with_secret(secret);
        host.failing = vec!["canary".to_owned(), "canary/x".to_owned(), "deny".to_owned()];
        let error = match try_with(&source, &mut host, &Limits::default()) {
            Err(error) => error,
            Ok(_) => panic!("{action} did not fail"),
        };
        assert!(!error.contains("canary") && !error.contains("Y2FuYXJ5"), "{action}: {error}");
        assert!(error.starts_with("template t.ctmpl:2:"), "{action}: {error}");
    }
}

/// CVE-2022-38149, CVE-2026-87993, GHSA-444v-8vxr-p36h: every function, with every mixture of what it does not expect.
#[test]
fn no_function_that_fails_shows_what_it_was_given() {
    let secret = r#"{"Data": {"s": "canary", "list": ["canary", "canary"], "map": {"canary": "canary"}, "n": 7, "b": "Y2FuYXJ5", "z": null}}"#;
    let shapes = ["$s.s", "$s.list", "$s.map", "$s.n", "$s.b", "$s.z"];
    let functions = Functions::agent();
    let (mut failed, mut tried) = (0, 0);
    for name in functions.names() {
        // One argument of each shape, two of each pair, three where the outer two are alike.
        let mut mixtures: Vec<String> = vec![String::new()];
        for one in shapes {
            mixtures.push(one.to_owned());
            for two in shapes {
                mixtures.extend([format!("{one} {two}"), format!("{one} {two} {one}"), format!("\"x\" {one} {two}")]);
            }
        }
        for mixture in mixtures {
            let source = format!("{{{{ $s := (secret \"known\").Data }}}}{{{{ {name} {mixture} }}}}");
            let known = BTreeMap::from([("known".to_owned(), Value::from_json(secret).unwrap())]);
            let failing = vec!["canary".to_owned(), "x".to_owned(), "Y2FuYXJ5".to_owned(), "7".to_owned()];
            let mut host = World { known, failing, ..World::default() };
            tried += 1;
            if let Err(error) = try_with(&source, &mut host, &Limits { steps: 10_000, depth: 50, bytes: 10_000 }) {
                failed += 1;
                let shown = ["canary", "Y2FuYXJ5", "99,97,110"].iter().any(|value| error.contains(value));
                assert!(!shown, "{name} {mixture}: {error}");
            }
        }
    }
    assert!(failed > 5_000 && tried > failed, "{failed} of {tried} failed");
}

#[test]
fn a_denied_function_is_not_there() {
    let functions = Functions::agent().without(&["file".to_owned(), "env".to_owned()]);
    let parsed = |source| Template::parse("t.ctmpl", source, &Options::default(), &functions).map(drop);
    assert!(parsed("{{ file \"/x\" }}").unwrap_err().to_string().contains("function \"file\" not defined"));
    assert!(parsed("{{ with 1 }}{{ \"HOME\" | env }}{{ end }}").is_err());
    assert!(parsed("{{ mustEnv \"HOME\" | toJSON }}").is_ok());
}

#[test]
fn a_parse_error_shows_no_constant() {
    for source in [
        "{{ print \"canary\"\"x\" }}",
        "{{ \"canary\".x }}",
        "{{ \"canary }}",
        "{{ `canary }}",
        "{{ 1 | \"canary\" }}",
        "{{ \"canary\\q\" }}",
        "{{ define \"a\" \"canary\" }}",
    ] {
        let error = failure(source);
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn an_error_names_its_place_and_the_key_or_function() {
    assert_eq!(failure("a\n b {{ nosuch 1 }}"), "template t.ctmpl:2:7: function \"nosuch\" not defined");
    assert_eq!(failure("{{ \"x\" | parseInt }}"), "template t.ctmpl:1:10: parseInt: not a whole number");
    let error = render_in(
        "{{ with secret \"kv/data/app\" }}\n{{ .Data.data.x.y }}{{ end }}",
        &mut with_secret(r#"{"Data":{"data":{"x":"v"}}}"#),
    );
    assert_eq!(error.unwrap_err(), "template t.ctmpl:2:4: can't evaluate field y in type string");
    let mut host = World { failing: vec!["kv/data/app".to_owned()], ..World::default() };
    let error = render_in("{{ secret \"kv/data/app\" }}", &mut host).unwrap_err();
    assert_eq!(error, "template t.ctmpl:1:4: secret: kv/data/app: permission denied");
}

#[test]
fn endless_work_is_stopped() {
    let limits = Limits { steps: 10_000, depth: 50, bytes: 10_000 };
    for (source, reason) in [
        ("{{ range 1000000000 }}{{ end }}", "steps"),
        ("{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}", "depth"),
        ("{{ range 1000 }}aaaaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}", "output"),
        ("{{ $x := \"ab\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}", "longer"),
        ("{{ printf \"%999999d%999999d\" 1 1 }}", "longer"),
        ("{{ indent 100000000 \"a\" }}", "longer"),
        ("{{ replaceAll \"\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" (printf \"%1000d\" 1) }}", "longer"),
        ("{{ regexReplaceAll \".\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" (printf \"%1000d\" 1) }}", "longer"),
        ("{{ loop 100000000 }}", "turns"),
        ("{{ loop -9223372036854775807 9223372036854775807 }}", "turns"),
        ("{{ join (printf \"%1000d\" 1) (loop 1000) }}", "longer"),
    ] {
        let error = match try_with(source, &mut World::default(), &limits) {
            Err(error) => error,
            Ok(_) => panic!("{source} was not stopped"),
        };
        assert!(error.contains(reason), "{source}: {error}");
    }
}

#[test]
fn deep_sources_are_refused_and_do_not_overflow_the_stack() {
    for (open, close) in [("{{ if true }}", "{{ end }}"), ("{{ range 1 }}", "{{ end }}"), ("{{ with 1 }}", "{{ end }}")]
    {
        assert!(failure(&format!("{}x{}", open.repeat(100_000), close.repeat(100_000))).contains("deeper"));
        assert_eq!(render(&format!("{}x{}", open.repeat(150), close.repeat(150))), "x");
    }
    let parens = |n: usize| format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n));
    assert!(failure(&parens(100_000)).contains("deeper"));
    assert_eq!(render(&parens(150)), "1");
    assert!(failure(&format!("{{{{ if 0 }}}}{}", "{{ else if 0 }}".repeat(100_000))).contains("deeper"));
    assert_eq!(render(&format!("{{{{ if 0 }}}}{}{{{{ end }}}}", "{{ else if 0 }}".repeat(90))), "");
}

#[test]
fn recursion_ends_before_the_stack_does() {
    for body in [
        "{{ template \"r\" . }}",
        "{{ range 1 }}{{ with 1 }}{{ template \"r\" (print (print (print .))) }}{{ end }}{{ end }}",
    ] {
        let error = failure(&format!("{{{{ define \"r\" }}}}{body}{{{{ end }}}}{{{{ template \"r\" 1 }}}}"));
        assert!(error.contains("depth"), "{error}");
    }
}

#[test]
fn enormous_widths_and_precisions_are_bearable() {
    assert_eq!(render("{{ printf \"%.100000f\" 1.5 | len }}"), "100002");
    assert_eq!(render("{{ printf \"%.100000e\" 1.5 | len }}"), "100006");
    assert_eq!(render("{{ printf \"%.100000g\" 1.5 }}"), "1.5");
    assert_eq!(render("{{ printf \"%.100000d\" 5 | len }}{{ printf \"%100000U\" 5 | len }}"), "100000100000");
    assert_eq!(render("{{ printf \"%.100000U\" 5 | len }} {{ printf \"%.100000x\" \"ab\" }}"), "100002 6162");
}

proptest::proptest! {
    #[test]
    fn no_source_makes_it_panic(pieces in proptest::collection::vec(0..PIECES.len(), 0..40), noise in "\\PC{0,8}") {
        let source: String = pieces.into_iter().map(|i| if PIECES[i] == "NOISE" { noise.as_str() } else { PIECES[i] }).collect();
        let limits = Limits { steps: 2000, depth: 40, bytes: 100_000 };
        let mut host = with_secret(r#"{"Data":{"data":{"a":[1,2.5,"x",null,{"b":"c"}]}}}"#);
        let _ = try_with(&source, &mut host, &limits);
    }

    /// CVE-2026-87993, CVE-2022-38149: what a template fails with goes into logs.
    #[test]
    fn no_failure_of_any_source_shows_a_value(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let source: String = pieces.into_iter().map(|i| PIECES[i]).collect();
        let limits = Limits { steps: 2000, depth: 40, bytes: 100_000 };
        let mut host = with_secret(r#"{"Data":{"data":{"a":["canary","1canary",{"b":"canary"}],"canary":"x"}}}"#);
        if let Err(error) = try_with(&source, &mut host, &limits) {
            proptest::prop_assert!(!error.contains("canary"), "{source}: {error}");
        }
    }
}

/// What the random sources are made of.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{ ",
    " }}",
    " ",
    "\n",
    "x",
    "NOISE",
    ".",
    ".a",
    ".Data",
    "$",
    "$x",
    " := ",
    " = ",
    "(",
    ")",
    "|",
    ",",
    "if ",
    "else ",
    "{{ else }}",
    "{{ end }}",
    "{{ if 1 }}",
    "{{ range $i, $v := ",
    "{{ with ",
    "{{ break }}",
    "{{ define \"d\" }}",
    "{{ template \"d\" . }}",
    "{{ block \"b\" 1 }}",
    "secret \"kv/data/app\"",
    "(secret \"kv/data/app\").Data.data.a",
    "index ",
    "slice ",
    "printf \"%[2]*.3[1]f%-+# 08.*d%q%x\" ",
    "printf ",
    "print ",
    "len ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "not ",
    "call ",
    "html ",
    "1",
    "-1",
    "0x1F",
    "1e9",
    "99999999",
    "\"é☃\"",
    "`raw`",
    "'c'",
    "nil",
    "true",
    "\"a,b\"",
    "split \",\" ",
    "join ",
    "toJSON ",
    "toYAML ",
    "parseJSON ",
    "replaceAll ",
    "indent ",
    "timestamp ",
    "\"2006 Jan .000 é\"",
    "loop ",
    "add ",
    "explode ",
    "regexReplaceAll \"(.)\" ",
    "trim ",
    "toTitle ",
    "base64Decode ",
    "/*",
    "*/",
    "{{/* c */}}",
];

#[test]
fn a_pass_finds_all_dependencies_that_are_sure() {
    let pending = |source: &str, host: &mut World| match try_with(source, host, &Limits::default()).unwrap() {
        Outcome::Pending(pending) => pending.into_iter().map(|d| d.path).collect::<Vec<_>>(),
        Outcome::Rendered(_) => Vec::new(),
    };
    let mut host = World::default();
    assert_eq!(
        pending(
            "{{ (secret \"b\").Data.x }}{{ with secret \"a\" }}{{ .Data.data.y.z }}{{ end }}{{ range secrets \"c\" }}{{ . }}{{ end }}",
            &mut host
        ),
        ["a", "b", "c"]
    );
    // What is computed from an awaited value is not asked for, least of all a write.
    assert_eq!(
        pending("{{ $n := (secret \"a\").Data.cn }}{{ secret \"pki/issue/r\" (printf \"cn=%s\" $n) }}", &mut host),
        ["a"]
    );
    assert_eq!(
        pending(
            "{{ $n := \"\" }}{{ if secret \"a\" }}{{ $n = \"x\" }}{{ end }}{{ secret \"pki/issue/r\" (print \"cn=\" $n) }}",
            &mut host
        ),
        ["a"]
    );
    assert_eq!(pending("{{ or (secret \"a\") (secret \"b\") }}", &mut host), ["a"]);
    host.known.insert("a".to_owned(), Value::map([("Data", Value::map([("cn", Value::text("x"))]))]));
    assert_eq!(
        pending("{{ $n := (secret \"a\").Data.cn }}{{ secret \"pki/issue/r\" (printf \"cn=%s\" $n) }}", &mut host),
        ["pki/issue/r"]
    );
}

#[test]
fn equal_dependencies_are_one() {
    let mut host = World::default();
    let source = "{{ secret \"/a/\" \"y= 2\" \"x=1\" }}{{ secret (print \"a\") \"x=1\" \"y=2\" }}{{ secret \"a\" }}{{ secrets \"a\" }}{{ pkiCert \"a\" }}";
    let Ok(Outcome::Pending(pending)) = try_with(source, &mut host, &Limits::default()) else { panic!("rendered") };
    let kinds: Vec<Kind> = pending.iter().map(|d| d.kind).collect();
    assert_eq!(kinds, [Kind::Read, Kind::Write, Kind::List, Kind::Certificate]);
    assert_eq!(pending[1].parameters, [("x".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())]);
    assert!(!format!("{:?}", pending[1]).contains('2'));
}

#[test]
fn files_are_read_below_the_roots_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(folder.path().join("outside"), "canary").unwrap();
    std::fs::write(root.join("sub/inside"), "content").unwrap();
    std::os::unix::fs::symlink(folder.path().join("outside"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(folder.path(), root.join("up")).unwrap();
    let mut host = World { roots: vec![root.clone()], ..World::default() };
    let mut read = |path: &str| render_in(&format!("{{{{ file \"{path}\" }}}}"), &mut host);
    let at = |path: &str| format!("{}/{path}", root.display());
    assert_eq!(read(&at("sub/inside")).unwrap(), "content");
    for path in [
        at("link"),
        at("up/outside"),
        at("../outside"),
        at("sub/../../outside"),
        at("sub"),
        at("absent"),
        "/etc/passwd".to_owned(),
        "outside".to_owned(),
    ] {
        assert!(read(&path).is_err(), "{path}");
    }
}

#[test]
fn numbers_of_json_print_as_they_were_spelled() {
    let mut host = with_secret(r#"{"Data":{"port":8080,"big":18446744073709551615,"ver":1.10,"million":1000000}}"#);
    let source = "{{ with secret \"kv/data/app\" }}{{ .Data.port }} {{ .Data.big }} {{ .Data.ver }} {{ .Data.million }} {{ add 1 .Data.port }} {{ toJSON .Data }} {{ gt .Data.ver 1.0 }}{{ end }}";
    assert_eq!(
        render_in(source, &mut host).unwrap(),
        r#"8080 18446744073709551615 1.10 1000000 8081 {"big":18446744073709551615,"million":1000000,"port":8080,"ver":1.10} true"#
    );
}

#[test]
fn bytes_that_are_no_text_come_through() {
    let mut host = with_secret(r#"{"k":"/wD+"}"#);
    let Ok(Outcome::Rendered(out)) =
        try_with("{{ (secret \"kv/data/app\").k | base64Decode }}", &mut host, &Limits::default())
    else {
        panic!()
    };
    assert_eq!(out, [0xff, 0x00, 0xfe]);
}

#[test]
fn functions_do_what_their_names_say() {
    for (source, expected) in [
        ("{{ toLower \"ÄB\" }}{{ toUpper \"äb\" }}{{ toTitle \"a bc-d_e\" }}", "äbÄBA Bc-D_e"),
        (
            "[{{ trimSpace \" a \" }}{{ trim \"!\" \"!b!\" }}{{ trimPrefix \"x\" \"xc\" }}{{ trimSuffix \"x\" \"dx\" }}]",
            "[abcd]",
        ),
        ("{{ \"a-b-c\" | replaceAll \"-\" \"+\" }}", "a+b+c"),
        (
            "{{ \"foo123\" | regexMatch \"^[a-z]+\\\\d+$\" }}{{ regexReplaceAll \"(\\\\d)\" \"<$1>\" \"a1b2\" }}",
            "truea<1>b<2>",
        ),
        (
            "{{ range \"a, b\" | split \", \" }}[{{ . }}]{{ end }}{{ split \",\" \"\" | len }}{{ split \",\" \"x,y\" | join \"|\" }}",
            "[a][b]0x|y",
        ),
        ("{{ indent 2 \"a\\n\\nb\" }}", "  a\n\n  b"),
        (
            "{{ base64Encode \"a?>\" }} {{ base64URLEncode \"a?>\" }} {{ base64Decode \"YT8+\" }} {{ base64URLDecode \"YT8-\" }}",
            "YT8+ YT8- a?> a?>",
        ),
        ("{{ sha256Hex \"\" }}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            "{{ parseInt \"-5\" | add 2 }} {{ parseBool \"true\" }} {{ (parseJSON `{\"a\":[1,2.50]}`).a }}",
            "-3 true [1 2.5]",
        ),
        (
            "{{ 5 | subtract 2 }} {{ 6 | divide 4 }} {{ 7 | modulo 4 }} {{ 3 | multiply 2 }} {{ minimum 1 2 }} {{ maximum 1 2 }} {{ divide 4 6.0 }}",
            "3 1 3 6 1 2 1.5",
        ),
        ("{{ contains \"b\" (split \",\" \"a,b\") }}{{ in \"haystack\" \"st\" }}{{ in (loop 3) 7 }}", "truetruefalse"),
        (
            "{{ $a := split \",\" \"a,b\" }}{{ $b := split \",\" \"b,c\" }}{{ containsAny $a $b }} {{ containsAll $a $b }} {{ containsNone $a $b }} {{ containsNotAll $a $b }}",
            "true false false true",
        ),
        ("{{ explodeMap (parseJSON `{\"a/b\":1,\"a/c/d\":2}`) | toJSON }}", r#"{"a":{"b":1,"c":{"d":2}}}"#),
        ("{{ range loop 3 }}{{ . }}{{ end }}{{ range loop 5 7 }}{{ . }}{{ end }}", "01256"),
        (
            "{{ parseJSON `{\"b\":[],\"a\":{\"x\":\"<&>\"},\"c\":[1,{}]}` | toJSONPretty }}",
            "{\n  \"a\": {\n    \"x\": \"\\u003c\\u0026\\u003e\"\n  },\n  \"b\": [],\n  \"c\": [\n    1,\n    {}\n  ]\n}",
        ),
        (
            "{{ parseJSON `{\"l\":[1,{\"a\":\"x\",\"b\":\"no\"},[2]],\"m\":{\"k\":null,\"e\":{}},\"s\":\"a: b\",\"t\":\"12\"}` | toYAML }}",
            "l:\n- 1\n- a: x\n  b: \"no\"\n- - 2\nm:\n  e: {}\n  k: null\ns: 'a: b'\nt: \"12\"",
        ),
        (
            "{{ timestamp }} {{ timestamp \"unix\" }} {{ timestamp \"Mon Jan _2 15:04:05 MST 2006\" }} {{ timestamp \"2006-1-2T3PM.000\" }}",
            "2023-11-14T22:13:20Z 1700000000 Tue Nov 14 22:13:20 UTC 2023 2023-11-14T10PM.000",
        ),
        ("{{ env \"NONE\" }}{{ envOrDefault \"NONE\" \"d\" }}", "d"),
    ] {
        assert_eq!(render(source), expected, "{source}");
    }
    let mut host = World { env: BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]), ..World::default() };
    assert_eq!(render_in("{{ env \"HOME\" }}{{ mustEnv \"HOME\" }}", &mut host).unwrap(), "/h/h");
    assert!(failure("{{ mustEnv \"NONE\" }}").contains("\"NONE\" is not set"));
}
