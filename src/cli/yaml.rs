//! JSON values as YAML in block form. A text that YAML might read as something else is quoted.

use serde_json::Value;

/// The document, with a final newline.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&" ".repeat(indent));
                out.push_str(&text(key));
                out.push(':');
                member(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                member(item, indent, out);
            }
        }
        simple => {
            out.push_str(&" ".repeat(indent));
            out.push_str(&scalar(simple));
            out.push('\n');
        }
    }
}

fn member(value: &Value, indent: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, indent + 2, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

/// Plain if no reader of YAML can mistake it, else quoted as in JSON, which is YAML too.
fn text(value: &str) -> String {
    let plain = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"]
            .contains(&value.to_ascii_lowercase().as_str());
    if plain { value.to_owned() } else { Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_be_mistaken_is_quoted() {
        for odd in ["", "true", "No", "null", "1.5", "- a", "a: b", "a\nb", "#x", "~", "*x", "é", "2024-01-01", "0x1f"]
        {
            assert_eq!(yaml(&json!(odd)), format!("{}\n", json!(odd)));
        }
    }

    #[test]
    fn a_document_nests() {
        let value = json!({"data": {"keys": ["a", "b/"], "empty": {}, "none": null, "deep": [{"k": 1}]}, "ok": true});
        assert_eq!(
            yaml(&value),
            "data:\n  deep:\n    -\n      k: 1\n  empty: {}\n  keys:\n    - a\n    - b/\n  none: null\nok: true\n"
        );
    }
}
