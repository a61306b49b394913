//! The vaultrs client over its areas: `vaultrs-suite AREA` tells the stories of one, in the Test Anything Protocol.
//!
//! vaultrs reads every answer into a strict type: a field that a Vault always sends and we do not is an error here.
#![expect(clippy::disallowed_methods, reason = "tokens that an issuer signs now bear the time of now")]

mod identity;
mod logins;
mod pki;
mod secrets;
mod sys;
mod tokens;
mod world;

use std::pin::Pin;
use std::process::ExitCode;

use world::World;

/// A story: it panics where it ends badly.
pub type Story = (&'static str, fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Stories by the names of their functions.
#[macro_export]
macro_rules! stories {
    ($($name:ident),+ $(,)?) => {
        pub const STORIES: &[$crate::Story] = &[$((stringify!($name), |world| Box::pin($name(world)))),+];
    };
}

#[tokio::main]
async fn main() -> ExitCode {
    let area = std::env::args().nth(1).unwrap_or_default();
    let stories = match area.as_str() {
        "seal" => sys::SEAL,
        "sys" => sys::STORIES,
        "secrets" => secrets::STORIES,
        "tokens" => tokens::STORIES,
        "logins" => logins::STORIES,
        "certificate" => logins::TLS,
        "identity" => identity::STORIES,
        "pki" => pki::STORIES,
        _ => {
            eprintln!("vaultrs-suite: no area '{area}'");
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for (number, (name, story)) in stories.iter().enumerate() {
        let told = tokio::spawn(story(World::of_environment())).await;
        if told.is_err() {
            code = ExitCode::FAILURE;
        }
        println!("{}ok {} - {}", if told.is_ok() { "" } else { "not " }, number + 1, name.replace('_', " "));
    }
    code
}
