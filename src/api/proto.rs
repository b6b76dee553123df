//! The generated messages and services of `proto/burngate/v1`.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::str_to_string
)]
#![allow(rust_2018_idioms)]

include!(concat!(env!("OUT_DIR"), "/burngate.v1.rs"));

/// The compiled descriptors, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/burngate.v1.bin"));
