//! Lists in stretches: `after` and `limit` of the query, as OpenBao pages.

use crate::base::Json;
use crate::params;

params! {
    /// A stretch of a list.
    pub struct Page {
        /// Only names after this one.
        after: Option<String>,
        /// At most so many names; all if it is not positive.
        limit: Option<i64>,
    }
}

impl Page {
    /// What of these names was asked for.
    pub fn of(self, names: Vec<String>) -> Vec<Json> {
        page(names, self.after.as_deref(), self.limit)
    }
}

/// What of a list's names was asked for, where other parameters stand beside `after` and `limit`.
pub fn page(names: Vec<String>, after: Option<&str>, limit: Option<i64>) -> Vec<Json> {
    let limit = match limit {
        Some(n) if n > 0 => usize::try_from(n).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let names = names.into_iter().filter(|n| after.is_none_or(|a| n.as_str() > a));
    names.take(limit).map(Json::from).collect()
}
