//! What the vault does for its own engines: renewing, revoking, deciding for another token.

use super::Vault;
use super::stages::{describe, effective_ttl, entry_of, own_frame};
use crate::base::json::Map;
use crate::base::{BoxFuture, Error, Json, Operation, Path, Result, Secret, Ttl, time};
use crate::engine::{ClientCert, Frame, Login, TokenKind};
use crate::identity::Standing;
use crate::policy::{Decision, Query};
use crate::system::{Question, Renewed, RenewedLease, Revocation, Work};
use crate::token::{Kind, Token};

/// What is answered where the longest life is over, or was made so short that it is. The end stays what it was.
const PAST_MAX: &str = "past the max TTL, cannot further renew";

impl Work for Vault {
    fn revoke<'a>(&'a self, what: Revocation<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match what {
                Revocation::Token(digest) => self.revoke_token_tree(digest).await,
                Revocation::TokenAlone(digest) => self.revoke_token_alone(digest).await,
                Revocation::Lease(id) => match self.leases.get(id)? {
                    Some(lease) => self.take_back(&lease, false).await,
                    None => Ok(()),
                },
                Revocation::Below(prefix) => self.revoke_below(prefix, false).await,
                Revocation::Force(prefix) => self.revoke_below(prefix, true).await,
            }
        })
    }

    fn commit(&self, txn: crate::barrier::Txn) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Self::commit(self, txn).await.map(drop) })
    }

    fn write_clients(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::write_clients(self))
    }

    fn unmounted(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.finish_unmounts())
    }

    fn renew_token<'a>(
        &'a self,
        token: &'a Token,
        text: Secret<String>,
        increment: Ttl,
        shown: Option<ClientCert>,
    ) -> BoxFuture<'a, Result<Renewed>> {
        Box::pin(async move {
            let now = self.clock.now();
            if token.kind == Kind::Batch {
                return Err(Error::invalid("batch tokens cannot be renewed"));
            }
            if !token.renewable || token.expires.is_none() {
                return Err(Error::invalid("lease is not renewable"));
            }
            let standing = self.identities.standing(&token.entity_id)?;
            if standing.as_ref().map_or(!token.entity_id.is_empty(), |s| s.entity.disabled) {
                return Err(Error::Forbidden("permission denied".into()));
            }
            let (limits, mut login, from_method) = if token.mount_accessor.is_empty() {
                let table = self.mounts.table();
                let entry = table.at("auth/token/").ok_or_else(|| Error::internal("no token store"))?;
                (entry.mount.limits(self.settings.limits), Login::default(), None)
            } else {
                let entry = entry_of(self, &token.mount_accessor)?;
                let login: Login = serde_json::from_str(&token.internal.text())
                    .map_err(|_| Error::internal("a token's login is not what it should be"))?;
                (entry.mount.limits(self.settings.limits), login, Some(entry))
            };
            login.period = token.period;
            login.explicit_max_ttl = token.explicit_max_ttl;
            login.max_ttl = token.max_ttl;
            if !token.role.is_empty() {
                // What the role says now holds for the tokens that it has made, and never more than it said then. One that
                // is periodic no more makes its tokens so, as in Vault.
                let role = self.tokens.role(&token.role)?.ok_or_else(|| {
                    Error::invalid(format!("original token role \"{}\" could not be found, not renewing", token.role))
                })?;
                login.period = match role.rules.token_period {
                    Ttl::ZERO => Ttl::ZERO,
                    period => period.capped(token.period),
                };
                login.explicit_max_ttl = login.explicit_max_ttl.capped(role.rules.token_explicit_max_ttl);
            }
            let mut regrouped = None;
            if let Some(entry) = from_method {
                let frame = Frame { client_cert: shown, ..own_frame(self, &entry, Path::parse(&token.path)?) };
                let renewal = entry.engine.renew_login(frame, login.clone()).await?;
                if renewal.gone {
                    return Ok(Renewed(None));
                }
                login.ttl = renewal.ttl.or(login.ttl);
                login.max_ttl = renewal.max_ttl.or(login.max_ttl);
                login.period = renewal.period.or(login.period);
                if let Some(groups) = &renewal.groups {
                    regrouped = self.identities.regroup(&token.entity_id, &token.mount_accessor, groups)?;
                }
            } else {
                login.ttl = token.creation_ttl;
            }
            login.ttl = increment.or(login.ttl);
            login.kind = TokenKind::Service;
            let lived = Ttl::from_seconds(
                u64::try_from(now.as_second().saturating_sub(token.created.as_second())).unwrap_or(0),
            );
            let mut warnings = Vec::new();
            let ttl = effective_ttl(&login, limits, lived, &mut warnings);
            if ttl.is_zero() {
                return Err(Error::invalid(PAST_MAX));
            }
            let (mut txn, renewed) = self.tokens.change(&token.id, |token| {
                token.expires = Some(time::after(now, ttl));
                token.renewed = Some(now);
                Ok(())
            })?;
            if let Some(rows) = regrouped {
                txn.merge(rows);
            }
            let start = self.clock.monotonic();
            self.commit(txn).await?;
            let end = self.clock.monotonic();
            self.metrics().renew_token.observe(end.saturating_sub(start), end);
            let standing = self.identities.standing(&renewed.entity_id)?;
            let auth = describe(&renewed, text, standing.as_ref().map(Standing::policies).unwrap_or_default(), now);
            let response = super::Response { auth: Some(auth), warnings, ..super::Response::default() };
            let json = serde_json::to_string(&response).map_err(Error::internal)?;
            Ok(Renewed(Some(Json::parse(json.as_bytes())?)))
        })
    }

    fn renew_lease<'a>(&'a self, id: &'a str, increment: Ttl) -> BoxFuture<'a, Result<RenewedLease>> {
        Box::pin(async move {
            let now = self.clock.now();
            let lease = self.leases.get(id)?.ok_or_else(|| Error::invalid("lease not found"))?;
            if now >= lease.expires || lease.failures > 0 {
                return Err(Error::invalid("lease expired"));
            }
            if !lease.renewable {
                return Err(Error::invalid("lease is not renewable"));
            }
            let entry = entry_of(self, &lease.mount_accessor)?;
            let frame = own_frame(self, &entry, Path::parse(&lease.id)?);
            let limits = entry.mount.limits(self.settings.limits);
            let renewal = entry.engine.renew_lease(frame, lease.internal.clone()).await?;
            let ttl = increment.or(renewal.ttl).or(limits.default_ttl);
            // The mount's longest life as it is tuned now, and no more than it was at the issue.
            let end = time::after(lease.issued, renewal.max_ttl.capped(limits.max_ttl));
            if end.min(lease.expires_at_most) <= now {
                return Err(Error::invalid(PAST_MAX));
            }
            let (txn, renewed) = self.leases.renew(id, now, ttl, end)?;
            let start = self.clock.monotonic();
            self.commit(txn).await?;
            let end = self.clock.monotonic();
            self.metrics().renew.observe(end.saturating_sub(start), end);
            Ok(RenewedLease { ttl: time::until(now, renewed.expires), renewable: renewed.renewable })
        })
    }

    fn capabilities(&self, token: &Token, path: &Path) -> Result<Vec<&'static str>> {
        let session = self.compile(token.clone(), self.policies.epoch(), self.read_through())?;
        Ok(session.acl.capabilities(path.as_str()))
    }

    fn sees(&self, token: &Token, prefix: &str) -> Result<bool> {
        let session = self.compile(token.clone(), self.policies.epoch(), self.read_through())?;
        Ok(session.acl.may_see_mount(prefix))
    }

    fn may(&self, token: &Token, asked: &Query<'_>) -> Result<bool> {
        let session = self.compile(token.clone(), self.policies.epoch(), self.read_through())?;
        Ok(matches!(session.acl.check(asked), Decision::Allow(_)))
    }

    fn readable(&self, token: &Token, paths: &[Path]) -> Result<Vec<bool>> {
        let session = self.compile(token.clone(), self.policies.epoch(), self.read_through())?;
        let admits = |path| matches!(session.acl.check(&Query::new(Operation::Read, path)), Decision::Allow(_));
        Ok(paths.iter().map(admits).collect())
    }

    fn outline(&self, token: &Token) -> Result<Map> {
        let session = self.compile(token.clone(), self.policies.epoch(), self.read_through())?;
        let (mut exact, mut glob) = (Map::new(), Map::new());
        for rule in session.acl.outline() {
            let words = Json::object([("capabilities", Json::from(rule.capabilities))]);
            if rule.glob { &mut glob } else { &mut exact }.insert(rule.path.to_owned(), words);
        }
        Ok(Map::from([
            ("root".to_owned(), Json::Bool(session.token.is_root())),
            ("exact_paths".to_owned(), Json::Object(exact)),
            ("glob_paths".to_owned(), Json::Object(glob)),
        ]))
    }

    fn explain(&self, question: &Question) -> Result<Map> {
        self.explained(question)
    }

    fn explain_denial(&self, request_id: &str) -> Result<Map> {
        self.explained_denial(request_id)
    }

    fn denials(&self) -> Vec<Json> {
        self.kept_denials()
    }

    fn token_of(&self, text: &Secret<String>) -> Result<Token> {
        Ok(Token::clone(&self.session(text)?.token))
    }
}
