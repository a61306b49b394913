//! An answer that waits in the cubbyhole of a token that works once.

use super::login;
use crate::barrier::Txn;
use crate::base::{Error, Result, Ttl, time};
use crate::system::cubbyhole;
use crate::token::{Kind, Token, Tokens, Use};
use crate::vault::Vault;
use crate::vault::response::{Response, WrapInfo};

/// Puts an answer aside, and gives the answer that says where.
///
/// # Errors
/// When it cannot be written down.
pub fn make(vault: &Vault, path: &str, response: Response, ttl: Ttl) -> Result<(Response, Vec<Txn>)> {
    let now = vault.clock.now();
    let rng = vault.rng.as_ref();
    let text = Tokens::new_text(rng);
    let token = Token {
        id: vault.tokens.digest(&text),
        accessor: Tokens::new_accessor(rng),
        kind: Kind::Service,
        policies: vec![login::SETTLED_POLICIES[1].to_owned()],
        path: path.to_owned(),
        uses: Use::Counted(1),
        created: now,
        creation_ttl: ttl,
        expires: Some(time::after(now, ttl)),
        explicit_max_ttl: ttl,
        ..Token::default()
    };
    let mut rows = vec![vault.tokens.create(&token)?];
    let table = vault.mounts.table();
    let cubby = table.at("cubbyhole/").ok_or_else(|| Error::internal("no cubbyhole"))?;
    let mut txn = cubby.view.txn();
    let waiting = cubbyhole::Waiting {
        response: serde_json::to_string(&response)
            .map_err(Error::internal)
            .and_then(|text| crate::base::Json::parse(text.as_bytes()))?,
        created: now,
        ttl,
        path: path.to_owned(),
    };
    txn.create(&cubbyhole::waiting_key(&token.id), &waiting)?;
    rows.push(txn);
    let info = WrapInfo {
        token: text,
        accessor: token.accessor,
        ttl,
        creation_time: now,
        creation_path: path.to_owned(),
        wrapped_accessor: response.auth.map(|a| a.accessor).unwrap_or_default(),
    };
    Ok((Response { wrap_info: Some(info), ..Response::default() }, rows))
}
