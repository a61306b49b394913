//! A role: what may be asked for in its name. Each field here is enforced by `admission`, or refused when it is set.

use std::borrow::Cow;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::base::{Error, Json, Result, Ttl};
use crate::crypto::x509::{KeyUsage, extension};
use crate::crypto::{Hash, KeyKind};
use crate::params;
use crate::policy;

/// A role, with the names that the API has for its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    pub allow_any_name: bool,
    pub allow_bare_domains: bool,
    pub allow_glob_domains: bool,
    pub allow_ip_sans: bool,
    pub allow_localhost: bool,
    pub allow_subdomains: bool,
    pub allow_token_displayname: bool,
    pub allow_wildcard_certificates: bool,
    pub allowed_domains: Vec<String>,
    pub allowed_domains_template: bool,
    pub allowed_ip_sans_cidr: Vec<IpNet>,
    pub allowed_other_sans: Vec<String>,
    pub allowed_serial_numbers: Vec<String>,
    pub allowed_uri_sans: Vec<String>,
    pub allowed_uri_sans_template: bool,
    pub allowed_user_ids: Vec<String>,
    pub basic_constraints_valid_for_non_ca: bool,
    pub client_flag: bool,
    pub cn_validations: Vec<String>,
    pub code_signing_flag: bool,
    pub country: Vec<String>,
    pub email_protection_flag: bool,
    pub enforce_hostnames: bool,
    pub ext_key_usage: Vec<String>,
    pub ext_key_usage_oids: Vec<String>,
    pub generate_lease: bool,
    pub issuer_ref: String,
    pub key_bits: u32,
    pub key_type: String,
    pub key_usage: Vec<String>,
    pub locality: Vec<String>,
    pub max_ttl: Ttl,
    pub no_store: bool,
    pub not_after: String,
    pub not_after_bound: String,
    pub not_before: String,
    pub not_before_bound: String,
    pub not_before_duration: Ttl,
    pub organization: Vec<String>,
    pub ou: Vec<String>,
    pub policy_identifiers: Vec<String>,
    pub postal_code: Vec<String>,
    pub province: Vec<String>,
    pub require_cn: bool,
    pub serial_number_source: String,
    pub server_flag: bool,
    pub signature_bits: u32,
    pub street_address: Vec<String>,
    pub ttl: Ttl,
    pub ttl_jitter: Ttl,
    pub use_csr_common_name: bool,
    pub use_csr_sans: bool,
    pub use_pss: bool,
}

impl Default for Role {
    /// What Vault's API documents as defaults.
    fn default() -> Self {
        let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
        Self {
            allow_any_name: false,
            allow_bare_domains: false,
            allow_glob_domains: false,
            allow_ip_sans: true,
            allow_localhost: true,
            allow_subdomains: false,
            allow_token_displayname: false,
            allow_wildcard_certificates: true,
            allowed_domains: Vec::new(),
            allowed_domains_template: false,
            allowed_ip_sans_cidr: Vec::new(),
            allowed_other_sans: Vec::new(),
            allowed_serial_numbers: Vec::new(),
            allowed_uri_sans: Vec::new(),
            allowed_uri_sans_template: false,
            allowed_user_ids: Vec::new(),
            basic_constraints_valid_for_non_ca: false,
            client_flag: true,
            cn_validations: list(&["email", "hostname"]),
            code_signing_flag: false,
            country: Vec::new(),
            email_protection_flag: false,
            enforce_hostnames: true,
            ext_key_usage: Vec::new(),
            ext_key_usage_oids: Vec::new(),
            generate_lease: false,
            issuer_ref: "default".into(),
            key_bits: 0,
            key_type: "rsa".into(),
            key_usage: list(&["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
            locality: Vec::new(),
            max_ttl: Ttl::ZERO,
            no_store: false,
            not_after: String::new(),
            not_after_bound: "ttl-limited".into(),
            not_before: String::new(),
            not_before_bound: "duration".into(),
            not_before_duration: Ttl::from_seconds(30),
            organization: Vec::new(),
            ou: Vec::new(),
            policy_identifiers: Vec::new(),
            postal_code: Vec::new(),
            province: Vec::new(),
            require_cn: true,
            serial_number_source: "json-csr".into(),
            server_flag: true,
            signature_bits: 0,
            street_address: Vec::new(),
            ttl: Ttl::ZERO,
            ttl_jitter: Ttl::ZERO,
            use_csr_common_name: true,
            use_csr_sans: true,
            use_pss: false,
        }
    }
}

params! {
    /// The fields of a role.
    pub struct RoleParams {
        /// Name of the role.
        name: String,
        /// Allow any common name and any DNS name.
        allow_any_name: Option<bool>,
        /// Allow the domains of allowed_domains themselves.
        allow_bare_domains: Option<bool>,
        /// Read `*` in allowed_domains as any text.
        allow_glob_domains: Option<bool>,
        /// Allow IP addresses as alternative names.
        allow_ip_sans: Option<bool>,
        /// Allow localhost.
        allow_localhost: Option<bool>,
        /// Allow names below the domains of allowed_domains.
        allow_subdomains: Option<bool>,
        /// Allow the display name of the token.
        allow_token_displayname: Option<bool>,
        /// Allow names that begin with `*.`.
        allow_wildcard_certificates: Option<bool>,
        /// The domains.
        allowed_domains: Option<Vec<String>>,
        /// Read `{{identity.…}}` in allowed_domains as what is known of who asks.
        allowed_domains_template: Option<bool>,
        /// The networks that IP addresses must be in; empty for any.
        allowed_ip_sans_cidr: Option<Vec<IpNet>>,
        /// Other names, as `<oid>;utf8:<pattern>`, or `*`.
        allowed_other_sans: Option<Vec<String>>,
        /// Patterns for the serial number of the subject.
        allowed_serial_numbers: Option<Vec<String>>,
        /// Patterns for URIs.
        allowed_uri_sans: Option<Vec<String>>,
        /// Read `{{identity.…}}` in allowed_uri_sans as what is known of who asks.
        allowed_uri_sans_template: Option<bool>,
        /// Patterns for the user ids of the subject.
        allowed_user_ids: Option<Vec<String>>,
        /// Say in each certificate that it is no CA's.
        basic_constraints_valid_for_non_ca: Option<bool>,
        /// For TLS clients.
        client_flag: Option<bool>,
        /// What a common name must be: email, hostname, or disabled.
        cn_validations: Option<Vec<String>>,
        /// For signing code.
        code_signing_flag: Option<bool>,
        /// C of the subject.
        country: Option<Vec<String>>,
        /// For mail.
        email_protection_flag: Option<bool>,
        /// Refuse what is no host name.
        enforce_hostnames: Option<bool>,
        /// More extended key usages, by name.
        ext_key_usage: Option<Vec<String>>,
        /// More extended key usages, by object identifier.
        ext_key_usage_oids: Option<Vec<String>>,
        /// Whether certificates get a lease.
        generate_lease: Option<bool>,
        /// The issuer: its id, its name, or default.
        issuer_ref: Option<String>,
        /// Size of the key; 0 for the default of its type.
        key_bits: Option<u64>,
        /// rsa, ec, ed25519, or any (for requests only).
        key_type: Option<String>,
        /// Key usages, by name.
        key_usage: Option<Vec<String>>,
        /// L of the subject.
        locality: Option<Vec<String>>,
        /// The longest time to live; 0 for the mount's.
        max_ttl: Option<Ttl>,
        /// Whether certificates are not stored.
        no_store: Option<bool>,
        /// A fixed end, in RFC 3339.
        not_after: Option<String>,
        /// What may be asked for as an end: permit, ttl-limited or forbid.
        not_after_bound: Option<String>,
        /// A fixed beginning, in RFC 3339.
        not_before: Option<String>,
        /// What may be asked for as a beginning: permit, duration or forbid.
        not_before_bound: Option<String>,
        /// How long before now a certificate begins.
        not_before_duration: Option<Ttl>,
        /// O of the subject.
        organization: Option<Vec<String>>,
        /// OU of the subject.
        ou: Option<Vec<String>>,
        /// Certificate policies: object identifiers, or a list of objects in JSON.
        policy_identifiers: Option<Json>,
        /// Postal code of the subject.
        postal_code: Option<Vec<String>>,
        /// ST of the subject.
        province: Option<Vec<String>>,
        /// Whether a common name is required.
        require_cn: Option<bool>,
        /// For TLS servers.
        server_flag: Option<bool>,
        /// Where the subject's serial number comes from: json-csr, or json for the parameter alone.
        serial_number_source: Option<String>,
        /// Digest of the signature; 0 for what suits the issuer's key.
        signature_bits: Option<u64>,
        /// Street of the subject.
        street_address: Option<Vec<String>>,
        /// The time to live; 0 for the mount's.
        ttl: Option<Ttl>,
        /// By how much the end of a certificate may come earlier, by chance; 0 for not at all.
        ttl_jitter: Option<Ttl>,
        /// Whether the common name of a request counts.
        use_csr_common_name: Option<bool>,
        /// Whether the alternative names of a request count.
        use_csr_sans: Option<bool>,
        /// RSA-PSS, if the issuer's key is RSA.
        use_pss: Option<bool>,
    }
}

/// Takes over each field that was given.
macro_rules! take {
    ($role:ident, $p:ident: $($field:ident)*) => { $( if let Some(value) = $p.$field { $role.$field = value; } )* };
}

impl Role {
    /// This role, changed by what was given, and checked as a whole.
    ///
    /// # Errors
    /// [`Error::Invalid`] which names the field.
    pub fn changed(mut self, p: RoleParams) -> Result<Self> {
        let role = &mut self;
        take!(role, p: allow_any_name allow_bare_domains allow_glob_domains allow_ip_sans allow_localhost);
        take!(role, p: allow_subdomains allow_token_displayname allow_wildcard_certificates allowed_domains);
        take!(role, p: allowed_domains_template allowed_ip_sans_cidr allowed_other_sans allowed_serial_numbers);
        take!(role, p: allowed_uri_sans allowed_uri_sans_template allowed_user_ids client_flag cn_validations);
        take!(role, p: basic_constraints_valid_for_non_ca code_signing_flag country email_protection_flag);
        take!(role, p: enforce_hostnames ext_key_usage ext_key_usage_oids generate_lease issuer_ref key_usage);
        take!(role, p: locality max_ttl no_store not_after not_before_duration organization ou postal_code);
        take!(role, p: province require_cn server_flag street_address ttl ttl_jitter use_csr_common_name use_csr_sans);
        take!(role, p: use_pss not_after_bound not_before not_before_bound serial_number_source);
        if let Some(policies) = p.policy_identifiers {
            role.policy_identifiers = policy_texts(policies)?;
        }
        let retyped = p.key_type.as_ref().is_some_and(|kind| *kind != role.key_type);
        if let Some(kind) = p.key_type {
            role.key_type = kind;
        }
        match p.key_bits {
            Some(bits) => role.key_bits = small("key_bits", bits)?,
            None if retyped => role.key_bits = 0,
            None => {}
        }
        match p.signature_bits {
            Some(bits) => role.signature_bits = small("signature_bits", bits)?,
            None if retyped => role.signature_bits = 0,
            None => {}
        }
        self.checked()
    }

    fn checked(mut self) -> Result<Self> {
        self.check_templates()?;
        let words: [(&str, &str, &[&str]); 3] = [
            ("not_after_bound", &self.not_after_bound, &["permit", "ttl-limited", "forbid"]),
            ("not_before_bound", &self.not_before_bound, &["permit", "duration", "forbid"]),
            ("serial_number_source", &self.serial_number_source, &["json-csr", "json"]),
        ];
        for (field, word, known) in words {
            if !known.contains(&word) {
                return Err(Error::invalid(format!("{field}: want {}", known.join(" or "))));
            }
        }
        if !self.ttl_jitter.is_zero() && !self.ttl.is_zero() && self.ttl_jitter >= self.ttl {
            return Err(Error::invalid("ttl_jitter must be less than ttl"));
        }
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return Err(Error::invalid("\"ttl\" value must be less than \"max_ttl\" value"));
        }
        if self.key_type == "any" {
            self.key_bits = 0;
        } else {
            self.key_bits = KeyKind::parse(&self.key_type, self.key_bits)?.bits();
        }
        let hash = Hash::of_bits(self.signature_bits)?;
        if hash.is_none() && self.key_type == "rsa" {
            self.signature_bits = Hash::Sha256.bits();
        }
        if self.issuer_ref.is_empty() {
            self.issuer_ref = "default".into();
        }
        // What is not stored cannot be revoked with a lease.
        if self.no_store {
            self.generate_lease = false;
        }
        self.key_usage()?;
        self.ext_key_usage()?;
        self.policies()?;
        self.check_other_sans()?;
        self.check_cn_validations()?;
        Ok(self)
    }

    /// The key that is made, or asked of a request; none where any will do.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`KeyKind::parse`].
    pub fn key_kind(&self) -> Result<Option<KeyKind>> {
        if self.key_type == "any" {
            return Ok(None);
        }
        Ok(Some(KeyKind::parse(&self.key_type, self.key_bits)?))
    }

    /// The key usages as a set.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is none.
    pub fn key_usage(&self) -> Result<KeyUsage> {
        usages("key_usage", &self.key_usage)
    }

    /// The extended key usages: those of the flags first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name or an identifier that is none.
    pub fn ext_key_usage(&self) -> Result<Vec<crate::crypto::x509::Oid>> {
        let flags = [
            (self.server_flag, "ServerAuth"),
            (self.client_flag, "ClientAuth"),
            (self.code_signing_flag, "CodeSigning"),
            (self.email_protection_flag, "EmailProtection"),
        ];
        let named = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
        let names: Vec<String> = named.map(str::to_owned).chain(self.ext_key_usage.iter().cloned()).collect();
        ext_usages(&names, &self.ext_key_usage_oids)
    }

    /// The certificate policies.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an identifier that is none.
    pub fn policies(&self) -> Result<Vec<extension::Policy>> {
        policies(&self.policy_identifiers)
    }

    /// The lists that may hold templates, where the role says that they do.
    fn templated(&self) -> [(&'static str, bool, &Vec<String>); 2] {
        [
            ("allowed_domains", self.allowed_domains_template, &self.allowed_domains),
            ("allowed_uri_sans", self.allowed_uri_sans_template, &self.allowed_uri_sans),
        ]
    }

    fn check_templates(&self) -> Result<()> {
        for (field, _, texts) in self.templated().into_iter().filter(|(_, set, _)| *set) {
            for text in texts {
                policy::filled(text, &policy::NoFacts).map_err(|why| Error::invalid(format!("{field}: {why}")))?;
            }
        }
        Ok(())
    }

    /// This role for somebody: its templates filled in with what is known of who asks. An entry whose value is missing,
    /// or holds a character that has a meaning in patterns, is dropped, which allows nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a template that is none.
    pub fn filled(&self, facts: &dyn policy::Facts) -> Result<Cow<'_, Self>> {
        if !self.allowed_domains_template && !self.allowed_uri_sans_template {
            return Ok(Cow::Borrowed(self));
        }
        let mut filled = self.clone();
        let fill = |texts: &[String]| {
            let fill = |text: &String| policy::filled(text, facts).map_err(Error::Invalid).transpose();
            texts.iter().filter_map(fill).collect::<Result<Vec<_>>>()
        };
        if self.allowed_domains_template {
            filled.allowed_domains = fill(&self.allowed_domains)?;
        }
        if self.allowed_uri_sans_template {
            filled.allowed_uri_sans = fill(&self.allowed_uri_sans)?;
        }
        Ok(Cow::Owned(filled))
    }

    /// This role for ACME: what was proved are names of servers, for whom nobody has a token.
    #[must_use]
    pub fn for_acme(mut self, config: &super::acme::Config) -> Self {
        if !config.allow_role_ext_key_usage {
            self.server_flag = true;
            self.client_flag = false;
            self.code_signing_flag = false;
            self.email_protection_flag = false;
            self.ext_key_usage = Vec::new();
            self.ext_key_usage_oids = Vec::new();
        }
        self.max_ttl = self.max_ttl.capped(config.max_ttl);
        self.allow_token_displayname = false;
        self.generate_lease = false;
        self
    }

    fn check_other_sans(&self) -> Result<()> {
        for pattern in self.allowed_other_sans.iter().filter(|pattern| *pattern != "*") {
            super::admission::parse_other_san("allowed_other_sans", pattern)?;
        }
        Ok(())
    }

    fn check_cn_validations(&self) -> Result<()> {
        let known = |word: &String| matches!(word.as_str(), "email" | "hostname" | "disabled");
        let mixed = self.cn_validations.len() > 1 && self.cn_validations.iter().any(|word| word == "disabled");
        if self.cn_validations.is_empty() || mixed || !self.cn_validations.iter().all(known) {
            return Err(Error::invalid("cn_validations: want 'email', 'hostname' or both, or 'disabled' alone"));
        }
        Ok(())
    }
}

fn small(field: &str, value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::invalid(format!("{field}: too large")))
}

/// The set of the named key usages.
///
/// # Errors
/// [`Error::Invalid`] for a name that is none; a certificate of a role is no CA's, so that signing others is refused.
pub fn usages(field: &str, names: &[String]) -> Result<KeyUsage> {
    let mut usage = KeyUsage::default();
    for name in names.iter().filter(|name| !name.is_empty()) {
        match KeyUsage::of_name(name) {
            Some(KeyUsage::CERT_SIGN) => return Err(Error::invalid(format!("{field}: CertSign is for a CA's key"))),
            Some(one) => usage = usage.with(one),
            None => return Err(Error::invalid(format!("{field}: an unknown key usage"))),
        }
    }
    Ok(usage)
}

/// The named extended key usages, and those by identifier.
///
/// # Errors
/// [`Error::Invalid`] for a name or an identifier that is none.
pub fn ext_usages(names: &[String], oids: &[String]) -> Result<Vec<crate::crypto::x509::Oid>> {
    let mut found = Vec::new();
    for name in names {
        let unknown = || Error::invalid("ext_key_usage: an unknown extended key usage");
        found.push(extension::ext_key_usage_of(name).ok_or_else(unknown)?);
    }
    for oid in oids {
        found.push(extension::oid(oid).map_err(|_| Error::invalid("ext_key_usage_oids: no object identifier"))?);
    }
    let mut distinct: Vec<crate::crypto::x509::Oid> = Vec::new();
    for oid in found {
        if !distinct.contains(&oid) {
            distinct.push(oid);
        }
    }
    Ok(distinct)
}

/// A list of identifiers, text with commas, or JSON objects (also as text): each kept as its text.
fn policy_texts(value: Json) -> Result<Vec<String>> {
    let wrong = || Error::invalid("policy_identifiers: want object identifiers, or objects with oid, notice and cps");
    let items = match value {
        Json::Null => Vec::new(),
        Json::Array(items) => items,
        Json::String(text) if text.trim_start().starts_with('[') => match Json::parse(text.as_bytes()) {
            Ok(Json::Array(items)) => items,
            _ => return Err(wrong()),
        },
        Json::String(text) if text.trim_start().starts_with('{') => {
            vec![Json::parse(text.as_bytes()).map_err(|_| wrong())?]
        }
        Json::String(text) => text.split(',').map(|item| Json::from(item.trim())).collect(),
        _ => return Err(wrong()),
    };
    let text = |item: Json| match item {
        Json::String(text) => Ok(text),
        object @ Json::Object(_) => Ok(object.text()),
        _ => Err(wrong()),
    };
    let texts = items.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// The policies of their texts.
///
/// # Errors
/// [`Error::Invalid`] for an identifier that is none, or an object with other members.
pub fn policies(texts: &[String]) -> Result<Vec<extension::Policy>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        oid: String,
        #[serde(default)]
        notice: Option<String>,
        #[serde(default)]
        cps: Option<String>,
    }
    let wrong = || Error::invalid("policy_identifiers: want object identifiers, or objects with oid, notice and cps");
    let mut policies = Vec::new();
    for text in texts {
        let policy = if text.starts_with('{') {
            let written: Written = serde_json::from_str(text).map_err(|_| wrong())?;
            extension::Policy { oid: written.oid, cps: written.cps, notice: written.notice }
        } else {
            extension::Policy { oid: text.clone(), ..extension::Policy::default() }
        };
        extension::oid(&policy.oid).map_err(|_| wrong())?;
        policies.push(policy);
    }
    extension::policies(&policies)?;
    Ok(policies)
}
