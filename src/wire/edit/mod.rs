//! Edits of a request's bytes, without decoding what nobody asks for.
//!
//! Problem: a processor changes little (an attribute, a name, or nothing), and a decode and encode of the
//! whole request costs ten times what forwarding it does. Property wanted: an edit reads only the messages
//! that it asks for, and writes *splices*; what is not spliced is copied in runs into one new buffer, and
//! where there was no splice the very bytes that came in go on.

mod count;
mod cursor;
mod fields;
mod map;
mod message;
mod schema;
mod splices;
mod value;
mod visit;

pub use count::count_items;
pub use fields::Field;
pub use map::Map;
pub use message::Message;
pub use schema::{Kind, Request};
pub use value::Held;
pub use visit::{Edited, Keep, Level, Levels, Visit, Wants, edit};
