//! The last denials of this node, so that `explain` can be asked about one by its request's id.
//!
//! In memory only, bounded, and without secrets: of parameters the names are kept, of tokens the accessor. Whoever needs
//! an older one reads the audit log, which has all that a new explanation needs.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Path, Timestamp, Ttl, limits};
use crate::engine::Caller;

/// One denial as it was decided.
pub struct Denied {
    /// The request's id.
    pub id: Arc<str>,
    /// When.
    pub time: Timestamp,
    /// What it wanted to do; `create` is told from `update`.
    pub operation: &'static str,
    /// Where; a segment that looks like a token is hidden.
    pub path: Path,
    /// For how long the answer was to be wrapped.
    pub wrap: Option<Ttl>,
    /// From where.
    pub remote: Option<IpAddr>,
    /// Whose token it was; nobody's where there was none, or an unknown one.
    pub caller: Arc<Caller>,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// Which half of the decision said no: `token`, `address` or `policy`.
    pub decided_by: &'static str,
    /// Why, in words.
    pub reason: String,
    /// The rule that decided: its path, and where its parts stand.
    pub rule: Option<(String, Vec<Place>)>,
    /// The parameter that decided.
    pub parameter: Option<String>,
}

/// Where a rule stands: policy, path as written, line.
pub type Place = (String, String, u32);

/// The ring.
#[derive(Default)]
pub struct Denials(Mutex<VecDeque<Arc<Denied>>>);

impl Denials {
    /// Keeps a denial, and forgets the oldest where there are too many.
    pub fn keep(&self, denied: Denied) {
        // A panic cannot leave the ring half changed: each step is whole.
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= limits::DENIALS_KEPT {
            ring.pop_front();
        }
        ring.push_back(Arc::new(denied));
    }

    /// All that are kept, the newest first.
    pub fn recent(&self) -> Vec<Arc<Denied>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// That of a request.
    pub fn of(&self, id: &str) -> Option<Arc<Denied>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().find(|denied| *denied.id == *id).cloned()
    }
}

/// A path without what looks like a token: some endpoints of old take one there.
pub fn without_tokens(path: &Path) -> Path {
    let is_token = |segment: &str| {
        segment.len() > 20 && ["hvs.", "hvb.", "hvr.", "s.", "b."].iter().any(|start| segment.starts_with(start))
    };
    if !path.as_str().split('/').any(is_token) {
        return path.clone();
    }
    let segments: Vec<&str> =
        path.as_str().split('/').map(|segment| if is_token(segment) { "(token)" } else { segment }).collect();
    Path::parse(&segments.join("/")).unwrap_or_else(|_| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(id: &str) -> Denied {
        Denied {
            id: id.into(),
            time: Timestamp::UNIX_EPOCH,
            operation: "read",
            path: Path::parse("a").unwrap(),
            wrap: None,
            remote: None,
            caller: Arc::default(),
            parameters: Vec::new(),
            decided_by: "policy",
            reason: String::new(),
            rule: None,
            parameter: None,
        }
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let ring = Denials::default();
        for number in 0..=limits::DENIALS_KEPT {
            ring.keep(denied(&number.to_string()));
        }
        assert!(ring.of("0").is_none() && ring.of("1").is_some());
        assert_eq!(ring.recent().len(), limits::DENIALS_KEPT);
        assert_eq!(*ring.recent()[0].id, *limits::DENIALS_KEPT.to_string());
    }

    #[test]
    fn a_token_in_a_path_is_not_kept() {
        let path = Path::parse("auth/token/lookup/hvs.CAESIJ0123456789abcdef").unwrap();
        assert_eq!(without_tokens(&path).as_str(), "auth/token/lookup/(token)");
        let path = Path::parse("secret/data/s.mall").unwrap();
        assert_eq!(without_tokens(&path), path);
    }
}
