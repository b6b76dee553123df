//! The record of decisions: append-only, each entry bound to the one before by its hash.
//!
//! The problem: a program that switches things off is asked months later what it did, on which figures, by
//! whose word and under which policy; and whoever asks must be able to tell an answer that is whole from one
//! that was tidied up. The journal of decisions cannot say it: a row is replaced at each transition.
//!
//! The property: an entry is durable in the same transaction as the transition that it records, so before the
//! step that follows ([`Trail::append`]). Its hash covers its own bytes and the hash of the entry before, so
//! that no entry can be changed, left out, put in or moved without all later hashes changing ([`Verifier`]);
//! and what the head's hash is, is told to others (the API, log events), so that rewriting the whole chain
//! shows as well. Kinds of entries are the states that decisions go through, whatever these are
//! ([`of_change`]): a new state needs no line here.
//!
//! Rejected: a hash over a canonical form of the parsed entry (two JSON libraries disagree about numbers; the
//! bytes as they lie there need no agreement, and `sha256sum` checks them); a signature (whoever can write
//! the store can read a key beside it; a head that others keep needs no key); a file of lines beside the
//! store (two files cannot change in one transaction).

mod change;
mod entry;
mod export;
mod trail;
mod verify;

#[cfg(test)]
mod tests;

pub use change::of_change;
pub use entry::{About, Draft, Entry, GENESIS, Sealed, kind};
pub use export::{Book, Export, read_book};
pub use trail::{End, Limits, Trail};
pub use verify::{Begins, Break, Difference, Head, Verified, Verifier, verify_store};
