//! Names of HTTP headers as settings give them, and those that no setting may name because they authenticate.

use super::{Error, Result};

/// Longest name of a header, in bytes.
const NAME_BYTES: usize = 128;

/// Whether a text can be an address that a client is sent to: it holds nothing that is not seen, so it breaks no line.
pub fn is_address(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// Whether it is a header's name as HTTP allows it (RFC 9110, a token). Spaces are no part of one.
pub fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= NAME_BYTES && name.bytes().all(fits)
}

/// Whether a header authenticates: its value is a token, or as good as one.
pub fn is_credential(name: &str) -> bool {
    const NAMES: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-vault-token"];
    const INLINE: &str = "x-vault-inline-auth";
    let inline = name.get(..INLINE.len()).is_some_and(|head| head.eq_ignore_ascii_case(INLINE));
    inline || NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether no engine may see a header: it authenticates, or is what a proxy says of the client's certificate.
pub fn is_hidden(name: &str) -> bool {
    is_credential(name) || ["client-cert", "client-cert-chain"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether a header says where an answer begins and ends, which no setting and no engine decides.
pub fn is_framing(name: &str) -> bool {
    const NAMES: [&str; 5] = ["connection", "content-length", "trailer", "transfer-encoding", "upgrade"];
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// The names in a setting of a mount: as they were written, without the spaces around them, each once.
///
/// # Errors
/// [`Error::Invalid`], which names the field, for what is no name, for one that authenticates or frames, for one too many.
pub fn names(field: &str, given: &[String], most: usize) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in given {
        let name = name.trim();
        if !is_name(name) {
            return Err(Error::invalid(format!("field '{field}': not the name of a header")));
        }
        if is_hidden(name) || is_framing(name) {
            return Err(Error::invalid(format!(
                "'{field}' cannot name headers that carry tokens or other credentials, or that frame a message"
            )));
        }
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    if names.len() > most {
        return Err(Error::invalid(format!("field '{field}': at most {most} headers")));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str]) -> Result<Vec<String>> {
        names("f", &given.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>(), 3)
    }

    #[test]
    fn no_spelling_of_a_header_that_authenticates_is_let_through() {
        for name in [
            "Authorization",
            " authorization",
            "AUTHORIZATION\t",
            "X-Vault-Token ",
            "x-vault-token",
            "Proxy-Authorization",
            "Cookie",
            "Client-Cert",
            "X-Vault-Inline-Auth-Path",
            "Transfer-Encoding",
        ] {
            assert!(of(&[name]).unwrap_err().to_string().contains("'f' cannot name"), "{name:?}");
        }
        for name in ["", " ", "author ization", "x-vault-token\0", "x\r\ny", "a:b", "ä", &"n".repeat(129)] {
            assert!(of(&[name]).unwrap_err().to_string().contains("not the name"), "{name:?}");
        }
    }

    #[test]
    fn names_are_counted_once_whatever_their_case_and_have_an_end() {
        assert_eq!(of(&[" X-One", "x-one", "X-Two"]).unwrap(), ["X-One", "X-Two"]);
        assert!(of(&["a", "b", "c", "d"]).unwrap_err().to_string().contains("at most 3"));
    }
}
