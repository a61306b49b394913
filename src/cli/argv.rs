//! From Go's flags to clap's: `-flag`, `-flag=value` and `-flag value` become `--flag` and `--flag=value`.
//!
//! A flag that takes a value takes the next word whatever it looks like, as Go's flags do.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Command, Parser, error::ErrorKind};

/// Why parsing ended without a command: a text for one of the streams, and an exit code.
#[derive(Debug)]
pub struct Told {
    /// Help or a complaint, with flags in their single-dash form.
    pub text: String,
    /// 0 for help that was asked for.
    pub code: u8,
}

/// Reads `args`, program name first, as the command line of `T`.
pub fn parse<T: Parser>(args: Vec<OsString>) -> Result<T, Told> {
    let root = as_go(T::command());
    let args = normalise(&root, args);
    let known = args.iter().skip(1).filter_map(|word| word.to_str()).any(|word| root.find_subcommand(word).is_some());
    root.try_get_matches_from(args).and_then(|matches| T::from_arg_matches(&matches)).map_err(|err| {
        let code = match err.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
            // What the peer's command line answers when it is given no command it knows.
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::InvalidSubcommand if !known => 127,
            _ => 1,
        };
        Told { text: single_dashes(&err.render().to_string()), code }
    })
}

/// Gives every flag the manners of Go's: a switch may be set to a value, the last of several counts.
fn as_go(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.args_override_self(true).mut_args(|arg| {
        if arg.is_positional() {
            arg.allow_negative_numbers(true)
        } else if matches!(arg.get_action(), ArgAction::SetTrue) {
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("false")
                .value_parser(boolean)
                .hide_default_value(true)
                .hide_possible_values(true)
                .value_name("true|false")
        } else {
            arg
        }
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, as_go))
}

/// A switch's value, as Go reads one.
///
/// # Errors
/// It is neither.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

fn normalise(root: &Command, args: Vec<OsString>) -> Vec<OsString> {
    let mut command = root;
    let mut words = args.into_iter();
    let mut out: Vec<OsString> = words.next().into_iter().collect();
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            break;
        }
        let Some(flag) = flag_of(&word) else {
            if let Some(sub) = word.to_str().and_then(|name| command.find_subcommand(name)) {
                command = sub;
            }
            out.push(word);
            continue;
        };
        if matches!(flag.to_str(), Some("h" | "help")) {
            out.push("--help".into());
            continue;
        }
        let mut long = OsString::from("--");
        long.push(flag);
        if flag.to_str().is_some_and(|name| takes_next(root, command, name))
            && let Some(value) = words.next()
        {
            long.push("=");
            long.push(value);
        }
        out.push(long);
    }
    out.extend(words);
    out
}

/// The flag's text without its dashes; nothing for `-`, for what begins with no dash, for numbers.
fn flag_of(word: &OsStr) -> Option<&OsStr> {
    let bytes = word.as_encoded_bytes();
    let start = match bytes {
        [b'-', b'-', first, ..] if first.is_ascii_alphabetic() => 2,
        [b'-', first, ..] if first.is_ascii_alphabetic() => 1,
        _ => return None,
    };
    // Arguments are UTF-8 save for oddities of the caller; an odd one is left as it stands.
    word.to_str().map(|text| OsStr::new(&text[start..]))
}

fn takes_next(root: &Command, command: &Command, name: &str) -> bool {
    let named = |command: &Command| {
        command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
            .map(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
    };
    named(command).or_else(|| named(root)).unwrap_or(false)
}

/// Shows flags as they are typed here.
fn single_dashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '-' && chars.peek() == Some(&'-') && matches!(before, ' ' | '[' | '\'' | '<' | '|' | '`' | '\n') {
            chars.next();
            out.push('-');
            before = '-';
            continue;
        }
        out.push(c);
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::{Args, Subcommand};

    use super::*;

    #[derive(Parser, Debug)]
    struct Cli {
        #[arg(long, global = true)]
        format: Option<String>,
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Subcommand, Debug)]
    enum Sub {
        Write(Write),
    }

    #[derive(Args, Debug)]
    struct Write {
        #[arg(long)]
        force: bool,
        #[arg(long, alias = "desc")]
        description: Option<String>,
        data: Vec<String>,
    }

    fn read(args: &[&str]) -> Result<(Option<String>, Write), Told> {
        let args = std::iter::once("warifu").chain(args.iter().copied()).map(OsString::from).collect();
        parse::<Cli>(args).map(|cli| {
            let Sub::Write(write) = cli.command;
            (cli.format, write)
        })
    }

    #[test]
    fn unknown_flags_and_bad_values_are_complaints_with_code_1() {
        for bad in [&["write", "-nonsense"][..], &["write", "-force=perhaps"], &["write", "-description"]] {
            let told = read(bad).unwrap_err();
            assert_eq!(told.code, 1, "{bad:?}: {}", told.text);
            assert!(!told.text.contains("--"), "{}", told.text);
        }
        assert_eq!(read(&["nonsense"]).unwrap_err().code, 127);
        assert_eq!(read(&[]).unwrap_err().code, 127);
    }

    #[test]
    fn help_is_no_error_and_shows_single_dashes() {
        for help in ["-h", "-help", "--help"] {
            let told = read(&["write", help]).unwrap_err();
            assert_eq!(told.code, 0);
            assert!(told.text.contains(" -force"), "{}", told.text);
            assert!(!told.text.contains("--"), "{}", told.text);
        }
    }

    #[test]
    fn flags_come_in_gos_forms() {
        for form in [&["-description", "x"][..], &["-description=x"], &["--description=x"], &["-desc", "x"]] {
            let (_, write) = read(&[&["write"], form, &["k=v"]].concat()).unwrap();
            assert_eq!((write.description.as_deref(), write.data.len()), (Some("x"), 1), "{form:?}");
        }
        assert!(read(&["write", "-force"]).unwrap().1.force);
        assert!(read(&["write", "-force=true"]).unwrap().1.force);
        assert!(!read(&["write", "-force=false"]).unwrap().1.force);
        assert_eq!(read(&["write", "-description=a", "-description=b"]).unwrap().1.description.as_deref(), Some("b"));
    }

    #[test]
    fn a_switch_does_not_eat_the_next_word_and_a_value_flag_does() {
        let (_, write) = read(&["write", "-force", "path"]).unwrap();
        assert_eq!(write.data, ["path"]);
        let (_, write) = read(&["write", "-description", "-5", "path"]).unwrap();
        assert_eq!(write.description.as_deref(), Some("-5"));
        assert_eq!(write.data, ["path"]);
        let (_, write) = read(&["write", "-description", "-force", "path"]).unwrap();
        assert_eq!((write.description.as_deref(), write.force), (Some("-force"), false));
    }

    #[test]
    fn dashes_numbers_and_what_follows_two_dashes_are_left_alone() {
        let (_, write) = read(&["write", "path", "-", "-5", "k=-x", "--", "-force"]).unwrap();
        assert_eq!(write.data, ["path", "-", "-5", "k=-x", "-force"]);
        assert!(!write.force);
    }

    #[test]
    fn global_flags_may_stand_anywhere() {
        for args in [&["-format=json", "write"][..], &["write", "-format", "json"], &["write", "k=v", "-format=json"]] {
            assert_eq!(read(args).unwrap().0.as_deref(), Some("json"), "{args:?}");
        }
    }
}
