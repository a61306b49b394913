//! `?help=1`: what a path is for. It is told to everybody who may do anything in its mount, and recorded like any other request.

use super::{Spent, record};
use crate::audit::ResponseFacts;
use crate::base::json::{self, Map};
use crate::base::{Error, Json};
use crate::system::openapi;
use crate::vault::Vault;
use crate::vault::request::{Content, Inbound, Outbound, Refusal};

impl Vault {
    /// Answers what a path is for.
    ///
    /// # Errors
    /// A refusal: no token, a mount that is not to be seen, or nothing that could hold the record.
    pub(in crate::vault) async fn help(&self, inbound: Inbound) -> Result<Outbound, Refusal> {
        let mut routed = self.route(inbound);
        // Help is for those who have a token, also where the endpoint itself asks for none.
        routed.public = false;
        let identified = match self.authenticate(routed) {
            Ok(identified) => identified,
            Err((routed, error)) => return Err(self.refuse(&routed, error).await),
        };
        let Spent { routed, session, last_use } = match self.spend(identified).await {
            Ok(spent) => spent,
            Err((routed, error)) => return Err(self.refuse(&routed, error).await),
        };
        let table = self.mounts.table();
        let entry = table.find(routed.inbound.path.as_str()).cloned();
        drop(table);
        let Some((entry, session)) =
            entry.zip(session).filter(|(entry, session)| session.acl.may_see_mount(entry.mount.path.as_str()))
        else {
            let refusal = self.refuse(&routed, Error::Denied).await;
            self.revoke_last(last_use).await;
            return Err(refusal);
        };
        let path = routed.inbound.path.as_str();
        let table = entry.engine.table();
        let mut paths = Map::new();
        let text = match table.describing(&routed.inbound.path, entry.mount.path.as_str().len()) {
            Some(endpoint) => openapi::help(path, endpoint),
            None => openapi::overview(table),
        };
        openapi::add(&mut paths, &entry.mount, table);
        let answer = Map::from([
            ("help".to_owned(), Json::from(text)),
            ("see_also".to_owned(), Json::Null),
            ("openapi".to_owned(), Json::Object(openapi::document(paths))),
        ]);
        let mut bytes = Vec::new();
        json::write_object(&answer, &mut bytes);
        let asker = Some((session.as_ref(), true));
        let mut entry = record::entry(self, &routed.inbound, routed.target.as_ref().ok(), asker, &[], false);
        let recorded = self.audit.request(&entry).await;
        entry.response = Some(ResponseFacts::default());
        let released = match recorded {
            Ok(_) => self.audit.response(&entry).await,
            Err(error) => Err(error),
        };
        self.revoke_last(last_use).await;
        let content = Content::Raw { media_type: "application/json", headers: Vec::new(), bytes };
        released.map(|released| Outbound::new(200, content, released)).map_err(Refusal)
    }
}
