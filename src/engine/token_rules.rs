//! The `token_*` fields that every auth method's roles share.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::params::{Args, Field, Param};
use super::reply::{Login, Renewal};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Ttl, limits};

/// What kind of token a login gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// As the mount says, else service.
    #[default]
    Default,
    /// Stored, with an accessor and children.
    Service,
    /// Not stored: it carries its own facts, encrypted.
    Batch,
    /// Service unless the client asks otherwise.
    DefaultService,
    /// Batch unless the client asks otherwise.
    DefaultBatch,
}

impl TokenKind {
    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Service => "service",
            Self::Batch => "batch",
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
        }
    }

    /// Reads the API's word.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "" | "default" => Ok(Self::Default),
            "service" => Ok(Self::Service),
            "batch" => Ok(Self::Batch),
            "default-service" => Ok(Self::DefaultService),
            "default-batch" => Ok(Self::DefaultBatch),
            _ => Err(Error::invalid("invalid 'token_type' value")),
        }
    }
}

/// What a role says of the tokens it gives, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRules {
    /// Where tokens may be used from.
    pub token_bound_cidrs: Vec<IpNet>,
    /// A hard end.
    pub token_explicit_max_ttl: Ttl,
    /// At most, with renewals.
    pub token_max_ttl: Ttl,
    /// Without the policy `default`.
    pub token_no_default_policy: bool,
    /// How many uses; 0 for no count.
    pub token_num_uses: u64,
    /// Renewed for ever, so long each time.
    pub token_period: Ttl,
    /// Policies.
    pub token_policies: Vec<String>,
    /// At first.
    pub token_ttl: Ttl,
    /// Service or batch.
    pub token_type: TokenKind,
}

/// The same as parameters of a write: what is absent stays as it was.
#[derive(Clone, Debug, Default)]
pub struct TokenParams {
    bound_cidrs: Option<Vec<IpNet>>,
    explicit_max_ttl: Option<Ttl>,
    max_ttl: Option<Ttl>,
    no_default_policy: Option<bool>,
    num_uses: Option<i64>,
    period: Option<Ttl>,
    policies: Option<Vec<String>>,
    ttl: Option<Ttl>,
    kind: Option<String>,
}

impl Param for TokenParams {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        let field = |name, kind, doc| Field { name, doc, kind, secret: false, required: false };
        vec![
            field("token_bound_cidrs", "array", "Networks from which the tokens may be used."),
            field("token_explicit_max_ttl", "duration", "A hard end of the tokens' life, also against renewal."),
            field("token_max_ttl", "duration", "The longest life of the tokens, with renewals."),
            field("token_no_default_policy", "boolean", "Leave out the policy 'default'."),
            field("token_num_uses", "integer", "How often the tokens may be used; 0 for no count."),
            field("token_period", "duration", "Makes the tokens periodic: renewable for ever, so long each time."),
            field("token_policies", "array", "Policies of the tokens."),
            field("token_ttl", "duration", "The first life of the tokens."),
            field(
                "token_type",
                "string",
                "Kind of the tokens: service, batch, default, default-service, default-batch.",
            ),
        ]
    }

    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Ok(Self {
            bound_cidrs: Param::take("token_bound_cidrs", args)?,
            explicit_max_ttl: Param::take("token_explicit_max_ttl", args)?,
            max_ttl: Param::take("token_max_ttl", args)?,
            no_default_policy: Param::take("token_no_default_policy", args)?,
            num_uses: Param::take("token_num_uses", args)?,
            period: Param::take("token_period", args)?,
            policies: Param::take("token_policies", args)?,
            ttl: Param::take("token_ttl", args)?,
            kind: Param::take("token_type", args)?,
        })
    }
}

/// The same under the names that they had before Vault 1.2, which clients still send.
#[derive(Clone, Debug, Default)]
pub struct OlderTokenParams {
    bound_cidrs: Option<Vec<IpNet>>,
    max_ttl: Option<Ttl>,
    num_uses: Option<i64>,
    period: Option<Ttl>,
    policies: Option<Vec<String>>,
    ttl: Option<Ttl>,
}

impl Param for OlderTokenParams {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        let field = |name, kind, doc| Field { name, doc, kind, secret: false, required: false };
        vec![
            field("bound_cidrs", "array", "As 'token_bound_cidrs'."),
            field("max_ttl", "duration", "As 'token_max_ttl'."),
            field("num_uses", "integer", "As 'token_num_uses'."),
            field("period", "duration", "As 'token_period'."),
            field("policies", "array", "As 'token_policies'."),
            field("ttl", "duration", "As 'token_ttl'."),
        ]
    }

    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Ok(Self {
            bound_cidrs: Param::take("bound_cidrs", args)?,
            max_ttl: Param::take("max_ttl", args)?,
            num_uses: Param::take("num_uses", args)?,
            period: Param::take("period", args)?,
            policies: Param::take("policies", args)?,
            ttl: Param::take("ttl", args)?,
        })
    }
}

impl TokenRules {
    /// Takes over what a write says under the older names; to be called before [`TokenRules::apply`], so that where both
    /// are given the newer count, and the whole is checked once.
    ///
    /// # Errors
    /// As [`TokenRules::apply`], for one field.
    pub fn apply_older(&mut self, p: OlderTokenParams) -> Result<()> {
        self.assign(TokenParams {
            bound_cidrs: p.bound_cidrs,
            max_ttl: p.max_ttl,
            num_uses: p.num_uses,
            period: p.period,
            policies: p.policies,
            ttl: p.ttl,
            ..TokenParams::default()
        })
    }

    /// Whether a client may log in from where it comes. An unknown address is in no network.
    pub fn admits(&self, from: Option<IpAddr>) -> bool {
        within(&self.token_bound_cidrs, from)
    }

    /// As [`TokenRules::admits`], for a login that is only asked about: what stands against it, where an address is given.
    pub fn against(&self, from: Option<IpAddr>) -> Option<String> {
        (from.is_some() && !self.admits(from)).then(|| "the address is in none of 'token_bound_cidrs'".to_owned())
    }

    /// The times of a renewal by these rules.
    pub fn renewal(&self) -> Renewal {
        Renewal { ttl: self.token_ttl, max_ttl: self.token_max_ttl, period: self.token_period, ..Renewal::default() }
    }

    /// Takes over what a write says.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a policy `root`, a negative count, times that contradict each other.
    pub fn apply(&mut self, p: TokenParams) -> Result<()> {
        self.assign(p)?;
        self.check()
    }

    fn assign(&mut self, p: TokenParams) -> Result<()> {
        if let Some(v) = p.bound_cidrs {
            self.token_bound_cidrs = v;
        }
        if let Some(v) = p.explicit_max_ttl {
            self.token_explicit_max_ttl = v;
        }
        if let Some(v) = p.max_ttl {
            self.token_max_ttl = v;
        }
        if let Some(v) = p.no_default_policy {
            self.token_no_default_policy = v;
        }
        if let Some(v) = p.num_uses {
            self.token_num_uses =
                u64::try_from(v).map_err(|_| Error::invalid("'token_num_uses' cannot be negative"))?;
        }
        if let Some(v) = p.period {
            self.token_period = v;
        }
        if let Some(v) = p.policies {
            self.token_policies = policy_names(v)?;
        }
        if let Some(v) = p.ttl {
            self.token_ttl = v;
        }
        if let Some(v) = p.kind {
            self.token_type = TokenKind::parse(&v)?;
        }
        Ok(())
    }

    /// Whether the rules agree with each other.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        if !self.token_max_ttl.is_zero() && self.token_ttl > self.token_max_ttl {
            return Err(Error::invalid("'token_ttl' cannot be greater than 'token_max_ttl'"));
        }
        if self.token_type == TokenKind::Batch {
            if !self.token_period.is_zero() {
                return Err(Error::invalid(
                    "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
                ));
            }
            if self.token_num_uses != 0 {
                return Err(Error::invalid(
                    "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
                ));
            }
        }
        Ok(())
    }

    /// Adds them to a role's data.
    pub fn show(&self, data: &mut Map) {
        let cidrs = self.token_bound_cidrs.iter().map(|n| show_network(n).into()).collect();
        let pairs: [(&str, Json); 9] = [
            ("token_bound_cidrs", Json::Array(cidrs)),
            ("token_explicit_max_ttl", self.token_explicit_max_ttl.seconds().into()),
            ("token_max_ttl", self.token_max_ttl.seconds().into()),
            ("token_no_default_policy", self.token_no_default_policy.into()),
            ("token_num_uses", self.token_num_uses.into()),
            ("token_period", self.token_period.seconds().into()),
            ("token_policies", self.token_policies.clone().into()),
            ("token_ttl", self.token_ttl.seconds().into()),
            ("token_type", self.token_type.word().into()),
        ];
        data.extend(pairs.map(|(k, v)| (k.to_owned(), v)));
    }

    /// Starts a login by these rules.
    pub fn login(&self) -> Login {
        Login {
            policies: self.token_policies.clone(),
            no_default_policy: self.token_no_default_policy,
            ttl: self.token_ttl,
            max_ttl: self.token_max_ttl,
            explicit_max_ttl: self.token_explicit_max_ttl,
            period: self.token_period,
            num_uses: self.token_num_uses,
            bound_cidrs: self.token_bound_cidrs.clone(),
            kind: self.token_type,
            renewable: true,
            ..Login::default()
        }
    }
}

/// Whether an address is in one of the networks; no networks are all of them, and an unknown address is in none.
pub fn within(networks: &[IpNet], from: Option<IpAddr>) -> bool {
    networks.is_empty() || from.is_some_and(|from| networks.iter().any(|net| net.contains(&from)))
}

/// A network as the API shows it: a single address without its length.
pub fn show_network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

/// Policy names in their one form: trimmed, in lower case, sorted, each once. `root` is given by no role.
///
/// # Errors
/// [`Error::Invalid`].
pub fn policy_names(names: Vec<String>) -> Result<Vec<String>> {
    let mut names: Vec<String> = names.iter().map(|n| n.trim().to_lowercase()).filter(|n| !n.is_empty()).collect();
    if names.len() > limits::TOKEN_POLICIES {
        return Err(Error::invalid(format!("at most {} policies", limits::TOKEN_POLICIES)));
    }
    if names.iter().any(|n| n == "root") {
        return Err(Error::invalid("the policy 'root' cannot be given here"));
    }
    if names.iter().any(|n| n.len() > limits::NAME_BYTES || n.contains(char::is_control)) {
        return Err(Error::invalid("a policy's name is too long or has a control character"));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_an_address_is_in_no_network() {
        let nets: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for from in [None, "11.0.0.1".parse().ok(), "::1".parse().ok()] {
            assert!(!within(&nets, from));
        }
        assert!(within(&nets, "10.9.9.9".parse().ok()));
        assert!(within(&[], None));
    }

    #[test]
    fn no_role_gives_root_in_any_spelling() {
        for name in ["root", "Root", " ROOT ", "rOOt\t"] {
            assert!(policy_names(vec!["a".into(), name.into()]).is_err(), "{name:?}");
        }
        assert_eq!(policy_names(vec!["B".into(), " a".into(), "b".into()]).unwrap(), ["a", "b"]);
    }
}
