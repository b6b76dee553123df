//! The walk over the envelope that all signals share: `request { resource_x { scope_x { item } } }`.
//!
//! One pass over the bytes. Resource and scope are needed before the items, and every sender puts them
//! there, but protobuf lets them stand behind. Hopping over the items to look for them first cost a cache
//! miss an item, since no processor foresees where the next hop lands. So the walk believes in the usual
//! order, and when it is proved wrong ([`Halt::Late`]) it begins again and hops first: a request of that
//! kind costs twice at most.
//!
//! The scratch lives for one request: its vectors grow with the first items, and then nothing is allocated
//! any more. What an item is, [`Items`] knows: the walk is compiled for each signal.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::reader::{Reader, len, varint};
use super::{Attributes, KeyTable, Malformed, Scope, WalkError, WalkLimits};

/// Tags by message; `KNOWN` has bit n set for field n.
mod request {
    pub(super) const RESOURCE_ITEMS: u64 = super::len(1);
    pub(super) const KNOWN: u32 = 0b10;
}
mod resource_items {
    use super::len;
    pub(super) const RESOURCE: u64 = len(1);
    pub(super) const SCOPE_ITEMS: u64 = len(2);
    pub(super) const SCHEMA_URL: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod resource {
    use super::{len, varint};
    pub(super) const ATTRIBUTES: u64 = len(1);
    pub(super) const DROPPED: u64 = varint(2);
    pub(super) const ENTITY_REFS: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod scope_items {
    use super::len;
    pub(super) const SCOPE: u64 = len(1);
    pub(super) const ITEMS: u64 = len(2);
    pub(super) const SCHEMA_URL: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod scope {
    use super::{len, varint};
    pub(super) const NAME: u64 = len(1);
    pub(super) const VERSION: u64 = len(2);
    pub(super) const ATTRIBUTES: u64 = len(3);
    pub(super) const DROPPED: u64 = varint(4);
    pub(super) const KNOWN: u32 = 0b1_1110;
}
/// One signal's items: reads them, and tells of them once resource and scope have been told of.
pub(super) trait Items<'a> {
    /// An item that was read.
    type Item;

    /// All that was told must be forgotten.
    fn forget(&mut self);
    /// What belongs to a resource begins, its attributes not yet read.
    fn begin_resource(&mut self) {}
    /// An encoded Resource: all of it, unless it was sent in several pieces.
    fn resource_bytes(&mut self, _message: &'a [u8]) -> Result<(), Malformed> {
        Ok(())
    }
    /// What belongs to a scope begins, its attributes not yet read.
    fn begin_scope(&mut self) {}
    /// An encoded InstrumentationScope, or a piece of it.
    fn scope_bytes(&mut self, _message: &'a [u8]) -> Result<(), Malformed> {
        Ok(())
    }
    /// A new resource begins.
    fn resource(&mut self, attributes: &Attributes<'a>);
    /// A new scope begins.
    fn scope(&mut self, scope: &Scope<'a, '_>);
    /// Reads the encoded item; `None` when nobody is to be told of it.
    fn read(
        &mut self,
        message: &'a [u8],
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Option<Self::Item>, WalkError>;
    /// Tells of the item that was read last.
    fn tell(&mut self, item: &Self::Item, keys: &KeyTable, limits: &WalkLimits) -> Result<(), WalkError>;
}

/// Walks the request and hands every item to `items`. Answers with the attributes of resources and scopes
/// beyond a cap.
pub(super) fn walk<'a>(
    request: &'a [u8],
    keys: &KeyTable,
    limits: &WalkLimits,
    items: &mut impl Items<'a>,
) -> Result<u64, WalkError> {
    match Walk::new(keys, limits, items, Order::Usual).request(request) {
        Ok(excess) => Ok(excess),
        Err(Halt::Refused(error)) => Err(error),
        Err(Halt::Late) => {
            items.forget();
            match Walk::new(keys, limits, items, Order::Any).request(request) {
                Ok(excess) => Ok(excess),
                Err(Halt::Refused(error)) => Err(error),
                // Only the usual order can be broken.
                Err(Halt::Late) => Err(Malformed.into()),
            }
        }
    }
}

/// The order of fields that a walk counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Resource before scopes, scope before items.
    Usual,
    /// None: what holds items is hopped over once before they are read.
    Any,
}

/// Why a walk ended early.
enum Halt {
    Refused(WalkError),
    /// A resource or a scope stood behind an item that was already told of without it.
    Late,
}

impl From<Malformed> for Halt {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

impl From<WalkError> for Halt {
    fn from(error: WalkError) -> Self {
        Self::Refused(error)
    }
}

/// The state of one walk: what was found so far, and the scratch.
struct Walk<'w, 'a, I> {
    keys: &'w KeyTable,
    limits: &'w WalkLimits,
    items: &'w mut I,
    order: Order,
    excess: u64,
    resource: Attributes<'a>,
    scope: Attributes<'a>,
    scope_name: &'a [u8],
    scope_version: &'a [u8],
    resource_is_told: bool,
    scope_is_told: bool,
}

impl<'w, 'a, I: Items<'a>> Walk<'w, 'a, I> {
    fn new(keys: &'w KeyTable, limits: &'w WalkLimits, items: &'w mut I, order: Order) -> Self {
        Self {
            keys,
            limits,
            items,
            order,
            excess: 0,
            resource: Attributes::new(keys),
            scope: Attributes::new(keys),
            scope_name: &[],
            scope_version: &[],
            resource_is_told: false,
            scope_is_told: false,
        }
    }

    fn request(mut self, request: &'a [u8]) -> Result<u64, Halt> {
        let mut fields = Reader::new(request);
        while let Some(tag) = fields.tag()? {
            match tag {
                request::RESOURCE_ITEMS => self.resource_items(fields.bytes()?)?,
                _ => fields.skip_unless_known(tag, request::KNOWN)?,
            }
        }
        Ok(self.excess)
    }

    fn resource_items(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        self.resource.clear();
        self.items.begin_resource();
        self.resource_is_told = false;
        if self.order == Order::Any {
            self.find(message, resource_items::RESOURCE, Self::resource)?;
        }
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                resource_items::RESOURCE if self.order == Order::Any => drop(fields.bytes()?),
                resource_items::RESOURCE if self.resource_is_told => return Err(Halt::Late),
                resource_items::RESOURCE => self.resource(fields.bytes()?)?,
                resource_items::SCOPE_ITEMS => self.scope_items(fields.bytes()?)?,
                resource_items::SCHEMA_URL => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, resource_items::KNOWN)?,
            }
        }
        self.excess += u64::from(self.resource.excess());
        Ok(())
    }

    /// Hops over `message` and reads the fields that `wanted` begins.
    fn find(
        &mut self,
        message: &'a [u8],
        wanted: u64,
        read: fn(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            if tag == wanted {
                read(self, fields.bytes()?)?;
            } else {
                fields.skip(tag)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.items.resource_bytes(message)?;
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                resource::ATTRIBUTES => self.resource.take_row(&mut fields, tag, self.keys, self.limits)?,
                resource::DROPPED | resource::ENTITY_REFS => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, resource::KNOWN)?,
            }
        }
        Ok(())
    }

    fn scope_items(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        self.scope.clear();
        self.items.begin_scope();
        self.scope_name = &[];
        self.scope_version = &[];
        self.scope_is_told = false;
        if self.order == Order::Any {
            self.find(message, scope_items::SCOPE, Self::scope)?;
        }
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                scope_items::ITEMS => self.item(fields.bytes()?)?,
                scope_items::SCOPE if self.order == Order::Any => drop(fields.bytes()?),
                scope_items::SCOPE if self.scope_is_told => return Err(Halt::Late),
                scope_items::SCOPE => self.scope(fields.bytes()?)?,
                scope_items::SCHEMA_URL => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, scope_items::KNOWN)?,
            }
        }
        self.excess += u64::from(self.scope.excess());
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.items.scope_bytes(message)?;
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                scope::NAME => self.scope_name = fields.bytes()?,
                scope::VERSION => self.scope_version = fields.bytes()?,
                scope::ATTRIBUTES => self.scope.take_row(&mut fields, tag, self.keys, self.limits)?,
                scope::DROPPED => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, scope::KNOWN)?,
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn item(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        let Some(item) = self.items.read(message, self.keys, self.limits)? else {
            return Ok(());
        };
        if !self.resource_is_told {
            self.resource_is_told = true;
            self.items.resource(&self.resource);
        }
        if !self.scope_is_told {
            self.scope_is_told = true;
            self.items.scope(&Scope {
                name: self.scope_name,
                version: self.scope_version,
                attributes: &self.scope,
            });
        }
        Ok(self.items.tell(&item, self.keys, self.limits)?)
    }
}
