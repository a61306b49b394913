//! The options on the command line.

use std::path::PathBuf;

use crate::scenario::Scenario;

pub const HELP: &str = "\
cargo test --test conformance -- [OPTIONS] [FILTER…]

  FILTER            only scenarios whose `conformance/AREA/NAME` holds one of these texts
  --area A          only this area, also when it is listed as declined (may be repeated)
  --name N          only the scenario of this name (may be repeated)
  --addr URL        a server which already runs; scenarios that need their own are skipped
  --token T         the root token for --addr
  --server PATH     an executable other than the one just built
  --jobs N          servers side by side (default 2)
  --max-fail N      failing steps to print (default 60)
  --verbose         print every step, and failures at full length
  --keep            keep the folders of the servers, with their logs
  --json FILE       write the whole result here
  --list            print the names of the scenarios
  --self-test       check only the runner itself (otherwise this is done first)
  --help            print this";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Replay,
    SelfTest,
    List,
    Help,
}

#[derive(Default)]
pub struct Arguments {
    pub mode: Mode,
    pub areas: Vec<String>,
    pub names: Vec<String>,
    filters: Vec<String>,
    pub addr: Option<String>,
    pub token: Option<String>,
    pub server: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub jobs: usize,
    pub max_fail: usize,
    pub verbose: bool,
    pub keep: bool,
}

impl Arguments {
    /// Reads the options; those that `cargo test` passes to every test binary are accepted without effect.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments { jobs: 2, max_fail: 60, ..Arguments::default() };
        let mut words = words;
        while let Some(word) = words.next() {
            let (option, given) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value =
                || given.clone().or_else(|| words.next()).ok_or_else(|| format!("{option}: its value is missing"));
            match option.as_str() {
                "--area" => arguments.areas.push(value()?),
                "--name" => arguments.names.push(value()?),
                "--addr" => arguments.addr = Some(value()?),
                "--token" => arguments.token = Some(value()?),
                "--server" => arguments.server = Some(PathBuf::from(value()?)),
                "--json" => arguments.json = Some(PathBuf::from(value()?)),
                "--jobs" => arguments.jobs = number(&option, &value()?)?,
                "--max-fail" => arguments.max_fail = number(&option, &value()?)?,
                "--verbose" => arguments.verbose = true,
                "--keep" => arguments.keep = true,
                "--list" => arguments.mode = Mode::List,
                "--self-test" => arguments.mode = Mode::SelfTest,
                "--help" | "-h" => arguments.mode = Mode::Help,
                "--nocapture" | "--no-capture" | "--show-output" | "--exact" | "--include-ignored" | "--quiet"
                | "-q" => {}
                "--test-threads" | "--format" | "--color" | "-Z" | "--skip" => drop(value()?),
                option if option.starts_with('-') => return Err(format!("unknown option {option}")),
                filter => arguments.filters.push(filter.to_owned()),
            }
        }
        Ok(arguments)
    }

    /// Whether a scenario was asked for.
    pub fn selects(&self, scenario: &Scenario) -> bool {
        let full = format!("conformance/{}", scenario.id());
        let one_of = |wanted: &[String], name: &String| wanted.is_empty() || wanted.contains(name);
        one_of(&self.areas, &scenario.area)
            && one_of(&self.names, &scenario.name)
            && (self.filters.is_empty() || self.filters.iter().any(|filter| full.contains(filter.as_str())))
    }
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{option}: not a number"))
}
