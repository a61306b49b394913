//! Parameters of an endpoint: declared once by [`params!`](crate::params), read as leniently as Vault reads them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret, Ttl, limits};

/// What is known of one parameter: help, OpenAPI, audit and the unknown-field warning read it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the API.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// JSON's word for its type.
    pub kind: &'static str,
    /// Whether audit hides it even from devices that show values.
    pub secret: bool,
    /// Whether the endpoint fails without it.
    pub required: bool,
}

/// What the parameters of a request are read from: the path's captures, then the body, then the query.
#[derive(Debug, Default)]
pub struct Args {
    captures: Vec<(&'static str, String)>,
    fields: Map,
    shadowed: Map,
}

impl Args {
    /// Captures win over fields of the same name; [`Args::take_rest`] alone still gives those.
    pub fn new(captures: Vec<(&'static str, String)>, mut fields: Map) -> Self {
        let shadowed = captures.iter().filter_map(|(name, _)| fields.remove_entry(*name)).collect();
        Self { captures, fields, shadowed }
    }

    /// Whether a field was sent, be it `null`.
    pub fn sent(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Takes out one parameter; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        if let Some(at) = self.captures.iter().position(|(n, _)| *n == name) {
            return Some(Json::String(self.captures.swap_remove(at).1));
        }
        self.fields.remove(name).filter(|value| *value != Json::Null)
    }

    /// Takes all that is left. A free-form field may have the name of a capture, such as `path`: it is kept.
    pub fn take_rest(&mut self) -> Map {
        let mut rest = std::mem::take(&mut self.fields);
        rest.append(&mut self.shadowed);
        rest
    }

    /// The names that nobody took.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }
}

/// The parameters of one endpoint, all together.
pub trait Params: Sized + Send + 'static {
    /// Its fields.
    fn fields() -> Vec<Field>;

    /// Reads them.
    ///
    /// # Errors
    /// [`Error::Invalid`] which names the field.
    fn parse(args: &mut Args) -> Result<Self>;
}

impl Params for () {
    fn fields() -> Vec<Field> {
        Vec::new()
    }
    fn parse(_: &mut Args) -> Result<Self> {
        Ok(())
    }
}

/// A type that one or several parameters can have.
pub trait Param: Sized {
    /// What is known of it under this name.
    fn fields(name: &'static str, doc: &'static str) -> Vec<Field>;

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Invalid`] which names the field.
    fn take(name: &'static str, args: &mut Args) -> Result<Self>;
}

/// A type that can be read from one JSON value.
pub trait Scalar: Sized {
    /// JSON's word for it.
    const KIND: &'static str;
    /// Whether audit hides it from all devices.
    const SECRET: bool = false;
    /// What the type stands for when the parameter is absent; `None` if it is required.
    fn absent() -> Option<Self> {
        None
    }
    /// Reads it; the text of the error says what was expected.
    ///
    /// # Errors
    /// What was expected instead.
    fn read(value: Json) -> Result<Self, String>;
}

impl<T: Scalar> Param for T {
    fn fields(name: &'static str, doc: &'static str) -> Vec<Field> {
        vec![Field { name, doc, kind: T::KIND, secret: T::SECRET, required: T::absent().is_none() }]
    }

    fn take(name: &'static str, args: &mut Args) -> Result<Self> {
        match args.take(name) {
            Some(value) => T::read(value)
                .map_err(|what| Error::invalid(format!("error converting input for field '{name}': {what}"))),
            None => T::absent().ok_or_else(|| Error::invalid(format!("missing {name}"))),
        }
    }
}

fn expected<T>(what: &str) -> Result<T, String> {
    Err(format!("expected {what}"))
}

impl Scalar for String {
    const KIND: &'static str = "string";
    fn read(value: Json) -> Result<Self, String> {
        match value {
            Json::String(text) => Ok(text),
            Json::Number(text) => Ok(text.into()),
            Json::Bool(b) => Ok(b.to_string()),
            _ => expected("a string"),
        }
    }
}

impl Scalar for Secret<String> {
    const KIND: &'static str = "string";
    const SECRET: bool = true;
    fn read(value: Json) -> Result<Self, String> {
        String::read(value).map(Self::new)
    }
}

impl Scalar for Name {
    const KIND: &'static str = "string";
    fn read(value: Json) -> Result<Self, String> {
        Self::parse(&String::read(value)?).map_err(|e| e.to_string())
    }
}

impl Scalar for bool {
    const KIND: &'static str = "boolean";
    fn read(value: Json) -> Result<Self, String> {
        match value {
            Json::Bool(b) => Ok(b),
            Json::String(text) => parse_bool(&text).ok_or_else(|| "expected a boolean".to_owned()),
            Json::Number(text) => parse_bool(&text).ok_or_else(|| "expected a boolean".to_owned()),
            _ => expected("a boolean"),
        }
    }
}

/// Reads a boolean as Go's `ParseBool` does.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Some(false),
        _ => None,
    }
}

impl Scalar for i64 {
    const KIND: &'static str = "integer";
    fn read(value: Json) -> Result<Self, String> {
        let text = match value {
            Json::Number(text) => String::from(text),
            Json::String(text) if text.is_empty() => "0".to_owned(),
            Json::String(text) => text,
            _ => return expected("an integer"),
        };
        if let Ok(n) = text.parse() {
            return Ok(n);
        }
        // "5.0" and "1e3" are integers too; 2^53 is where floating point stops counting.
        match text.parse::<f64>() {
            Ok(f) if f.fract() == 0.0 && f.abs() < 9e15 => Ok(f as Self),
            _ => expected("an integer"),
        }
    }
}

impl Scalar for f64 {
    const KIND: &'static str = "number";
    fn read(value: Json) -> Result<Self, String> {
        let text = match value {
            Json::Number(text) => String::from(text),
            Json::String(text) => text,
            _ => return expected("a number"),
        };
        text.parse().ok().filter(|f: &Self| f.is_finite()).ok_or_else(|| "expected a number".to_owned())
    }
}

impl Scalar for u64 {
    const KIND: &'static str = "integer";
    fn read(value: Json) -> Result<Self, String> {
        Self::try_from(i64::read(value)?).map_err(|_| "expected a number that is not negative".to_owned())
    }
}

impl Scalar for Ttl {
    const KIND: &'static str = "duration";
    fn read(value: Json) -> Result<Self, String> {
        match value {
            Json::String(text) => Self::parse(&text).map_err(|e| e.to_string()),
            number @ Json::Number(_) => {
                let seconds = i64::read(number)?;
                Self::parse(&seconds.to_string()).map_err(|e| e.to_string())
            }
            _ => expected("a duration"),
        }
    }
}

impl<T: Scalar> Scalar for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn read(value: Json) -> Result<Self, String> {
        T::read(value).map(Some)
    }
}

impl Scalar for Vec<String> {
    const KIND: &'static str = "array";
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    /// A list, or text with commas; spaces around an element and empty elements do not count.
    fn read(value: Json) -> Result<Self, String> {
        let items = match value {
            Json::Array(items) => items.into_iter().map(String::read).collect::<Result<Self, _>>()?,
            other => String::read(other)
                .map_err(|_| "expected a list or text with commas".to_owned())?
                .split(',')
                .map(str::to_owned)
                .collect(),
        };
        Ok(items.iter().map(|i| i.trim()).filter(|i| !i.is_empty()).map(str::to_owned).collect())
    }
}

impl Scalar for Vec<i64> {
    const KIND: &'static str = "array";
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    fn read(value: Json) -> Result<Self, String> {
        match value {
            Json::Array(items) => items.into_iter().map(i64::read).collect(),
            Json::String(text) => {
                text.split(',').filter(|t| !t.trim().is_empty()).map(|t| i64::read(Json::from(t.trim()))).collect()
            }
            number @ Json::Number(_) => Ok(vec![i64::read(number)?]),
            _ => expected("a list of integers"),
        }
    }
}

impl Scalar for Vec<IpNet> {
    const KIND: &'static str = "array";
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    /// Networks in CIDR notation, or single addresses.
    fn read(value: Json) -> Result<Self, String> {
        Vec::<String>::read(value)?.iter().map(|text| parse_network(text)).collect()
    }
}

impl Scalar for IpAddr {
    const KIND: &'static str = "string";
    fn read(value: Json) -> Result<Self, String> {
        String::read(value)?.trim().parse().map_err(|_| "expected an address".to_owned())
    }
}

/// Reads a network or a single address. IPv4 addresses that are written as IPv6 become IPv4: as such clients are compared with them.
///
/// # Errors
/// What was expected instead.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let net = match bare.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => bare.parse::<IpAddr>().map_err(|_| "expected a network such as 10.0.0.0/8".to_owned())?.into(),
    };
    match (net, net.addr().to_canonical()) {
        (IpNet::V6(six), IpAddr::V4(four)) if six.prefix_len() >= MAPPED => {
            IpNet::new(four.into(), six.prefix_len() - MAPPED).map_err(|_| "expected a network".to_owned())
        }
        _ => Ok(net),
    }
}

/// The bits before an IPv4 address that is written as IPv6.
const MAPPED: u8 = 96;

impl Scalar for BTreeMap<String, String> {
    const KIND: &'static str = "object";
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    /// An object, a list of `key=value`, or text: JSON or one `key=value`.
    fn read(value: Json) -> Result<Self, String> {
        const WHAT: &str = "expected an object or key=value";
        let pair = |text: String| {
            let (k, v) = text.split_once('=').ok_or(WHAT)?;
            Ok::<_, String>((k.trim().to_owned(), v.to_owned()))
        };
        match value {
            Json::Object(map) => map.into_iter().map(|(k, v)| Ok((k, String::read(v)?))).collect(),
            Json::Array(items) => items.into_iter().map(|i| pair(String::read(i)?)).collect(),
            Json::String(text) if text.is_empty() => Ok(Self::new()),
            Json::String(text) if text.trim_start().starts_with('{') => {
                match Json::parse(text.as_bytes()).map_err(|_| WHAT)? {
                    object @ Json::Object(_) => Self::read(object),
                    _ => Err(WHAT.to_owned()),
                }
            }
            Json::String(text) => text.split(',').map(|t| pair(t.to_owned())).collect(),
            _ => Err(WHAT.to_owned()),
        }
    }
}

impl Scalar for Json {
    const KIND: &'static str = "object";
    fn absent() -> Option<Self> {
        Some(Self::Null)
    }
    fn read(value: Json) -> Result<Self, String> {
        Ok(value)
    }
}

/// All fields that no other parameter took: KV's free-form data.
#[derive(Clone, Debug, Default)]
pub struct Rest(pub Map);

impl Param for Rest {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        Vec::new()
    }
    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Ok(Self(args.take_rest()))
    }
}

/// Metadata within its limits.
///
/// # Errors
/// [`Error::Invalid`] which names the field.
pub fn check_metadata(field: &str, pairs: &BTreeMap<String, String>) -> Result<()> {
    if pairs.len() > limits::METADATA_PAIRS {
        return Err(Error::invalid(format!("field '{field}': at most {} pairs", limits::METADATA_PAIRS)));
    }
    for (key, value) in pairs {
        if key.is_empty() || key.len() > limits::METADATA_BYTES || value.len() > limits::METADATA_BYTES {
            return Err(Error::invalid(format!(
                "field '{field}': keys and values have at most {} bytes, and no key is empty",
                limits::METADATA_BYTES
            )));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return Err(Error::invalid(format!("field '{field}': a control character")));
        }
    }
    Ok(())
}

/// Declares the parameters of an endpoint: the struct, the table of its fields, and the parser.
///
/// A field is required unless its type says what absence means (`Option`, lists, maps). A name that is no Rust
/// identifier stands behind the type: `kind: String = "type"`.
#[macro_export]
macro_rules! params {
    ($($(#[doc = $about:expr])* $vis:vis struct $struct:ident {
        $($(#[doc = $doc:expr])* $field:ident: $ty:ty $(= $name:literal)?),* $(,)?
    })*) => { $(
        $(#[doc = $about])*
        #[derive(Debug)]
        #[allow(dead_code, reason = "some fields are accepted and have no effect")]
        $vis struct $struct { $($(#[doc = $doc])* pub $field: $ty,)* }

        impl $crate::engine::Params for $struct {
            fn fields() -> Vec<$crate::engine::Field> {
                let fields: Vec<Vec<$crate::engine::Field>> = vec![$(
                    <$ty as $crate::engine::Param>::fields(
                        $crate::params!(@name $field $($name)?), concat!($($doc),*).trim_ascii()),
                )*];
                fields.concat()
            }
            #[allow(unused_variables)]
            fn parse(args: &mut $crate::engine::Args) -> $crate::base::Result<Self> {
                Ok(Self { $(
                    $field: <$ty as $crate::engine::Param>::take($crate::params!(@name $field $($name)?), args)?,
                )* })
            }
        }
    )* };
    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
}

#[cfg(test)]
mod tests {
    use super::*;

    params! {
        /// A test's own.
        pub struct Sample {
            /// Its name.
            name: Name,
            /// How long.
            ttl: Option<Ttl>,
            /// Some words.
            words: Vec<String>,
            /// A word that Rust keeps for itself.
            kind: Option<String> = "type",
            /// A key.
            key: Option<Secret<String>>,
        }
    }

    fn parse(text: &str) -> Result<Sample> {
        let Json::Object(map) = Json::parse(text.as_bytes()).unwrap() else { panic!("an object") };
        Sample::parse(&mut Args::new(Vec::new(), map))
    }

    #[test]
    fn wrong_types_name_the_field_and_not_the_value() {
        for text in [
            r#"{"name":{"canary":1}}"#,
            r#"{"name":"canary/x"}"#,
            r#"{"name":"a","ttl":"canary"}"#,
            r#"{"name":"a","ttl":-5}"#,
            r#"{"name":"a","words":{"canary":1}}"#,
            r#"{"name":"a","type":["canary"]}"#,
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().contains("field '"), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert_eq!(parse("{}").unwrap_err().to_string(), "missing name");
    }

    #[test]
    fn values_are_read_as_leniently_as_vault_reads_them() {
        let p = parse(r#"{"name":"a","ttl":"1h","words":"x, y,","type":7,"key":"k"}"#).unwrap();
        assert_eq!(p.ttl.unwrap().seconds(), 3600);
        assert_eq!(p.words, ["x", "y"]);
        assert_eq!(p.kind.as_deref(), Some("7"));
        assert!(!format!("{p:?}").contains("\"k\""));
        assert_eq!(i64::read(Json::Number("1e3".into())).unwrap(), 1000);
        assert!(bool::read(Json::from("yes")).is_err());
        assert!(bool::read(Json::from("TRUE")).unwrap());
    }

    #[test]
    fn the_path_wins_over_the_body() {
        let map = Map::from([("name".into(), Json::from("body"))]);
        let mut args = Args::new(vec![("name", "path".into())], map);
        assert_eq!(Sample::parse(&mut args).unwrap().name.as_str(), "path");
        assert_eq!(args.left().count(), 0);
        assert!(args.take_rest().contains_key("name"));
    }

    #[test]
    fn fields_carry_their_documentation() {
        let fields = Sample::fields();
        assert_eq!((fields[0].name, fields[0].doc, fields[0].required), ("name", "Its name.", true));
        assert_eq!((fields[3].name, fields[3].required), ("type", false));
        assert!(fields[4].secret);
    }
}
