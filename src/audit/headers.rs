//! The request headers that entries show, and those that no configuration can name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result, header, limits};

/// Headers that entries show, names in lower case; each with whether its values are hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HeaderRules(BTreeMap<String, HeaderRule>);

/// How one header is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRule {
    /// Whether its values are hashed.
    pub hmac: bool,
}

/// A header of a request, as its entries show it.
#[derive(Clone)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// All its values.
    pub values: Vec<String>,
    /// Whether they are hashed. Those that carry credentials are hashed even so.
    pub hmac: bool,
}

impl HeaderRules {
    /// Whether no header is shown.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, HeaderRule)> {
        self.0.iter().map(|(name, rule)| (name.as_str(), *rule))
    }

    /// The rule of one header, in whatever case it is asked for.
    pub fn rule(&self, name: &str) -> Option<HeaderRule> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }

    /// Has entries show this header.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no header's name, for a header that carries credentials, and for one too many.
    pub fn set(&mut self, name: &str, hmac: bool) -> Result<()> {
        let name = name.to_ascii_lowercase();
        if !header::is_name(&name) {
            return Err(Error::invalid("the header's name is not one"));
        }
        if header::is_credential(&name) {
            return Err(Error::invalid("headers that carry tokens or other credentials cannot be audited"));
        }
        if !self.0.contains_key(&name) && self.0.len() >= limits::AUDIT_HEADERS {
            return Err(Error::invalid(format!("at most {} headers can be audited", limits::AUDIT_HEADERS)));
        }
        self.0.insert(name, HeaderRule { hmac });
        Ok(())
    }

    /// Has entries no longer show this header.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(&name.to_ascii_lowercase());
    }

    /// Those of a request's headers that its entries show.
    pub fn pick(&self, given: &[(String, String)]) -> Vec<Header> {
        let mut picked: Vec<Header> = Vec::new();
        for (name, value) in given {
            let Some(rule) = self.rule(name) else { continue };
            match picked.iter_mut().find(|header| header.name.eq_ignore_ascii_case(name)) {
                Some(header) => header.values.push(value.clone()),
                None => picked.push(Header {
                    name: name.to_ascii_lowercase(),
                    values: vec![value.clone()],
                    hmac: rule.hmac,
                }),
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_names_a_header_that_authenticates() {
        let mut rules = HeaderRules::default();
        for name in
            ["Authorization", "X-Vault-Token", "x-vault-inline-auth-parameter-a", "Cookie", "", "a b", "a\n", "é"]
        {
            assert_eq!(rules.set(name, true).unwrap_err().status(), 400, "{name}");
        }
        assert!(rules.is_empty());
    }

    #[test]
    fn case_does_not_count_and_the_list_has_an_end() {
        let mut rules = HeaderRules::default();
        rules.set("X-One", false).unwrap();
        rules.set("x-one", true).unwrap();
        assert_eq!(rules.rule("X-ONE"), Some(HeaderRule { hmac: true }));
        for n in 1..limits::AUDIT_HEADERS {
            rules.set(&format!("x-{n}"), true).unwrap();
        }
        assert!(rules.set("one-more", true).unwrap_err().to_string().contains("at most"));
        rules.set("x-one", false).unwrap();
        rules.remove("X-ONE");
        assert_eq!(rules.rule("x-one"), None);
    }

    #[test]
    fn all_values_of_a_header_are_picked_and_none_of_another() {
        let mut rules = HeaderRules::default();
        rules.set("x-a", false).unwrap();
        let given = [("x-b", "1"), ("x-a", "2"), ("X-A", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let picked = rules.pick(&given);
        assert_eq!(picked.len(), 1);
        assert_eq!((picked[0].name.as_str(), picked[0].values.len(), picked[0].hmac), ("x-a", 2, false));
    }
}
