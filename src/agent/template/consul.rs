//! consul-template's functions that ask Consul, and those that sort its answers.

use std::collections::BTreeMap;

use super::collections::list;
use super::functions::{Ctx, Dependency, FnErr, Functions, Kind, text, utf8};
use super::secrets::ask;
use super::strings::ITEMS_MAX;
use super::value::{Text, Value};

pub(super) fn add(functions: &mut Functions) {
    functions.add("key", 1, 1, |ctx, args| match ask(ctx, key(ctx, Kind::ConsulKey, &args[0])?)? {
        Value::Nil => Err(FnErr::from("the key does not exist")),
        value => Ok(value),
    });
    functions
        .add("keyExists", 1, 1, |ctx, args| Ok(Value::Bool(!ask(ctx, key(ctx, Kind::ConsulKey, &args[0])?)?.is_nil())));
    functions.add("keyOrDefault", 2, 2, |ctx, args| {
        Ok(match ask(ctx, key(ctx, Kind::ConsulKey, &args[0])?)? {
            Value::Nil => args[1].clone(),
            value => value,
        })
    });
    for name in ["ls", "safeLs"] {
        functions.add(name, 1, 1, |ctx, args| {
            let pairs = ask(ctx, key(ctx, Kind::ConsulTree, &args[0])?)?;
            filtered(&pairs, |key| !key.is_empty() && !key.contains(&b'/'))
        });
    }
    for name in ["tree", "safeTree"] {
        functions.add(name, 1, 1, |ctx, args| {
            let pairs = ask(ctx, key(ctx, Kind::ConsulTree, &args[0])?)?;
            filtered(&pairs, |key| !key.is_empty() && !key.ends_with(b"/"))
        });
    }
    functions.add("services", 0, 1, |ctx, args| asked(ctx, Kind::ConsulServices, args));
    functions.add("nodes", 0, 1, |ctx, args| asked(ctx, Kind::ConsulNodes, args));
    functions.add("node", 0, 1, |ctx, args| asked(ctx, Kind::ConsulNode, args));
    functions.add("datacenters", 0, 1, |ctx, _| asked(ctx, Kind::ConsulDatacenters, &[]));
    functions.add("service", 1, 2, |ctx, args| {
        let mut dependency = place(ctx, Kind::ConsulService, utf8(&args[0])?)?;
        if let Some(states) = args.get(1) {
            dependency.parameters.retain(|(name, _)| name != "states");
            dependency.parameters.push(("states".to_owned(), utf8(states)?.to_owned()));
        }
        dependency.parameters.sort();
        ask(ctx, dependency)
    });
    functions.add("byKey", 1, 1, |_, args| by_key(&args[0]));
    functions.add("byTag", 1, 1, |_, args| {
        grouped(&args[0], |service| match service.key("Tags") {
            Some(Value::List(tags)) => Ok(tags.iter().filter_map(|tag| text(tag).ok().cloned()).collect()),
            _ => Err(FnErr::from("expected a list of services")),
        })
    });
    functions.add("byPort", 1, 1, |_, args| {
        grouped(&args[0], |service| {
            let port = service.key("Port").and_then(Value::as_int).ok_or("expected a list of services")?;
            Ok(vec![Text::from(port.to_string().as_bytes())])
        })
    });
    functions.add("byMeta", 2, 2, |_, args| {
        let names: Vec<&str> = utf8(&args[0])?.split(',').collect();
        grouped(&args[1], |service| Ok(vec![Text::from(meta_key(service, &names)?.as_bytes())]))
    });
}

/// What stands for a service in `byMeta`: its values of these names.
fn meta_key(service: &Value, names: &[&str]) -> Result<String, FnErr> {
    let mut parts = Vec::new();
    for name in names {
        let (bare, number) = name.strip_suffix("|int").map_or((*name, false), |bare| (bare, true));
        let value = service.key("ServiceMeta").and_then(|meta| meta.key(bare)).and_then(Value::as_str);
        let value = match value.filter(|value| !value.is_empty()) {
            Some(value) if number => {
                format!("{:05}", value.parse::<i64>().map_err(|_| FnErr::from("a value is not a whole number"))?)
            }
            Some(value) => value.to_owned(),
            None if number => "00000".to_owned(),
            None => format!("_no_{bare}_"),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        parts.push(value.chars().map(plain).collect::<String>());
    }
    Ok(parts.join("_"))
}

fn asked(ctx: &mut Ctx, kind: Kind, args: &[Value]) -> Result<Value, FnErr> {
    let given = args.first().map(utf8).transpose()?.unwrap_or_default();
    let dependency = place(ctx, kind, given)?;
    ask(ctx, dependency)
}

/// A key or prefix with its datacenter: `path@dc`.
fn key(ctx: &Ctx, kind: Kind, arg: &Value) -> Result<Dependency, FnErr> {
    let given = utf8(arg)?;
    let (path, dc) = given.rsplit_once('@').unwrap_or((given, ""));
    let path = path.trim_start_matches('/');
    if path.is_empty() && kind == Kind::ConsulKey {
        return Err(FnErr::from("empty key"));
    }
    Ok(Dependency { kind, path: path.to_owned(), parameters: named(&[("dc", dc)]), computed: !ctx.literal })
}

/// `tag.name@dc~near|states` and its parts.
fn place(ctx: &Ctx, kind: Kind, given: &str) -> Result<Dependency, FnErr> {
    let (rest, states) = given.split_once('|').unwrap_or((given, ""));
    let (rest, near) = rest.split_once('~').unwrap_or((rest, ""));
    let (name, dc) = rest.split_once('@').unwrap_or((rest, ""));
    let (tag, name) = match kind {
        Kind::ConsulService => name.rsplit_once('.').unwrap_or(("", name)),
        _ => ("", name),
    };
    if kind == Kind::ConsulService && name.is_empty() {
        return Err(FnErr::from("empty name of a service"));
    }
    let parameters = named(&[("dc", dc), ("near", near), ("states", states), ("tag", tag)]);
    Ok(Dependency { kind, path: name.to_owned(), parameters, computed: !ctx.literal })
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn filtered(pairs: &Value, wanted: impl Fn(&[u8]) -> bool) -> Result<Value, FnErr> {
    let has = |pair: &&Value| pair.key("Key").and_then(|key| text(key).ok()).is_some_and(|key| wanted(key.bytes()));
    Ok(Value::list(list(pairs)?.iter().filter(has).cloned()))
}

/// Pairs by the first part of their keys, then by the rest.
fn by_key(pairs: &Value) -> Result<Value, FnErr> {
    let mut tops: BTreeMap<Vec<u8>, Vec<(Vec<u8>, Value)>> = BTreeMap::new();
    for pair in list(pairs)? {
        let Value::Map(fields) = pair else { return Err(FnErr::from("expected a list of pairs")) };
        let key = text(pair.key("Key").ok_or("expected a list of pairs")?)?.bytes();
        let at = key.iter().position(|byte| *byte == b'/').unwrap_or(key.len());
        let (top, rest) = (key[..at].to_vec(), key.get(at + 1..).unwrap_or_default().to_vec());
        let renamed = fields.iter().map(|(name, value)| {
            let value = if name.bytes() == b"Key" { Value::text(&rest) } else { value.clone() };
            (name.bytes(), value)
        });
        tops.entry(top).or_default().push((rest.clone(), Value::map(renamed)));
    }
    Ok(Value::map(tops.into_iter().map(|(top, pairs)| (top, Value::map(pairs)))))
}

/// Services by something that each has several of.
fn grouped(services: &Value, of: impl Fn(&Value) -> Result<Vec<Text>, FnErr>) -> Result<Value, FnErr> {
    let mut groups: BTreeMap<Text, Vec<Value>> = BTreeMap::new();
    let mut count = 0;
    for service in list(services)? {
        for group in of(service)? {
            count += 1;
            if count > ITEMS_MAX {
                return Err(FnErr::Failed(format!("more than {ITEMS_MAX} members of groups")));
            }
            groups.entry(group).or_default().push(service.clone());
        }
    }
    Ok(Value::map(groups.into_iter().map(|(group, members)| (group.bytes().to_vec(), Value::list(members)))))
}
