//! Why a command ends early, and with which code: 1 for what is wrong here, 2 for what the server said.

use std::io;

use crate::client;

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

/// An early end.
#[derive(Debug)]
pub enum Failure {
    /// Something here is wrong: arguments, files, the terminal. Code 1.
    Local(String),
    /// The server said no, or could not be asked. Code 2. The text says what was being done.
    Client(String, client::Error),
    /// The server answered, and the answer is "nothing there" or the like. Code 2.
    Remote(String),
    /// All that had to be said is said.
    Exit(u8),
    /// The answer could not be written out.
    Output(io::Error),
}

impl Failure {
    /// A complaint about something here.
    pub fn local(text: impl Into<String>) -> Self {
        Self::Local(text.into())
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Local(_) | Self::Client(_, client::Error::Invalid(_)) => 1,
            Self::Client(..) | Self::Remote(_) => 2,
            Self::Exit(code) => *code,
            // A reader that went away (`| head`) is no failure of ours.
            Self::Output(err) if err.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// What to print, given how a path becomes an address and the namespace that was named.
    pub fn text(&self, url: &dyn Fn(&str) -> String, namespace: Option<&str>) -> Option<String> {
        match self {
            Self::Local(text) | Self::Remote(text) => Some(text.clone()),
            Self::Client(what, err) => {
                let err = api_text(err, url, namespace);
                Some(if what.is_empty() { err } else { format!("{what}: {err}") })
            }
            Self::Exit(_) => None,
            Self::Output(err) if err.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(err) => Some(format!("Error writing the output: {err}")),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(err: client::Error) -> Self {
        Self::Client(String::new(), err)
    }
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self::Output(err)
    }
}

/// Says what was being done when the server refused.
pub trait Doing<T> {
    /// Puts the words before the server's.
    fn doing(self, what: impl Into<String>) -> Outcome<T>;
}

impl<T> Doing<T> for Outcome<T> {
    fn doing(self, what: impl Into<String>) -> Outcome<T> {
        self.map_err(|failure| match failure {
            Failure::Client(said, err) if said.is_empty() => Failure::Client(what.into(), err),
            other => other,
        })
    }
}

/// A refusal in the form that scripts look for; other errors in their own words.
fn api_text(err: &client::Error, url: &dyn Fn(&str) -> String, namespace: Option<&str>) -> String {
    let client::Error::Api { status, errors, raw, method, path } = err else {
        return err.to_string();
    };
    let namespace = namespace.filter(|name| !name.is_empty()).map(|name| format!("Namespace: {name}\n"));
    let mut text = format!(
        "Error making API request.\n\n{}URL: {method} {}\nCode: {status}. {}:\n\n",
        namespace.unwrap_or_default(),
        url(path),
        if *raw { "Raw Message" } else { "Errors" },
    );
    if *raw {
        text.push_str(&errors.concat());
    } else {
        let lines: Vec<_> = errors.iter().map(|err| format!("* {err}")).collect();
        text.push_str(&lines.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Method;

    fn refusal(raw: bool, errors: &[&str]) -> Failure {
        let errors = errors.iter().map(|text| (*text).to_owned()).collect();
        Err::<(), _>(Failure::from(client::Error::Api {
            status: 403,
            errors,
            raw,
            method: Method::Put,
            path: "/v1/a".into(),
        }))
        .doing("Error writing data to a")
        .unwrap_err()
    }

    fn shown(failure: &Failure, namespace: Option<&str>) -> String {
        failure.text(&|path| format!("http://127.0.0.1:8200{path}"), namespace).unwrap()
    }

    #[test]
    fn a_refusal_has_the_form_that_scripts_look_for() {
        let failure = refusal(false, &["permission denied", "invalid token"]);
        assert_eq!(failure.code(), 2);
        assert_eq!(
            shown(&failure, None),
            "Error writing data to a: Error making API request.\n\nURL: PUT http://127.0.0.1:8200/v1/a\n\
             Code: 403. Errors:\n\n* permission denied\n* invalid token"
        );
        assert!(shown(&failure, Some("team")).contains("request.\n\nNamespace: team\nURL: PUT"));
    }

    #[test]
    fn a_body_that_is_not_json_is_shown_as_it_came() {
        assert!(shown(&refusal(true, &["<html>"]), None).ends_with("Code: 403. Raw Message:\n\n<html>"));
    }

    #[test]
    fn codes_tell_here_from_there() {
        assert_eq!(Failure::local("x").code(), 1);
        assert_eq!(Failure::from(client::Error::Invalid("x".into())).code(), 1);
        assert_eq!(Failure::from(client::Error::Transport("x".into())).code(), 2);
        assert_eq!(Failure::Remote("x".into()).code(), 2);
        assert_eq!(Failure::Output(io::ErrorKind::BrokenPipe.into()).code(), 0);
    }
}
