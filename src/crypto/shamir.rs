//! Shamir's sharing over GF(2^8) in Vault's form.
//!
//! ```text
//! y of each byte of the secret (n) ‖ x (1)
//! ```
//!
//! The field is AES's (0x11b). Combining cannot notice a wrong or a missing share, it returns
//! other bytes then: the caller must check the result by opening something with it.
//!
//! One share of one (`shares = 1, threshold = 1`) is not a sharing: the key itself is the share
//! then, without an x. The caller deals with that; here a threshold below two is an error.

use vsss_rs::{Gf256, IdentifierGf256, Polynomial};
use zeroize::Zeroize;

use super::error::{Error, Result};
use crate::base::{Rng, Secret};

/// The length of a share of a 32-byte key, in bytes.
pub const SHARE_LEN: usize = 33;
/// The least threshold that is a sharing.
pub const THRESHOLD_MIN: u8 = 2;
/// The longest share that is read, in bytes.
pub const SHARE_MAX: usize = 4096;

/// A coefficient as `vsss-rs` keeps it: the intercept in the second place, the others in the first.
type Coefficient = (IdentifierGf256, IdentifierGf256);

/// Splits a key into `shares` parts, of which any `threshold` give it back.
///
/// # Errors
/// `Invalid` unless 2 ≤ `threshold` ≤ `shares`.
pub fn split(secret: &Secret<[u8; 32]>, shares: u8, threshold: u8, rng: &dyn Rng) -> Result<Vec<Secret<Vec<u8>>>> {
    if threshold < THRESHOLD_MIN {
        return Err(Error::invalid("threshold must be at least 2"));
    }
    if threshold > shares {
        return Err(Error::invalid("threshold cannot be larger than the number of shares"));
    }
    let degree = usize::from(threshold) - 1;
    let xs = coordinates(shares, rng);
    let mut parts: Vec<_> = xs.iter().map(|_| Secret::new(Vec::with_capacity(SHARE_LEN))).collect();

    let mut polynomial = Vec::<Coefficient>::create(degree + 1);
    let mut drawn = Secret::new(vec![0; degree]);
    for byte in secret.reveal() {
        rng.fill(drawn.reveal_mut());
        polynomial[0].1 = IdentifierGf256(Gf256(*byte));
        // Any byte may come, also 0 and also for the highest power: a bias would tell something.
        for (coefficient, random) in polynomial[1..].iter_mut().zip(drawn.reveal()) {
            coefficient.0 = IdentifierGf256(Gf256(*random));
        }
        for (part, x) in parts.iter_mut().zip(&xs) {
            let y = polynomial.evaluate(&IdentifierGf256(Gf256(*x)), degree + 1);
            part.reveal_mut().push(y.0.0);
        }
    }
    for coefficient in &mut polynomial {
        coefficient.0.0.0.zeroize();
        coefficient.1.0.0.zeroize();
    }
    for (part, x) in parts.iter_mut().zip(&xs) {
        part.reveal_mut().push(*x);
    }
    Ok(parts)
}

/// Computes the secret that the shares meet in. Whether it is the right one is for the caller to
/// find out.
///
/// # Errors
/// `Invalid` for fewer than two shares, for lengths that differ or are below 2 or beyond
/// [`SHARE_MAX`], for an x of zero, or for the same x twice.
pub fn combine(shares: &[Secret<Vec<u8>>]) -> Result<Secret<Vec<u8>>> {
    if shares.len() < usize::from(THRESHOLD_MIN) {
        return Err(Error::invalid("fewer than two shares"));
    }
    if shares.len() > 255 {
        return Err(Error::invalid("more than 255 shares"));
    }
    let len = shares[0].reveal().len();
    if !(2..=SHARE_MAX).contains(&len) {
        return Err(Error::invalid("a share is too short or too long"));
    }
    let mut seen = [false; 256];
    let mut turned = Secret::new(Vec::with_capacity(shares.len()));
    for share in shares {
        let share = share.reveal();
        if share.len() != len {
            return Err(Error::invalid("the shares have different lengths"));
        }
        // The lengths were checked, so there is a last byte. It is not secret.
        let x = share[len - 1];
        if x == 0 {
            return Err(Error::invalid("a share is malformed"));
        }
        if std::mem::replace(&mut seen[usize::from(x)], true) {
            return Err(Error::invalid("the same share was given twice"));
        }
        let mut first = Vec::with_capacity(len);
        first.push(x);
        first.extend_from_slice(&share[..len - 1]);
        turned.reveal_mut().push(first);
    }
    Gf256::combine_bytes(turned.reveal()).map(Secret::new).map_err(|_| Error::Primitive("combining shares"))
}

/// As many different x as there are shares: the start of a random order of 1..=255.
fn coordinates(shares: u8, rng: &dyn Rng) -> Vec<u8> {
    let mut order: Vec<u8> = (1..=255).collect();
    for place in 0..usize::from(shares) {
        let left = (order.len() - place) as u64;
        // `below` returns less than 255, so nothing is cut off.
        let chosen = place + rng.below(left) as usize;
        order.swap(place, chosen);
    }
    order.truncate(usize::from(shares));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::crypto::random::SystemRng;
    use crate::crypto::random::testing::Seeded;

    fn reject(shares: &[&[u8]]) -> String {
        let shares: Vec<_> = shares.iter().map(|share| Secret::new(share.to_vec())).collect();
        combine(&shares).unwrap_err().to_string()
    }

    #[test]
    fn malformed_shares_are_refused() {
        assert_eq!(reject(&[]), "fewer than two shares");
        assert_eq!(reject(&[&[1, 2]]), "fewer than two shares");
        assert_eq!(reject(&[&[1], &[2]]), "a share is too short or too long");
        assert_eq!(reject(&[&[], &[]]), "a share is too short or too long");
        assert_eq!(reject(&[&[7, 1], &[7, 7, 2]]), "the shares have different lengths");
        assert_eq!(reject(&[&[7, 0], &[7, 2]]), "a share is malformed");
        assert_eq!(reject(&[&[7, 2], &[8, 2]]), "the same share was given twice");
        assert_eq!(reject(&[&[7; SHARE_MAX + 1], &[7; SHARE_MAX + 1]]), "a share is too short or too long");
        assert_eq!(reject(&[[7, 1].as_slice(); 256]), "more than 255 shares");
    }

    #[test]
    fn thresholds_that_share_nothing_are_refused() {
        let (secret, rng) = (Secret::new([1; 32]), SystemRng::new());
        for (shares, threshold) in [(0, 0), (1, 1), (5, 0), (5, 1), (3, 4), (1, 2), (254, 255)] {
            assert!(split(&secret, shares, threshold, &rng).is_err(), "{shares} {threshold}");
        }
    }

    #[test]
    fn coordinates_are_distinct_never_zero_and_random() {
        let mut all = coordinates(255, &Seeded::new(3));
        assert_ne!(all, (1..=255).collect::<Vec<u8>>());
        all.sort_unstable();
        assert_eq!(all, (1..=255).collect::<Vec<u8>>());
        assert_ne!(coordinates(5, &Seeded::new(1)), coordinates(5, &Seeded::new(2)));
    }

    #[test]
    fn the_most_shares_there_can_be() {
        let secret = Secret::new([0xa5; 32]);
        let shares = split(&secret, 255, 255, &Seeded::new(8)).unwrap();
        assert_eq!(combine(&shares).unwrap().reveal(), secret.reveal());
        assert_ne!(combine(&shares[..254]).unwrap().reveal(), secret.reveal());
    }

    #[test]
    fn one_share_less_is_another_secret() {
        let secret = Secret::new([0xa5; 32]);
        let shares = split(&secret, 5, 3, &Seeded::new(9)).unwrap();
        assert_ne!(combine(&shares[..2]).unwrap().reveal(), secret.reveal());
    }

    /// A byte of a share alone is uniform: no value of it is more likely for one secret than another.
    #[test]
    fn a_share_alone_is_uniform() {
        let rng = Seeded::new(11);
        let mut counts = [0u32; 256];
        for _ in 0..2000 {
            for share in split(&Secret::new([0; 32]), 2, 2, &rng).unwrap() {
                for y in &share.reveal()[..32] {
                    counts[usize::from(*y)] += 1;
                }
            }
        }
        // 500 expected, twenty-two the deviation; a missing value (as in RUSTSEC-2024-0398) would be 0.
        assert!(counts.iter().all(|count| (350..650).contains(count)), "{counts:?}");
    }

    #[derive(Deserialize)]
    struct Vector {
        threshold: usize,
        secret: String,
        shares: Vec<String>,
    }

    /// Shares that OpenBao's own `shamir` package made.
    #[test]
    fn shares_made_by_openbao_combine() {
        let text = include_str!("../../tests/golden/shamir/openbao.json");
        let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
        assert!(vectors.len() >= 8);
        for vector in vectors {
            let secret = hex::decode(&vector.secret).unwrap();
            let shares: Vec<_> = vector.shares.iter().map(|share| Secret::new(hex::decode(share).unwrap())).collect();
            let last = &shares[shares.len() - vector.threshold..];
            assert_eq!(combine(&shares[..vector.threshold]).unwrap().reveal(), &secret);
            assert_eq!(combine(last).unwrap().reveal(), &secret);
            assert_eq!(combine(&shares).unwrap().reveal(), &secret);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_threshold_of_them_gives_it_back(secret: [u8; 32], seed: u64, shares in 2u8..12, less in 0u8..10, skip: usize) {
            let threshold = shares.saturating_sub(less).max(2);
            let parts = split(&Secret::new(secret), shares, threshold, &Seeded::new(seed)).unwrap();
            prop_assert_eq!(parts.len(), usize::from(shares));
            prop_assert!(parts.iter().all(|part| part.reveal().len() == SHARE_LEN));
            let skip = skip % (parts.len() - usize::from(threshold) + 1);
            let mut some = parts[skip..skip + usize::from(threshold)].to_vec();
            some.reverse();
            let combined = combine(&some).unwrap();
            prop_assert_eq!(combined.reveal().as_slice(), secret.as_slice());
        }

        #[test]
        fn garbage_never_panics(shares: Vec<Vec<u8>>) {
            let shares: Vec<_> = shares.into_iter().map(Secret::new).collect();
            let _ = combine(&shares);
        }
    }
}
