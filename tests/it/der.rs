//! A writer of DER that writes whatever it is told to: for input that no honest encoder makes.

/// Tag, length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..=0x7f => bytes.push(length as u8),
        0x80..=0xff => bytes.extend([0x81, length as u8]),
        0x100..=0xffff => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => bytes.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    bytes.extend_from_slice(content);
    bytes
}

pub fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

/// `[number]`, with something inside.
pub fn context(number: u8, inside: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, inside)
}

/// `[number]`, in the place of a string's own tag.
pub fn implicit(number: u8, text: &[u8]) -> Vec<u8> {
    tlv(0x80 | number, text)
}

/// A number that is not negative, of these bytes.
pub fn uint(bytes: &[u8]) -> Vec<u8> {
    let significant = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[significant..];
    match bytes.first() {
        None => tlv(2, &[0]),
        Some(first) if *first >= 0x80 => tlv(2, &[&[0], bytes].concat()),
        Some(_) => tlv(2, bytes),
    }
}

pub fn octets(inside: &[u8]) -> Vec<u8> {
    tlv(4, inside)
}

pub fn bits(inside: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], inside].concat())
}

pub fn boolean(value: bool) -> Vec<u8> {
    tlv(1, &[if value { 0xff } else { 0 }])
}

pub fn null() -> Vec<u8> {
    vec![5, 0]
}

pub fn utf8(text: &str) -> Vec<u8> {
    tlv(12, text.as_bytes())
}

/// An object identifier of its dotted text.
pub fn oid(text: &str) -> Vec<u8> {
    let mut arcs = text.split('.').map(|arc| arc.parse::<u64>().unwrap());
    let (first, second) = (arcs.next().unwrap(), arcs.next().unwrap());
    let mut bytes = Vec::new();
    for arc in std::iter::once(first * 40 + second).chain(arcs) {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        bytes.extend((0..groups).rev().map(|at| (arc >> (7 * at)) as u8 & 0x7f | if at > 0 { 0x80 } else { 0 }));
    }
    tlv(6, &bytes)
}

/// A block of PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
