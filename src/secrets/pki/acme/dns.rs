//! Asking a resolver (RFC 1035): addresses and texts of a name, over UDP, and over TCP where an answer is too long for it.
//!
//! A resolver does the work; this asks it and reads its answer with suspicion. The libraries for it bring a cache, a
//! clock and a random source of their own with some fifty crates; see `docs/dependencies.md`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::Rng;
use crate::outbound::Outbound;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many servers are asked, one after another.
const SERVERS_MAX: usize = 3;
/// What an answer by UDP may have, so that it is never cut into fragments.
const UDP_MAX: u16 = 1232;
/// The most records that are read of one answer.
const RECORDS_MAX: usize = 128;
/// The most names that stand for another, one after the other.
const ALIASES_MAX: usize = 8;

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server could be reached, or none is known.
    Unreachable,
    /// What came back is no answer.
    Malformed,
    /// The server says that it failed.
    Refused,
}

/// The servers to ask.
pub struct Resolver<'a> {
    servers: Vec<SocketAddr>,
    outbound: &'a dyn Outbound,
    rng: &'a dyn Rng,
}

impl<'a> Resolver<'a> {
    /// The configured server, or those of the system.
    pub async fn new(configured: &str, outbound: &'a dyn Outbound, rng: &'a dyn Rng) -> Self {
        let servers = match configured.parse() {
            Ok(server) => vec![server],
            Err(_) => of_system(&tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default()),
        };
        Self { servers, outbound, rng }
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let (four, six) = tokio::join!(self.ask(name, A), self.ask(name, AAAA));
        let mut found = Vec::new();
        for record in four.as_deref().unwrap_or_default().iter().chain(six.as_deref().unwrap_or_default()) {
            found.extend(address(record));
        }
        match (four, six) {
            (Err(failure), Err(_)) => Err(failure),
            _ => Ok(found),
        }
    }

    /// The texts of a name.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
        Ok(self.ask(name, TXT).await?.iter().filter_map(|record| text(record)).collect())
    }

    /// The data of the records of this kind.
    async fn ask(&self, name: &str, kind: u16) -> Result<Vec<Vec<u8>>, Failure> {
        let mut failure = Failure::Unreachable;
        for server in &self.servers {
            let mut id = [0; 2];
            self.rng.fill(&mut id);
            let question = question(id, name, kind).ok_or(Failure::Malformed)?;
            if let Ok(Some(answer)) = tokio::time::timeout(PATIENCE, exchange(self.outbound, *server, &question)).await
            {
                match read(&answer, id, name, kind) {
                    Ok(records) => return Ok(records),
                    Err(other) => failure = other,
                }
            }
        }
        Err(failure)
    }
}

fn of_system(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    };
    text.lines().filter_map(server).take(SERVERS_MAX).collect()
}

/// Asks by a datagram; by a connection, where the answer is too long for one.
async fn exchange(outbound: &dyn Outbound, server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let answer = outbound.datagram(server, question.to_vec()).await.ok()?;
    let cut = answer.get(2).is_some_and(|flags| flags & 0x02 != 0);
    if !cut {
        return Some(answer);
    }
    let mut stream = outbound.dial(server).await.ok()?;
    let length = u16::try_from(question.len()).ok()?.to_be_bytes();
    stream.write_all(&[&length, question].concat()).await.ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer)
}

/// A question with room for longer answers (RFC 6891).
fn question(id: [u8; 2], name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut bytes = vec![id[0], id[1], 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(IN.to_be_bytes());
    bytes.push(0);
    bytes.extend(OPT.to_be_bytes());
    bytes.extend(UDP_MAX.to_be_bytes());
    bytes.extend([0; 6]);
    (bytes.len() <= 512).then_some(bytes)
}

/// The records of this kind for this name, or for the one that it stands for.
fn read(answer: &[u8], id: [u8; 2], name: &str, kind: u16) -> Result<Vec<Vec<u8>>, Failure> {
    let mut reader = Reader { bytes: answer, at: 0 };
    let malformed = Failure::Malformed;
    let header = reader.take(12).ok_or(malformed)?;
    let (is_answer, code) = (header[2] & 0x80 != 0, header[3] & 0x0f);
    if header[..2] != id || !is_answer {
        return Err(malformed);
    }
    match code {
        0 | 3 => {}
        _ => return Err(Failure::Refused),
    }
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    if count(4) != 1 {
        return Err(malformed);
    }
    let asked = reader.name().ok_or(malformed)?;
    let rest = reader.take(4).ok_or(malformed)?;
    if asked != name.to_ascii_lowercase() || rest[..2] != kind.to_be_bytes() {
        return Err(malformed);
    }
    let mut records = Vec::new();
    for _ in 0..count(6).min(RECORDS_MAX) {
        let owner = reader.name().ok_or(malformed)?;
        let fixed = reader.take(10).ok_or(malformed)?;
        let of = u16::from_be_bytes([fixed[0], fixed[1]]);
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let at = reader.at;
        let data = reader.take(length).ok_or(malformed)?.to_vec();
        let alias = match of {
            CNAME => Some(Reader { bytes: answer, at }.name().ok_or(malformed)?),
            _ => None,
        };
        records.push((owner, of, data, alias));
    }
    let mut current = asked;
    for _ in 0..ALIASES_MAX {
        let alias = records.iter().find(|(owner, ..)| *owner == current).and_then(|(.., alias)| alias.clone());
        match alias {
            Some(next) => current = next,
            None => break,
        }
    }
    let fitting = records.into_iter().filter(|(owner, of, ..)| *owner == current && *of == kind);
    Ok(fitting.map(|(_, _, data, _)| data).collect())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    /// A name in lower case; a pointer leads back only, so that reading ends.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let (mut at, mut before, mut jumped) = (self.at, self.at, false);
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            if length & 0xc0 == 0xc0 {
                let low = usize::from(*self.bytes.get(at + 1)?);
                let target = (length & 0x3f) << 8 | low;
                if !jumped {
                    self.at = at + 2;
                    jumped = true;
                }
                if target >= before {
                    return None;
                }
                (at, before) = (target, target);
                continue;
            }
            if length > 63 {
                return None;
            }
            at += 1;
            if length == 0 {
                break;
            }
            let label = std::str::from_utf8(self.bytes.get(at..at + length)?).ok()?;
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&label.to_ascii_lowercase());
            if name.len() > 253 {
                return None;
            }
            at += length;
        }
        if !jumped {
            self.at = at;
        }
        Some(name)
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// The pieces of a text, put together.
fn text(data: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let length = usize::from(*length);
        whole.extend(after.get(..length)?);
        rest = &after[length..];
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(kind: u16, records: &[(&str, u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question([1, 2], "a.test", kind).unwrap();
        bytes.truncate(bytes.len() - 11);
        (bytes[2], bytes[7], bytes[11]) = (0x80, u8::try_from(records.len()).unwrap(), 0);
        for (owner, of, data) in records {
            for label in owner.split('.') {
                bytes.push(u8::try_from(label.len()).unwrap());
                bytes.extend(label.as_bytes());
            }
            bytes.push(0);
            bytes.extend(of.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 9]);
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    #[test]
    fn what_answers_something_else_is_refused() {
        let good = answer(TXT, &[("a.test", TXT, b"\x02ok")]);
        let read_as = |id, name, kind| read(&good, id, name, kind);
        assert!(read_as([1, 3], "a.test", TXT).is_err());
        assert!(read_as([1, 2], "b.test", TXT).is_err());
        assert!(read_as([1, 2], "a.test", A).is_err());
        let mut asks = good.clone();
        asks[2] = 0;
        assert!(read(&asks, [1, 2], "a.test", TXT).is_err(), "a question is no answer");
        let mut failed = good.clone();
        failed[3] = 2;
        assert_eq!(read(&failed, [1, 2], "a.test", TXT).unwrap_err(), Failure::Refused);
        for end in 0..good.len() {
            assert!(read(&good[..end], [1, 2], "a.test", TXT).is_err(), "{end}");
        }
        let others = answer(TXT, &[("b.test", TXT, b"\x02no"), ("a.test", A, &[10, 0, 0, 1])]);
        assert!(read(&others, [1, 2], "a.test", TXT).unwrap().is_empty(), "of another name, of another kind");
    }

    #[test]
    fn texts_addresses_and_aliases_are_read() {
        let texts = answer(TXT, &[("a.test", TXT, b"\x02ab\x01c"), ("A.Test", TXT, b"\x01d")]);
        let found: Vec<_> = read(&texts, [1, 2], "a.test", TXT).unwrap().iter().filter_map(|one| text(one)).collect();
        assert_eq!(found, [b"abc".to_vec(), b"d".to_vec()]);
        let aliased = answer(A, &[("a.test", CNAME, b"\x01b\x04test\x00"), ("b.test", A, &[192, 0, 2, 1])]);
        let found = read(&aliased, [1, 2], "a.test", A).unwrap();
        assert_eq!(address(&found[0]).unwrap().to_string(), "192.0.2.1");
        let circle = answer(A, &[("a.test", CNAME, b"\x01a\x04test\x00")]);
        assert!(read(&circle, [1, 2], "a.test", A).unwrap().is_empty());
        assert!(text(b"\x05abc").is_none() && address(&[1, 2, 3]).is_none());
        assert_eq!(of_system("# x\nnameserver 192.0.2.1\noptions x\nnameserver nonsense\n").len(), 1);
        assert!(question([0, 0], "a..b", A).is_none() && question([0, 0], &"a.".repeat(300), A).is_none());
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_pointers_end(mut garbage: Vec<u8>) {
            let _ = read(&garbage, [1, 2], "a.test", TXT);
            let mut whole = answer(TXT, &[]);
            whole[7] = 255;
            whole.append(&mut garbage);
            let _ = read(&whole, [1, 2], "a.test", TXT);
        }
    }
}
