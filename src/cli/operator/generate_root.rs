//! A new root token from the unseal key's shares; it comes masked by a one-time password.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::{
    context::Cx,
    failure::{Doing, Failure, Outcome},
    table::{go, key_value},
};
use crate::{
    base::{Rng, Secret},
    client::{Reply, Request},
};

/// What an OTP is made of.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// A server that asks for a longer one is mistaken.
const OTP_LENGTH_MAX: u64 = 1024;
/// The encoded token comes without padding, yet people paste it with.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Make a new root token from shares of the unseal key.
#[derive(Args, Debug)]
pub(super) struct GenerateRoot {
    /// Begin; tells the one-time password unless it was given.
    #[arg(long, conflicts_with_all = ["cancel", "status", "decode", "generate_otp"])]
    init: bool,
    /// Give up what was begun.
    #[arg(long, conflicts_with = "status")]
    cancel: bool,
    /// Show how far it is.
    #[arg(long)]
    status: bool,
    /// Unmask this encoded token with -otp; - for standard input.
    #[arg(long, value_name = "TEXT", requires = "otp")]
    decode: Option<String>,
    /// Make up a one-time password.
    #[arg(long)]
    generate_otp: bool,
    /// The one-time password.
    #[arg(long, value_name = "TEXT")]
    otp: Option<String>,
    /// The nonce that -init told.
    #[arg(long, value_name = "TEXT")]
    nonce: Option<String>,
    /// A share, or - for standard input; asked for if absent.
    key: Option<String>,
}

const ATTEMPT: &str = "sys/generate-root/attempt";

impl GenerateRoot {
    pub(super) async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if self.generate_otp {
            return generate_otp(cx).await;
        }
        if let (Some(encoded), Some(otp)) = (&self.decode, &self.otp) {
            let encoded = cx.secret("Encoded token", Some(encoded))?;
            let token = unmask(encoded.reveal(), otp)?;
            return if cx.is_table() { cx.say(token.reveal()) } else { cx.value(&json!({"token": token.reveal()})) };
        }
        if self.cancel {
            cx.send(Request::delete(ATTEMPT)).await.doing("Error canceling root token generation")?;
            return cx.success("Root token generation canceled (if it was started)");
        }
        if self.status {
            let status = cx.send(Request::read(ATTEMPT)).await.doing("Error getting root generation status")?;
            return show(cx, &status);
        }
        if self.init {
            let body = self.otp.as_ref().map_or_else(|| json!({}), |otp| json!({"otp": otp}));
            let request = Request::write(ATTEMPT).json(&body)?;
            let status = cx.send(request).await.doing("Error initializing root generation")?;
            return show(cx, &status);
        }
        let nonce = match &self.nonce {
            Some(nonce) => nonce.clone(),
            None => {
                let status = cx.aside(Request::read(ATTEMPT)).await.doing("Error getting root generation status")?;
                if status.field("started") != Some(&Value::Bool(true)) {
                    let text = "No root generation is in progress; begin with: operator generate-root -init";
                    return Err(Failure::local(text));
                }
                let nonce = status.text("nonce")?.to_owned();
                cx.warn(&format!("Operation nonce: {nonce}"))?;
                nonce
            }
        };
        let key = cx.secret("Unseal Key", self.key.as_deref())?;
        let body = json!({"key": key.reveal(), "nonce": nonce});
        let request = Request::write("sys/generate-root/update").json(&body)?;
        let status = cx.send(request).await.doing("Error posting unseal key")?;
        show(cx, &status)
    }
}

async fn generate_otp(cx: &mut Cx<'_, '_>) -> Outcome {
    let status = cx.aside(Request::read(ATTEMPT)).await.doing("Error getting root generation status")?;
    let length = status.field("otp_length").and_then(Value::as_u64).filter(|length| *length <= OTP_LENGTH_MAX);
    let length = length.ok_or_else(|| Failure::Remote("The server did not tell the length of the password".into()))?;
    let rng: &dyn Rng = &*cx.world.rng;
    let otp: String = (0..length)
        .map(|_| {
            // `below` stays below its bound, so the index holds.
            let at = usize::try_from(rng.below(BASE62.len() as u64)).unwrap_or(0);
            char::from(BASE62[at])
        })
        .collect();
    if cx.is_table() { cx.say(&otp) } else { cx.value(&json!({"otp": otp, "otp_length": length})) }
}

/// Takes the mask off: the token is as long as the password that hid it.
fn unmask(encoded: &str, otp: &str) -> Outcome<Secret<String>> {
    let wrong = || Failure::local("Error decoding root token: the token and the one-time password do not fit");
    let mut bytes = LENIENT.decode(encoded).map_err(|_| wrong())?;
    if bytes.len() != otp.len() {
        return Err(wrong());
    }
    for (byte, mask) in bytes.iter_mut().zip(otp.bytes()) {
        *byte ^= mask;
    }
    String::from_utf8(bytes).map(Secret::new).map_err(|_| wrong())
}

fn show(cx: &mut Cx<'_, '_>, status: &Reply) -> Outcome {
    if let Some(field) = cx.globals.field.clone() {
        return cx.field(&field, status.field(&field).cloned());
    }
    if !cx.is_table() {
        return cx.value(&status.data);
    }
    let empty = Map::new();
    let map = status.data.as_object().unwrap_or(&empty);
    let text = |name: &str| map.get(name).map(go).unwrap_or_default();
    let mut rows = vec![
        vec!["Nonce".to_owned(), text("nonce")],
        vec!["Started".to_owned(), text("started")],
        vec!["Progress".to_owned(), format!("{}/{}", text("progress"), text("required"))],
        vec!["Complete".to_owned(), text("complete")],
    ];
    for (name, title) in [
        ("pgp_fingerprint", "PGP Fingerprint"),
        ("encoded_token", "Encoded Token"),
        ("otp", "OTP"),
        ("otp_length", "OTP Length"),
    ] {
        if !text(name).is_empty() && text(name) != "0" {
            rows.push(vec![title.to_owned(), text(name)]);
        }
    }
    cx.table(&key_value(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_without_being_shown() {
        for (encoded, otp) in [("!!", "x"), ("AAAA", "xx"), ("", "x"), ("gICA", "abc")] {
            let failure = unmask(encoded, otp).unwrap_err();
            assert!(format!("{failure:?}").contains("do not fit"));
        }
    }

    #[test]
    fn the_mask_comes_off_with_or_without_padding() {
        let (token, otp) = ("hvs.0123456789abcdefghijklmn", "ABCDEFGHIJKLMNOPQRSTUVWXYZab");
        let masked: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(masked);
        assert_eq!(unmask(&encoded, otp).unwrap().reveal(), token);
        assert_eq!(unmask(encoded.trim_end_matches('='), otp).unwrap().reveal(), token);
    }
}
