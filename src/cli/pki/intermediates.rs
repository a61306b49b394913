//! Which issuers of the server's mounts an issuer has signed.

use clap::Args;
use serde_json::{Value, json};

use super::super::context::{Cx, clean};
use super::super::failure::Outcome;
use super::signed::Relation;
use super::{Issuer, issuers, mounts};

/// List the issuers that an issuer has signed.
#[derive(Args, Debug)]
pub struct ListIntermediates {
    /// Whether the child has to name the parent as its issuer.
    #[arg(long = "subject_match", value_name = "true|false", default_value = "true", action = clap::ArgAction::Set)]
    subject_match: bool,
    /// Whether the child has to name the parent's key.
    #[arg(long = "key_id_match", value_name = "true|false", default_value = "true", action = clap::ArgAction::Set)]
    key_id_match: bool,
    /// Whether the parent has to stand in the child's chain.
    #[arg(long = "path_match")]
    path_match: bool,
    /// Whether the parent's key has to have made the child's signature.
    #[arg(long = "direct_sign", value_name = "true|false", default_value = "true", action = clap::ArgAction::Set)]
    direct_sign: bool,
    /// Whether a signature further up in the chain counts too.
    #[arg(long = "indirect_sign")]
    indirect_sign: bool,
    /// Whether issuers are shown by their names, where they have one.
    #[arg(long = "use_names")]
    use_names: bool,
    /// The issuer, such as root/issuer/default.
    parent: String,
    /// Mounts or issuers to look at; all mounts of the type pki if none is named.
    children: Vec<String>,
}

impl ListIntermediates {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let parent = Issuer::load(cx, &self.parent).await?;
        let mut paths = Vec::new();
        let named = if self.children.is_empty() { mounts(cx).await? } else { self.children.clone() };
        for child in named {
            match clean(&child).contains("/issuer/") {
                true => paths.push(clean(&child).to_owned()),
                false => paths.extend(issuers(cx, &super::super::context::folder(&child)).await?),
            }
        }
        let mut found = Vec::new();
        for path in paths {
            let child = Issuer::load(cx, &path).await?;
            if child.certificate == parent.certificate {
                continue;
            }
            let shown = match (&child.name, child.path.rsplit_once('/')) {
                (Some(name), Some((folder, _))) if self.use_names => format!("{folder}/{name}"),
                _ => child.path.clone(),
            };
            found.push((shown, self.fits(&parent, &child)));
        }
        if !cx.is_table() {
            let map: serde_json::Map<String, Value> =
                found.into_iter().map(|(path, fits)| (path, json!(fits))).collect();
            return cx.value(&map.into());
        }
        let mut rows = vec![vec!["intermediate".to_owned(), "match?".to_owned()]];
        rows.extend(found.into_iter().map(|(path, fits)| vec![path, fits.to_string()]));
        cx.table(&rows)
    }

    fn fits(&self, parent: &Issuer, child: &Issuer) -> bool {
        let seen = Relation::of(parent, child);
        let further_up = || child.chain.iter().skip(1).any(|one| one.verify_by(&parent.certificate).is_ok());
        (!self.subject_match || seen.subject || (self.indirect_sign && further_up()))
            && (!self.key_id_match || seen.key_id || (self.indirect_sign && further_up()))
            && (!self.path_match || seen.path)
            && (!(self.direct_sign || self.indirect_sign) || seen.signature || (self.indirect_sign && further_up()))
    }
}
