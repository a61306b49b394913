//! Password hashing: argon2id for ours, bcrypt only to check hashes brought from elsewhere.
//!
//! A check costs tens of milliseconds and 19 MiB: not on a thread that others wait for, and not
//! without a bound on how many run at once. For a user that does not exist check against [`DUMMY`],
//! so that the answer takes as long.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::error::{Error, Result};
use crate::base::{Rng, Secret};

/// Memory for one hash, in KiB (19 MiB: OWASP's recommendation for t=2, p=1).
pub const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 2;
/// Lanes.
pub const LANES: u32 = 1;
/// The length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
/// The longest password, in bytes: nobody types more.
pub const PASSWORD_MAX: usize = 4096;
/// The most memory that a hash brought from elsewhere may ask for, in KiB.
pub const MEMORY_MAX_KIB: u32 = 256 * 1024;
/// The most passes that it may ask for.
pub const PASSES_MAX: u32 = 16;
/// The highest cost of a bcrypt hash: two to this power rounds, about a second.
pub const BCRYPT_COST_MAX: u32 = 14;

/// A hash that no password has, at the same cost as ours.
pub const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A salt and a hash of bcrypt, of a password that nobody knows.
const BCRYPT_DUMMY: &str = "SZt6JlH62G6z75k8Yb2PN.wCe.A7Rxxe6Fxyi7VRVOpxB7wy3DSCq";

/// Hashes a password with a fresh salt, to a PHC string.
///
/// # Errors
/// `Invalid` for a password beyond [`PASSWORD_MAX`].
pub fn hash(password: &Secret<String>, rng: &dyn Rng) -> Result<String> {
    if password.reveal().len() > PASSWORD_MAX {
        return Err(Error::invalid("the password is longer than 4096 bytes"));
    }
    let mut salt = [0; SALT_LEN];
    rng.fill(&mut salt);
    let failed = |_| Error::Primitive("argon2id");
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.reveal().as_bytes(), &salt)
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|_| Error::Primitive("argon2id"))
}

/// Whether the password is the one behind the hash: an argon2id PHC string or a bcrypt hash.
/// What is no hash at all fits no password.
pub fn verify(password: &Secret<String>, hash: &str) -> bool {
    let password = password.reveal().as_bytes();
    if password.len() > PASSWORD_MAX {
        return false;
    }
    match Stored::of(hash) {
        Some(Stored::Argon2(hash)) => Argon2::default().verify_password(password, &*hash).is_ok(),
        Some(Stored::Bcrypt(hash)) => bcrypt::verify(password, hash).unwrap_or(false),
        None => false,
    }
}

/// Checks that a hash brought from elsewhere is one that [`verify`] deals with, at a cost we bear.
///
/// # Errors
/// `Invalid` when it is not.
pub fn check_hash(hash: &str) -> Result<()> {
    match Stored::of(hash) {
        Some(_) => Ok(()),
        None => Err(Error::invalid("the password hash must be bcrypt (cost at most 14) or argon2id in PHC form")),
    }
}

/// Whether the hash should be made anew at the next login: it is bcrypt, or cheaper than ours.
pub fn is_outdated(hash: &str) -> bool {
    match Stored::of(hash) {
        Some(Stored::Argon2(hash)) => Params::try_from(&*hash)
            .map_or(true, |params| params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES || params.p_cost() < LANES),
        Some(Stored::Bcrypt(_)) | None => true,
    }
}

/// What one check against this hash costs. `None` for what is no hash, against which nothing is computed.
pub fn cost(hash: &str) -> Option<Cost> {
    Some(match Stored::of(hash)? {
        Stored::Argon2(hash) => {
            let params = Params::try_from(&*hash).ok()?;
            Cost::Argon2 { kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() }
        }
        Stored::Bcrypt(hash) => Cost::Bcrypt(hash.split('$').nth(2)?.parse().ok()?),
    })
}

/// The work of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Argon2id.
    Argon2 {
        /// Memory, in KiB.
        kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Bcrypt: two to this power rounds.
    Bcrypt(u32),
}

impl Cost {
    /// Of the hashes that are made here.
    pub const OURS: Self = Self::Argon2 { kib: MEMORY_KIB, passes: PASSES, lanes: LANES };

    /// In a word.
    pub fn word(self) -> String {
        match self {
            Self::Argon2 { kib, passes, lanes } => format!("argon2id-{kib}-{passes}-{lanes}"),
            Self::Bcrypt(power) => format!("bcrypt-{power}"),
        }
    }

    /// The cost of this word.
    pub fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split('-');
        let kind = parts.next()?;
        let numbers = parts.map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
        match (kind, numbers.as_slice()) {
            ("argon2id", &[kib, passes, lanes]) => Some(Self::Argon2 { kib, passes, lanes }),
            ("bcrypt", &[power]) => Some(Self::Bcrypt(power)),
            _ => None,
        }
    }

    /// Does the work of one check that nothing comes of.
    pub fn pay(self, password: &Secret<String>) {
        let hash = match self {
            Self::Argon2 { kib, passes, lanes } => {
                DUMMY.replace("m=19456,t=2,p=1", &format!("m={kib},t={passes},p={lanes}"))
            }
            Self::Bcrypt(power) => format!("$2b${power:02}${BCRYPT_DUMMY}"),
        };
        std::hint::black_box(verify(password, &hash));
    }
}

enum Stored<'a> {
    Argon2(Box<PasswordHash>),
    Bcrypt(&'a str),
}

impl<'a> Stored<'a> {
    fn of(text: &'a str) -> Option<Self> {
        if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text).ok()?;
            let params = Params::try_from(&hash).ok()?;
            let bearable = params.m_cost() <= MEMORY_MAX_KIB && params.t_cost() <= PASSES_MAX && params.p_cost() <= 16;
            return (bearable && hash.hash.is_some() && hash.salt.is_some()).then(|| Self::Argon2(Box::new(hash)));
        }
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| text.strip_prefix(version))?;
        let (cost, rest) = rest.split_once('$')?;
        let cost: u32 = (cost.len() == 2).then(|| cost.parse().ok())??;
        let bearable = (4..=BCRYPT_COST_MAX).contains(&cost);
        let shaped = rest.len() == 53 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        (bearable && shaped).then_some(Self::Bcrypt(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::testing::Seeded;

    #[test]
    fn only_the_password_fits() {
        let stored = hash(&"correct horse".into(), &Seeded::new(1)).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify(&"correct horse".into(), &stored));
        assert!(!verify(&"correct horsf".into(), &stored));
        assert!(!verify(&"".into(), &stored));
        assert!(!is_outdated(&stored));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let rng = Seeded::new(2);
        assert_ne!(hash(&"x".into(), &rng).unwrap(), hash(&"x".into(), &rng).unwrap());
    }

    #[test]
    fn the_dummy_costs_the_same_and_fits_nothing() {
        assert!(check_hash(DUMMY).is_ok());
        assert!(!is_outdated(DUMMY));
        assert!(!verify(&"anything".into(), DUMMY));
        let own = hash(&"x".into(), &Seeded::new(1)).unwrap();
        assert_eq!(cost(DUMMY), cost(&own));
        assert_eq!(cost(&own), Some(Cost::OURS));
        assert_eq!(cost("none"), None);
    }

    #[test]
    fn a_cost_is_the_same_cost_after_its_word_and_is_paid_by_a_hash_of_that_cost() {
        let costs = [Cost::OURS, Cost::Argon2 { kib: 8192, passes: 3, lanes: 2 }, Cost::Bcrypt(4), Cost::Bcrypt(14)];
        for made in costs {
            assert_eq!(Cost::parse(&made.word()), Some(made));
        }
        for word in ["", "bcrypt", "bcrypt-", "bcrypt-4-4", "argon2id-1-2", "argon2id-1-2-x", "scrypt-4", "-1"] {
            assert_eq!(Cost::parse(word), None, "{word}");
        }
        // What is paid with is a hash, or nothing would be computed.
        assert_eq!(cost(&DUMMY.replace("m=19456,t=2,p=1", "m=8192,t=3,p=2")), Some(costs[1]));
        assert_eq!(cost(&format!("$2b$04${BCRYPT_DUMMY}")), Some(costs[2]));
        Cost::Bcrypt(4).pay(&"x".into());
        costs[1].pay(&"x".into());
    }

    #[test]
    fn bcrypt_hashes_of_all_three_names_are_checked() {
        let tail = "10$SZt6JlH62G6z75k8Yb2PN.wCe.A7Rxxe6Fxyi7VRVOpxB7wy3DSCq";
        let made = bcrypt::hash_with_salt("s3cret", 4, [7; 16]).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let stored = made.format_for_version(version);
            assert!(verify(&"s3cret".into(), &stored), "{stored}");
            assert!(!verify(&"s3creT".into(), &stored));
            assert!(is_outdated(&stored));
            assert_eq!(cost(&stored), Some(Cost::Bcrypt(4)));
        }
        assert!(check_hash(&format!("$2a${tail}")).is_ok());
        assert!(check_hash(&format!("$2x${tail}")).is_err());
    }

    #[test]
    fn hashes_that_cost_too_much_or_are_none_are_refused() {
        let salt_and_hash = "bm8gdXNlciBoYXMgdGhpcw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for bad in [
            String::new(),
            "plaintext".into(),
            "$argon2id$".into(),
            format!("$argon2id$v=19$m=4194304,t=2,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=19456,t=4000,p=1${salt_and_hash}"),
            format!("$argon2i$v=19$m=19456,t=2,p=1${salt_and_hash}"),
            "$argon2id$v=19$m=19456,t=2,p=1$bm8gdXNlciBoYXMgdGhpcw".into(),
            "$2b$31$SZt6JlH62G6z75k8Yb2PN.wCe.A7Rxxe6Fxyi7VRVOpxB7wy3DSCq".into(),
            "$2b$10$short".into(),
            "$2b$-1$SZt6JlH62G6z75k8Yb2PN.wCe.A7Rxxe6Fxyi7VRVOpxB7wy3DSCq".into(),
        ] {
            assert!(check_hash(&bad).is_err(), "{bad}");
            assert!(!verify(&"anything".into(), &bad));
        }
        let long: Secret<String> = Secret::new("x".repeat(PASSWORD_MAX + 1));
        assert!(hash(&long, &Seeded::new(1)).is_err());
        assert!(!verify(&long, DUMMY));
    }
}
