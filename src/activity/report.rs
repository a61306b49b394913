//! How many clients there were in a span of months, by month and by where they came from.

use std::collections::BTreeMap;

use super::{Client, Month};

/// Clients of both kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entities.
    pub entities: u64,
    /// Tokens without an entity, by their policies.
    pub others: u64,
}

impl Counts {
    /// Of both kinds.
    pub const fn all(self) -> u64 {
        self.entities + self.others
    }

    fn add(&mut self, client: &Client) {
        if client.entity {
            self.entities += 1;
        } else {
            self.others += 1;
        }
    }
}

/// Clients of a span, and where they came from: counts by the accessor of their mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Together.
    pub total: Counts,
    /// By the accessor of the auth mount.
    pub mounts: BTreeMap<String, Counts>,
}

impl Tally {
    fn add(&mut self, client: &Client) {
        self.total.add(client);
        self.mounts.entry(client.accessor.clone()).or_default().add(client);
    }
}

/// A report over whole months.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The first month.
    pub from: Month,
    /// The last.
    pub to: Month,
    /// Each client once, however many months it was here.
    pub all: Tally,
    /// For each month with clients: those that were here, and those of them that were here for the first time in the span.
    pub months: BTreeMap<Month, (Tally, Tally)>,
}

impl Report {
    /// Of these months, still empty.
    pub const fn of(from: Month, to: Month) -> Self {
        Self {
            from,
            to,
            all: Tally { total: Counts { entities: 0, others: 0 }, mounts: BTreeMap::new() },
            months: BTreeMap::new(),
        }
    }

    /// Counts a client in.
    pub fn add(&mut self, client: &Client) {
        let mut new = true;
        for month in client.months.iter().filter(|month| (self.from..=self.to).contains(month)) {
            let (here, first) = self.months.entry(*month).or_default();
            here.add(client);
            if std::mem::take(&mut new) {
                first.add(client);
                self.all.add(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_once_in_the_span_and_once_in_each_of_its_months() {
        let client = |entity, accessor: &str, months: &[u32]| Client {
            entity,
            accessor: accessor.into(),
            months: months.iter().map(|m| Month(*m)).collect(),
            ..Client::default()
        };
        let mut report = Report::of(Month(10), Month(12));
        for client in [
            client(true, "a", &[9, 10, 12]),
            client(true, "a", &[12]),
            client(false, "b", &[11, 12, 13]),
            client(false, "b", &[8, 13]),
        ] {
            report.add(&client);
        }
        assert_eq!(report.all.total, Counts { entities: 2, others: 1 });
        assert_eq!(report.all.mounts["a"], Counts { entities: 2, others: 0 });
        let shown: Vec<_> =
            report.months.iter().map(|(m, (here, new))| (m.0, here.total.all(), new.total.all())).collect();
        assert_eq!(shown, [(10, 1, 1), (11, 1, 1), (12, 3, 1)]);
    }
}
