//! What `scripts/bench` says to `load run`.

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

/// How to run.
pub struct Options {
    /// The release binary.
    pub warifu: PathBuf,
    /// The library that slows flushes.
    pub slow: PathBuf,
    /// Where everything is put; the script removes it.
    pub folder: PathBuf,
    /// How long each rate is taken for.
    pub time: Duration,
    /// How often everything is taken.
    pub rounds: usize,
    /// Where the rows go as JSON.
    pub json: Option<PathBuf>,
    /// Whether a missed goal is a failure.
    pub strict: bool,
    /// Whether the server is spoken to over TLS.
    pub tls: bool,
    /// The measures that are taken; all if empty.
    pub only: Vec<String>,
    /// With how many certificates a large CA is filled.
    pub certificates: usize,
    /// With how many tokens and leases a large store is filled.
    pub tokens: usize,
}

impl Options {
    /// Reads the words after `run`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            warifu: PathBuf::new(),
            slow: PathBuf::new(),
            folder: PathBuf::new(),
            time: Duration::from_secs(3),
            rounds: 3,
            json: None,
            strict: false,
            tls: false,
            only: Vec::new(),
            certificates: 1_000_000,
            tokens: 1_000_000,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value"));
            match *word {
                "--warifu" => options.warifu = value()?.into(),
                "--slow" => options.slow = value()?.into(),
                "--folder" => options.folder = value()?.into(),
                "--seconds" => options.time = Duration::from_secs_f64(value()?.parse()?),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--json" => options.json = Some(value()?.into()),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--certificates" => options.certificates = value()?.parse::<usize>()?.max(10_000),
                "--tokens" => options.tokens = value()?.parse::<usize>()?.max(1000),
                "--strict" => options.strict = true,
                "--tls" => options.tls = true,
                other => return Err(format!("{other} is not known").into()),
            }
        }
        Ok(options)
    }

    /// Whether this measure is asked for by name.
    pub fn asks(&self, measure: &str) -> bool {
        self.only.iter().any(|word| word == measure)
    }

    /// Whether a server is loaded with everything that is measured on one.
    pub fn wants_any_of_one_server(&self) -> bool {
        let apart =
            |word: &String| word.starts_with("pki") || ["audit", "ends", "methods", "scale"].contains(&word.as_str());
        self.only.is_empty() || !self.only.iter().all(apart)
    }

    /// Whether this measure is taken.
    pub fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| word == measure)
    }
}
