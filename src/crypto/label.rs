//! A share of a key with its label, as text that can be checked without the store.
//!
//!     wfs1-<store, 8 hex>-g<generation>-<index>of<shares>-<share, hex>-<checksum, 8 hex>
//!
//! The checksum is the start of SHA-256 over all before it. A share has 256 bits that nobody knows, so that 32 bits of a
//! digest help nobody to guess it; they find every slip of a hand but one in four thousand million.

use super::error::{Error, Result};
use super::mac::sha256;
use crate::base::Secret;

/// How such a text begins.
const FORM: &str = "wfs1";
/// Hex letters of the store's mark, and of the checksum.
const MARK_LETTERS: usize = 8;
/// Longest text that is read: the longest label around a share of 33 bytes has fewer.
pub const TEXT_MAX: usize = 128;
/// A share's length in bytes: 32 of the key and the point; a key that is its own share has no point.
const SHARE_LENGTHS: [usize; 2] = [32, 33];

/// A share, and what is said about it.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The first letters of the store's id.
    pub store: String,
    /// How many times the store's shares were made, from 1.
    pub generation: u32,
    /// Which share it is, from 1.
    pub index: u8,
    /// Of how many.
    pub shares: u8,
    /// The share.
    pub share: Secret<Vec<u8>>,
}

/// The mark of a store by its id.
pub fn mark(cluster_id: &str) -> String {
    cluster_id.chars().filter(char::is_ascii_hexdigit).take(MARK_LETTERS).collect()
}

/// Whether a text means to be a labelled share.
pub fn is_labelled(text: &str) -> bool {
    let text = text.trim_start();
    text.len() >= FORM.len() && text.is_char_boundary(FORM.len()) && text[..FORM.len()].eq_ignore_ascii_case(FORM)
}

impl Labelled {
    /// The text to hand out.
    pub fn text(&self) -> Secret<String> {
        let Self { store, generation, index, shares, share } = self;
        let mut text = Secret::new(format!("{FORM}-{store}-g{generation}-{index}of{shares}-"));
        let hex = Secret::new(hex::encode(share.reveal()));
        text.reveal_mut().push_str(hex.reveal());
        let sum = checksum(text.reveal());
        text.reveal_mut().push('-');
        text.reveal_mut().push_str(&sum);
        text
    }

    /// Reads a text that somebody typed: blanks around it and capital letters do not count.
    ///
    /// # Errors
    /// `Invalid` for another form, a part that cannot be read, and for a checksum that does not fit: a slip of the hand.
    pub fn parse(text: &Secret<String>) -> Result<Self> {
        let text = Secret::new(text.reveal().trim().to_lowercase());
        let text = text.reveal();
        let form = || Error::invalid("the share has no label of a known form");
        if text.len() > TEXT_MAX {
            return Err(form());
        }
        let (body, sum) = text.rsplit_once('-').ok_or_else(form)?;
        if checksum(body) != sum {
            return Err(Error::invalid("the share was mistyped: its checksum does not fit"));
        }
        let parts: Vec<&str> = body.split('-').collect();
        let [FORM, store, generation, place, share] = parts[..] else { return Err(form()) };
        let generation = generation.strip_prefix('g').and_then(|g| g.parse().ok()).ok_or_else(form)?;
        let (index, shares) = place.split_once("of").ok_or_else(form)?;
        let (index, shares): (u8, u8) = (index.parse().map_err(|_| form())?, shares.parse().map_err(|_| form())?);
        let share = Secret::new(hex::decode(share).map_err(|_| form())?);
        if index == 0 || index > shares || !SHARE_LENGTHS.contains(&share.reveal().len()) {
            return Err(form());
        }
        Ok(Self { store: store.to_owned(), generation, index, shares, share })
    }
}

fn checksum(body: &str) -> String {
    hex::encode(&sha256(body.as_bytes())[..MARK_LETTERS / 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Labelled {
        let share = Secret::new((0..33).collect());
        Labelled { store: "3f2a9c1d".into(), generation: 2, index: 3, shares: 5, share }
    }

    #[test]
    fn every_slip_in_one_letter_is_found() {
        let text = sample().text();
        for at in 0..text.reveal().len() {
            for letter in ['0', '1', 'a', 'f', 'x', '-'] {
                let mut typed = text.reveal().clone().into_bytes();
                if typed[at] == letter as u8 {
                    continue;
                }
                typed[at] = letter as u8;
                let error = Labelled::parse(&Secret::new(String::from_utf8(typed).unwrap())).unwrap_err().to_string();
                assert!(error.contains("mistyped") || error.contains("label"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_no_labelled_share_is_refused_without_its_text() {
        for text in ["", "-", "wfs1", "canary", "wfs1-canary-g1-1of1-00-00000000", &"a".repeat(TEXT_MAX + 1)] {
            let error = Labelled::parse(&Secret::from(text)).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_share_comes_back_with_its_label_in_any_case_and_with_blanks_around_it() {
        let text = sample().text();
        for typed in [text.reveal().clone(), text.reveal().to_uppercase(), format!("  {}\n", text.reveal())] {
            assert!(is_labelled(&typed));
            let read = Labelled::parse(&Secret::new(typed)).unwrap();
            assert_eq!((read.store.as_str(), read.generation, read.index, read.shares), ("3f2a9c1d", 2, 3, 5));
            assert_eq!(read.share.reveal(), sample().share.reveal());
        }
        assert!(!is_labelled("d2ZzMQ==") && !is_labelled("wf") && !is_labelled("äöü"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = Labelled::parse(&Secret::new(text));
        }
    }
}
