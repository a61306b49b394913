//! What can be done to a log, and what is said of it.

use super::super::chain::tests::{ID, lines};
use super::super::chain::{Chain, START};
use super::*;
use crate::base::Timestamp;

fn chain() -> Chain {
    Chain::new(ID.into(), START)
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

fn verify_with(heads: &[Head], files: &[&[u8]]) -> Report {
    let mut verifier = Verifier::new(heads.to_vec());
    for (n, file) in files.iter().enumerate() {
        verifier.read(&format!("{n}.log"), &mut &file[..]).unwrap();
    }
    verifier.finish()
}

fn verify(file: &[u8]) -> Report {
    verify_with(&[], &[file])
}

fn head(chain: &Chain) -> Head {
    Head::new("file/", "node", ID, chain.last().unwrap())
}

/// The one finding, with its line.
fn finding(report: &Report) -> (u64, &str) {
    assert_eq!(report.found, 1, "{report:?}");
    (report.findings[0].line, &report.findings[0].text)
}

#[test]
fn what_was_written_is_intact() {
    let mut chain = chain();
    let (one, two) = (lines(&mut chain, 5), lines(&mut chain, 3));
    let report = verify_with(&[head(&chain)], &[&one, &two]);
    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.entries, 8);
    let expected = ChainReport { id: ID.into(), first: 1, last: 8, vouched: Some(8) };
    assert_eq!(report.chains, [expected]);
}

#[test]
fn every_edit_insertion_deletion_and_reordering_is_found_where_it_is() {
    let text = lines(&mut chain(), 9);
    let whole = split(&text);
    for at in 0..whole.len() {
        let number = at as u64 + 1;
        let mut changed = whole.clone();
        changed[at] = String::from_utf8(changed[at].clone()).unwrap().replace("2026", "2027").into_bytes();
        let report = verify(&changed.concat());
        assert_eq!(finding(&report).0, number);
        assert!(finding(&report).1.contains("changed"), "{report:?}");

        let mut without = whole.clone();
        without.remove(at);
        let report = verify(&without.concat());
        match at {
            // What was cut off at the start or at the end shows with a head only.
            0 => assert!(report.is_intact() && report.notes[0].text.contains("begins at entry 2")),
            8 => assert!(report.is_intact()),
            _ => assert_eq!(finding(&report), (number, format!("entry {number} is missing before this line").as_str())),
        }

        let mut twice = whole.clone();
        twice.insert(at, whole[at].clone());
        assert_eq!(finding(&verify(&twice.concat())).0, number + 1);

        let mut more = whole.clone();
        more.insert(at, b"{\"time\":\"2026-01-02T03:04:05Z\"}\n".to_vec());
        let report = verify(&more.concat());
        match at {
            0 => assert_eq!((report.unchained, report.notes.len()), (1, 1)),
            _ => assert_eq!(finding(&report).0, number),
        }

        if at > 0 {
            let mut swapped = whole.clone();
            swapped.swap(at - 1, at);
            let report = verify(&swapped.concat());
            assert!(!report.is_intact() && report.findings[0].line.abs_diff(number) <= 1, "{report:?}");
        }
    }
}

#[test]
fn a_cut_end_a_chain_made_anew_and_a_chain_taken_out_are_known_to_a_head() {
    let mut first = chain();
    let text = lines(&mut first, 6);
    let whole = split(&text);
    let report = verify_with(&[head(&first)], &[&whole[..4].concat()]);
    assert!(finding(&report).1.starts_with("entries 5 to 6 are missing at the end"), "{report:?}");
    // Another history of the same length.
    let mut other = chain();
    let anew = String::from_utf8(lines(&mut other, 6)).unwrap();
    assert_eq!(anew.as_bytes(), text);
    let mut other = Chain::new(ID.into(), [1; 32]);
    let anew = lines(&mut other, 6);
    let report = verify_with(&[head(&first)], &[&anew]);
    assert!(finding(&report).1.contains("made anew") && finding(&report).0 == 6, "{report:?}");
    // A second start, all of whose entries were taken out.
    let mut second = Chain::new("f".repeat(32), first.last().unwrap().1);
    let more = lines(&mut second, 2);
    let mut later = Head::new("file/", "node", &"f".repeat(32), second.last().unwrap());
    later.time = Timestamp::from_second(1).unwrap();
    assert!(verify_with(&[head(&first), later.clone()], &[&[&text[..], &more].concat()]).is_intact());
    let report = verify_with(&[head(&first), later.clone()], &[&text]);
    assert!(finding(&report).1.starts_with("entries 1 to 2 are missing all of chain"), "{report:?}");
    // One of another device says nothing.
    later.device = "other/".into();
    let report = verify_with(&[head(&first), later], &[&text]);
    assert!(report.is_intact() && report.notes.len() == 1, "{report:?}");
}

#[test]
fn what_comes_after_the_last_head_is_told() {
    let mut chain = chain();
    let one = lines(&mut chain, 4);
    let known = head(&chain);
    let two = lines(&mut chain, 2);
    let report = verify_with(&[known], &[&one, &two]);
    assert_eq!((report.chains[0].vouched, report.chains[0].last), (Some(4), 6));
}

#[test]
fn a_file_that_begins_in_the_middle_is_checked_from_the_head_before_it() {
    let mut chain = chain();
    let _ = lines(&mut chain, 4);
    let known = head(&chain);
    let two = lines(&mut chain, 2);
    let report = verify_with(std::slice::from_ref(&known), &[&two]);
    assert!(report.is_intact() && report.notes[0].text.contains("after the head"), "{report:?}");
    let wrong = Head { digest: "00".repeat(32), ..known };
    assert!(!verify_with(&[wrong], &[&two]).is_intact());
}

#[test]
fn a_torn_last_line_is_a_crash_and_a_torn_one_amid_others_needs_a_word() {
    let mut first = chain();
    let text = lines(&mut first, 3);
    let report = verify(&text[..text.len() - 20]);
    assert!(report.is_intact() && report.notes[0].text.contains("crash") && report.entries == 2, "{report:?}");
    // Only the line break is missing: the line is whole.
    assert_eq!(verify(&text[..text.len() - 1]).entries, 3);
    // The next start says that it found a piece.
    let piece = b"{\"time\":\"2026-01-0";
    let mut second = Chain::new("f".repeat(32), first.last().unwrap().1);
    second.tear();
    let more = lines(&mut second, 2);
    let report = verify(&[&text[..], piece, b"\n", &more].concat());
    assert!(report.is_intact() && report.notes.len() == 1, "{report:?}");
    // Nobody said so: somebody cut it.
    let mut second = Chain::new("f".repeat(32), first.last().unwrap().1);
    let more = lines(&mut second, 2);
    let report = verify(&[&text[..], piece, b"\n", &more].concat());
    assert_eq!(finding(&report).0, 4);
    assert_eq!(finding(&verify(&[&text[..], piece, b"\n"].concat())).0, 4);
    // Two pieces are one too many for a single word.
    let mut second = Chain::new("f".repeat(32), first.last().unwrap().1);
    second.tear();
    let more = lines(&mut second, 1);
    assert_eq!(finding(&verify(&[&text[..], piece, b"\n", piece, b"\n", &more].concat())).0, 4);
}

#[test]
fn a_line_that_lacked_only_its_break_gives_its_number_away() {
    let mut first = chain();
    let text = lines(&mut first, 2);
    let mut again = chain();
    let one = lines(&mut again, 1);
    again.tear();
    let other = String::from_utf8(lines(&mut again, 2)).unwrap();
    let report = verify(&[&text[..], other.as_bytes()].concat());
    assert!(report.is_intact() && report.chains[0].last == 3, "{report:?}");
    assert!(text.starts_with(&one));
}

#[test]
fn starts_go_on_from_each_other_even_while_two_write() {
    let mut first = chain();
    let one = lines(&mut first, 2);
    let mut second = Chain::new("f".repeat(32), first.last().unwrap().1);
    let (late, two) = (lines(&mut first, 1), lines(&mut second, 2));
    let halves = split(&two);
    let report = verify(&[&one[..], &halves[0], &late, &halves[1]].concat());
    assert!(report.is_intact() && report.chains.len() == 2, "{report:?}");
    // Its predecessor taken out.
    let report = verify(&[&split(&one)[0][..], &two].concat());
    assert!(finding(&report).0 == 2 && finding(&report).1.contains("does not go on"), "{report:?}");
}

#[test]
fn a_log_without_links_is_not_called_intact() {
    assert!(!verify(b"").is_intact());
    let report = verify(b"{\"a\":1}\n{\"a\":2}\n");
    assert!(!report.is_intact() && report.unchained == 2);
    // Lines of the time before chains, and a stripped one.
    let text = lines(&mut chain(), 3);
    assert!(verify(&[b"{\"a\":1}\n".as_slice(), &text].concat()).is_intact());
    let stripped = [b"{\"a\":1}\n".as_slice(), &split(&text)[1..].concat()].concat();
    assert_eq!(finding(&verify(&stripped)), (2, "entry 1 is missing before this line"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0usize..2000, with: u8) {
        let _ = verify(&bytes);
        let mut text = lines(&mut chain(), 6);
        let at = at % text.len();
        if text[at] != with {
            text[at] = with;
            let report = verify(&text);
            // The last byte alone may be lost, in a crash.
            proptest::prop_assert!(!report.is_intact() || !report.notes.is_empty(), "{at} {report:?}");
        }
    }
}
