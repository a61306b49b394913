//! Whether audit files are what was written: every line in its place, none changed, none missing.
//!
//! Lines are read one after another and forgotten: memory does not grow with the files. A file vouches for its own order
//! alone; that nothing was cut off its end, or all of it made anew, only a head tells that was kept elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Read};

use super::chain::{Digest, Link, START};
use super::head::Head;

/// Longest line, in bytes: a request of the largest size, each of its many strings hashed.
const LINE_BYTES: u64 = 256 << 20;
/// Chains of which the last line is remembered: one for each start of a device.
const CHAINS: usize = 65_536;
/// Last lines that a new chain may go on from: while one device takes over from another, both write.
const RECENT: usize = 4096;
/// Findings and notes that are kept; all are counted.
const KEPT: usize = 1000;

/// Something about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The file, and the line in it from 1; 0 for the file as a whole. Empty for what no file holds.
    pub file: String,
    /// The line.
    pub line: u64,
    /// In words.
    pub text: String,
}

/// One chain, as far as the files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Its id.
    pub id: String,
    /// The first of its entries in the files.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Up to where a head that was given vouches for it.
    pub vouched: Option<u64>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries with a link.
    pub entries: u64,
    /// Lines before the first of these, such as those written before there were chains.
    pub unchained: u64,
    /// What is not as it was written: an edit, an insertion, a deletion, another order.
    pub findings: Vec<Remark>,
    /// How many findings there are.
    pub found: u64,
    /// What is as it may be, and worth knowing.
    pub notes: Vec<Remark>,
    /// The chains, in the order in which they were met.
    pub chains: Vec<ChainReport>,
}

impl Report {
    /// Whether nothing speaks against the files.
    pub fn is_intact(&self) -> bool {
        self.found == 0
    }
}

/// A verification under way.
pub struct Verifier {
    heads: Vec<Head>,
    met: Vec<bool>,
    chains: BTreeMap<String, State>,
    order: Vec<String>,
    recent: VecDeque<Digest>,
    report: Report,
    file: String,
    line: u64,
    /// Whether an entry with a link was met in this file, and in any.
    in_file: bool,
    in_any: bool,
    /// A line that is no entry, which the next one has to explain.
    piece: Option<u64>,
}

struct State {
    first: u64,
    last: u64,
    digest: Digest,
    /// Of the line before the last.
    before: Digest,
    vouched: Option<u64>,
    /// The heads that know it, by their place.
    heads: Vec<usize>,
}

impl Verifier {
    /// With the heads that are known; their signatures are the caller's to check.
    pub fn new(heads: Vec<Head>) -> Self {
        Self {
            met: vec![false; heads.len()],
            heads,
            chains: BTreeMap::new(),
            order: Vec::new(),
            recent: VecDeque::with_capacity(RECENT),
            report: Report::default(),
            file: String::new(),
            line: 0,
            in_file: false,
            in_any: false,
            piece: None,
        }
    }

    /// Whether a file that begins with this chain and number is the next one, as far as can be told.
    pub fn expects(&self, chain: &str, seq: u64) -> bool {
        self.chains.get(chain).map_or(seq == 1, |state| state.last + 1 == seq)
    }

    /// Reads a file. Files of one device come in the order in which they were written.
    ///
    /// # Errors
    /// When it cannot be read, or a line is longer than any entry.
    pub fn read(&mut self, file: &str, from: &mut dyn BufRead) -> io::Result<()> {
        self.end_piece();
        file.clone_into(&mut self.file);
        (self.line, self.in_file) = (0, false);
        let mut line = Vec::new();
        loop {
            line.clear();
            if Read::take(&mut *from, LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.line += 1;
            match line.strip_suffix(b"\n") {
                Some(whole) => self.take(whole),
                None if line.len() as u64 >= LINE_BYTES => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than any entry"));
                }
                None if Link::of(&line).is_some() => self.take(&line),
                None => {
                    self.end_piece();
                    self.note(
                        "the file ends with a piece of a line, as a crash leaves it: that entry was not acknowledged",
                    );
                }
            }
        }
    }

    /// The end of all files.
    pub fn finish(mut self) -> Report {
        self.end_piece();
        self.file.clear();
        self.line = 0;
        self.judge_heads();
        if self.report.unchained > 0 {
            let count = self.report.unchained;
            self.note(&format!(
                "{count} lines before the first entry with a link are not checked: nothing is known of them"
            ));
        }
        if self.report.entries == 0 {
            self.find("there is no entry with a link to check");
        }
        let chains = std::mem::take(&mut self.chains);
        self.report.chains = self
            .order
            .iter()
            .filter_map(|id| {
                let state = chains.get(id)?;
                Some(ChainReport { id: id.clone(), first: state.first, last: state.last, vouched: state.vouched })
            })
            .collect();
        self.report
    }

    fn take(&mut self, line: &[u8]) {
        let Some(link) = Link::of(line) else {
            if !self.in_any {
                self.report.unchained += 1;
            } else {
                self.end_piece();
                self.piece = Some(self.line);
            }
            return;
        };
        if link.torn {
            if self.piece.take().is_some() {
                self.note("the line before is a piece, as a crash or a full disk leaves it: this entry says so");
            }
        } else {
            self.end_piece();
        }
        self.report.entries += 1;
        match self.chains.contains_key(link.id) {
            true => self.go_on(&link, line),
            false => self.begin(&link, line),
        }
        self.meet_heads(&link);
        (self.in_file, self.in_any) = (true, true);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(link.digest);
    }

    fn go_on(&mut self, link: &Link<'_>, line: &[u8]) {
        let Some(state) = self.chains.get_mut(link.id) else { return };
        let (last, digest, before) = (state.last, state.digest, state.before);
        if link.seq == last && link.torn && link.follows(line, &before) {
            // The line before lacked only its line break when the write failed: this one has its number.
            state.digest = link.digest;
            return;
        }
        if link.seq <= last {
            let seq = link.seq;
            self.find(&format!("entry {seq} stands after entry {last}: it was put in, repeated or moved here"));
            return;
        }
        (state.before, state.last, state.digest) = (digest, link.seq, link.digest);
        if link.seq > last + 1 {
            self.missing(last + 1, link.seq - 1, "before this line");
        } else if !link.follows(line, &digest) {
            let seq = link.seq;
            self.find(&format!(
                "entry {seq} does not follow from the one before: it was changed, or that one's digest was"
            ));
        }
    }

    fn begin(&mut self, link: &Link<'_>, line: &[u8]) {
        if self.chains.len() >= CHAINS {
            self.chains.pop_first();
        }
        let heads = (0..self.heads.len()).filter(|at| self.heads[*at].chain == link.id).collect();
        let (seq, digest) = (link.seq, link.digest);
        let state = State { first: seq, last: seq, digest, before: START, vouched: None, heads };
        self.chains.insert(link.id.to_owned(), state);
        if self.order.len() < CHAINS {
            self.order.push(link.id.to_owned());
        }
        match (link.seq, link.prev) {
            (1, Some(prev)) => self.begin_first(link, line, &prev),
            (1, None) => self.find("entry 1 does not say what it goes on from"),
            (seq, _) => {
                let known = self.heads.iter().find(|head| head.chain == link.id && head.seq + 1 == seq);
                let known = known.and_then(Head::last_digest);
                match known {
                    Some(before) if link.follows(line, &before) => {
                        self.note(&format!("begins at entry {seq}, after the head that was given"));
                    }
                    Some(_) => self.find(&format!("entry {seq} does not follow from the head that was given")),
                    None if self.in_any || self.report.unchained > 0 => self.missing(1, seq - 1, "before this line"),
                    None => {
                        let before = seq - 1;
                        self.note(&format!(
                            "begins at entry {seq}: entries 1 to {before} of its chain are not in these files, and this entry cannot be checked itself"
                        ));
                    }
                }
            }
        }
    }

    fn begin_first(&mut self, link: &Link<'_>, line: &[u8], prev: &Digest) {
        if !link.follows(line, prev) {
            self.find("entry 1 was changed");
        }
        let known = self.recent.contains(prev) || self.heads.iter().any(|head| head.last_digest() == Some(*prev));
        if known || (*prev == START && !self.in_any) {
            return;
        }
        if self.in_file {
            self.find(
                "a chain begins that does not go on from the entries before it: some are missing, or they were put in",
            );
        } else if *prev != START {
            self.note("a chain begins that goes on from an entry which is not in these files");
        }
    }

    fn meet_heads(&mut self, link: &Link<'_>) {
        let Some(state) = self.chains.get_mut(link.id) else { return };
        // What is out of place meets no head.
        if state.heads.is_empty() || state.last != link.seq || state.digest != link.digest {
            return;
        }
        let mut other = false;
        for at in &state.heads {
            let head = &self.heads[*at];
            if head.seq == link.seq {
                self.met[*at] = true;
                if head.last_digest() == Some(link.digest) {
                    state.vouched = state.vouched.max(Some(link.seq));
                } else {
                    other = true;
                }
            }
        }
        if other {
            let seq = link.seq;
            self.find(&format!("entry {seq} is not the one that a head knows: this chain was made anew"));
        }
    }

    fn judge_heads(&mut self) {
        let heads = std::mem::take(&mut self.heads);
        let seen: Vec<&Head> = heads.iter().filter(|head| self.chains.contains_key(&head.chain)).collect();
        for (at, head) in heads.iter().enumerate() {
            let short = &head.chain[..head.chain.len().min(12)];
            match self.chains.get(&head.chain).map(|state| (state.first, state.last)) {
                Some((_, last)) if head.seq > last => {
                    self.missing(
                        last + 1,
                        head.seq,
                        &format!("at the end of chain {short}: a head of {} knows them", head.time),
                    );
                }
                Some((first, _)) if !self.met[at] && head.seq >= first => {
                    self.find(&format!("entry {} of chain {short}, which a head knows, is not in its place", head.seq));
                }
                Some(_) => {}
                None => {
                    let same = |other: &&&Head| other.device == head.device && other.node == head.node;
                    let newer = seen.iter().filter(same).all(|other| other.time < head.time);
                    if newer && seen.iter().any(|other| other.device == head.device && other.node == head.node) {
                        self.missing(1, head.seq, &format!("all of chain {short}: a head of {} knows them", head.time));
                    } else {
                        self.note(&format!(
                            "a head is of a chain ({short}, device \"{}\") that is not in these files",
                            head.device
                        ));
                    }
                }
            }
        }
    }

    fn missing(&mut self, from: u64, to: u64, where_: &str) {
        let what =
            if from == to { format!("entry {from} is missing") } else { format!("entries {from} to {to} are missing") };
        self.find(&format!("{what} {where_}"));
    }

    /// A line that is no entry, and that no entry after it explains.
    fn end_piece(&mut self) {
        if let Some(line) = self.piece.take() {
            let at = std::mem::replace(&mut self.line, line);
            self.find("this line is no entry of a chain: it was put in, cut or changed");
            self.line = at;
        }
    }

    fn find(&mut self, text: &str) {
        self.report.found += 1;
        let remark = self.remark(text);
        keep(&mut self.report.findings, remark);
    }

    fn note(&mut self, text: &str) {
        let remark = self.remark(text);
        keep(&mut self.report.notes, remark);
    }

    fn remark(&self, text: &str) -> Remark {
        Remark { file: self.file.clone(), line: self.line, text: text.to_owned() }
    }
}

fn keep(list: &mut Vec<Remark>, remark: Remark) {
    if list.len() < KEPT {
        list.push(remark);
    }
}

/// The chain and the number of the first entry that has a link, among the first lines of a file.
///
/// # Errors
/// When it cannot be read.
pub fn first_link(from: &mut dyn BufRead) -> io::Result<Option<(String, u64)>> {
    const LINES: usize = 64;
    const BYTES: u64 = 16 << 20;
    let mut from = Read::take(from, BYTES);
    let mut line = Vec::new();
    for _ in 0..LINES {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Some(link) = Link::of(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Some((link.id.to_owned(), link.seq)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
