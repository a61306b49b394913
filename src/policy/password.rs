//! Password policies: how long a generated password is, and of which characters it must have how many.
//!
//!     length = 20
//!     rule "charset" { charset = "abcdefghij"  min-chars = 1 }
//!
//! Each rule gets its characters first, what is left is drawn from all sets together, and the whole is shuffled: a policy that is
//! accepted can always be met.

use std::fmt::Display;

use crate::base::{Error, Result, Rng, Secret, limits};
use crate::hcl;

/// Shortest and longest password, as Vault has them.
const LENGTH: std::ops::RangeInclusive<usize> = 4..=100;
/// Most rules of one policy.
const RULES: usize = 64;

/// A parsed password policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    length: usize,
    rules: Vec<Rule>,
}

/// A set of characters, and how many of them there must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    charset: Vec<char>,
    min_chars: usize,
}

impl PasswordPolicy {
    /// Reads a policy, in HCL or JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > limits::POLICY_BYTES {
            return Err(Error::invalid(format!("a password policy has at most {} bytes", limits::POLICY_BYTES)));
        }
        let body = hcl::parse("policy", text).map_err(failed_text)?;
        body.only(&["length", "rule"]).map_err(failed_text)?;
        let length = body.require("length").and_then(|l| l.as_int_in(0..=i64::MAX)).map_err(failed_text)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !LENGTH.contains(&length) {
            return Err(Error::invalid(format!("'length' must be {} to {}", LENGTH.start(), LENGTH.end())));
        }
        let blocks = body.labelled("rule").map_err(failed_text)?;
        let rules = blocks.iter().map(Rule::parse).collect::<Result<Vec<_>>>()?;
        if rules.is_empty() || rules.len() > RULES {
            return Err(Error::invalid(format!("a password policy needs 1 to {RULES} rules \"charset\"")));
        }
        let least: usize = rules.iter().map(|rule| rule.min_chars).fold(0, usize::saturating_add);
        if least > length {
            return Err(Error::invalid(format!("the rules ask for {least} characters, and 'length' is {length}")));
        }
        Ok(Self { length, rules })
    }

    /// Checks a password that a person chose: it is at least as long, and has as many characters of each set. What else it has does not count
    /// against it.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is missing, and nothing of the password.
    pub fn check(&self, password: &Secret<String>) -> Result<()> {
        let letters: Vec<char> = password.reveal().chars().collect();
        if letters.len() < self.length {
            return Err(Error::invalid(format!("the password needs at least {} characters", self.length)));
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let found = letters.iter().filter(|letter| rule.charset.binary_search(letter).is_ok()).count();
            if found < rule.min_chars {
                let least = rule.min_chars;
                return Err(Error::invalid(format!(
                    "the password needs at least {least} of the characters of rule {}",
                    number + 1
                )));
            }
        }
        Ok(())
    }

    /// A password of this policy.
    pub fn generate(&self, rng: &dyn Rng) -> Secret<String> {
        let pick = |set: &[char]| set[index(rng, set.len())];
        let mut all: Vec<char> = self.rules.iter().flat_map(|rule| rule.charset.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        let mut letters: Vec<char> = Vec::with_capacity(self.length);
        for rule in &self.rules {
            letters.extend((0..rule.min_chars).map(|_| pick(&rule.charset)));
        }
        letters.extend((letters.len()..self.length).map(|_| pick(&all)));
        for last in (1..letters.len()).rev() {
            letters.swap(last, index(rng, last + 1));
        }
        Secret::new(letters.into_iter().collect())
    }
}

impl Rule {
    fn parse(block: &hcl::Block<'_>) -> Result<Self> {
        let label = block.label().map_err(failed_text)?;
        if label != "charset" {
            return Err(failed_text(block.error(block.span(), "the only kind of rule is \"charset\"")));
        }
        block.only(&["charset", "min-chars", "min_chars"]).map_err(failed_text)?;
        let charset = block.require("charset").and_then(|c| c.as_string()).map_err(failed_text)?;
        let mut charset: Vec<char> = charset.chars().collect();
        charset.sort_unstable();
        charset.dedup();
        if charset.is_empty() || charset.iter().any(|c| c.is_control()) {
            return Err(Error::invalid("'charset' is empty or has a control character"));
        }
        let mut min_chars = 0;
        for name in ["min-chars", "min_chars"] {
            if let Some(attr) = block.attr(name).map_err(failed_text)? {
                min_chars = usize::try_from(attr.as_int_in(0..=100).map_err(failed_text)?).unwrap_or(0);
            }
        }
        Ok(Self { charset, min_chars })
    }
}

fn failed_text(what: impl Display) -> Error {
    Error::invalid(format!("failed to parse password policy: {what}"))
}

/// A place in a list that is not empty.
fn index(rng: &dyn Rng, length: usize) -> usize {
    usize::try_from(rng.below(length as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU64);

    impl Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                let n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, std::sync::atomic::Ordering::Relaxed);
                *byte = (n >> 32) as u8;
            }
        }
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        for text in [
            "",
            "garbage {",
            "length = 3",
            "length = 3\nrule \"charset\" { charset = \"ab\" }",
            "length = 101\nrule \"charset\" { charset = \"ab\" }",
            "length = 20",
            "length = 4\nrule \"charset\" { charset = \"ab\" min-chars = 5 }",
            "length = 8\nrule \"charset\" { charset = \"ab\" min-chars = 5 }\nrule \"charset\" { charset = \"cd\" min-chars = 4 }",
            "length = 8\nrule \"charset\" { charset = \"\" }",
            "length = 8\nrule \"charset\" { charset = \"a\\nb\" }",
            "length = 8\nrule \"words\" { charset = \"ab\" }",
            "length = 8\nrule \"charset\" { charset = \"ab\" colour = 1 }",
        ] {
            assert!(matches!(PasswordPolicy::parse(text), Err(Error::Invalid(_))), "{text}");
        }
    }

    #[test]
    fn a_password_that_a_person_chose_is_long_and_varied_enough() {
        let text = "length = 8\nrule \"charset\" { charset = \"abcdefgh\" min-chars = 2 }\n\
                    rule \"charset\" { charset = \"0123456789\" min-chars = 1 }";
        let policy = PasswordPolicy::parse(text).unwrap();
        for bad in ["", "ab1", "abcdefgh", "zzzzzzz1", "azzzzzz1", "12345678", "äbcdef1", "ABCDEFG1"] {
            let error = policy.check(&bad.into()).unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{error}");
        }
        for good in ["abzzzzz1", "ab1 correct horse", "ab1ÄÖÜßßß"] {
            assert!(policy.check(&good.into()).is_ok(), "{good}");
        }
        assert!(policy.check(&policy.generate(&Counting(1.into()))).is_ok());
    }

    #[test]
    fn every_password_meets_its_policy() {
        let text = "length = 20\nrule \"charset\" { charset = \"abcdefghij\" min-chars = 1 }\n\
                    rule \"charset\" { charset = \"0123456789\" min-chars = 19 }";
        let policy = PasswordPolicy::parse(text).unwrap();
        let rng = Counting(std::sync::atomic::AtomicU64::new(7));
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let password = policy.generate(&rng);
            let text = password.reveal();
            assert_eq!(text.chars().count(), 20);
            assert_eq!(text.chars().filter(char::is_ascii_digit).count(), 19, "{text}");
            firsts.insert(text.chars().position(|c| c.is_ascii_alphabetic()).unwrap());
        }
        assert!(firsts.len() > 10, "the letter moves about: {firsts:?}");
    }
}
