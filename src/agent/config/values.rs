//! Reading single settings, each bounded.

use std::path::PathBuf;
use std::time::Duration;

use crate::hcl::{Attr, Body, Error, Result};

/// A part of a life such as 0.9, in thousandths.
pub(super) fn threshold(attr: &Attr) -> Result<u32> {
    let share: f64 = match attr.as_string() {
        Ok(text) => text.parse().map_err(|_| attr.error("must be a number such as 0.9"))?,
        Err(error) => return Err(error),
    };
    if (0.1..=0.99).contains(&share) {
        Ok((share * 1000.0) as u32)
    } else {
        Err(attr.error("must be from 0.1 to 0.99"))
    }
}

pub(super) fn string(body: &Body, name: &str) -> Result<Option<String>> {
    body.attr(name)?.map(|attr| attr.as_str().map(str::to_owned)).transpose()
}

pub(super) fn boolean(body: &Body, name: &str) -> Result<Option<bool>> {
    body.attr(name)?.map(|attr| attr.as_bool()).transpose()
}

pub(super) fn path(body: &Body, name: &str) -> Result<Option<PathBuf>> {
    match body.attr(name)? {
        Some(attr) => match attr.as_str()? {
            "" => Ok(None),
            text if text.contains('\0') => Err(attr.error("holds a zero byte")),
            text => Ok(Some(PathBuf::from(text))),
        },
        None => Ok(None),
    }
}

pub(super) fn needed_path(body: &Body, name: &str) -> Result<PathBuf> {
    body.require(name)?;
    path(body, name)?.ok_or_else(|| body.error(body.span(), format!("\"{name}\" is empty")))
}

/// A duration that is not zero.
pub(super) fn some_time(attr: &Attr) -> Result<Duration> {
    let time = attr.as_duration()?;
    if time.is_zero() { Err(attr.error("must not be zero")) } else { Ok(time) }
}

/// The mode of a file: octal text, or a number that HCL has read as octal.
pub(super) fn mode(body: &Body, name: &str) -> Result<Option<u32>> {
    let Some(attr) = body.attr(name)? else { return Ok(None) };
    let wrong = |attr: &Attr| -> Error { attr.error("must be the permissions of a file in octal, such as \"0640\"") };
    let mode = match attr.as_str() {
        Ok(text) => u32::from_str_radix(text, 8).map_err(|_| wrong(&attr))?,
        Err(_) => u32::try_from(attr.as_int()?).map_err(|_| wrong(&attr))?,
    };
    if mode > 0o777 { Err(wrong(&attr)) } else { Ok(Some(mode)) }
}
