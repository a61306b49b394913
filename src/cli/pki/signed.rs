//! Whether one issuer was signed by another: what their names, keys and chains say, one by one.

use clap::Args;

use super::super::context::Cx;
use super::super::failure::Outcome;
use super::{Issuer, facts};

/// Compare an issuer with one that it says, or somebody says, it signed.
#[derive(Args, Debug)]
pub struct VerifySign {
    /// The issuer that is said to have signed, such as root/issuer/default.
    parent: String,
    /// The issuer that is said to be signed.
    child: String,
}

/// What is seen of two issuers.
pub struct Relation {
    /// The child names the parent as its issuer.
    pub subject: bool,
    /// The parent stands in the child's chain.
    pub path: bool,
    /// The child stands directly below the parent in its chain.
    pub trust: bool,
    /// The child names the parent's key.
    pub key_id: bool,
    /// The parent's key made the child's signature.
    pub signature: bool,
}

impl Relation {
    /// Looks at two issuers.
    pub fn of(parent: &Issuer, child: &Issuer) -> Self {
        let above = child.chain.iter().skip(1);
        let key_id = parent.certificate.subject_key_id().ok().flatten();
        Self {
            subject: child.certificate.issuer() == parent.certificate.subject(),
            path: above.clone().any(|one| *one == parent.certificate),
            trust: above.take(1).any(|one| *one == parent.certificate),
            key_id: key_id.is_some() && key_id == child.certificate.authority_key_id().ok().flatten(),
            signature: child.certificate.verify_by(&parent.certificate).is_ok(),
        }
    }
}

impl VerifySign {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let parent = Issuer::load(cx, &self.parent).await?;
        let child = Issuer::load(cx, &self.child).await?;
        let seen = Relation::of(&parent, &child);
        if cx.is_table() {
            cx.say(&format!("issuer:{}\nissued:{}\n", parent.path, child.path))?;
        }
        facts(
            cx,
            &[
                ("key_id_match", seen.key_id),
                ("path_match", seen.path),
                ("signature_match", seen.signature),
                ("subject_match", seen.subject),
                ("trust_match", seen.trust),
            ],
        )
    }
}
