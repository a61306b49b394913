//! Holds the layers one-way: reads every file of `src/` and fails when one reaches a layer that it must not know.
//!
//! The rule of a newcomer: `LAYERS` is the table of ARCHITECTURE.md as code. A layer uses those above it in the list and none below. Tests at the
//! foot of a file are held to it too: a test that needs a higher layer belongs to that layer. What is excepted stands in `EXCEPTIONS`, with its reason,
//! and an exception that nothing needs any more fails as well.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a layer may use.
enum Uses {
    /// All layers above it in the list.
    Above,
    /// All layers above it, save these: they are its equals and reach each other through ids only.
    AboveBut(&'static [&'static str]),
    /// These and no others: it is a program of its own beside the server.
    Only(&'static [&'static str]),
}

use Uses::{Above, AboveBut, Only};

const STORES: &[&str] = &["identity", "token", "lease", "quota", "activity"];
const ENGINES: &[&str] = &["secrets", "auth"];
/// What several engines of a folder stand on. It knows none of them.
const SHARED: &[(&str, &str)] = &[("auth", "glob"), ("auth", "jws")];

/// From the bottom to the top.
const LAYERS: &[(&str, Uses)] = &[
    ("base", Above),
    ("telemetry", Above),
    ("crypto", Above),
    ("outbound", Only(&["base", "telemetry", "crypto"])),
    ("storage", Only(&["base"])),
    ("barrier", Above),
    ("seal", Above),
    ("hcl", Only(&["base"])),
    ("config", Only(&["base", "telemetry", "hcl"])),
    ("policy", Only(&["base", "hcl"])),
    ("audit", AboveBut(&["config", "policy", "seal"])),
    ("engine", AboveBut(&["config", "seal"])),
    ("identity", AboveBut(STORES)),
    ("token", AboveBut(STORES)),
    ("lease", AboveBut(STORES)),
    ("quota", AboveBut(STORES)),
    ("activity", AboveBut(STORES)),
    ("secrets", AboveBut(ENGINES)),
    ("auth", AboveBut(ENGINES)),
    ("mount", Above),
    ("system", Above),
    ("vault", Above),
    ("node", Above),
    ("api", Above),
    ("client", Only(&["base", "telemetry", "crypto"])),
    ("agent", Only(&["base", "telemetry", "crypto", "hcl", "client"])),
    ("cli", Only(&["base", "telemetry", "crypto", "hcl", "policy", "client", "agent"])),
];

/// A file (or a folder, ending in a slash), the layer that it uses against the rule, and why.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[
    (
        "cli/server/",
        &["config", "outbound", "storage", "seal", "audit", "engine", "system", "vault", "node", "api"],
        "`warifu server` is where the server is put together: the one place that sees every part",
    ),
    ("cli/audit/", &["audit"], "`warifu audit verify` reads log files by the code that writes them"),
];

/// Macros that stand at the root of the crate though a layer owns them.
const MACROS: &[(&str, &str)] = &[("params", "engine")];

#[test]
fn no_layer_reaches_one_that_is_below_it_in_the_list() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = String::new();
    let mut needed = vec![Vec::new(); EXCEPTIONS.len()];
    let (mut files, mut uses) = (0, 0);
    for file in rust_files(&src) {
        let relative = file.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let home = module_of(&relative);
        files += 1;
        for found in references(&text, &home) {
            uses += 1;
            let Some(problem) = judge(&home, &found.target) else { continue };
            let layer = found.target[0].clone();
            let excepted = EXCEPTIONS.iter().position(|(place, layers, _)| {
                (relative == *place || (place.ends_with('/') && relative.starts_with(place)))
                    && layers.contains(&layer.as_str())
            });
            match excepted {
                Some(index) => needed[index].push(layer),
                None => {
                    let _ = writeln!(wrong, "src/{relative}:{}: {} {problem}", found.line, found.target.join("::"));
                }
            }
        }
    }
    for ((place, layers, _), needed) in EXCEPTIONS.iter().zip(needed) {
        for layer in *layers {
            if !needed.iter().any(|n| n == layer) {
                let _ = writeln!(
                    wrong,
                    "tests/layers.rs: nothing in {place} uses `{layer}` any more: take the exception off"
                );
            }
        }
    }
    assert!(files > 100 && uses > 500, "only {files} files and {uses} references were found: the reader is broken");
    assert!(wrong.is_empty(), "layers point the wrong way:\n{wrong}");
}

#[test]
fn every_folder_of_src_is_a_layer_of_the_list() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<String> = std::fs::read_dir(&src)
        .expect("src")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|name| match name.strip_suffix(".rs") {
            Some("lib" | "main") => None,
            Some(module) => Some(module.to_owned()),
            None => Some(name),
        })
        .collect();
    folders.sort();
    let mut listed: Vec<String> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(folders, listed);
}

#[test]
fn the_reader_finds_what_it_is_there_for() {
    let home: Vec<String> = ["lease", "sweep"].map(str::to_owned).into();
    let found = |text: &str| -> Vec<(usize, String)> {
        references(text, &home).into_iter().map(|r| (r.line, r.target.join("::"))).collect()
    };
    assert_eq!(found("use crate::mount::Mounts;"), [(1, "mount::Mounts".into())]);
    assert_eq!(
        found("use std::fmt;\nuse crate::{base::{Error, Path}, vault as v, auth::*};"),
        [(2, "base".into()), (2, "vault".into()), (2, "auth".into())]
    );
    assert_eq!(found("fn f() {\n  let x = crate :: node :: Node::new();\n}"), [(2, "node::Node".into())]);
    assert_eq!(found("crate::params! { }"), [(1, "params".into())]);
    assert_eq!(found("use super::super::token::Token;"), [(1, "token::Token".into())]);
    assert_eq!(found("mod tests {\n use super::super::super::token::Token;\n}"), [(2, "token::Token".into())]);
    assert_eq!(found("use super::Lease;"), [(1, "lease::Lease".into())]);
    assert_eq!(found("use warifu::vault::Vault;"), [(1, "vault::Vault".into())]);
    assert_eq!(found("// crate::vault::Vault\n/* crate::node */ \"crate::api\" r#\"crate::api\"#"), []);
    assert_eq!(found("pub(crate) fn f() {}\npub(in crate::lease) fn g() {}"), [(2, "lease".into())]);
    assert_eq!(found("crate::API_VERSION"), []);
    assert_eq!(found("'\"' crate::api::Api '\\'' 'a"), [(1, "api::Api".into())]);
}

#[test]
fn the_judge_refuses_what_it_is_there_for() {
    let wrong = |from: &[&str], to: &[&str]| {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        judge(&own(from), &own(to)).is_some()
    };
    assert!(wrong(&["lease"], &["mount", "Mounts"]), "upwards");
    assert!(wrong(&["token"], &["lease", "Leases"]), "between equals");
    assert!(wrong(&["secrets", "kv"], &["secrets", "pki", "Issuer"]), "from engine to engine");
    assert!(wrong(&["auth", "userpass"], &["secrets", "kv"]), "from engine to engine");
    assert!(wrong(&["client"], &["vault", "Vault"]), "into the server");
    assert!(wrong(&["policy"], &["storage", "Storage"]), "around the vault");
    assert!(wrong(&["base"], &["nothing"]), "to what is no layer");
    assert!(wrong(&["auth", "jws"], &["auth", "jwt"]), "from what engines share to an engine");
    assert!(!wrong(&["auth", "jwt"], &["auth", "jws"]));
    assert!(!wrong(&["vault"], &["lease"]));
    assert!(!wrong(&["lease"], &["lease", "Lease"]));
    assert!(!wrong(&["secrets", "kv", "v2"], &["secrets", "kv", "merge"]));
    assert!(!wrong(&["secrets", "kv"], &["params"]));
}

/// What is wrong with `home` using `target`, if anything.
fn judge(home: &[String], target: &[String]) -> Option<String> {
    let layer = home.first()?.as_str();
    let used = MACROS.iter().find(|(name, _)| target[0] == *name).map_or(target[0].as_str(), |(_, owner)| owner);
    if layer == used {
        // Two engines are strangers although they share a folder.
        let strangers = ENGINES.contains(&layer)
            && home.len() > 1
            && target.len() > 1
            && home[1] != target[1]
            && !SHARED.contains(&(layer, target[1].as_str()));
        return strangers.then(|| format!("is used by {layer}::{}: engines do not use each other", home[1]));
    }
    let rank = |name: &str| LAYERS.iter().position(|(n, _)| *n == name);
    let Some(own) = rank(layer) else { return Some(format!("is used by `{layer}`, which is no layer of the list")) };
    let Some(other) = rank(used) else { return Some("is no layer of the list".into()) };
    match &LAYERS[own].1 {
        Only(these) if !these.contains(&used) => Some(format!("is used by `{layer}`, which may use {these:?} only")),
        AboveBut(equals) if equals.contains(&used) => Some(format!("is used by `{layer}`, which must not know it")),
        _ if other > own => Some(format!("is used by `{layer}`, which is a layer below it")),
        _ => None,
    }
}

/// A path that the code names, from the root of the crate.
struct Reference {
    line: usize,
    target: Vec<String>,
}

/// Every `crate::…`, `warifu::…` and `super::…` of a file, as far as its first two segments; of a group, its first segments.
fn references(text: &str, home: &[String]) -> Vec<Reference> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |(_, text)| text.as_str());
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut modules: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                modules.retain(|m| *m <= depth);
            }
            "mod" if word(at + 2) == "{" => modules.push(depth + 1),
            _ => {}
        }
        let begins = at == 0 || word(at - 1) != "::";
        let root = match word(at) {
            "crate" | "warifu" if begins && word(at + 1) == "::" => Some((Vec::new(), at + 2)),
            "super" if begins => {
                let mut next = at;
                let mut climbed = home.to_vec();
                climbed.extend(modules.iter().map(|_| String::new()));
                while word(next) == "super" && word(next + 1) == "::" {
                    climbed.pop();
                    next += 2;
                }
                (next > at).then_some((climbed, next))
            }
            _ => None,
        };
        if let Some((base, next)) = root {
            if word(next) == "{" {
                for (line, name) in heads(&tokens, next) {
                    push(&mut found, line, base.iter().cloned().chain([name]).collect());
                }
            } else {
                let mut target = base;
                target.push(word(next).to_owned());
                if target.len() < 2 && word(next + 1) == "::" && is_name(word(next + 2)) {
                    target.push(word(next + 2).to_owned());
                }
                push(&mut found, tokens.get(next).map_or(0, |t| t.0), target);
            }
        }
        at += 1;
    }
    found
}

fn push(found: &mut Vec<Reference>, line: usize, mut target: Vec<String>) {
    target.truncate(2);
    // What begins with a capital at the root is the crate's own constant, not a layer.
    let layer = target.first().is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    if layer {
        found.push(Reference { line, target });
    }
}

/// The first words of the parts of a group that opens at `at`.
fn heads(tokens: &[(usize, String)], at: usize) -> Vec<(usize, String)> {
    let (mut depth, mut fresh, mut heads) = (0_usize, true, Vec::new());
    for (line, text) in &tokens[at..] {
        match text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => fresh = true,
            name if fresh && depth == 1 => {
                heads.push((*line, name.to_owned()));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs with their lines, without comments and literals. Enough of Rust's lexer for paths.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let bytes = text.as_bytes();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let skip = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'"' => string_end(rest),
            b'r' if raw_hashes(rest).is_some() => {
                let end = format!("\"{}", "#".repeat(raw_hashes(rest).unwrap_or(0)));
                let start = end.len() + 1;
                rest[start..].find(&end).map_or(rest.len(), |found| start + found + end.len())
            }
            b'\'' => char_end(rest),
            b':' if rest.starts_with("::") => {
                out.push((line, "::".to_owned()));
                2
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()).max(1);
                let end = (end..=rest.len()).find(|e| rest.is_char_boundary(*e)).unwrap_or(rest.len());
                out.push((line, rest[..end].to_owned()));
                end
            }
            byte if byte.is_ascii_whitespace() => 1,
            byte => {
                out.push((line, char::from(byte).to_string()));
                1
            }
        };
        line += rest[..skip].matches('\n').count();
        at += skip;
    }
    out
}

/// The length of the string literal that `rest` begins with.
fn string_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    let end = (at + 1).min(rest.len());
    (end..=rest.len()).find(|e| rest.is_char_boundary(*e)).unwrap_or(rest.len())
}

/// How many signs fence the raw string that `rest` begins with.
fn raw_hashes(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of the character literal that `rest` begins with; of a lifetime, its apostrophe alone.
fn char_end(rest: &str) -> usize {
    let mut signs = rest.char_indices().skip(1);
    match signs.next() {
        Some((_, '\\')) => rest.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        Some((_, _)) => match signs.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// The modules that a file of `src/` is: `storage/sqlite/file.rs` is `storage`, `sqlite`, `file`.
fn module_of(relative: &str) -> Vec<String> {
    let stem = relative.strip_suffix(".rs").unwrap_or(relative);
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
