//! The chain of a device's lines: each ends with its number and a digest that depends on every line before it.
//!
//!     … ,"chain":{"id":"<32 digits>","seq":7,"digest":"<64 digits>"}}
//!
//! The digest is SHA-256 over the digest of the line before (32 bytes) and this line's bytes up to `,"digest"`. A chain
//! belongs to one device, node and start; its first line names, as `prev`, the digest of the last line before it, of
//! whatever chain. `"torn":true` says that a piece of a line stands before this one: a crash or a full disk left it.

use crate::crypto::sha256_of;

/// What stands for all lines up to one.
pub type Digest = [u8; 32];

/// The digest before the first line of all.
pub const START: Digest = [0; 32];
/// Letters of a chain's id.
pub(super) const ID_LETTERS: usize = 32;

const OPEN: &[u8] = b",\"chain\":{\"id\":\"";
const SEQ: &[u8] = b"\",\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const TORN: &[u8] = b",\"torn\":true";
const DIGEST: &[u8] = b",\"digest\":\"";
const CLOSE: &[u8] = b"\"}}";
/// The longest there is: all of the parts, with a number of twenty digits.
const LINK_BYTES: usize =
    OPEN.len() + ID_LETTERS + SEQ.len() + 20 + PREV.len() + 65 + TORN.len() + DIGEST.len() + 64 + CLOSE.len();

/// The writer's end of a chain.
#[derive(Debug)]
pub(super) struct Chain {
    id: String,
    seq: u64,
    digest: Digest,
    torn: bool,
}

/// Lines with their links, and what the chain will be after each of them.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
    after: Vec<(u64, Digest)>,
}

impl Chain {
    /// A chain that goes on from a line of another one.
    pub(super) fn new(id: String, prev: Digest) -> Self {
        Self { id, seq: 0, digest: prev, torn: false }
    }

    /// The number and the digest of the last line; none before the first.
    pub(super) fn last(&self) -> Option<(u64, Digest)> {
        (self.seq > 0).then_some((self.seq, self.digest))
    }

    /// Says with the next line that a piece of a line stands before it.
    pub(super) fn tear(&mut self) {
        self.torn = true;
    }

    /// Gives each line, which ends in `}` and a line break, its link. Nothing happened yet: see [`Chain::wrote`].
    pub(super) fn seal(&self, bytes: &[u8], ends: &[usize], to: &mut Sealed) {
        to.bytes.clear();
        to.ends.clear();
        to.after.clear();
        to.bytes.reserve(bytes.len() + ends.len() * LINK_BYTES);
        let (mut seq, mut digest, mut torn, mut from) = (self.seq, self.digest, self.torn, 0);
        for end in ends {
            let line = &bytes[from..*end];
            from = *end;
            // A flush puts in a line of nothing.
            if let Some(body) = line.strip_suffix(b"}\n") {
                let start = to.bytes.len();
                seq += 1;
                to.bytes.extend_from_slice(body);
                to.bytes.extend_from_slice(OPEN);
                to.bytes.extend_from_slice(self.id.as_bytes());
                to.bytes.extend_from_slice(SEQ);
                to.bytes.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
                if seq == 1 {
                    to.bytes.extend_from_slice(PREV);
                    put_hex(&digest, &mut to.bytes);
                    to.bytes.push(b'"');
                }
                if std::mem::take(&mut torn) {
                    to.bytes.extend_from_slice(TORN);
                }
                digest = sha256_of(&[&digest, &to.bytes[start..]]);
                to.bytes.extend_from_slice(DIGEST);
                put_hex(&digest, &mut to.bytes);
                to.bytes.extend_from_slice(CLOSE);
                to.bytes.push(b'\n');
            }
            to.ends.push(to.bytes.len());
            to.after.push((seq, digest));
        }
    }

    /// So many of the lines are in the file. Those that are not take their numbers with the next batch, with other bytes.
    pub(super) fn wrote(&mut self, sealed: &Sealed, lines: usize) {
        let Some((seq, digest)) = lines.checked_sub(1).and_then(|last| sealed.after.get(last)) else { return };
        if *seq > self.seq {
            self.torn = false;
        }
        (self.seq, self.digest) = (*seq, *digest);
    }
}

/// The link at the end of a line, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The chain.
    pub id: &'a str,
    /// The line's number in it, from 1.
    pub seq: u64,
    /// Of the first line: what it goes on from.
    pub prev: Option<Digest>,
    /// Whether a piece of a line stands before it.
    pub torn: bool,
    /// What the line says its digest is.
    pub digest: Digest,
    /// How many bytes of the line the digest covers.
    covered: usize,
}

impl<'a> Link<'a> {
    /// Reads the link of a line without its line break. None if there is no whole one.
    pub fn of(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(CLOSE)?;
        let (rest, digest) = rest.split_at(rest.len().checked_sub(64)?);
        let digest = hex(digest)?;
        let covered = rest.strip_suffix(DIGEST)?;
        let window = covered.len().saturating_sub(LINK_BYTES);
        let open = rfind(&covered[window..], OPEN)? + window;
        let link = &covered[open + OPEN.len()..];
        let id = std::str::from_utf8(link.get(..ID_LETTERS)?).ok()?;
        if !id.bytes().all(is_digit) {
            return None;
        }
        let rest = link[ID_LETTERS..].strip_prefix(SEQ)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let seq: u64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let mut rest = &rest[digits..];
        let mut prev = None;
        if let Some(more) = rest.strip_prefix(PREV) {
            prev = Some(hex(more.get(..64)?)?);
            rest = more[64..].strip_prefix(b"\"")?;
        }
        let torn = rest == TORN;
        (torn || rest.is_empty()).then_some(Self { id, seq, prev, torn, digest, covered: covered.len() })
    }

    /// Whether this line, of which this is the link, follows from a line with this digest.
    pub fn follows(&self, line: &[u8], before: &Digest) -> bool {
        line.get(..self.covered).is_some_and(|covered| sha256_of(&[before, covered]) == self.digest)
    }
}

/// How a file ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// With a line break, or it is empty.
    #[default]
    Line,
    /// With a line that lacks nothing but its line break.
    Whole,
    /// With a piece of a line.
    Torn,
}

/// How a file ends whose last bytes are these, and the digest of its last whole line, if that has one.
pub(super) fn end_of(tail: &[u8]) -> (End, Option<Digest>) {
    let digest = |line: &[u8]| Link::of(line).map(|link| link.digest);
    match tail.split_last() {
        None => (End::Line, None),
        Some((b'\n', lines)) => (End::Line, lines.rsplit(|b| *b == b'\n').next().and_then(digest)),
        Some(_) => {
            let mut lines = tail.rsplit(|b| *b == b'\n');
            match lines.next().and_then(digest) {
                Some(digest) => (End::Whole, Some(digest)),
                None => (End::Torn, lines.next().and_then(digest)),
            }
        }
    }
}

fn put_hex(bytes: &[u8], to: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        to.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Small letters only: the digest does not cover its own digits, so there must be one way to write them.
fn hex(text: &[u8]) -> Option<Digest> {
    let mut digest = START;
    if !text.iter().copied().all(is_digit) {
        return None;
    }
    ::hex::decode_to_slice(text, &mut digest).ok()?;
    Some(digest)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ID: &str = "00112233445566778899aabbccddeeff";

    /// Lines of one chain, each a small entry, as they stand in a file.
    pub(in super::super) fn lines(chain: &mut Chain, count: usize) -> Vec<u8> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for n in 0..count {
            bytes.extend_from_slice(format!("{{\"time\":\"2026-01-02T03:04:05Z\",\"n\":{n}}}\n").as_bytes());
            ends.push(bytes.len());
        }
        let mut sealed = Sealed::default();
        chain.seal(&bytes, &ends, &mut sealed);
        chain.wrote(&sealed, count);
        sealed.bytes
    }

    #[test]
    fn each_line_follows_from_the_one_before_and_from_no_other() {
        let text = lines(&mut Chain::new(ID.into(), [7; 32]), 3);
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        let links: Vec<Link<'_>> = lines.iter().map(|line| Link::of(line).unwrap()).collect();
        assert_eq!(links.iter().map(|link| link.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((links[0].prev, links[1].prev, links[0].id), (Some([7; 32]), None, ID));
        assert!(links[0].follows(lines[0], &[7; 32]) && !links[0].follows(lines[0], &START));
        assert!(links[1].follows(lines[1], &links[0].digest) && links[2].follows(lines[2], &links[1].digest));
        assert!(!links[2].follows(lines[2], &links[0].digest));
        crate::base::Json::parse(lines[0]).unwrap();
    }

    #[test]
    fn a_line_with_its_link_is_the_one_of_the_golden_file() {
        let mut chain = Chain::new(ID.into(), START);
        chain.tear();
        let text = String::from_utf8(lines(&mut chain, 2)).unwrap();
        let path = format!("{}/tests/golden/audit/chained.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap());
    }

    #[test]
    fn any_byte_that_changes_shows() {
        let text = lines(&mut Chain::new(ID.into(), START), 1);
        let line = &text[..text.len() - 1];
        for at in 0..line.len() {
            for flip in [1, 0x20] {
                let mut other = line.to_vec();
                other[at] ^= flip;
                let follows = Link::of(&other).is_some_and(|link| {
                    link.follows(&other, &START) && link.id == ID && link.prev == Some(START) && link.seq == 1
                });
                assert!(!follows, "{}", String::from_utf8_lossy(&other));
            }
        }
    }

    #[test]
    fn what_is_no_whole_link_is_none() {
        let text = lines(&mut Chain::new(ID.into(), START), 1);
        let line = &text[..text.len() - 1];
        for cut in 0..line.len() {
            assert_eq!(Link::of(&line[..cut]), None);
        }
        // What a request says cannot pass for a link: a quote within a string is escaped.
        assert!(Link::of(br#"{"path":"\",\"chain\":{\"id\":\"00112233445566778899aabbccddeeff\"}}"#).is_none());
    }

    #[test]
    fn lines_that_were_not_written_leave_no_trace() {
        let mut chain = Chain::new(ID.into(), START);
        chain.tear();
        let (bytes, ends) = (b"{}\n{\"a\":1}\n".to_vec(), vec![3, 3, 11]);
        let mut sealed = Sealed::default();
        chain.seal(&bytes, &ends, &mut sealed);
        assert_eq!(sealed.ends[0], sealed.ends[1]);
        chain.wrote(&sealed, 0);
        assert!(chain.torn && chain.last().is_none());
        chain.wrote(&sealed, 2);
        assert!(!chain.torn && chain.last().unwrap().0 == 1);
    }

    #[test]
    fn the_end_of_a_file_tells_where_to_go_on() {
        let text = lines(&mut Chain::new(ID.into(), START), 2);
        let second = Link::of(text[..text.len() - 1].rsplit(|b| *b == b'\n').next().unwrap()).unwrap().digest;
        let middle = text.iter().position(|b| *b == b'\n').unwrap() + 1;
        let first = Link::of(&text[..middle - 1]).unwrap().digest;
        assert_eq!(end_of(&text), (End::Line, Some(second)));
        assert_eq!(end_of(&text[..text.len() - 1]), (End::Whole, Some(second)));
        assert_eq!(end_of(&text[..text.len() - 2]), (End::Torn, Some(first)));
        assert_eq!(end_of(&text[..middle]), (End::Line, Some(first)));
        assert_eq!(end_of(b""), (End::Line, None));
        assert_eq!(end_of(b"{}\n"), (End::Line, None));
        assert_eq!(end_of(b"{"), (End::Torn, None));
    }
}
