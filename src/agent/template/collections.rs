//! consul-template's functions on lists and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtins::equal;
use super::functions::{FnErr, Functions, int, utf8};
use super::strings::ITEMS_MAX;
use super::value::{Text, Value};

/// How deep a key with slashes may lead.
const EXPLODE_DEPTH_MAX: usize = 32;

pub(super) fn add(functions: &mut Functions) {
    functions.add("contains", 2, 2, |_, args| holds(&args[1], &args[0]).map(Value::Bool));
    functions.add("in", 2, 2, |_, args| holds(&args[0], &args[1]).map(Value::Bool));
    functions.add("containsAny", 2, 2, |_, args| Ok(Value::Bool(found(args)? > 0)));
    functions.add("containsNone", 2, 2, |_, args| Ok(Value::Bool(found(args)? == 0)));
    functions.add("containsAll", 2, 2, |_, args| Ok(Value::Bool(found(args)? == list(&args[0])?.len())));
    functions.add("containsNotAll", 2, 2, |_, args| Ok(Value::Bool(found(args)? < list(&args[0])?.len())));
    functions.add("explode", 1, 1, |_, args| explode(&args[0]));
    functions.add("explodeMap", 1, 1, |_, args| explode(&args[0]));
    functions.add("mergeMap", 2, 2, |_, args| merge(&args[0], &args[1], false, 0));
    functions.add("mergeMapWithOverride", 2, 2, |_, args| merge(&args[0], &args[1], true, 0));
    functions.add("splitToMap", 3, 3, |_, args| {
        let (between, within, all) = (utf8(&args[0])?, utf8(&args[1])?, utf8(&args[2])?.trim());
        let pairs = all.split(between).take(ITEMS_MAX).filter_map(|pair| pair.split_once(within));
        Ok(Value::map(pairs.map(|(key, value)| (key, Value::text(value)))))
    });
    functions.add("loop", 1, 2, |_, args| {
        let (from, to) = match args {
            [to] => (0, int(to)?),
            [from, to] => (int(from)?, int(to)?),
            _ => return Err(FnErr::from("loop takes one or two numbers")),
        };
        if to.checked_sub(from).and_then(|n| usize::try_from(n).ok()).is_some_and(|n| n > ITEMS_MAX)
            || to.checked_sub(from).is_none()
        {
            return Err(FnErr::Failed(format!("more than {ITEMS_MAX} turns")));
        }
        Ok(Value::list((from..to).map(Value::Int)))
    });
}

/// Two maps as one: what is empty in the first, or with `over` anything, is taken from the second.
fn merge(into: &Value, from: &Value, over: bool, depth: usize) -> Result<Value, FnErr> {
    let (Value::Map(into), Value::Map(from)) = (into, from) else {
        return Err(FnErr::from("expected two maps"));
    };
    let mut merged = (**into).clone();
    for (key, item) in from.iter() {
        let value = match merged.get(key) {
            Some(old @ Value::Map(_)) if matches!(item, Value::Map(_)) && depth < EXPLODE_DEPTH_MAX => {
                merge(old, item, over, depth + 1)?
            }
            Some(old) if old.truth() && !(over && item.truth()) => continue,
            _ => item.clone(),
        };
        merged.insert(key.clone(), value);
    }
    Ok(Value::Map(Arc::new(merged)))
}

pub(super) fn list(value: &Value) -> Result<&[Value], FnErr> {
    match value {
        Value::List(items) => Ok(items),
        Value::Missing | Value::Nil => Ok(&[]),
        other => Err(FnErr::Failed(format!("expected a list; found {}", other.kind()))),
    }
}

/// Whether a list has an item, or a string a part. Items of another kind are other items, not errors.
fn holds(all: &Value, item: &Value) -> Result<bool, FnErr> {
    match (all, item) {
        (Value::Text(all), Value::Text(part)) => {
            let (all, part) = (all.bytes(), part.bytes());
            Ok(part.is_empty() || all.windows(part.len()).any(|window| window == part))
        }
        (all, item) => Ok(list(all)?.iter().any(|known| equal(known, item).unwrap_or(false))),
    }
}

/// How many of the first list's items are in the second.
fn found(args: &[Value]) -> Result<usize, FnErr> {
    let mut count = 0;
    for item in list(&args[0])? {
        count += usize::from(holds(&args[1], item)?);
    }
    Ok(count)
}

/// `{"a/b": 1}` to `{"a": {"b": 1}}`.
fn explode(value: &Value) -> Result<Value, FnErr> {
    let Value::Map(map) = value else {
        return Err(FnErr::Failed(format!("expected a map; found {}", value.kind())));
    };
    let mut tree = Tree::default();
    for (key, item) in map.iter() {
        let parts: Vec<&[u8]> = key.bytes().split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
        if parts.len() > EXPLODE_DEPTH_MAX {
            return Err(FnErr::Failed(format!("a key has more than {EXPLODE_DEPTH_MAX} parts")));
        }
        tree.put(&parts, item)?;
    }
    Ok(tree.value())
}

#[derive(Default)]
struct Tree {
    leaf: Option<Value>,
    children: BTreeMap<Text, Tree>,
}

impl Tree {
    fn put(&mut self, parts: &[&[u8]], item: &Value) -> Result<(), FnErr> {
        let conflict = "a key is both a value and the parent of others";
        match parts {
            [] if !self.children.is_empty() => return Err(FnErr::from(conflict)),
            [] => self.leaf = Some(item.clone()),
            _ if self.leaf.is_some() => return Err(FnErr::from(conflict)),
            [first, rest @ ..] => self.children.entry(Text::from(*first)).or_default().put(rest, item)?,
        }
        Ok(())
    }

    fn value(self) -> Value {
        match self.leaf {
            Some(value) => value,
            None => Value::Map(Arc::new(self.children.into_iter().map(|(key, tree)| (key, tree.value())).collect())),
        }
    }
}
