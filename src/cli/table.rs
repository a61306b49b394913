//! Plain columns with a line of dashes below the header, as Vault's clients print them.

use serde_json::{Number, Value};

/// Between two columns.
const GAP: &str = "    ";
/// Stands in an empty cell, so that columns can be told apart by `awk`.
const EMPTY: &str = "n/a";

/// Columns with a header, which is the first row, underlined. No final newline.
pub fn table(rows: &[Vec<String>]) -> String {
    let Some((header, body)) = rows.split_first() else {
        return String::new();
    };
    let dashes = header.iter().map(|cell| "-".repeat(width(cell))).collect();
    let mut all = vec![header.clone(), dashes];
    all.extend_from_slice(body);
    columns(&all)
}

/// Columns without a header.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; count];
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            widths[at] = widths[at].max(width(filled(cell)));
        }
    }
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let cell = filled(cell);
                line.push_str(cell);
                if at + 1 < row.len() {
                    line.push_str(&" ".repeat(widths[at] - width(cell)));
                    line.push_str(GAP);
                }
            }
            line
        })
        .collect();
    lines.join("\n")
}

/// A title between equal signs, as wide as what it stands over if that is wider.
pub fn title(text: &str, over: usize) -> String {
    let signs = match over.saturating_sub(text.len() + 2) {
        0 => 4,
        odd if odd % 2 == 1 => odd + 1,
        even => even,
    };
    let side = "=".repeat(signs / 2);
    format!("{side} {text} {side}")
}

/// The width of a table of `Key` and `Value` with these keys, as far as a title cares.
pub fn map_width<'a>(keys: impl Iterator<Item = &'a String>) -> usize {
    keys.map(String::len).max().unwrap_or(0) + GAP.len() + "Value".len()
}

/// Rows of a map, sorted by key, spans of time in words.
pub fn map_rows(map: &serde_json::Map<String, Value>) -> Vec<Vec<String>> {
    map.iter()
        .map(|(key, value)| {
            let shown = match value {
                Value::Number(number) if is_duration(key) => number_of_seconds(number),
                other => go(other),
            };
            vec![key.clone(), shown]
        })
        .collect()
}

/// The rows below the header `Key`, `Value`.
pub fn key_value(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let mut all = vec![vec!["Key".to_owned(), "Value".to_owned()]];
    all.extend(rows);
    all
}

/// A value as Go prints it with `%v`, which scripts have come to expect.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", go(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// A span as Go prints it, without the parts that are zero at its end: `768h`, `1h30m`, `20s`.
pub fn duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, 0) => format!("{h}h{m}m"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

fn number_of_seconds(number: &Number) -> String {
    number.as_u64().map_or_else(|| number.to_string(), duration)
}

/// Whether a field's name says that its number counts seconds.
fn is_duration(name: &str) -> bool {
    matches!(name, "period" | "ttl" | "duration" | "lease_max" | "ttl_max")
        || ["_period", "_ttl", "_duration"].iter().any(|end| name.ends_with(end))
}

fn filled(cell: &str) -> &str {
    if cell.is_empty() { EMPTY } else { cell }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Vec<Vec<String>> {
        map_rows(value.as_object().unwrap())
    }

    #[test]
    fn nothing_and_ragged_rows_do_no_harm() {
        assert_eq!(table(&[]), "");
        assert_eq!(columns(&[vec![], vec!["a".into()], vec!["b".into(), String::new()]]), "\na\nb    n/a");
    }

    #[test]
    fn a_table_looks_as_scripts_expect() {
        let rows = map(json!({"ttl": 3600, "creation_ttl": 0, "policies": ["root", "a"], "meta": null, "path": "",
            "data": {"b": 1.5, "a": true}, "num_uses": 0}));
        assert_eq!(
            table(&key_value(rows)),
            "Key             Value\n\
             ---             -----\n\
             creation_ttl    0s\n\
             data            map[a:true b:1.5]\n\
             meta            <nil>\n\
             num_uses        0\n\
             path            n/a\n\
             policies        [root a]\n\
             ttl             1h"
        );
    }

    #[test]
    fn titles_stand_over_their_tables() {
        assert_eq!(title("Secret Path", "secret/data/creds".len()), "== Secret Path ==");
        assert_eq!(title("Data", map_width(["passcode".to_owned()].iter())), "====== Data ======");
        assert_eq!(title("Metadata", map_width(["custom_metadata".to_owned()].iter())), "======= Metadata =======");
        assert_eq!(title("Secret Path", 3), "== Secret Path ==");
    }

    #[test]
    fn spans_lose_their_zeros() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (90, "1m30s"), (3600, "1h"), (5400, "1h30m"), (3601, "1h0m1s")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
