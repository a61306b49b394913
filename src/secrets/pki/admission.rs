//! Admission: the one door between what is asked for and what is signed.
//!
//! [`Admitted`] has no other maker than [`admit`], and `certify` signs nothing else for those who ask through a role,
//! whether they send parameters or a request of their own. Who adds a way to ask adds an [`Ask`], not a second door.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::acme::{Identifier, Proved};
use super::lifetime::{Beyond, Bounds, Lifetime, Terms};
use super::names;
use super::role::{self, Role};
use crate::base::{Error, Result, Timestamp, Ttl, glob};
use crate::crypto::x509::{AltName, DistinguishedName, Extension, KeyUsage, Oid, Request, Subject, extension};
use crate::crypto::{KeyKind, PublicKey};
use crate::engine::{Args, Field, Limits, Param, Params};
use crate::params;

/// The longest common name, in bytes (RFC 5280, ub-common-name).
const COMMON_NAME_MAX: usize = 64;

params! {
    /// What may be asked for in the name of a role.
    pub struct Asked {
        /// The common name.
        common_name: Option<String>,
        /// DNS names and mail addresses.
        alt_names: Vec<String>,
        /// IP addresses.
        ip_sans: Vec<String>,
        /// URIs.
        uri_sans: Vec<String>,
        /// Other names, as `<oid>;utf8:<text>`.
        other_sans: Vec<String>,
        /// The serial number of the subject.
        serial_number: Option<String>,
        /// The user ids of the subject.
        user_ids: Vec<String>,
        /// How long the certificate lives.
        ttl: Option<Ttl>,
        /// When it ends, in RFC 3339.
        not_after: Option<String>,
        /// When it begins, in RFC 3339.
        not_before: Option<String>,
        /// Whether the common name is not to be an alternative name.
        exclude_cn_from_sans: Option<bool>,
    }
}

impl Param for Asked {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        <Self as Params>::fields()
    }
    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Self::parse(args)
    }
}

/// How it is asked.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// With parameters only: the key is made here.
    Parameters,
    /// With a request; the role says which of its names count.
    Request(&'a Request),
    /// With a request whose subject and names are taken as they are. They still pass through the role, a wide one.
    Verbatim(&'a Request),
    /// With a request whose names were proved: it has these names and no others.
    Proved(&'a Request, &'a Proved),
}

impl Asked {
    /// Nothing but an end, if there is one.
    pub const fn only_until(not_after: Option<String>) -> Self {
        Self {
            common_name: None,
            alt_names: Vec::new(),
            ip_sans: Vec::new(),
            uri_sans: Vec::new(),
            other_sans: Vec::new(),
            serial_number: None,
            user_ids: Vec::new(),
            ttl: None,
            not_after,
            not_before: None,
            exclude_cn_from_sans: None,
        }
    }
}

/// What decides beside the role.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The display name of the token.
    pub display_name: String,
    /// The present moment.
    pub now: Timestamp,
    /// The mount's lease times.
    pub limits: Limits,
    /// The end of the issuer, and what happens beyond it.
    pub issuer_end: (Timestamp, Beyond),
    /// A random number, for roles that spread the ends of their certificates.
    pub chance: u64,
}

/// The key of a certificate to be.
#[derive(Clone, Debug)]
pub enum LeafKey {
    /// To be made.
    Make(KeyKind),
    /// The asker's, who has proven to have it.
    Given(PublicKey),
}

/// What a role allows to be signed. Only [`admit`] makes one.
#[derive(Clone, Debug)]
pub struct Admitted {
    subject: DistinguishedName,
    names: Vec<AltName>,
    lifetime: Lifetime,
    key: LeafKey,
    key_usage: KeyUsage,
    ext_key_usage: Vec<Oid>,
    policies: Vec<extension::Policy>,
    no_ca: bool,
    others: Vec<Extension>,
    warnings: Vec<String>,
}

impl Admitted {
    pub(super) const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
    pub(super) const fn key(&self) -> &LeafKey {
        &self.key
    }
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
    pub(super) const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }
    pub(super) fn names(&self) -> &[AltName] {
        &self.names
    }

    /// What the certificate says of its use, for a key of this kind.
    pub(super) fn extensions(&self, kind: KeyKind) -> Result<Vec<Extension>> {
        let mut found = Vec::new();
        let usage = suited(self.key_usage, kind);
        if !usage.is_empty() {
            found.push(extension::key_usage(usage)?);
        }
        if !self.ext_key_usage.is_empty() {
            found.push(extension::ext_key_usage(&self.ext_key_usage)?);
        }
        if self.no_ca {
            found.push(extension::basic_constraints(false, None)?);
        }
        if !self.policies.is_empty() {
            found.push(extension::policies(&self.policies)?);
        }
        found.extend(self.others.iter().cloned());
        Ok(found)
    }
}

/// Without the usages that a key of this kind has no way to serve (RFC 3279 §2.3.1, RFC 5480 §3, RFC 8410 §5): linters refuse them.
fn suited(usage: KeyUsage, kind: KeyKind) -> KeyUsage {
    let encipherment = KeyUsage::KEY_ENCIPHERMENT.with(KeyUsage::DATA_ENCIPHERMENT);
    let agreement = KeyUsage::KEY_AGREEMENT.with(KeyUsage::ENCIPHER_ONLY).with(KeyUsage::DECIPHER_ONLY);
    match kind {
        KeyKind::Rsa(_) => usage.without(agreement),
        KeyKind::Ec(_) => usage.without(encipherment),
        KeyKind::Ed25519 => usage.without(encipherment.with(agreement)),
    }
}

/// The names that are wished for, from wherever they came.
#[derive(Default)]
struct Wish {
    common_name: String,
    serial_number: String,
    user_ids: Vec<String>,
    names: Vec<AltName>,
}

/// Decides what is signed for this ask in the name of this role.
///
/// # Errors
/// [`Error::Invalid`] which names the part that the role does not allow.
pub fn admit(role: &Role, ask: Ask<'_>, asked: &Asked, facts: &Facts) -> Result<Admitted> {
    let key = leaf_key(role, ask)?;
    let mut wish = wish(role, ask, asked)?;
    dedupe(&mut wish.names);
    check_subject(role, &wish, facts)?;
    for name in &wish.names {
        check_name(role, name, &facts.display_name)?;
    }
    let terms = Terms {
        ttl: asked.ttl.unwrap_or_default(),
        not_after: asked.not_after.as_deref().unwrap_or_default(),
        role_ttl: role.ttl,
        role_max_ttl: role.max_ttl,
        role_not_after: &role.not_after,
        not_before: asked.not_before.as_deref().unwrap_or_default(),
        role_not_before: &role.not_before,
        not_before_duration: role.not_before_duration,
        bounds: Bounds::parse(&role.not_before_bound, &role.not_after_bound),
    };
    let (lifetime, warning) = terms.lifetime(facts.now, facts.limits, Some(facts.issuer_end))?;
    let lifetime = match asked.not_after.as_deref().unwrap_or_default() {
        "" if role.not_after.is_empty() => lifetime.sooner(facts.now, role.ttl_jitter, facts.chance),
        _ => lifetime,
    };
    check_svid(role, &wish.names)?;
    let mut admitted = Admitted {
        subject: subject(role, &wish).encode()?,
        names: wish.names,
        lifetime,
        key,
        key_usage: role.key_usage()?,
        ext_key_usage: role.ext_key_usage()?,
        policies: role.policies()?,
        no_ca: role.basic_constraints_valid_for_non_ca,
        others: Vec::new(),
        warnings: warning.into_iter().collect(),
    };
    if let Ask::Verbatim(request) = ask {
        admitted.subject = request.subject().clone();
        admitted.others = carried(request);
    }
    Ok(admitted)
}

fn leaf_key(role: &Role, ask: Ask<'_>) -> Result<LeafKey> {
    let wanted = role.key_kind()?;
    let (Ask::Request(request) | Ask::Verbatim(request) | Ask::Proved(request, _)) = ask else {
        return match wanted {
            Some(kind) => Ok(LeafKey::Make(kind)),
            None => Err(Error::invalid("role key type \"any\" not allowed for issuing certificates, only signing")),
        };
    };
    let given = request.public_key();
    let fits = match (wanted, given.kind()) {
        (None, _) | (Some(KeyKind::Ed25519), KeyKind::Ed25519) => true,
        (Some(KeyKind::Rsa(least)), KeyKind::Rsa(bits)) => bits >= least,
        (Some(KeyKind::Ec(least)), KeyKind::Ec(curve)) => curve.bits() >= least.bits(),
        _ => false,
    };
    if !fits {
        return Err(Error::invalid(format!("role requires keys of type {}", role.key_type)));
    }
    Ok(LeafKey::Given(given.clone()))
}

/// The names of a request that must be what was proved, to the letter. What else its subject says was proved by nobody,
/// and what it says of its use is not for a request to say: neither goes anywhere.
fn proved_wish(role: &Role, request: &Request, proved: &Proved) -> Result<Wish> {
    if request.wants_ca()? {
        return Err(Error::invalid("the request asks for a CA"));
    }
    let mut names = request.alt_names()?;
    let mut common_name = request.subject().common_name().unwrap_or_default();
    let known = |text: &str| proved.identifiers().iter().find(|one| named_so(one, text));
    match known(&common_name) {
        Some(identifier) => names.push(identifier.name()),
        None if common_name.is_empty() => {}
        None => return Err(Error::invalid("the common name of the request was not proved")),
    }
    let mut asked = BTreeSet::new();
    for name in &names {
        match Identifier::of(name) {
            Some(identifier) => asked.insert(identifier),
            None => return Err(Error::invalid("the request has a name of a kind that cannot be proved")),
        };
    }
    if asked != *proved.identifiers() {
        return Err(Error::invalid("the names of the request are not those of the order"));
    }
    if common_name.is_empty() && role.require_cn {
        let fits = |one: &&Identifier| matches!(one, Identifier::Dns(name) if name.len() <= COMMON_NAME_MAX);
        match proved.identifiers().iter().find(fits) {
            Some(Identifier::Dns(name)) => common_name.clone_from(name),
            _ => return Err(Error::invalid("the role requires a common name, and no identifier can be one")),
        }
    }
    Ok(Wish { common_name, names: asked.iter().map(Identifier::name).collect(), ..Wish::default() })
}

fn named_so(identifier: &Identifier, text: &str) -> bool {
    match identifier {
        Identifier::Dns(name) => name.eq_ignore_ascii_case(text),
        Identifier::Ip(address) => address.to_string() == text,
    }
}

fn wish(role: &Role, ask: Ask<'_>, asked: &Asked) -> Result<Wish> {
    if let Ask::Proved(request, proved) = ask {
        return proved_wish(role, request, proved);
    }
    let mut wish = Wish::default();
    let request = match ask {
        Ask::Parameters => None,
        Ask::Request(request) | Ask::Verbatim(request) | Ask::Proved(request, _) => Some(request),
    };
    let requested = request.map(|request| request.subject().subject()).unwrap_or_default();
    let asked_name = asked.common_name.clone().unwrap_or_default();
    wish.common_name = match request {
        Some(_) if role.use_csr_common_name && !requested.common_name.is_empty() => requested.common_name,
        _ => asked_name,
    };
    if role.require_cn && wish.common_name.is_empty() {
        return Err(Error::invalid(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to \
             true, unless \"require_cn\" is set to false",
        ));
    }
    let from_request = if role.serial_number_source == "json" { String::new() } else { requested.serial_number };
    wish.serial_number = asked.serial_number.clone().filter(|s| !s.is_empty()).unwrap_or(from_request);
    wish.user_ids = if asked.user_ids.is_empty() { requested.user_ids } else { asked.user_ids.clone() };
    let names_of_request = request.filter(|_| role.use_csr_sans);
    if let Some(request) = names_of_request {
        wish.names = request.alt_names()?;
    } else {
        wish.names = asked_names(asked)?;
    }
    let verbatim = matches!(ask, Ask::Verbatim(_));
    if !wish.common_name.is_empty() && !verbatim && !asked.exclude_cn_from_sans.unwrap_or(false) {
        // A common name that is neither stays what it is: a name for people.
        if names::is_email(&wish.common_name) {
            wish.names.insert(0, AltName::Email(wish.common_name.clone()));
        } else if names::is_dns(&wish.common_name) {
            wish.names.insert(0, AltName::Dns(wish.common_name.clone()));
        }
    }
    Ok(wish)
}

/// The alternative names of the parameters.
///
/// # Errors
/// [`Error::Invalid`] which names the field, for what is no name of its kind.
pub fn asked_names(asked: &Asked) -> Result<Vec<AltName>> {
    let mut found = Vec::new();
    for name in &asked.alt_names {
        found.push(if name.contains('@') { AltName::Email(name.clone()) } else { AltName::Dns(name.clone()) });
    }
    for address in &asked.ip_sans {
        let parsed = address.parse::<IpAddr>();
        found.push(AltName::Ip(parsed.map_err(|_| Error::invalid("ip_sans: one is no IP address"))?));
    }
    found.extend(asked.uri_sans.iter().map(|uri| AltName::Uri(uri.clone())));
    for other in &asked.other_sans {
        let (oid, text) = parse_other_san("other_sans", other)?;
        found.push(AltName::other_utf8(oid, text).map_err(|_| Error::invalid("other_sans: malformed"))?);
    }
    for name in &found {
        check_form(name)?;
    }
    Ok(found)
}

/// Splits `<oid>;utf8:<text>`.
///
/// # Errors
/// [`Error::Invalid`] which names the field.
pub fn parse_other_san<'a>(field: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    let wrong = || Error::invalid(format!("{field}: want '<oid>;utf8:<text>'"));
    let (oid, value) = text.split_once(';').ok_or_else(wrong)?;
    let (kind, value) = value.split_once(':').ok_or_else(wrong)?;
    let known = kind.eq_ignore_ascii_case("utf8") || kind.eq_ignore_ascii_case("utf-8");
    if !known || value.is_empty() || extension::oid(oid).is_err() {
        return Err(wrong());
    }
    Ok((oid, value))
}

fn dedupe(names: &mut Vec<AltName>) {
    let mut distinct: Vec<AltName> = Vec::with_capacity(names.len());
    for name in names.drain(..) {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    *names = distinct;
}

/// Whether a name is what its kind says, whatever the role thinks of it.
fn check_form(name: &AltName) -> Result<()> {
    let (fits, what) = match name {
        AltName::Dns(name) => (names::is_dns(name), "alternative name: one is no DNS name"),
        AltName::Email(name) => (names::is_email(name), "alternative name: one is no mail address"),
        AltName::Uri(uri) => (names::is_uri(uri), "alternative name: one is no URI, or no SPIFFE ID"),
        AltName::Ip(_) => (true, ""),
        AltName::Other(..) => match name.other_text() {
            Some(text) => (!text.chars().any(char::is_control), "alternative name: a control character"),
            None => (false, "alternative name: only UTF-8 text is possible as another name"),
        },
        AltName::Unsupported(_) => (false, "alternative name: one is of a kind that is not supported"),
    };
    if fits { Ok(()) } else { Err(Error::invalid(what)) }
}

/// Whether a role allows an alternative name, for a token of this display name.
///
/// # Errors
/// [`Error::Invalid`] which says why not.
pub fn check_name(role: &Role, name: &AltName, display_name: &str) -> Result<()> {
    check_form(name)?;
    let allowed = match name {
        AltName::Dns(name) | AltName::Email(name) => names::allows(role, display_name, name),
        AltName::Uri(uri) => glob::fits_any(&role.allowed_uri_sans, uri),
        AltName::Ip(address) => {
            let inside = role.allowed_ip_sans_cidr.iter().any(|net| net.contains(address));
            role.allow_ip_sans && (role.allowed_ip_sans_cidr.is_empty() || inside)
        }
        AltName::Other(oid, _) => name.other_text().is_some_and(|text| allows_other(role, *oid, &text)),
        AltName::Unsupported(_) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Error::invalid(match name {
        AltName::Dns(name) => format!("subject alternate name {} not allowed by this role", quoted(name)),
        AltName::Email(name) => format!("email address {} not allowed by this role", quoted(name)),
        AltName::Ip(_) if !role.allow_ip_sans => "IP Subject Alternative Names are not allowed in this role".to_owned(),
        AltName::Ip(address) => format!("IP Subject Alternative Name '{address}' is not in this role's networks"),
        AltName::Uri(_) if role.allowed_uri_sans.is_empty() => {
            "URI Subject Alternative Names are not allowed in this role, but one was provided".to_owned()
        }
        AltName::Uri(_) => {
            "URI Subject Alternative Names were provided, but one is not allowed by this role".to_owned()
        }
        AltName::Other(oid, _) => format!("other SAN of type {oid} not allowed by this role"),
        AltName::Unsupported(kind) => format!("an alternative name of the kind {kind} is not supported"),
    }))
}

fn allows_other(role: &Role, oid: Oid, text: &str) -> bool {
    role.allowed_other_sans.iter().any(|allowed| {
        allowed == "*"
            || parse_other_san("", allowed)
                .is_ok_and(|(of, pattern)| extension::oid(of).is_ok_and(|of| of == oid) && glob::fits(pattern, text))
    })
}

/// A certificate with a SPIFFE ID is an X.509-SVID: it has this one URI (of DNS names it may have any), and its key signs.
fn check_svid(role: &Role, wished: &[AltName]) -> Result<()> {
    let uris: Vec<&String> =
        wished.iter().filter_map(|name| if let AltName::Uri(uri) = name { Some(uri) } else { None }).collect();
    if !uris.iter().any(|uri| uri.starts_with("spiffe://")) {
        return Ok(());
    }
    if uris.len() != 1 {
        return Err(Error::invalid("a certificate with a SPIFFE ID has no other URI"));
    }
    if !role.key_usage()?.has(KeyUsage::DIGITAL_SIGNATURE) {
        return Err(Error::invalid("a certificate with a SPIFFE ID needs DigitalSignature in the role's key_usage"));
    }
    Ok(())
}

fn check_subject(role: &Role, wish: &Wish, facts: &Facts) -> Result<()> {
    let texts = [&wish.common_name, &wish.serial_number].into_iter().chain(&wish.user_ids);
    if texts.into_iter().any(|text| text.chars().any(char::is_control)) {
        return Err(Error::invalid("the subject has a control character"));
    }
    let name = &wish.common_name;
    if !name.is_empty() && !common_name_fits(role, facts, name) {
        return Err(Error::invalid(format!("common name {} not allowed by this role", quoted(name))));
    }
    if !wish.serial_number.is_empty() && !glob::fits_any(&role.allowed_serial_numbers, &wish.serial_number) {
        return Err(Error::invalid(format!("serial_number {} not allowed by this role", quoted(&wish.serial_number))));
    }
    match wish.user_ids.iter().find(|id| !glob::fits_any(&role.allowed_user_ids, id)) {
        Some(id) => Err(Error::invalid(format!("user_id {} is not allowed by this role", quoted(id)))),
        None => Ok(()),
    }
}

fn common_name_fits(role: &Role, facts: &Facts, name: &str) -> bool {
    let validated = |word: &str| role.cn_validations.iter().any(|validation| validation == word);
    if validated("disabled") {
        return true;
    }
    let kind = if name.contains('@') { "email" } else { "hostname" };
    validated(kind) && names::allows(role, &facts.display_name, name)
}

fn subject(role: &Role, wish: &Wish) -> Subject {
    Subject {
        common_name: wish.common_name.clone(),
        serial_number: wish.serial_number.clone(),
        country: role.country.clone(),
        province: role.province.clone(),
        locality: role.locality.clone(),
        street_address: role.street_address.clone(),
        postal_code: role.postal_code.clone(),
        organization: role.organization.clone(),
        organizational_unit: role.ou.clone(),
        user_ids: wish.user_ids.clone(),
    }
}

/// The extensions of a request that verbatim signing carries over: none that says what the certificate may do, who
/// signed it or where to ask about it, since those are the issuer's to say.
fn carried(request: &Request) -> Vec<Extension> {
    use extension::id;
    let ours = [
        id::SUBJECT_KEY_ID,
        id::KEY_USAGE,
        id::ALT_NAMES,
        id::BASIC_CONSTRAINTS,
        id::NAME_CONSTRAINTS,
        id::CRL_DISTRIBUTION_POINTS,
        id::POLICIES,
        id::AUTHORITY_KEY_ID,
        id::EXT_KEY_USAGE,
        id::FRESHEST_CRL,
        id::AUTHORITY_INFO_ACCESS,
        id::OCSP_NO_CHECK,
        id::ACME_IDENTIFIER,
    ];
    request.extensions().iter().filter(|extension| !ours.contains(&extension.oid)).cloned().collect()
}

/// A text from outside as an error may show it: names are public, but not endless.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(128).collect();
    format!("'{shown}'")
}

/// The role of an ACME directory without one: any name that was proved, for servers.
pub fn proved_role() -> Role {
    Role {
        allow_any_name: true,
        allow_ip_sans: true,
        allow_wildcard_certificates: true,
        key_type: "any".into(),
        key_bits: 0,
        require_cn: false,
        ..Role::default()
    }
}

/// The role that verbatim signing has: all names. What a real role limits beyond names stays limited.
///
/// # Errors
/// [`Error::Invalid`] for usages that are none.
pub fn verbatim_role(
    of: Option<Role>,
    key_usage: Option<Vec<String>>,
    ext: (Vec<String>, Vec<String>),
) -> Result<Role> {
    let of = of.unwrap_or_default();
    let all = || vec!["*".to_owned()];
    let wide = Role {
        allow_any_name: true,
        enforce_hostnames: false,
        allow_ip_sans: true,
        allowed_ip_sans_cidr: of.allowed_ip_sans_cidr,
        allowed_uri_sans: all(),
        allowed_other_sans: all(),
        allowed_serial_numbers: all(),
        allowed_user_ids: all(),
        allow_wildcard_certificates: true,
        cn_validations: vec!["disabled".into()],
        require_cn: false,
        key_type: "any".into(),
        key_bits: 0,
        server_flag: false,
        client_flag: false,
        key_usage: key_usage.unwrap_or_else(|| Role::default().key_usage),
        ext_key_usage: ext.0,
        ext_key_usage_oids: ext.1,
        use_csr_common_name: true,
        use_csr_sans: true,
        issuer_ref: of.issuer_ref,
        no_store: of.no_store,
        generate_lease: of.generate_lease,
        ttl: of.ttl,
        max_ttl: of.max_ttl,
        not_after: of.not_after,
        not_after_bound: of.not_after_bound,
        not_before: of.not_before,
        not_before_bound: of.not_before_bound,
        not_before_duration: of.not_before_duration,
        ttl_jitter: of.ttl_jitter,
        signature_bits: of.signature_bits,
        use_pss: of.use_pss,
        ..Role::default()
    };
    role::ext_usages(&wide.ext_key_usage, &wide.ext_key_usage_oids)?;
    wide.key_usage()?;
    Ok(wide)
}

#[cfg(test)]
mod tests;
