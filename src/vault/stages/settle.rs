//! The one commit: the engine's change with the rows of the token, lease or wrapping token that goes with it.

use super::{Answered, Recorded, login, simulate, wrap};
use crate::barrier::Txn;
use crate::base::{Error, Json, Result, Secret, time};
use crate::engine::{Body, Leased};
use crate::lease::{Lease, Leases};
use crate::token::Kind;
use crate::vault::Vault;
use crate::vault::request::Content;
use crate::vault::response::Response;

/// An answer whose change is durable.
pub struct Settled {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub content: Content,
    /// What must be undone if the answer cannot be recorded.
    pub undo: Vec<Undo>,
}

/// What a release that fails takes back.
pub enum Undo {
    /// The token with this digest.
    Token(String),
    /// The lease with this id.
    Lease(String),
}

impl Vault {
    pub(in crate::vault) async fn settle(&self, recorded: &Recorded, answered: Answered) -> Result<Settled> {
        let reply = answered.reply;
        let flat = recorded.target.endpoint().flat;
        let mut txn = reply.txn;
        let mut undo = Vec::new();
        let (mut leased, mut made_token, mut wrapping_token) = (false, None, false);
        let mut status = reply.status.unwrap_or(200);
        let mut response = match reply.body {
            Body::Empty => {
                self.commit_some(txn).await?;
                if reply.warnings.is_empty() {
                    let status = reply.status.unwrap_or(204);
                    return Ok(Settled { status, content: Content::Empty, undo });
                }
                txn = None;
                Response::default()
            }
            Body::Raw { status, media_type, mut headers, bytes } => {
                headers.retain(|(name, _)| recorded.target.entry.mount.config.lets_out(name));
                self.commit_some(txn).await?;
                return Ok(Settled { status, content: Content::Raw { media_type, headers, bytes }, undo });
            }
            Body::Stream { media_type, pieces } => {
                let pieces = self.stream(recorded, pieces)?;
                self.commit_some(txn).await?;
                return Ok(Settled { status, content: Content::Stream { media_type, pieces }, undo });
            }
            Body::Data(data) if status == 404 && data.is_empty() => {
                self.commit_some(txn).await?;
                return Ok(Settled { status, content: Content::Errors(Vec::new()), undo });
            }
            Body::Data(data) => Response::data(data),
            Body::Whole(json) => serde_json::from_str(&Secret::new(json.text()).reveal().clone())
                .map_err(|_| Error::internal("a wrapped answer is not what it should be"))?,
            Body::Leased(data) => {
                let (response, lease) = self.lease(recorded, data)?;
                leased = true;
                merge(&mut txn, self.leases.create(&lease)?);
                if !lease.token_id.is_empty() {
                    merge(&mut txn, self.tokens.expect_alive(&lease.token_id));
                }
                undo.push(Undo::Lease(lease.id));
                response
            }
            Body::Simulated(asked) => {
                txn = None;
                Response::data(simulate::told(self, recorded, asked)?)
            }
            Body::Login(login) => {
                let made = login::make(self, recorded, login.login())?;
                for rows in made.rows {
                    merge(&mut txn, rows);
                }
                if let Some(token) = made.token.as_ref().filter(|t| t.kind == Kind::Service) {
                    undo.push(Undo::Token(token.id.clone()));
                }
                made_token = made.token;
                Response { auth: Some(made.auth), warnings: made.warnings, ..Response::default() }
            }
        };
        response.warnings.extend(reply.warnings);
        if let Some(ttl) = reply.lease_duration {
            response.lease_duration = ttl;
        }
        // What is wrapped must be something: a bare 404 would only hide that nothing was there.
        let asked = recorded.wrap_ttl().map(|ttl| (ttl, recorded.inbound.path.as_str().to_owned()));
        if status < 400
            && let Some((ttl, path)) = reply.rewrap.or(asked)
            && (response.data.is_some() || response.auth.as_ref().is_some_and(|a| a.mfa_requirement == Json::Null))
        {
            let (mut wrapped, rows) = wrap::make(self, &path, response, ttl)?;
            for rows in rows {
                merge(&mut txn, rows);
            }
            if let Some(info) = &mut wrapped.wrap_info {
                undo.push(Undo::Token(self.tokens.digest(&info.token)));
                if let Some(accessor) = reply.accessor {
                    info.wrapped_accessor = accessor;
                }
            }
            response = wrapped;
            wrapping_token = true;
            status = 200;
        }
        self.commit_some(txn).await?;
        let metrics = self.metrics();
        let ends = u64::from(leased) + u64::from(wrapping_token);
        metrics.leases_created.add(ends);
        metrics.leases.add(i64::try_from(ends).unwrap_or(0));
        if let Some(token) = made_token {
            let mount = &recorded.target.entry.mount;
            self.note_token(&token, mount.path.as_str(), &mount.kind);
        }
        let content = Content::Envelope { request_id: recorded.inbound.id.clone(), response: Box::new(response), flat };
        Ok(Settled { status, content, undo })
    }

    async fn commit_some(&self, txn: Option<Txn>) -> Result<()> {
        match txn {
            Some(txn) if !txn.is_empty() => self.commit(txn).await.map(drop),
            _ => Ok(()),
        }
    }

    fn lease(&self, recorded: &Recorded, leased: Leased) -> Result<(Response, Lease)> {
        let now = self.clock.now();
        let limits = recorded.target.entry.mount.limits(self.settings.limits);
        let max = leased.max_ttl.capped(limits.max_ttl);
        let ttl = leased.ttl.or(limits.default_ttl).capped(max);
        let mut expires_at_most = time::after(now, max);
        // A lease never outlives a token that ends without renewal.
        let token = recorded.session.as_ref().map(|s| &s.token);
        if let Some(end) = token.filter(|t| t.kind == Kind::Batch).and_then(|t| t.expires) {
            expires_at_most = expires_at_most.min(end);
        }
        let expires = time::after(now, ttl).min(expires_at_most);
        let lease = Lease {
            id: Leases::new_id(recorded.inbound.path.as_str(), self.rng.as_ref()),
            token_id: token.filter(|t| t.kind == Kind::Service).map(|t| t.id.clone()).unwrap_or_default(),
            mount_accessor: recorded.target.entry.mount.accessor.clone(),
            issued: now,
            renewed: None,
            expires,
            expires_at_most,
            renewable: leased.renewable,
            internal: leased.internal,
            failures: 0,
            due: None,
            stuck: None,
        };
        let response = Response {
            lease_id: lease.id.clone(),
            renewable: lease.renewable,
            lease_duration: time::until(now, expires),
            data: Some(leased.data),
            ..Response::default()
        };
        Ok((response, lease))
    }
}

fn merge(txn: &mut Option<Txn>, rows: Txn) {
    match txn {
        Some(txn) => txn.merge(rows),
        None => *txn = Some(rows),
    }
}
