//! consul-template's arithmetic. The first argument is the right operand, so that `{{ 5 | subtract 2 }}` is 3.

use super::functions::{FnErr, Functions};
use super::value::Value;

/// The two forms of one operation; `None` is an overflow or a division by zero.
type Int = fn(i64, i64) -> Option<i64>;
type Float = fn(f64, f64) -> f64;

pub(super) fn add(functions: &mut Functions) {
    let table: [(&'static str, Int, Float); 7] = [
        ("add", i64::checked_add, |a, b| a + b),
        ("subtract", i64::checked_sub, |a, b| a - b),
        ("multiply", i64::checked_mul, |a, b| a * b),
        ("divide", i64::checked_div, |a, b| a / b),
        ("modulo", i64::checked_rem, |a, b| a % b),
        ("minimum", |a, b| Some(a.min(b)), f64::min),
        ("maximum", |a, b| Some(a.max(b)), f64::max),
    ];
    for (name, on_ints, on_floats) in table {
        functions.add(name, 2, 2, move |_, args| {
            let (right, left) = (&args[0], &args[1]);
            if let (Value::Int(a), Value::Int(b)) = (left, right) {
                return on_ints(*a, *b)
                    .map(Value::Int)
                    .ok_or_else(|| FnErr::from("integer overflow or division by zero"));
            }
            let result = on_floats(float(left)?, float(right)?);
            if result.is_finite() {
                Ok(Value::Float(result))
            } else {
                Err(FnErr::from("the result is not a finite number"))
            }
        });
    }
}

fn float(value: &Value) -> Result<f64, FnErr> {
    match value {
        Value::Int(n) => Ok(*n as f64),
        Value::Float(f) => Ok(*f),
        Value::Number(text) => Ok(text.number()),
        other => Err(FnErr::Failed(format!("expected a number; found {}", other.kind()))),
    }
}
