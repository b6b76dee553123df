//! The way through a request: resources, their scopes, their items, the parts of those.

use super::count::{items_of_resource, items_of_scope, points_of_metric};
use super::cursor::{Cursor, Piece, RawField, Span};
use super::message::Message;
use super::schema::{Kind, Request};
use super::splices::Splices;
use crate::wire::Malformed;
use bytes::Bytes;

/// How much of a message a visitor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// Nothing: it is hopped over.
    Nothing,
    /// Its fields.
    Fields,
    /// Its fields and its attributes.
    Attributes,
}

/// Where the way has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// At a resource.
    Resource,
    /// At a scope.
    Scope,
    /// At a span, a metric, a log record.
    Item,
    /// At an event or link of a span, a data point of a metric.
    Part,
}

/// What becomes of what was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays, changed or not.
    Stay,
    /// It stays, and nothing in it is of interest.
    Pass,
    /// It is cut out, with all that is in it.
    Drop,
}

/// What lies around the place that the way has come to, as it is after all edits so far. Only the message of
/// the current level may be written; others are for reading.
#[derive(Debug)]
pub struct Levels<'a> {
    /// The resource; of a request without one, a message that is not there.
    pub resource: Message<'a>,
    /// The scope, likewise.
    pub scope: Message<'a>,
    /// The span, metric or log record.
    pub item: Message<'a>,
    /// The event, link or data point.
    pub part: Message<'a>,
}

/// Somebody who looks at a request, and edits it.
pub trait Visit<'a> {
    /// What else can go wrong.
    type Error: From<Malformed>;

    /// How much of messages of this kind is needed; the same whenever it is asked.
    fn wants(&self, kind: Kind) -> Wants;

    /// At one place; from the outside to the inside, in the order of the bytes.
    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Self::Error>;
}

/// A request after its visit.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The very same bytes where nothing changed.
    pub bytes: Bytes,
    /// Items that were cut out: spans, data points, log records.
    pub dropped: u64,
    /// Whether items are left. Only an edit that cut some out may leave none.
    pub is_empty: bool,
}

/// Shows `bytes` to `visitor`, and carries out its edits.
pub fn edit<'a, V: Visit<'a>>(
    request: Request,
    bytes: &'a Bytes,
    visitor: &mut V,
) -> Result<Edited, V::Error> {
    let wants = |kind| visitor.wants(kind);
    let parts: &[Kind] = match request {
        Request::Traces => &[Kind::Event, Kind::Link],
        Request::Metrics => &[
            Kind::NumberPoint,
            Kind::HistogramPoint,
            Kind::ExponentialPoint,
            Kind::SummaryPoint,
        ],
        Request::Logs => &[],
    };
    let mut way = Way {
        request,
        source: bytes,
        plan: Plan {
            resource: wants(Kind::Resource),
            scope: wants(Kind::Scope),
            item: wants(request.item()),
            parts: parts.iter().any(|kind| wants(*kind) > Wants::Nothing),
        },
        out: Splices::default(),
        dropped: 0,
        levels: Levels {
            resource: Message::new(bytes, Kind::Resource),
            scope: Message::new(bytes, Kind::Scope),
            item: Message::new(bytes, request.item()),
            part: Message::new(bytes, Kind::Event),
        },
        visitor,
    };
    let mut fields = Cursor::new(bytes, Span::new(0, bytes.len()), Kind::Request);
    while let Some(field) = fields.next()? {
        way.resource_items(&field)?;
    }
    let (dropped, edited) = (way.dropped, way.out.apply(bytes));
    let is_empty = dropped > 0 && super::count_items(request, &edited)? == 0;
    Ok(Edited {
        bytes: edited,
        dropped,
        is_empty,
    })
}

/// What the visitor asked for.
#[derive(Clone, Copy, Debug)]
struct Plan {
    resource: Wants,
    scope: Wants,
    item: Wants,
    parts: bool,
}

impl Plan {
    fn items(self) -> bool {
        self.item > Wants::Nothing || self.parts
    }
}

/// How many of the things in a message stayed, and how many went.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    stayed: u64,
    went: u64,
}

impl Fate {
    fn note(&mut self, keep: Keep) {
        match keep {
            Keep::Stay | Keep::Pass => self.stayed += 1,
            Keep::Drop => self.went += 1,
        }
    }

    /// A message that has become empty goes too; one that came empty stays.
    fn of_all(self) -> Keep {
        if self.went > 0 && self.stayed == 0 {
            Keep::Drop
        } else {
            Keep::Stay
        }
    }
}

struct Way<'v, 'a, V> {
    request: Request,
    source: &'a [u8],
    plan: Plan,
    out: Splices,
    dropped: u64,
    levels: Levels<'a>,
    visitor: &'v mut V,
}

impl<'a, V: Visit<'a>> Way<'_, 'a, V> {
    fn resource_items(&mut self, field: &RawField<'a>) -> Result<(), V::Error> {
        let piece = field.piece();
        let dropped = self.dropped;
        let open = self.out.enter(piece);
        if self.resource_inside(piece)? == Keep::Drop {
            self.out.forget(open);
            self.out.remove(field.at);
            self.dropped = dropped + items_of_resource(self.request, self.source, piece.content)?;
            return Ok(());
        }
        self.levels
            .resource
            .write_pieces(&mut self.out, 1, piece.content.start);
        self.out.leave(open);
        Ok(())
    }

    fn resource_inside(&mut self, piece: Piece) -> Result<Keep, V::Error> {
        self.levels.resource.reset(Kind::Resource);
        let mut fields = Cursor::new(self.source, piece.content, Kind::ResourceItems);
        while let Some(field) = fields.next()? {
            if field.number == 1 && self.plan.resource > Wants::Nothing {
                let attributes = self.plan.resource == Wants::Attributes;
                self.levels.resource.read(field.piece(), attributes)?;
            }
        }
        if self.plan.resource > Wants::Nothing {
            match self.visitor.visit(Level::Resource, &mut self.levels)? {
                Keep::Stay => {}
                done => return Ok(done),
            }
        }
        if self.plan.scope == Wants::Nothing && !self.plan.items() {
            return Ok(Keep::Stay);
        }
        let mut fate = Fate::default();
        let mut fields = Cursor::new(self.source, piece.content, Kind::ResourceItems);
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                fate.note(self.scope_items(&field)?);
            }
        }
        Ok(fate.of_all())
    }

    fn scope_items(&mut self, field: &RawField<'a>) -> Result<Keep, V::Error> {
        let piece = field.piece();
        let dropped = self.dropped;
        let open = self.out.enter(piece);
        let keep = self.scope_inside(piece)?;
        if keep == Keep::Drop {
            self.out.forget(open);
            self.out.remove(field.at);
            self.dropped = dropped + items_of_scope(self.request, self.source, piece.content)?;
            return Ok(keep);
        }
        self.levels
            .scope
            .write_pieces(&mut self.out, 1, piece.content.start);
        self.out.leave(open);
        Ok(keep)
    }

    fn scope_inside(&mut self, piece: Piece) -> Result<Keep, V::Error> {
        self.levels.scope.reset(Kind::Scope);
        let mut fields = Cursor::new(self.source, piece.content, Kind::ScopeItems);
        while let Some(field) = fields.next()? {
            if field.number == 1 && self.plan.scope > Wants::Nothing {
                let attributes = self.plan.scope == Wants::Attributes;
                self.levels.scope.read(field.piece(), attributes)?;
            }
        }
        if self.plan.scope > Wants::Nothing {
            match self.visitor.visit(Level::Scope, &mut self.levels)? {
                Keep::Stay => {}
                done => return Ok(done),
            }
        }
        if !self.plan.items() {
            return Ok(Keep::Stay);
        }
        let mut fate = Fate::default();
        let mut fields = Cursor::new(self.source, piece.content, Kind::ScopeItems);
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                fate.note(self.item(&field)?);
            }
        }
        Ok(fate.of_all())
    }

    fn item(&mut self, field: &RawField<'a>) -> Result<Keep, V::Error> {
        let piece = field.piece();
        let dropped = self.dropped;
        let open = self.out.enter(piece);
        self.levels.item.reset(self.request.item());
        self.levels
            .item
            .read(piece, self.plan.item == Wants::Attributes)?;
        let mut keep = Keep::Stay;
        if self.plan.item > Wants::Nothing {
            keep = self.visitor.visit(Level::Item, &mut self.levels)?;
        }
        if keep == Keep::Stay && self.plan.parts {
            keep = match self.request {
                Request::Traces => self.events_and_links(piece)?,
                Request::Metrics => self.points()?,
                Request::Logs => Keep::Stay,
            };
        }
        if keep == Keep::Drop {
            self.out.forget(open);
            self.out.remove(field.at);
            let items = match self.request {
                Request::Metrics => points_of_metric(self.source, piece.content)?,
                Request::Traces | Request::Logs => 1,
            };
            self.dropped = dropped + items;
            return Ok(keep);
        }
        if self.levels.item.is_changed() {
            self.levels.item.write_into(&mut self.out, piece, true);
        }
        self.out.leave(open);
        Ok(keep)
    }

    fn events_and_links(&mut self, piece: Piece) -> Result<Keep, V::Error> {
        let mut fields = Cursor::new(self.source, piece.content, Kind::Span);
        while let Some(field) = fields.next()? {
            match field.number {
                11 => drop(self.part(&field, Kind::Event)?),
                13 => drop(self.part(&field, Kind::Link)?),
                _ => {}
            }
        }
        Ok(Keep::Stay)
    }

    /// The points of a metric, over all pieces of its data. Data that another kind replaced is nobody's.
    fn points(&mut self) -> Result<Keep, V::Error> {
        let Some((data, point)) = Kind::of_data(self.levels.item.data) else {
            return Ok(Keep::Stay);
        };
        let mut fate = Fate::default();
        for nth in 0..self.levels.item.inner.len() {
            let Some(piece) = self.levels.item.inner.get(nth).copied() else {
                continue;
            };
            let open = self.out.enter(piece);
            let mut fields = Cursor::new(self.source, piece.content, data);
            while let Some(field) = fields.next()? {
                if field.number == 1 {
                    let keep = self.part(&field, point)?;
                    fate.note(keep);
                    self.dropped += u64::from(keep == Keep::Drop);
                }
            }
            self.out.leave(open);
        }
        Ok(fate.of_all())
    }

    fn part(&mut self, field: &RawField<'a>, kind: Kind) -> Result<Keep, V::Error> {
        let wants = self.visitor.wants(kind);
        if wants == Wants::Nothing {
            return Ok(Keep::Stay);
        }
        let piece = field.piece();
        self.levels.part.reset(kind);
        self.levels.part.read(piece, wants == Wants::Attributes)?;
        let keep = self.visitor.visit(Level::Part, &mut self.levels)?;
        match keep {
            Keep::Drop => self.out.remove(field.at),
            Keep::Stay | Keep::Pass if self.levels.part.is_changed() => {
                let open = self.out.enter(piece);
                self.levels.part.write_into(&mut self.out, piece, true);
                self.out.leave(open);
            }
            Keep::Stay | Keep::Pass => {}
        }
        Ok(keep)
    }
}

impl<'a> Message<'a> {
    /// Whether `test` holds for the attributes of some data point of this metric.
    pub fn any_point(&self, mut test: impl FnMut(&Message<'a>) -> bool) -> Result<bool, Malformed> {
        let Some((data, kind)) = Kind::of_data(self.data) else {
            return Ok(false);
        };
        let mut point = Message::new(self.source, kind);
        for piece in &self.inner {
            let mut fields = Cursor::new(self.source, piece.content, data);
            while let Some(field) = fields.next()? {
                if field.number != 1 {
                    continue;
                }
                point.reset(kind);
                point.read(field.piece(), true)?;
                if test(&point) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
