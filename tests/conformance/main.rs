//! One test a row of docs/conformance.md: what OTLP asks of a receiver, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod grpc;
mod http;
mod json;
#[path = "../receive_support/mod.rs"]
mod receive_support;

use burngate::config::{Authenticator, BearerTokenAuth, Secret};
use burngate::receive::Authenticators;
use regex::Regex;
use std::collections::BTreeSet;

/// Bytes that compress to about half.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x0F
    };
    (0..len).map(next).collect()
}

/// One `bearertokenauth` with one token.
fn authenticators(token: &str) -> Authenticators {
    let bearer = Authenticator::Bearer(BearerTokenAuth {
        tokens: vec![Secret::new(token)],
        ..BearerTokenAuth::default()
    });
    Authenticators::build([("bearertokenauth", &bearer)]).unwrap()
}

fn rows(regex: &str, text: &str) -> BTreeSet<String> {
    let regex = Regex::new(regex).unwrap();
    regex.captures_iter(text).map(|c| c[1].to_lowercase()).collect()
}

#[test]
fn the_table_in_the_docs_and_the_tests_agree() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/");
    let sources: String = ["grpc.rs", "http.rs", "json.rs"]
        .map(|name| std::fs::read_to_string(format!("{folder}{name}")).unwrap())
        .concat();
    let tested = rows(r"(?m)^(?:async )?fn ([ghj]\d+)_", &sources);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");
    let told = rows(r"(?m)^\| ([GHJ]\d+) \|", &std::fs::read_to_string(page).unwrap());
    assert_eq!(tested, told);
    assert_eq!(told.len(), 13 + 16 + 8);
}
