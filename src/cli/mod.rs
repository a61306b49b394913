//! The command line: Vault's words, flags and exit codes, over the client.
//!
//! A command sees the process only through `World`; no file here reads the environment, the clock
//! or standard streams by itself, so that a test can run any command whole.

mod agent;
pub mod argv;
mod audit;
mod auth;
mod context;
mod curl;
mod debug;
mod explain;
mod face;
mod failure;
mod kv;
mod lease;
mod logical;
mod login;
mod monitor;
mod mounts;
mod operator;
mod output;
mod pairs;
mod pki;
mod plugin;
mod policy;
mod run;
mod secrets;
mod server;
mod simulate;
mod status;
mod table;
mod template;
mod token;
mod token_file;
pub mod version;
mod version_history;
mod yaml;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::Path,
    process::{ExitCode, Stdio},
    sync::Arc,
};

use clap::{Parser, Subcommand};

use self::{
    context::{Cx, Globals, World},
    failure::{Failure, Outcome},
};
use crate::crypto::SystemRng;

/// A command that runs long and is no client: it is given all arguments, the program's name first.
type Face = fn(Vec<OsString>) -> ExitCode;

/// The long-running commands by their first word. They are found before anything of a client is built.
const FACES: &[(&str, Face)] =
    &[("agent", agent::main), ("run", run::main), ("server", server::main), ("template", template::main)];

/// Runs the command that the arguments name, the program's name first.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let first = args.get(1).and_then(|word| word.to_str());
    if let Some((_, face)) = FACES.iter().find(|(word, _)| Some(*word) == first) {
        return face(args);
    }
    let stdout = io::stdout();
    let mut world = World {
        env: &|name| std::env::var_os(name),
        stdin: &mut io::stdin(),
        terminal: stdout.is_terminal(),
        stdout: &mut stdout.lock(),
        stderr: &mut io::stderr(),
        ask: &mut |prompt| rpassword::prompt_password(prompt),
        browse: &mut browse,
        rng: Arc::new(SystemRng::new()),
    };
    ExitCode::from(run(args, &mut world))
}

/// Gives an address to the desktop's browser, which is not given our token.
fn browse(url: &str) -> io::Result<()> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(program);
    command.arg(url).env_remove("VAULT_TOKEN").env_remove("BAO_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

/// Store and read secrets, and work with the server that keeps them.
#[derive(Parser, Debug)]
#[command(name = "warifu", disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Read(logical::Read),
    Write(logical::Write),
    Patch(logical::Patch),
    Delete(logical::Delete),
    List(logical::List),
    Login(login::Login),
    Unwrap(logical::Unwrap),
    Status(status::Status),
    Kv(kv::Kv),
    Token(token::Token),
    Lease(lease::Lease),
    Pki(pki::Pki),
    Policy(policy::Policy),
    Explain(explain::Explain),
    Secrets(secrets::Secrets),
    Auth(auth::Auth),
    Audit(audit::Audit),
    Operator(operator::Operator),
    PathHelp(logical::PathHelp),
    Monitor(monitor::Monitor),
    Debug(debug::Debug),
    VersionHistory(version_history::VersionHistory),
    Plugin(plugin::Plugin),
    Print(login::Print),
    /// Show the version.
    Version,
}

fn run(args: Vec<OsString>, world: &mut World<'_>) -> u8 {
    let program = args.first().map(|path| Path::new(path).file_name().unwrap_or(path).to_string_lossy().into_owned());
    let program = program.unwrap_or_default();
    if matches!(args.get(1).and_then(|word| word.to_str()), Some("-v" | "-version" | "--version")) {
        return print_version(&program, world);
    }
    let cli: Cli = match argv::parse(args) {
        Ok(cli) => cli,
        Err(told) => {
            let to = if told.code == 0 { &mut *world.stdout } else { &mut *world.stderr };
            // Nobody is left to tell when this fails.
            let _ = writeln!(to, "{}", told.text.trim_end());
            return told.code;
        }
    };
    if let Command::Version = cli.command {
        return print_version(&program, world);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            let _ = writeln!(world.stderr, "Error starting: {err}");
            return 1;
        }
    };
    let code = runtime.block_on(dispatch(cli, world));
    let flushed = world.stdout.flush();
    match flushed {
        Err(err) if code == 0 && err.kind() != io::ErrorKind::BrokenPipe => 1,
        _ => code,
    }
}

async fn dispatch(cli: Cli, world: &mut World<'_>) -> u8 {
    let mut cx = match Cx::new(cli.globals, world) {
        Ok(cx) => cx,
        Err(failure) => return tell(&failure, &str::to_owned, None, world.stderr),
    };
    match command(cli.command, &mut cx).await {
        Ok(()) => 0,
        Err(failure) => {
            let (text, code) = (failure.text(&|path| cx.url(path), cx.namespace()), failure.code());
            if let Some(text) = text {
                let _ = writeln!(cx.world.stderr, "{}", text.trim_end());
            }
            code
        }
    }
}

async fn command(command: Command, cx: &mut Cx<'_, '_>) -> Outcome {
    match command {
        Command::Read(command) => command.run(cx).await,
        Command::Write(command) => command.run(cx).await,
        Command::Patch(command) => command.run(cx).await,
        Command::Delete(command) => command.run(cx).await,
        Command::List(command) => command.run(cx).await,
        Command::Login(command) => command.run(cx).await,
        Command::Unwrap(command) => command.run(cx).await,
        Command::Status(command) => command.run(cx).await,
        Command::Kv(command) => command.run(cx).await,
        Command::Token(command) => command.run(cx).await,
        Command::Lease(command) => command.run(cx).await,
        Command::Pki(command) => command.run(cx).await,
        Command::Policy(command) => command.run(cx).await,
        Command::Explain(command) => command.run(cx).await,
        Command::Secrets(command) => command.run(cx).await,
        Command::Auth(command) => command.run(cx).await,
        Command::Audit(command) => command.run(cx).await,
        Command::Operator(command) => command.run(cx).await,
        Command::PathHelp(command) => command.run(cx).await,
        Command::Monitor(command) => command.run(cx).await,
        Command::Debug(command) => command.run(cx).await,
        Command::VersionHistory(command) => command.run(cx).await,
        Command::Plugin(command) => command.run(cx).await,
        Command::Print(command) => command.run(cx),
        // Answered before a client was thought of.
        Command::Version => Ok(()),
    }
}

fn tell(failure: &Failure, url: &dyn Fn(&str) -> String, namespace: Option<&str>, stderr: &mut dyn Write) -> u8 {
    if let Some(text) = failure.text(url, namespace) {
        let _ = writeln!(stderr, "{}", text.trim_end());
    }
    failure.code()
}

fn print_version(program: &str, world: &mut World<'_>) -> u8 {
    u8::from(writeln!(world.stdout, "{}", version::line(program)).is_err())
}

#[cfg(test)]
mod tests;
