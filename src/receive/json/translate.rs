//! Text to bytes, by the table.

use super::error::{Error, ErrorKind};
use super::number;
use super::schema::{Field, Kind, Message};
use super::token::{Cursor, MAX_DEPTH};
use super::write::Writer;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// One translation.
#[derive(Debug)]
pub(super) struct Translator<'a> {
    text: Cursor<'a>,
    out: Writer,
    limit: usize,
}

impl<'a> Translator<'a> {
    /// Of `text`, to at most `limit` bytes.
    pub(super) fn new(text: &'a str, limit: usize) -> Self {
        // Wire bytes are about half of the JSON that says the same.
        Self {
            out: Writer::with_capacity((text.len() / 2).min(limit)),
            text: Cursor::new(text),
            limit,
        }
    }

    /// The whole text: one message.
    pub(super) fn request(mut self, schema: &'static Message) -> Result<Vec<u8>, Error> {
        self.message(schema, 0)?;
        self.text.end()?;
        self.check_size()?;
        Ok(self.out.finish())
    }

    /// An object as `schema` knows it; `depth` levels are open around it.
    fn message(&mut self, schema: &'static Message, depth: usize) -> Result<(), Error> {
        let depth = self.deeper(depth)?;
        self.text.expect(b'{', "an object is expected")?;
        if self.text.take(b'}') {
            return Ok(());
        }
        // Senders write fields in the table's order, so the search starts behind the last one found.
        let mut next = 0;
        loop {
            let name = self.text.name()?;
            match find(schema, &name, next) {
                Some(at) => {
                    next = at + 1;
                    let field = &schema.fields[at];
                    self.member(field, depth).map_err(|e| e.in_field(field.name))?;
                }
                None => self.text.skip(depth)?,
            }
            if !self.text.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Error> {
        if depth >= MAX_DEPTH {
            Err(ErrorKind::TooDeep.at(self.text.offset()))
        } else {
            Ok(depth + 1)
        }
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.out.len() > self.limit {
            Err(ErrorKind::TooLarge.at(self.text.offset()))
        } else {
            Ok(())
        }
    }

    fn member(&mut self, field: &'static Field, depth: usize) -> Result<(), Error> {
        if self.text.null()? {
            return Ok(());
        }
        if field.repeated {
            self.list(field, depth)
        } else {
            self.single(field, depth)
        }
    }

    fn list(&mut self, field: &'static Field, depth: usize) -> Result<(), Error> {
        let depth = self.deeper(depth)?;
        self.text.expect(b'[', "a list is expected")?;
        if self.text.take(b']') {
            return Ok(());
        }
        let packed = match field.kind {
            Kind::Message(_) | Kind::Text | Kind::Bytes | Kind::Id => None,
            _ => Some(self.out.open(field.number)),
        };
        let mut index = 0;
        loop {
            let element = match packed {
                Some(_) => self.scalar(field.kind, None),
                None => self.element(field, depth),
            };
            element.map_err(|e| e.in_list(index))?;
            self.check_size()?;
            index += 1;
            if !self.text.more(b']')? {
                break;
            }
        }
        if let Some(open) = packed {
            self.out.close(open);
        }
        Ok(())
    }

    fn element(&mut self, field: &'static Field, depth: usize) -> Result<(), Error> {
        if matches!(field.kind, Kind::Message(_)) && self.text.null()? {
            let open = self.out.open(field.number);
            self.out.close(open);
            return Ok(());
        }
        self.single(field, depth)
    }

    fn single(&mut self, field: &'static Field, depth: usize) -> Result<(), Error> {
        let Kind::Message(schema) = field.kind else {
            return self.scalar(field.kind, Some(field.number));
        };
        let open = self.out.open(field.number);
        self.message(schema, depth)?;
        self.out.close(open);
        self.check_size()
    }

    /// A scalar, always written, also when it is zero: it may have to override an earlier one, and presence
    /// counts in a oneof.
    fn scalar(&mut self, kind: Kind, number: Option<u32>) -> Result<(), Error> {
        match kind {
            Kind::Text | Kind::Bytes | Kind::Id => return self.bytes(kind, number.unwrap_or_default()),
            Kind::Double => {
                let value = self.double()?;
                self.fixed(number, 1, &value.to_le_bytes());
            }
            Kind::Fixed64 => {
                let value = self.unsigned(u64::MAX)?;
                self.fixed(number, 1, &value.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let value = self.signed(i64::MIN, i64::MAX)?;
                self.fixed(number, 1, &value.to_le_bytes());
            }
            Kind::Fixed32 => {
                let value = self.unsigned(u32::MAX.into())?;
                self.fixed(number, 5, &value.to_le_bytes()[..4]);
            }
            Kind::Bool => {
                let value = self.text.boolean()?;
                self.varint(number, u64::from(value));
            }
            Kind::Uint32 => {
                let value = self.unsigned(u32::MAX.into())?;
                self.varint(number, value);
            }
            Kind::Uint64 => {
                let value = self.unsigned(u64::MAX)?;
                self.varint(number, value);
            }
            Kind::Int64 => {
                let value = self.signed(i64::MIN, i64::MAX)?;
                self.varint(number, value.cast_unsigned());
            }
            Kind::Sint32 => {
                let value = self.signed(i32::MIN.into(), i32::MAX.into())?;
                self.varint(number, (value << 1 ^ value >> 63).cast_unsigned());
            }
            Kind::Enum(names) => {
                let value = self.enumeration(names)?;
                self.varint(number, value.cast_unsigned());
            }
            // Messages are no scalars; `single` has taken them.
            Kind::Message(_) => {}
        }
        Ok(())
    }

    fn varint(&mut self, number: Option<u32>, value: u64) {
        if let Some(number) = number {
            self.out.tag(number, 0);
        }
        self.out.varint(value);
    }

    fn fixed(&mut self, number: Option<u32>, wire_type: u32, bytes: &[u8]) {
        if let Some(number) = number {
            self.out.tag(number, wire_type);
        }
        self.out.raw(bytes);
    }

    fn bytes(&mut self, kind: Kind, number: u32) -> Result<(), Error> {
        let start = self.start();
        let text = self.text.string()?;
        match kind {
            Kind::Id => self.id(number, &text).map_err(|kind| kind.at(start))?,
            Kind::Bytes => {
                let engine = if text.contains(['-', '_']) {
                    URL_SAFE
                } else {
                    STANDARD
                };
                let bytes = engine.decode(text.as_bytes());
                self.out.bytes_field(
                    number,
                    &bytes.map_err(|_| ErrorKind::Value("not base64").at(start))?,
                );
            }
            _ => self.out.bytes_field(number, text.as_bytes()),
        }
        Ok(())
    }

    /// An id of any even length; that it is 16 or 8 bytes is for the walker to say, which rejects one item,
    /// not the request.
    fn id(&mut self, number: u32, text: &str) -> Result<(), ErrorKind> {
        let mut id = [0; 32];
        let len = text.len() / 2;
        let Some(id) = id.get_mut(..len) else {
            return Err(ErrorKind::Value("more hex digits than any id has"));
        };
        hex::decode_to_slice(text, id).map_err(|error| match error {
            hex::FromHexError::OddLength => ErrorKind::Value("an odd number of hex digits"),
            _ => ErrorKind::Value("not hex digits"),
        })?;
        self.out.bytes_field(number, id);
        Ok(())
    }

    /// Where the value starts that comes next.
    fn start(&mut self) -> usize {
        self.text.peek();
        self.text.offset()
    }

    /// The digits of a number, quoted or not.
    fn digits(&mut self, why: &'static str) -> Result<Cow<'a, str>, Error> {
        match self.text.peek() {
            Some(b'"') => self.text.string(),
            Some(b'-' | b'0'..=b'9') => self.text.number().map(Cow::Borrowed),
            _ => self.text.unexpected(why),
        }
    }

    fn integer(&mut self, min: i128, max: i128) -> Result<i128, Error> {
        let start = self.start();
        let digits = self.digits("an integer is expected")?;
        number::integer(&digits, min, max).map_err(|kind| kind.at(start))
    }

    fn unsigned(&mut self, max: u64) -> Result<u64, Error> {
        let value = self.integer(0, max.into())?;
        // Within the range that was asked for.
        Ok(u64::try_from(value).unwrap_or_default())
    }

    fn signed(&mut self, min: i64, max: i64) -> Result<i64, Error> {
        let value = self.integer(min.into(), max.into())?;
        Ok(i64::try_from(value).unwrap_or_default())
    }

    fn double(&mut self) -> Result<f64, Error> {
        let start = self.start();
        if self.text.peek() == Some(b'"') {
            let text = self.text.string()?;
            return number::double_of_string(&text).map_err(|kind| kind.at(start));
        }
        number::double(self.text.number()?).map_err(|kind| kind.at(start))
    }

    /// A name or an integer; integers that have no name yet pass, as protobuf's open enums do.
    fn enumeration(&mut self, names: &'static [&'static str]) -> Result<i64, Error> {
        let start = self.start();
        let text = self.digits("an enum's name or number is expected")?;
        if let Some(value) = names.iter().position(|name| *name == text) {
            return Ok(i64::try_from(value).unwrap_or_default());
        }
        let value = number::integer(&text, i32::MIN.into(), i32::MAX.into());
        let value = value.map_err(|_| ErrorKind::Value("an unknown name or number of an enum").at(start))?;
        Ok(i64::try_from(value).unwrap_or_default())
    }
}

/// The place of field `name`, searched from `next` on and then from the start.
fn find(schema: &Message, name: &str, next: usize) -> Option<usize> {
    let (before, after) = schema.fields.split_at_checked(next)?;
    let found = after.iter().position(|f| f.name == name).map(|at| at + next);
    found.or_else(|| before.iter().position(|f| f.name == name))
}
