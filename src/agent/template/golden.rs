//! Replays what Go's own text/template made of many templates (`tests/golden/template`).

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answer, Dependency, FnErr, Function, Functions, Host, Limits, Options, Outcome, Template, Value};

#[derive(Deserialize)]
struct Golden {
    data: Box<RawValue>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    template: String,
    /// Absent for the common data; null is data too.
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    left: String,
    #[serde(default)]
    right: String,
    #[serde(default)]
    strict: bool,
    output: Option<String>,
    stage: Option<String>,
    line: Option<usize>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

struct Alone;

impl Host for Alone {
    fn lookup(&mut self, _: &Dependency) -> Answer {
        Answer::Failed("nothing here".to_owned())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn now(&self) -> i64 {
        0
    }
    fn file_roots(&self) -> &[PathBuf] {
        &[]
    }
}

/// What the generator registers besides Go's own.
fn functions() -> Functions {
    let mut functions = Functions::go();
    functions.add("fail", 0, 0, |_, _| Err(FnErr::from("failed")));
    functions.add("adder", 0, 0, |_, _| {
        let body = |_: &mut super::Ctx, args: &[Value]| {
            Ok(Value::Int(super::functions::int(&args[0])? + super::functions::int(&args[1])?))
        };
        Ok(Value::Function(Function { least: 2, most: Some(2), remembers: false, body: std::sync::Arc::new(body) }))
    });
    functions.add("seq", 0, None, |_, args| Ok(Value::list(args.iter().cloned())));
    functions.add("upper", 1, 1, |_, args| Ok(Value::text(super::functions::utf8(&args[0])?.to_uppercase())));
    functions
}

/// The generator's data has floats where ours keeps the spelling.
fn as_floats(value: Value) -> Value {
    match value {
        Value::Number(text) => Value::Float(text.number()),
        Value::List(items) => Value::list(items.iter().cloned().map(as_floats)),
        Value::Map(map) => Value::map(map.iter().map(|(key, value)| (key.bytes().to_vec(), as_floats(value.clone())))),
        other => other,
    }
}

fn run(vector: &Vector, data: &Value, functions: &Functions) -> Result<String, (&'static str, super::Error)> {
    let options =
        Options { left: vector.left.clone(), right: vector.right.clone(), error_on_missing_key: vector.strict };
    let template = Template::parse("t", &vector.template, &options, functions).map_err(|e| ("parse", e))?;
    match template.render(functions, data, &mut Alone, &Limits::default()).map_err(|e| ("render", e))? {
        // The generator's JSON has no room for bytes that are no text.
        Outcome::Rendered(out) => Ok(String::from_utf8_lossy(&out).into_owned()),
        Outcome::Pending(_) => panic!("nothing is pending"),
    }
}

#[test]
fn every_template_does_what_go_does() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/template/vectors.json")).unwrap();
    assert!(golden.vectors.len() >= 400);
    compare(&golden);
}

fn compare(golden: &Golden) {
    let functions = functions();
    let read = |json: &RawValue| as_floats(Value::from_json(json.get()).unwrap());
    let shared = read(&golden.data);
    let mut wrong = Vec::new();
    for vector in &golden.vectors {
        let data = vector.data.as_deref().map_or_else(|| shared.clone(), read);
        let (got, expected) = match (run(vector, &data, &functions), &vector.output) {
            (Ok(got), Some(expected)) => (format!("{got:?}"), format!("{expected:?}")),
            (Ok(got), None) => (format!("{got:?}"), format!("failure {:?} {:?}", vector.stage, vector.line)),
            (Err((stage, error)), Some(expected)) => (format!("{stage} {error}"), format!("{expected:?}")),
            (Err((stage, error)), None) => {
                if Some(stage) == vector.stage.as_deref() && Some(error.line) == vector.line {
                    continue;
                }
                (format!("{stage} {error}"), format!("failure {:?} {:?}", vector.stage, vector.line))
            }
        };
        if got != expected {
            wrong.push(format!("{:?}\n     got {got}\n    want {expected}", vector.template));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), golden.vectors.len(), wrong.join("\n"));
}

#[derive(Deserialize)]
struct Rendered {
    template: String,
    output: Option<String>,
    line: Option<usize>,
}

struct Region;

impl Host for Region {
    fn lookup(&mut self, _: &Dependency) -> Answer {
        Answer::Failed("nothing here".to_owned())
    }
    fn env(&self, name: &str) -> Option<String> {
        [("REGION", "eu"), ("EMPTY", "")].iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }
    fn now(&self) -> i64 {
        0
    }
    fn file_roots(&self) -> &[PathBuf] {
        &[]
    }
}

#[test]
fn every_function_does_what_consul_template_does() {
    let vectors: Vec<Rendered> =
        serde_json::from_str(include_str!("../../../tests/golden/template/functions.json")).unwrap();
    assert!(vectors.len() >= 120);
    let functions = Functions::agent();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let rendered = Template::parse("vector", &vector.template, &Options::default(), &functions)
            .and_then(|template| template.render(&functions, &Value::Missing, &mut Region, &Limits::default()));
        let got = match rendered {
            Ok(Outcome::Rendered(out)) => Ok(String::from_utf8_lossy(&out).into_owned()),
            Ok(Outcome::Pending(_)) => panic!("nothing is pending"),
            Err(error) => Err((error.line, error.to_string())),
        };
        let right = match (&got, &vector.output) {
            (Ok(got), Some(expected)) => got == expected,
            (Err((line, _)), None) => Some(*line) == vector.line,
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{:?}\n     got {got:?}\n    want {:?} {:?}",
                vector.template, vector.output, vector.line
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

#[test]
fn random_templates_do_what_go_does() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/template/random.json")).unwrap();
    assert!(golden.vectors.len() >= 300);
    compare(&golden);
}

/// Templates of a seed against the Go that is here: `WARIFU_SEED` names another one. Where there is no Go, the vectors above have to do.
#[test]
fn random_templates_do_what_the_go_of_this_machine_does() {
    let go = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .chain([PathBuf::from("/usr/local/go/bin")])
        .map(|folder| folder.join("go"))
        .find(|path| path.is_file());
    let Some(go) = go else {
        println!("skipped: no Go on this machine");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("random.json");
    let seed = std::env::var("WARIFU_SEED").unwrap_or_else(|_| "892917482900".into());
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/template");
    let made = std::process::Command::new(go)
        .args(["run", "generate.go", "cases.go", "random.go", "-random", "500", "-seed", &seed, "-out"])
        .arg(&out)
        .current_dir(here)
        // Only Go's own library is needed: nothing is fetched.
        .envs([("GOFLAGS", ""), ("GO111MODULE", "off"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    println!("seed {seed}");
    let golden: Golden = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(golden.vectors.len(), 500);
    compare(&golden);
}
