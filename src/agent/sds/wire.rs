//! The few protobuf messages of Envoy's secret discovery, read and written by hand.
//!
//! A field is a varint of its number and kind, then a varint or a length with bytes. What is not known is passed over.

/// The type of what this service serves.
pub(super) const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// The most names of one request.
const NAMES_MAX: usize = 1000;

/// What Envoy says, in either protocol.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Who asks; the first message of a stream says it.
    pub node: Option<String>,
    /// The version that it has: state of the world only.
    pub version: String,
    /// The names that it wants: all of them, or in a delta those that are new.
    pub names: Vec<String>,
    /// The names that it no longer wants: delta only.
    pub unsubscribed: Vec<String>,
    /// The answer that this acknowledges or refuses.
    pub nonce: String,
    /// Why it was refused.
    pub refusal: Option<String>,
    pub type_url: String,
}

/// One field of a message.
enum Field<'a> {
    Number,
    Bytes(&'a [u8]),
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(head)
}

/// The next field, `Ok(None)` at the end.
fn field<'a>(from: &mut &'a [u8]) -> Result<Option<(u64, Field<'a>)>, ()> {
    if from.is_empty() {
        return Ok(None);
    }
    let key = varint(from).ok_or(())?;
    let field = match key & 7 {
        0 => varint(from).map(|_| Field::Number).ok_or(())?,
        1 => take(from, 8).map(|_| Field::Number).ok_or(())?,
        2 => {
            let length = usize::try_from(varint(from).ok_or(())?).map_err(|_| ())?;
            Field::Bytes(take(from, length).ok_or(())?)
        }
        5 => take(from, 4).map(|_| Field::Number).ok_or(())?,
        _ => return Err(()),
    };
    Ok(Some((key >> 3, field)))
}

fn text(bytes: &[u8]) -> Result<String, ()> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ())
}

/// The bytes of a message's field of this number, the last one if there are several.
fn inner(mut message: &[u8], wanted: u64) -> Result<Option<&[u8]>, ()> {
    let mut found = None;
    while let Some((number, field)) = field(&mut message)? {
        if let (true, Field::Bytes(bytes)) = (number == wanted, field) {
            found = Some(bytes);
        }
    }
    Ok(found)
}

impl Asked {
    /// Reads a request of the one protocol or the other.
    pub(super) fn read(mut message: &[u8], delta: bool) -> Result<Asked, ()> {
        let mut asked = Asked::default();
        while let Some((number, field)) = field(&mut message)? {
            let Field::Bytes(bytes) = field else { continue };
            match (number, delta) {
                (1, false) => asked.version = text(bytes)?,
                (2, false) | (1, true) => asked.node = Some(text(inner(bytes, 1)?.unwrap_or_default())?),
                (3, _) => asked.names.push(text(bytes)?),
                (4, false) | (2, true) => asked.type_url = text(bytes)?,
                (4, true) => asked.unsubscribed.push(text(bytes)?),
                (5, false) | (6, true) => asked.nonce = text(bytes)?,
                (6, false) | (7, true) => asked.refusal = Some(text(inner(bytes, 2)?.unwrap_or_default())?),
                _ => {}
            }
            if asked.names.len() > NAMES_MAX || asked.unsubscribed.len() > NAMES_MAX {
                return Err(());
            }
        }
        Ok(asked)
    }
}

/// A message that grows.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Adds a field of bytes or text.
    pub(super) fn bytes(mut self, number: u64, bytes: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a message within.
    pub(super) fn message(self, number: u64, inner: Writer) -> Self {
        self.bytes(number, &inner.0)
    }
}

/// `DataSource` with inline bytes.
fn inline(bytes: &[u8]) -> Writer {
    Writer::default().bytes(2, bytes)
}

/// A `Secret` with a certificate chain and its key.
pub(super) fn tls_certificate(name: &str, chain: &[u8], key: &[u8]) -> Writer {
    let certificate = Writer::default().message(1, inline(chain)).message(2, inline(key));
    Writer::default().bytes(1, name.as_bytes()).message(2, certificate)
}

/// A `Secret` with the authorities to trust.
pub(super) fn validation_context(name: &str, authorities: &[u8]) -> Writer {
    Writer::default().bytes(1, name.as_bytes()).message(4, Writer::default().message(1, inline(authorities)))
}

/// A `Secret` of any bytes.
pub(super) fn generic(name: &str, bytes: &[u8]) -> Writer {
    Writer::default().bytes(1, name.as_bytes()).message(5, Writer::default().message(1, inline(bytes)))
}

fn any(secret: &[u8]) -> Writer {
    Writer::default().bytes(1, SECRET_TYPE.as_bytes()).bytes(2, secret)
}

/// An answer with all secrets that were asked for.
pub(super) fn whole(version: &str, nonce: &str, secrets: &[&[u8]]) -> Vec<u8> {
    let mut answer = Writer::default().bytes(1, version.as_bytes());
    for secret in secrets {
        answer = answer.message(2, any(secret));
    }
    answer.bytes(4, SECRET_TYPE.as_bytes()).bytes(5, nonce.as_bytes()).0
}

/// An answer with what has changed: name, version, secret.
pub(super) fn delta(version: &str, nonce: &str, secrets: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut answer = Writer::default().bytes(1, version.as_bytes());
    for (name, version, secret) in secrets {
        let resource = Writer::default().bytes(1, version.as_bytes()).message(2, any(secret)).bytes(3, name.as_bytes());
        answer = answer.message(2, resource);
    }
    answer.bytes(4, SECRET_TYPE.as_bytes()).bytes(5, nonce.as_bytes()).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_rubbish_is_refused() {
        let node = Writer::default().bytes(1, b"envoy-1").bytes(2, b"cluster");
        let error = Writer::default().bytes(2, b"bad certificate");
        let message = Writer::default()
            .bytes(1, b"7")
            .message(2, node)
            .bytes(3, b"web")
            .bytes(3, b"ca")
            .bytes(4, SECRET_TYPE.as_bytes())
            .bytes(5, b"n1")
            .message(6, error)
            .0;
        let asked = Asked::read(&message, false).unwrap();
        assert_eq!(asked.names, ["web", "ca"]);
        assert_eq!((asked.node.as_deref(), asked.version.as_str(), asked.nonce.as_str()), (Some("envoy-1"), "7", "n1"));
        assert_eq!(asked.refusal.as_deref(), Some("bad certificate"));
        for end in 1..message.len() {
            // Cut anywhere it is refused or, at a field's end, shorter; it never panics.
            let _ = Asked::read(&message[..end], false);
            let _ = Asked::read(&message[..end], true);
        }
        for bad in [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x0b], &[0x80; 11], &[0x0a, 5, 1]] {
            assert!(Asked::read(bad, false).is_err());
        }
        let many = (0..=NAMES_MAX).fold(Writer::default(), |message, _| message.bytes(3, b"x"));
        assert!(Asked::read(&many.0, false).is_err());
    }
}
