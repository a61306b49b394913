//! The steps of rekey and generate-root on this node: what they answer, and what their end changes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::control::map;
use super::{Active, Node, genesis};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret, ids};
use crate::seal::{Ceremony, Handout, Offered, Plan, Shape, Verified};
use crate::system::{CeremonyKind, CeremonyStep, Offering};
use crate::token::{ROOT_LETTERS, Tokens};

/// Length of a root token, and so of the one-time pad over it.
const OTP_LENGTH: usize = "hvs.".len() + ROOT_LETTERS;

/// The word under which a ceremony is stored and spoken of.
const fn word(kind: CeremonyKind) -> &'static str {
    match kind {
        CeremonyKind::Rekey => "rekey",
        CeremonyKind::RecoveryRekey => "recovery rekey",
        CeremonyKind::Root => "root generation",
    }
}

impl Node {
    /// One step of a ceremony.
    ///
    /// # Errors
    /// [`Error::Sealed`]; [`Error::Invalid`] for a ceremony that this kind of seal has not, and as [`Ceremony`] says.
    pub(super) async fn take_step(&self, kind: CeremonyKind, step: CeremonyStep) -> Result<Map> {
        let active = self.refreshed(self.active()?)?;
        let wrong = match (kind, active.config.opens_itself()) {
            (CeremonyKind::Rekey, true) => {
                Some("the store opens by itself: it has recovery shares, and sys/rekey-recovery-key replaces them")
            }
            (CeremonyKind::RecoveryRekey, false) => {
                Some("recovery rekeying not supported: the store has unseal shares")
            }
            _ => None,
        };
        if let Some(text) = wrong {
            return Err(Error::invalid(text));
        }
        let barrier = active.vault.barrier();
        let view = barrier.view();
        match step {
            CeremonyStep::Status => {
                let ceremony = Ceremony::load(&view, word(kind))?;
                Ok(status(kind, &active, ceremony.as_ref(), Pad::Unsaid))
            }
            CeremonyStep::Rekey(plan) => {
                Shape::of(plan.shares, plan.threshold)?;
                Handout::parse(plan.labelled, &plan.recipients, plan.shares, "age_recipients")?;
                self.begin(kind, &active, plan, None, Pad::Unsaid).await
            }
            CeremonyStep::Root(otp) => {
                let (pad, shown) = match otp {
                    Some(otp) if otp.reveal().len() != OTP_LENGTH => {
                        return Err(Error::invalid(format!("OTP string is wrong length; it needs {OTP_LENGTH} bytes")));
                    }
                    Some(otp) => (otp, Secret::default()),
                    None => {
                        let otp = ids::letters(self.rng.as_ref(), OTP_LENGTH);
                        (otp.clone(), otp)
                    }
                };
                self.begin(kind, &active, Plan::default(), Some(pad), Pad::Shown(&shown)).await
            }
            CeremonyStep::Cancel(claim) => {
                barrier.commit(Ceremony::cancel(&view, word(kind), &claim.nonce, claim.anonymous)?).await?;
                Ok(Map::new())
            }
            CeremonyStep::Offer(share) => self.offer(kind, &active, share).await,
            CeremonyStep::Verification => Ok(verification(Ceremony::load(&view, word(kind))?.as_ref())),
            CeremonyStep::Verify(share) => self.verify(kind, &active, share).await,
            CeremonyStep::VerifyAgain(claim) => {
                let ceremony = Ceremony::verify_again(barrier, word(kind), &claim.nonce, claim.anonymous).await?;
                Ok(verification(Some(&ceremony)))
            }
        }
    }

    async fn begin(
        &self,
        kind: CeremonyKind,
        active: &Active,
        plan: Plan,
        otp: Option<Secret<String>>,
        shown: Pad<'_>,
    ) -> Result<Map> {
        let barrier = active.vault.barrier();
        let (ceremony, txn) = Ceremony::start(&barrier.view(), word(kind), self.rng.as_ref(), plan, otp)?;
        barrier.commit(txn).await?;
        Ok(status(kind, active, Some(&ceremony), shown))
    }

    async fn offer(&self, kind: CeremonyKind, active: &Arc<Active>, share: Offering) -> Result<Map> {
        let barrier = active.vault.barrier();
        match Ceremony::offer(barrier, word(kind), &active.config, &share.key, &share.nonce).await? {
            Offered::Waiting(_) => {
                Ok(status(kind, active, Ceremony::load(&barrier.view(), word(kind))?.as_ref(), Pad::Past))
            }
            Offered::Complete(ceremony, mut end) if kind == CeremonyKind::Root => {
                let rng = self.rng.as_ref();
                let tokens = active.vault.tokens();
                let text = Tokens::new_root_text(rng);
                let token = genesis::root_token_of(tokens, &text, rng, self.clock.now());
                end.merge(tokens.create(&token)?);
                barrier.commit(end).await?;
                let pad = ceremony.otp.clone().unwrap_or_default();
                let mixed: Vec<u8> = text.reveal().bytes().zip(pad.reveal().bytes()).map(|(a, b)| a ^ b).collect();
                let encoded = BASE64.encode(mixed);
                let mut answer = status(kind, active, Some(&ceremony), Pad::Past);
                answer.insert("progress".into(), usize::from(active.config.threshold).into());
                answer.insert("complete".into(), true.into());
                answer.insert("encoded_token".into(), encoded.as_str().into());
                answer.insert("encoded_root_token".into(), encoded.into());
                Ok(answer)
            }
            Offered::Complete(ceremony, end) => {
                let (shares, round, batch) =
                    ceremony.rekey(barrier, word(kind), end, &active.config, &active.root_key)?;
                barrier.storage().commit(batch).await?;
                // From here on nothing may fail: the new shares exist nowhere else. Whoever asks next looks again.
                let _ = self.refreshed(active.clone());
                let mut answer = map([
                    ("nonce", share.nonce.as_str().into()),
                    ("complete", true.into()),
                    ("pgp_fingerprints", Json::Null),
                    ("backup", false.into()),
                    ("verification_required", round.is_some().into()),
                ]);
                if let Some(round) = round {
                    answer.insert("verification_nonce".into(), round.into());
                }
                answer.extend(shares);
                Ok(answer)
            }
        }
    }

    async fn verify(&self, kind: CeremonyKind, active: &Arc<Active>, share: Offering) -> Result<Map> {
        let barrier = active.vault.barrier();
        let (config, root) = (&active.config, &active.root_key);
        match Ceremony::verify(barrier, word(kind), config, root, &share.key, &share.nonce).await? {
            Verified::Waiting(ceremony) => Ok(verification(Some(&ceremony))),
            Verified::Complete(batch) => {
                barrier.storage().commit(batch).await?;
                let _ = self.refreshed(active.clone());
                Ok(map([("nonce", share.nonce.as_str().into()), ("complete", true.into())]))
            }
        }
    }
}

/// What an answer says of the one-time pad over a root token.
enum Pad<'a> {
    /// Its length alone.
    Unsaid,
    /// The pad that was just made; empty if the caller brought one.
    Shown(&'a Secret<String>),
    /// Nothing: the length is of use to who starts only.
    Past,
}

fn status(kind: CeremonyKind, active: &Active, ceremony: Option<&Ceremony>, pad: Pad<'_>) -> Map {
    let common = [
        ("nonce", Json::from(ceremony.map_or("", |c| c.nonce.as_str()))),
        ("started", ceremony.is_some().into()),
        ("progress", ceremony.map_or(0, Ceremony::progress).into()),
        ("required", active.config.threshold.into()),
    ];
    let mut answer = map(common);
    if kind == CeremonyKind::Root {
        let (otp, otp_length) = match pad {
            Pad::Unsaid => ("", OTP_LENGTH),
            Pad::Shown(otp) => (otp.reveal().as_str(), OTP_LENGTH),
            Pad::Past => ("", 0),
        };
        answer.extend(map([
            ("complete", false.into()),
            ("encoded_token", "".into()),
            ("encoded_root_token", "".into()),
            ("pgp_fingerprint", "".into()),
            ("otp", otp.into()),
            ("otp_length", otp_length.into()),
        ]));
        return answer;
    }
    answer.extend(map([
        ("t", ceremony.map_or(0, |c| c.plan.threshold).into()),
        ("n", ceremony.map_or(0, |c| c.plan.shares).into()),
        ("pgp_fingerprints", Json::Null),
        ("backup", false.into()),
        ("verification_required", ceremony.is_some_and(|c| c.plan.verify).into()),
    ]));
    if let Some(pending) = ceremony.and_then(|c| c.pending.as_ref()) {
        answer.insert("verification_nonce".into(), pending.nonce.as_str().into());
    }
    answer
}

/// What `sys/rekey/verify` says.
fn verification(ceremony: Option<&Ceremony>) -> Map {
    let round = ceremony.and_then(|c| c.pending.as_ref().map(|pending| (&c.plan, pending)));
    map([
        ("nonce", round.map_or("", |(_, pending)| pending.nonce.as_str()).into()),
        ("started", round.is_some().into()),
        ("t", round.map_or(0, |(plan, _)| plan.threshold).into()),
        ("n", round.map_or(0, |(plan, _)| plan.shares).into()),
        ("progress", round.map_or(0, |(_, pending)| pending.progress()).into()),
    ])
}
