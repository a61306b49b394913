//! What this program calls itself. Clients parse the first line.

use crate::API_VERSION;

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The line for a program that was called by this name: who asks for `vault` gets Vault's form.
pub fn line(program: &str) -> String {
    if program == "vault" {
        format!("Vault v{API_VERSION} (warifu {VERSION})")
    } else {
        format!("warifu v{VERSION} (Vault API {API_VERSION})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_the_name() {
        assert!(line("vault").starts_with("Vault v1.18.0 "));
        assert_eq!(line("warifu"), format!("warifu v{VERSION} (Vault API 1.18.0)"));
    }
}
