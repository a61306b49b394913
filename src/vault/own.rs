//! Work that no client asked for, on record like a request: before it is done, and how it went.

use super::Vault;
use crate::audit::{AuthFacts, Entry, Memo, RequestFacts, ResponseFacts};
use crate::base::{Error, Result, ids};
use crate::engine::Mount;

/// Who asks for it, as the entries say.
const NOBODY: &str = "system";

/// A piece of work, as its entries say it.
#[derive(Clone, Copy, Default)]
pub struct Work<'a> {
    /// The verb: `revoke`, `rotate`.
    pub operation: &'a str,
    /// The path it is about.
    pub path: &'a str,
    /// The mount, if it is about one.
    pub mount: Option<&'a Mount>,
    /// The accessor of the token it is about.
    pub accessor: &'a str,
    /// The lease it is about.
    pub lease_id: &'a str,
}

impl Vault {
    /// Does the work once a device holds its entry, and records how it went.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be recorded: then it is not done, and to be tried again.
    pub(super) async fn on_record<T>(
        &self,
        what: Work<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Result<T>> {
        let (id, memo) = (ids::uuid(self.rng.as_ref()), Memo::default());
        let asked = Entry {
            time: self.clock.now(),
            request: RequestFacts {
                id: &id,
                operation: what.operation,
                path: what.path,
                mount_point: what.mount.map_or("", |m| m.path.as_str()),
                mount_type: what.mount.map_or("", |m| m.kind.as_str()),
                mount_accessor: what.mount.map_or("", |m| m.accessor.as_str()),
                mount_class: what.mount.map_or("", |m| if m.is_auth() { "auth" } else { "secret" }),
                client_token_accessor: what.accessor,
                ..RequestFacts::default()
            },
            auth: Some(AuthFacts { display_name: NOBODY, allowed: true, ..AuthFacts::default() }),
            memo: Some(&memo),
            ..Entry::default()
        };
        let _recorded = self.audit.request(&asked).await?;
        let done = work.await;
        let error = done.as_ref().err().map(Error::to_string).unwrap_or_default();
        let answered = Entry {
            time: self.clock.now(),
            error: &error,
            response: Some(ResponseFacts { lease_id: what.lease_id, ..ResponseFacts::default() }),
            ..asked
        };
        if let Err(error) = self.audit.response(&answered).await {
            tracing::warn!(path = what.path, %error, "work was done whose end could not be recorded");
        }
        Ok(done)
    }
}
