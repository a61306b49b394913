//! consul-template's `scratch`: a place for values during one rendering, as methods of an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::functions::{Ctx, FnErr, Function, Functions, text};
use super::value::{Text, Value};

type Method = fn(&mut Ctx, &[Value]) -> Result<Value, FnErr>;

/// The most keys of a scratch, and of a map in it.
const KEYS_MAX: usize = 100_000;

pub(super) fn add(functions: &mut Functions) {
    let methods: [(&str, usize, Method); 7] = [
        ("Key", 1, |ctx, args| Ok(Value::Bool(ctx.scratch.contains_key(text(&args[0])?)))),
        ("Get", 1, |ctx, args| Ok(ctx.scratch.get(text(&args[0])?).cloned().unwrap_or(Value::Nil))),
        ("Set", 2, |ctx, args| set(ctx, args, true)),
        ("SetX", 2, |ctx, args| set(ctx, args, false)),
        ("MapSet", 3, |ctx, args| map_set(ctx, args, true)),
        ("MapSetX", 3, |ctx, args| map_set(ctx, args, false)),
        ("MapValues", 1, |ctx, args| match ctx.scratch.get(text(&args[0])?) {
            Some(Value::Map(map)) => Ok(Value::list(map.values().cloned())),
            _ => Ok(Value::list([])),
        }),
    ];
    let object = Value::map(methods.map(|(name, count, body)| {
        let remembers = name.contains("Set");
        (name, Value::Function(Function { least: count, most: Some(count), remembers, body: Arc::new(body) }))
    }));
    functions.add("scratch", 0, 0, move |_, _| Ok(object.clone()));
}

fn set(ctx: &mut Ctx, args: &[Value], over: bool) -> Result<Value, FnErr> {
    let key = text(&args[0])?;
    if over || !ctx.scratch.contains_key(key) {
        put(ctx.scratch, key, args[1].clone())?;
    }
    Ok(Value::text(""))
}

fn map_set(ctx: &mut Ctx, args: &[Value], over: bool) -> Result<Value, FnErr> {
    let (name, key) = (text(&args[0])?, text(&args[1])?);
    if !ctx.scratch.contains_key(name) {
        put(ctx.scratch, name, Value::map::<&str>([]))?;
    }
    match ctx.scratch.get_mut(name) {
        Some(Value::Map(map)) => {
            if over || !map.contains_key(key) {
                put(Arc::make_mut(map), key, args[2].clone())?;
            }
            Ok(Value::text(""))
        }
        _ => Err(FnErr::from("what is there is not a map")),
    }
}

fn put(map: &mut BTreeMap<Text, Value>, key: &Text, value: Value) -> Result<(), FnErr> {
    if map.len() >= KEYS_MAX && !map.contains_key(key) {
        return Err(FnErr::Failed(format!("more than {KEYS_MAX} keys")));
    }
    map.insert(key.clone(), value);
    Ok(())
}
