//! Proof that an audit device holds the answer; without it, what was given is taken back.

use super::record::Proof;
use super::settle::Undo;
use super::{Recorded, Settled, record};
use crate::audit::{AuthFacts, ResponseFacts, WrapFacts};
use crate::base::{Error, Result};
use crate::vault::Vault;
use crate::vault::request::{Content, Outbound, Refusal};
use crate::vault::response::{AuthInfo, Response};

impl Vault {
    pub(in crate::vault) async fn release(
        &self,
        recorded: Recorded,
        settled: Result<Settled>,
    ) -> Result<Outbound, Refusal> {
        let (settled, error) = match settled {
            Ok(settled) => (settled, String::new()),
            Err(error) => {
                if let Error::Internal(cause) = &error {
                    tracing::error!(request = %recorded.inbound.id, cause = %format!("{cause:#}"), "internal error");
                }
                let text = error.to_string();
                let content = Content::Errors(error.texts());
                (Settled { status: error.status(), content, undo: Vec::new() }, text)
            }
        };
        let Recorded { inbound, target, session, permit, last_use, proof } = recorded;
        let released = {
            let asker = session.as_deref().map(|s| (s, true));
            let fields = record::secret_fields(Some(&target), &inbound);
            let mut entry = record::entry(self, &inbound, Some(&target), asker, &fields, permit.creating());
            entry.error = &error;
            entry.response = Some(response_facts(&settled.content));
            let start = self.clock.monotonic();
            let released = match proof {
                Proof::Held(_) => self.audit.response(&entry).await,
                Proof::Handed(begun) => self.audit.finish(begun, &entry).await,
            };
            self.note_audit(start, false, released.is_err());
            released
        };
        let outcome = match released {
            Ok(released) => Ok(Outbound::new(settled.status, settled.content, released)),
            Err(error) => {
                self.take_away(settled.undo).await;
                Err(Refusal(error))
            }
        };
        self.revoke_last(last_use).await;
        outcome
    }

    /// Undoes what nobody will hear of.
    async fn take_away(&self, undo: Vec<Undo>) {
        for undo in undo {
            let done = match undo {
                Undo::Token(digest) => self.revoke_token_tree(&digest).await,
                Undo::Lease(id) => match self.leases.get(&id) {
                    Ok(Some(lease)) => self.take_back(&lease, false).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                tracing::error!(%error, "what could not be recorded could not be taken back either; it ends with its time");
            }
        }
    }
}

fn response_facts(content: &Content) -> ResponseFacts<'_> {
    match content {
        Content::Envelope { response, .. } => of_response(response),
        Content::Empty | Content::Errors(_) | Content::Raw { .. } | Content::Stream { .. } => ResponseFacts::default(),
    }
}

fn of_response(response: &Response) -> ResponseFacts<'_> {
    ResponseFacts {
        data: response.data.as_ref(),
        auth: response.auth.as_ref().map(of_auth),
        lease_id: &response.lease_id,
        wrap_info: response.wrap_info.as_ref().map(|w| WrapFacts {
            token: &w.token,
            accessor: &w.accessor,
            ttl: w.ttl,
            creation_time: w.creation_time,
            creation_path: &w.creation_path,
            wrapped_accessor: &w.wrapped_accessor,
        }),
        warnings: &response.warnings,
        ..ResponseFacts::default()
    }
}

fn of_auth(auth: &AuthInfo) -> AuthFacts<'_> {
    AuthFacts {
        client_token: Some(&auth.client_token),
        accessor: &auth.accessor,
        display_name: &auth.display_name,
        policies: &auth.policies,
        token_policies: &auth.token_policies,
        identity_policies: &auth.identity_policies,
        metadata: Some(&auth.metadata),
        entity_id: &auth.entity_id,
        token_type: &auth.token_type,
        token_ttl: auth.lease_duration,
        num_uses: auth.num_uses,
        ..AuthFacts::default()
    }
}
