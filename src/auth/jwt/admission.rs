//! Whether a role admits these claims, and as whom: the one judgement of logins, of browsers and of simulations.

use std::collections::BTreeMap;

use super::claims::{find, meets, text};
use super::config::Config;
use super::role::Role;
use crate::base::json::Map;
use crate::base::{Json, Timestamp, limits};

/// Who somebody is to a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The name, for identity.
    pub user: String,
    /// Mapped claims.
    pub metadata: BTreeMap<String, String>,
    /// The groups that the issuer names.
    pub groups: Vec<String>,
}

/// Seconds that clocks may differ where a role says nothing.
const SKEW_SECONDS: i64 = 60;
/// Seconds that a missing end or start is apart from what the token has instead.
const SPAN_SECONDS: i64 = 150;

/// What stands against the claims, apart from the role: all of it, each in words that hold no value of a claim.
pub fn of_issuer(config: &Config, claims: &Map) -> Vec<String> {
    let issuer = claims.get("iss").and_then(Json::as_str);
    if config.bound_issuer.is_empty() || issuer == Some(config.bound_issuer.as_str()) {
        return Vec::new();
    }
    vec!["the issuer ('iss') is not the bound one".into()]
}

/// What stands against the moment: the token is over, not good yet, or does not say.
pub fn of_time(role: &Role, claims: &Map, now: Timestamp) -> Vec<String> {
    match times(role, claims, now) {
        Ok(()) => Vec::new(),
        Err(words) => vec![words.to_owned()],
    }
}

fn times(role: &Role, claims: &Map, now: Timestamp) -> Result<(), &'static str> {
    let wrong = "a time ('exp', 'nbf' or 'iat') is not a number";
    let moment = |name: &str| match claims.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(number)) => match number.parse::<f64>() {
            Ok(seconds) if (0.0..4e11).contains(&seconds) => Ok(Some(seconds as i64)),
            _ => Err(wrong),
        },
        Some(_) => Err(wrong),
    };
    let (issued, starts, ends) = (moment("iat")?, moment("nbf")?, moment("exp")?);
    let leeway = |own: i64, otherwise: i64| match own {
        0 => otherwise,
        own => own.max(0),
    };
    let latest = issued.max(starts);
    let ends = match (ends, latest) {
        (Some(ends), _) => ends,
        (None, Some(latest)) => latest.saturating_add(leeway(role.expiration_leeway, SPAN_SECONDS)),
        (None, None) => return Err("it has neither of 'exp', 'nbf' and 'iat'"),
    };
    let starts = starts.or(issued).unwrap_or(ends - leeway(role.not_before_leeway, SPAN_SECONDS));
    let skew = leeway(role.clock_skew_leeway, SKEW_SECONDS);
    let now = now.as_second();
    if now.saturating_sub(skew) >= ends {
        return Err("it has expired ('exp')");
    }
    if now.saturating_add(skew) < starts || issued.is_some_and(|issued| now.saturating_add(skew) < issued) {
        return Err("it is not valid yet ('nbf' or 'iat')");
    }
    Ok(())
}

/// Who it is, or all that stands against it.
pub fn of_role(role: &Role, claims: &Map, now: Timestamp) -> Result<Admitted, Vec<String>> {
    let mut against = Vec::new();
    audience(role, claims, &mut against);
    if !role.bound_subject.is_empty() && claims.get("sub").and_then(Json::as_str) != Some(role.bound_subject.as_str()) {
        against.push("the subject ('sub') is not the bound one".into());
    }
    for (name, expected) in &role.bound_claims {
        match find(claims, name) {
            None => against.push(format!("claim \"{name}\" is missing")),
            Some(actual) if !meets(actual, expected, role.globs) => {
                against.push(format!("claim \"{name}\" does not match any associated bound claim values"));
            }
            Some(_) => {}
        }
    }
    if !role.max_age.is_zero() {
        let shown = claims.get("auth_time").and_then(text).and_then(|seconds| seconds.parse::<f64>().ok());
        let oldest = now.as_second() - i64::try_from(role.max_age.seconds()).unwrap_or(i64::MAX) - SKEW_SECONDS;
        if shown.is_none_or(|at| (at as i64) < oldest) {
            against.push("the person showed who it is too long ago, or 'auth_time' is missing".into());
        }
    }
    let user = if role.user_claim_json_pointer { find(claims, &role.user_claim) } else { claims.get(&role.user_claim) };
    let user = user.and_then(Json::as_str).filter(|name| !name.is_empty() && name.len() <= limits::NAME_BYTES);
    if user.is_none() {
        against.push(format!("claim \"{}\" is missing, or no name", role.user_claim));
    }
    let groups = groups(role, claims).unwrap_or_else(|words| {
        against.push(words);
        Vec::new()
    });
    let metadata = metadata(role, claims, &mut against);
    match user {
        Some(user) if against.is_empty() => Ok(Admitted { user: user.to_owned(), metadata, groups }),
        _ => Err(against),
    }
}

/// As [`of_role`], for what an issuer told of a person who logged in with a browser.
///
/// # Errors
/// All that stands against it.
pub fn of_person(role: &Role, claims: &Map, now: Timestamp) -> Result<Admitted, Vec<String>> {
    let mut judged = claims.clone();
    // The token is ours by its audience, which was checked already: a role need not name it.
    if role.bound_audiences.is_empty() {
        judged.remove("aud");
    }
    of_role(role, &judged, now)
}

fn audience(role: &Role, claims: &Map, against: &mut Vec<String>) {
    let audience: Vec<&str> = match claims.get("aud") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(items)) if items.iter().all(|item| item.as_str().is_some()) => {
            items.iter().filter_map(Json::as_str).collect()
        }
        Some(_) => return against.push("the audience ('aud') is neither text nor a list of texts".into()),
    };
    if role.bound_audiences.is_empty() {
        // A token that was meant for somebody must not be good for everybody.
        if !audience.is_empty() {
            against.push("the token has an audience ('aud') but the role has no bound audiences".into());
        }
    } else if !audience.iter().any(|aud| role.bound_audiences.iter().any(|bound| bound == aud)) {
        against.push("the audience ('aud') is none of the bound audiences".into());
    }
}

fn groups(role: &Role, claims: &Map) -> Result<Vec<String>, String> {
    let name = &role.groups_claim;
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let groups = match find(claims, name) {
        None => return Err(format!("claim \"{name}\" with the groups is missing")),
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(items)) if items.len() <= limits::LOGIN_GROUPS => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.ok_or_else(|| format!("claim \"{name}\" has groups that are no text"))?
        }
        Some(_) => return Err(format!("claim \"{name}\" is no list of groups, or has too many")),
    };
    Ok(groups.into_iter().filter(|group| !group.is_empty() && group.len() <= limits::NAME_BYTES).collect())
}

fn metadata(role: &Role, claims: &Map, against: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    for (claim, name) in &role.claim_mappings {
        // What the token does not say is left out, as with Vault.
        let Some(value) = find(claims, claim) else { continue };
        match text(value).filter(|text| text.len() <= limits::METADATA_BYTES && !text.contains(char::is_control)) {
            Some(text) => drop(metadata.insert(name.clone(), text)),
            None => against.push(format!("claim \"{claim}\" cannot become metadata")),
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600;

    fn claims(text: &str) -> Map {
        match Json::parse(text.as_bytes()).unwrap() {
            Json::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    fn good(role: &Role, text: &str) -> bool {
        of_time(role, &claims(text), Timestamp::from_second(NOW).unwrap()).is_empty()
    }

    #[test]
    fn a_token_out_of_its_time_is_not_good() {
        let role = Role::default();
        for text in [
            "{}".to_owned(),
            format!(r#"{{"exp":{}}}"#, NOW - 60),
            format!(r#"{{"exp":{}}}"#, NOW + 1000),
            format!(r#"{{"exp":"{}"}}"#, NOW + 100),
            r#"{"exp":[1]}"#.into(),
            r#"{"exp":1e300,"iat":0}"#.into(),
            r#"{"exp":-1,"iat":-1}"#.into(),
            format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 1000, NOW + 61),
            format!(r#"{{"exp":{},"iat":{},"nbf":1}}"#, NOW + 1000, NOW + 61),
            format!(r#"{{"iat":{}}}"#, NOW - 211),
        ] {
            assert!(!good(&role, &text), "{text}");
        }
        for text in [
            format!(r#"{{"exp":{}}}"#, NOW - 59),
            format!(r#"{{"exp":{}.5}}"#, NOW + 200),
            format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 1000, NOW + 60),
            format!(r#"{{"iat":{}}}"#, NOW - 209),
            format!(r#"{{"exp":{},"iat":1}}"#, NOW + 1),
        ] {
            assert!(good(&role, &text), "{text}");
        }
        let strict = Role { clock_skew_leeway: -1, expiration_leeway: -1, ..Role::default() };
        assert!(!good(&strict, &format!(r#"{{"exp":{NOW},"iat":1}}"#)));
        assert!(!good(&strict, &format!(r#"{{"iat":{}}}"#, NOW - 1)));
        assert!(good(&strict, &format!(r#"{{"exp":{},"iat":1}}"#, NOW + 1)));
    }

    #[test]
    fn an_audience_in_any_form_is_one_of_the_bound_ones_or_none_is() {
        let now = Timestamp::from_second(NOW).unwrap();
        let bound = Role { user_claim: "sub".into(), bound_audiences: vec!["a".into()], ..Role::default() };
        let open = Role { user_claim: "sub".into(), ..Role::default() };
        for aud in ["\"b\"", "[]", "\"\"", "[\"b\"]", "[\"a\",1]", "1", "{}", "null", "\"A\"", "\"a \"", "[[\"a\"]]"] {
            let claims = claims(&format!(r#"{{"sub":"s","aud":{aud}}}"#));
            assert!(of_role(&bound, &claims, now).is_err(), "{aud}");
        }
        for aud in ["\"a\"", "[\"b\",\"a\"]"] {
            let claims = claims(&format!(r#"{{"sub":"s","aud":{aud}}}"#));
            assert!(of_role(&bound, &claims, now).is_ok(), "{aud}");
            assert!(of_role(&open, &claims, now).is_err(), "{aud}");
        }
    }

    #[test]
    fn all_that_stands_against_a_login_is_told_at_once_and_no_value() {
        let now = Timestamp::from_second(NOW).unwrap();
        let role = Role {
            user_claim: "name".into(),
            bound_subject: "x".into(),
            bound_claims: claims(r#"{"team":"blue","/a/b":"c"}"#),
            groups_claim: "groups".into(),
            claim_mappings: BTreeMap::from([("deep".into(), "d".into())]),
            ..Role::default()
        };
        let against =
            of_role(&role, &claims(r#"{"sub":"canary","team":"canary","groups":[1],"deep":{"canary":1}}"#), now);
        let against = against.unwrap_err();
        assert_eq!(against.len(), 6, "{against:?}");
        assert!(!against.concat().contains("canary"));
    }
}
