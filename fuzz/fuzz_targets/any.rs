//! One binary for all parsers: the first byte chooses which one gets the rest, or `WARIFU_FUZZ` names it.
#![no_main]

#[path = "../parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let named = std::env::var("WARIFU_FUZZ").ok();
    let named = named.and_then(|name| parsers::ALL.iter().find(|(word, _)| *word == name));
    match (named, input.split_first()) {
        (Some((_, parser)), _) => parser(input),
        (None, Some((choice, rest))) => parsers::ALL[usize::from(*choice) % parsers::ALL.len()].1(rest),
        (None, None) => {}
    }
});
