//! The persistent queue's log: batches in files, until they are sent.
//!
//! Problem: what was acknowledged must outlive the process, also one that is killed, at the pace of the data
//! plane; and a disk fills up, and files get damaged. Property wanted: a batch is written before its answer
//! (the kernel has it, so that `kill -9` loses nothing; with `fsync` the device has it); what is damaged
//! costs itself and nothing else; the space of what was sent comes back at once; a full disk refuses what
//! is new and goes on sending what is there.
//!
//! An append-only log in segments does this with two writes a batch and no rewriting. Rejected, for what
//! they do to records of half a megabyte: redb (in the tree for the ledger's store) copies them into pages,
//! needs a commit, that is an fsync, before one may be called safe, and its file shrinks only in a
//! compaction; a log-structured store such as fjall writes them to its journal and again to its tables. The
//! Collector's bbolt file is the known case: it does not shrink, and when the disk is full it cannot even be
//! drained.

mod log;
mod record;
mod segment;
#[cfg(test)]
mod tests;

pub(super) use log::{AppendError, Limits, Log};
pub(super) use segment::Record;
