//! The functions that reach outside: secrets, certificates, the environment, files, the clock.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::functions::{Answer, Ctx, Dependency, FileWrite, FnErr, Functions, Kind, text, utf8};
use super::value::Value;

/// The largest file that `file` reads, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

pub(super) fn add(functions: &mut Functions) {
    functions.add("secret", 1, None, |ctx, args| {
        let kind = if args.len() > 1 { Kind::Write } else { Kind::Read };
        fetch(ctx, kind, args)
    });
    functions.add("secrets", 1, 1, |ctx, args| fetch(ctx, Kind::List, args));
    functions.add("pkiCert", 1, None, |ctx, args| fetch(ctx, Kind::Certificate, args));
    functions.add("env", 1, 1, |ctx, args| Ok(Value::text(ctx.host.env(utf8(&args[0])?).unwrap_or_default())));
    functions.add("envOrDefault", 2, 2, |ctx, args| match ctx.host.env(utf8(&args[0])?) {
        Some(value) => Ok(Value::text(value)),
        None => Ok(args[1].clone()),
    });
    functions.add("mustEnv", 1, 1, |ctx, args| {
        let name = utf8(&args[0])?;
        match ctx.host.env(name) {
            Some(value) => Ok(Value::text(value)),
            None if ctx.literal => Err(FnErr::Failed(format!("environment variable \"{name}\" is not set"))),
            None => Err(FnErr::from("environment variable is not set")),
        }
    });
    functions.add("file", 1, 1, file);
    functions.add("writeToFile", 5, 6, write_to_file);
    functions.add("timestamp", 0, 1, timestamp);
}

fn fetch(ctx: &mut Ctx, kind: Kind, args: &[Value]) -> Result<Value, FnErr> {
    let path = utf8(&args[0])?.trim_matches('/');
    if path.is_empty() {
        return Err(FnErr::from("empty path"));
    }
    let mut parameters = BTreeMap::new();
    for arg in &args[1..] {
        let arg = utf8(arg)?;
        if arg.is_empty() {
            continue;
        }
        // What is wrong with a pair is not shown: it may be half a secret.
        let (name, value) = arg.split_once('=').ok_or("a parameter is not of the form name=value")?;
        parameters.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    let (path, parameters) = (path.to_owned(), parameters.into_iter().collect());
    ask(ctx, Dependency { kind, path, parameters, computed: !ctx.literal })
}

/// The value of a dependency, or why there is none.
pub(super) fn ask(ctx: &mut Ctx, dependency: Dependency) -> Result<Value, FnErr> {
    match ctx.host.lookup(&dependency) {
        Answer::Ready(value) => Ok(value),
        Answer::Pending => Err(FnErr::Pending(dependency)),
        Answer::Failed(reason) => Err(FnErr::Failed(format!("{}: {reason}", dependency.shown()))),
    }
}

/// Path, owner, group, permissions, flags if any, content. Nothing is written unless the whole rendering succeeds.
fn write_to_file(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let flags = if args.len() == 6 { utf8(&args[4])? } else { "" };
    let mode = u32::from_str_radix(utf8(&args[3])?, 8).ok().filter(|mode| *mode <= 0o777);
    let mut content = text(&args[args.len() - 1])?.bytes().to_vec();
    if flags.contains("newline") {
        content.push(b'\n');
    }
    let write = FileWrite {
        path: utf8(&args[0])?.into(),
        user: utf8(&args[1])?.to_owned(),
        group: utf8(&args[2])?.to_owned(),
        mode: mode.ok_or("the permissions are not those of a file in octal")?,
        append: flags.contains("append"),
        content,
    };
    ctx.host.write_file(write).map_err(FnErr::Failed)?;
    Ok(Value::text(""))
}

fn file(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let path = Path::new(utf8(&args[0])?);
    let roots = ctx.host.file_roots();
    let opened = if roots.is_empty() {
        // A fifo must not make the open wait.
        openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).ok()
    } else {
        roots.iter().find_map(|root| open_beneath(root, path))
    };
    let opened = opened.map(File::from);
    if opened.as_ref().is_some_and(|file| !ctx.host.may_read(file)) {
        return Err(FnErr::from(
            "no template may read the agent's own credentials, nor what the system tells of processes",
        ));
    }
    let read = opened.and_then(|mut file| {
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        Read::take(&mut file, FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes)
    });
    match read {
        Some(bytes) => Ok(Value::text(bytes)),
        None => Err(FnErr::from("not a readable regular file of at most 4 MiB in an allowed folder")),
    }
}

/// Opens a file below a root, component by component and following no link, so that nothing can lead out of it.
fn open_beneath(root: &Path, path: &Path) -> Option<OwnedFd> {
    let below = path.strip_prefix(root).ok()?;
    let parts: Option<Vec<_>> = below
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let parts = parts?;
    let (last, folders) = parts.split_last()?;
    let folder = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let mut at = openat(CWD, root, folder, Mode::empty()).ok()?;
    for name in folders {
        at = openat(&at, *name, folder | OFlags::NOFOLLOW, Mode::empty()).ok()?;
    }
    openat(&at, *last, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty()).ok()
}

fn timestamp(ctx: &mut Ctx, args: &[Value]) -> Result<Value, FnErr> {
    let now = Timestamp::from_second(ctx.host.now()).map_err(|_| "the clock is out of range")?.to_zoned(TimeZone::UTC);
    let layout = match args {
        [layout] => utf8(layout)?,
        _ => "2006-01-02T15:04:05Z07:00",
    };
    if layout == "unix" {
        return Ok(Value::text(now.timestamp().as_second().to_string()));
    }
    Ok(Value::text(go_layout(&now, layout)))
}

/// A time in UTC by Go's example of a layout, whole seconds only.
fn go_layout(now: &Zoned, layout: &str) -> String {
    // Longer words come before those that they begin with.
    const WORDS: [(&str, &str); 28] = [
        ("January", "%B"),
        ("Jan", "%b"),
        ("Monday", "%A"),
        ("Mon", "%a"),
        ("MST", "UTC"),
        ("2006", "%Y"),
        ("-07:00:00", "+00:00:00"),
        ("-07:00", "+00:00"),
        ("-0700", "+0000"),
        ("-07", "+00"),
        ("Z07:00", "Z"),
        ("Z0700", "Z"),
        ("Z07", "Z"),
        ("002", "%j"),
        ("01", "%m"),
        ("02", "%d"),
        ("03", "%I"),
        ("04", "%M"),
        ("05", "%S"),
        ("06", "%y"),
        ("15", "%H"),
        ("PM", "%p"),
        ("pm", "%P"),
        ("_2", "%e"),
        ("1", "%-m"),
        ("2", "%-d"),
        ("3", "%-I"),
        ("4", "%-M"),
    ];
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((word, directive)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            if directive.starts_with('%') {
                out.push_str(&now.strftime(directive).to_string());
            } else {
                out.push_str(directive);
            }
            rest = &rest[word.len()..];
        } else if c == '5' {
            out.push_str(&now.strftime("%-S").to_string());
            rest = &rest[1..];
        } else if c == '.' && rest[1..].starts_with(['0', '9']) {
            // A fraction: zeros are shown as zeros, nines not at all when nothing is there.
            let digit = &rest[1..2];
            let digits = rest[1..].len() - rest[1..].trim_start_matches(digit).len();
            if digit == "0" {
                out.push('.');
                out.push_str(&"0".repeat(digits));
            }
            rest = &rest[1 + digits..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}
