//! Durations as people write them: `90`, `"1h30m"`, `"7d"`.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads a duration: whole seconds (`"90"`), or numbers with the units `ns`, `us`, `µs`, `ms`, `s`, `m`, `h`, `d` in a row
/// (`"1h30m"`, `"1.5h"`). The empty string is zero, as in Vault. `None` for anything else, for negative values and
/// for more than 2^63 nanoseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Duration::ZERO);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return bounded(text.parse::<u64>().ok()? as u128 * NANOS_PER_SECOND);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos = 0u128;
    while !rest.is_empty() {
        let (number, tail) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, tail) = split(tail, |c| !c.is_ascii_digit() && c != '.');
        nanos = nanos.checked_add(part(number, scale(unit)?)?)?;
        rest = tail;
    }
    bounded(nanos)
}

fn split(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accept(c)).unwrap_or(text.len()))
}

/// Nanoseconds in a unit.
fn scale(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        "d" => 86_400 * NANOS_PER_SECOND,
        _ => return None,
    })
}

fn part(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut nanos = if whole.is_empty() { 0 } else { u128::from(whole.parse::<u64>().ok()?) * scale };
    // Digits below a nanosecond of the largest unit do not count.
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        nanos += u128::from(digit.to_digit(10)?) * place;
    }
    Some(nanos)
}

fn bounded(nanos: u128) -> Option<Duration> {
    i64::try_from(nanos).ok().map(|nanos| Duration::from_nanos(nanos.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "junk",
            "1",
            "1h1",
            "-1s",
            "h",
            ".",
            ".s",
            "1.2.3s",
            "1 h",
            "1x",
            "9223372037",
            "99999999999999999999",
            "1hh",
            "1h-1m",
        ] {
            let expected = text == "1";
            assert_eq!(parse_duration(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_vault_reads_them() {
        for (text, millis) in [
            ("", 0),
            ("0", 0),
            ("90", 90_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("7d", 604_800_000),
            (".5s", 500),
            (" 10s ", 10_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }
}
