//! Data on the command line: `k=v`, `k=@file`, `k=-`, `@file`, `-`; a repeated key makes a list.

use std::{
    fs::File,
    io::{self, Read},
};

use serde_json::{Map, Value};

use super::failure::{Failure, Outcome};

/// The most that is read from a file or from standard input: the server takes no larger request.
const INPUT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Reads arguments as an object of texts (or lists of texts), whole JSON objects merged in.
pub fn object(args: &[String], stdin: &mut dyn Read) -> Outcome<Map<String, Value>> {
    let mut map = Map::new();
    let mut stdin = Once(Some(stdin));
    for arg in args {
        if arg == "-" {
            merge(&mut map, "standard input", &stdin.read()?)?;
        } else if let Some(path) = arg.strip_prefix('@') {
            merge(&mut map, path, &file(path)?)?;
        } else {
            let (key, value) = split(arg)?;
            let value = match value {
                "-" => stdin.read()?,
                value => match value.strip_prefix('@') {
                    Some(path) => file(path)?,
                    None => value.strip_prefix('\\').filter(|rest| rest.starts_with('@')).unwrap_or(value).to_owned(),
                },
            };
            add(&mut map, key, value.into());
        }
    }
    Ok(map)
}

/// Takes white space off the ends of a text: a token's file ends in a newline, which is no part of the token.
pub fn trim(map: &mut Map<String, Value>, key: &str) {
    if let Some(Value::String(text)) = map.get_mut(key) {
        *text = text.trim().to_owned();
    }
}

/// Reads `k=v` arguments as they stand, for flags such as `-options`.
pub fn plain(args: &[String]) -> Outcome<Map<String, Value>> {
    let mut map = Map::new();
    for arg in args {
        let (key, value) = split(arg)?;
        map.insert(key.to_owned(), value.into());
    }
    Ok(map)
}

/// A whole file as text; `-` is standard input.
pub fn text(path: &str, stdin: &mut dyn Read) -> Outcome<String> {
    if path == "-" { Once(Some(stdin)).read() } else { file(path) }
}

fn split(arg: &str) -> Outcome<(&str, &str)> {
    match arg.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        // The text itself may be a secret that was meant as a value.
        _ => Err(Failure::local("Failed to parse K=V data: format must be key=value")),
    }
}

fn add(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.get_mut(key) {
        None => {
            map.insert(key.to_owned(), value);
        }
        Some(Value::Array(all)) => all.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

fn merge(map: &mut Map<String, Value>, from: &str, text: &str) -> Outcome {
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|err| {
        Failure::local(format!(
            "Failed to parse K=V data: {from} is not a JSON object (line {}, column {})",
            err.line(),
            err.column()
        ))
    })?;
    map.extend(object);
    Ok(())
}

fn file(path: &str) -> Outcome<String> {
    let read = || -> io::Result<String> { bounded(&mut File::open(path)?) };
    read().map_err(|err| Failure::local(format!("Failed to read \"{path}\": {err}")))
}

fn bounded(from: &mut dyn Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 32 MiB"));
    }
    Ok(text)
}

/// Standard input, which can be read only once.
struct Once<'a>(Option<&'a mut dyn Read>);

impl Once<'_> {
    fn read(&mut self) -> Outcome<String> {
        let stdin = self.0.take().ok_or_else(|| Failure::local("Standard input can be used only once"))?;
        bounded(stdin).map_err(|err| Failure::local(format!("Failed to read standard input: {err}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(args: &[&str], stdin: &str) -> Outcome<Value> {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        object(&args, &mut stdin.as_bytes()).map(Value::Object)
    }

    #[test]
    fn malformed_data_is_refused_without_being_shown() {
        for args in [&["swordfish"][..], &["=swordfish"], &["-"], &["k=-", "j=-"], &["k=@/absent/swordfish-not"]] {
            let failure = read(args, "swordfish").unwrap_err();
            assert_eq!(failure.code(), 1);
            if !args[0].contains("absent") {
                assert!(!format!("{failure:?}").contains("swordfish"), "{failure:?}");
            }
        }
    }

    #[test]
    fn input_beyond_the_bound_is_refused() {
        let long = "x".repeat(INPUT_BYTES_MAX as usize + 1);
        assert!(read(&["k=-"], &long).is_err());
        assert!(read(&["k=-"], &long[1..]).is_ok());
    }

    #[test]
    fn every_form_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        std::fs::write(&path, "{\"n\": 1}\n").unwrap();
        let path = path.display();
        let args = [
            "a=1",
            "b==x",
            "c=",
            "d=x",
            "d=y",
            "d=z",
            &format!("e=@{path}"),
            "f=\\@x",
            &format!("@{path}"),
            "g=-",
            "h=\\x",
        ];
        assert_eq!(
            read(&args, "in\n").unwrap(),
            json!({"a": "1", "b": "=x", "c": "", "d": ["x", "y", "z"], "e": "{\"n\": 1}\n", "f": "@x", "n": 1,
                "g": "in\n", "h": "\\x"})
        );
        assert_eq!(read(&["-"], "{\"k\": [1, null]}").unwrap(), json!({"k": [1, null]}));
    }
}
