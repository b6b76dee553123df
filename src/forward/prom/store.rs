//! Families and series, found by what stands on the wire.

use super::accumulate::Value;
use super::labels::{self, Labels};
use super::name::{Shape, family_name};
use super::points::{Head, Kind, Scratch};
use super::samples::suffixes;
use super::series::{Left, Series};
use crate::config::Naming;
use crate::forward::attribute::text;
use crate::forward::fields::each_in;
use crate::time::UnixNanos;
use crate::wire::Malformed;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What is no longer shown is remembered at least this long, so that it goes on where it was.
const REMEMBERED: Duration = Duration::from_hours(24);

/// Prometheus' types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl FamilyKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// Series of one name: their places, by their labels.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: FamilyKind,
    pub(crate) help: String,
    series: BTreeMap<Arc<Labels>, usize>,
}

/// A stream on the wire.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Place of its series.
    place: usize,
    /// Time of its newest delta.
    time: u64,
    last_seen: UnixNanos,
}

/// What became of a point.
pub(crate) type Applied<'s> = Result<(&'s str, &'s Series), Left>;

/// What may be kept, and how it is named.
#[derive(Clone, Debug)]
pub(crate) struct StoreLimits {
    pub(crate) naming: Naming,
    pub(crate) max_series: usize,
    pub(crate) expiration: Duration,
    pub(crate) with_examples: bool,
}

/// All families.
#[derive(Debug)]
pub(crate) struct Store {
    limits: StoreLimits,
    pub(crate) families: BTreeMap<Arc<str>, Family>,
    /// All series; places of those that left are used again.
    places: Vec<Option<Series>>,
    free: Vec<usize>,
    streams: HashMap<u128, Stream>,
    /// Families by the names of their samples.
    sample_names: HashMap<String, Arc<str>>,
    scratch: Scratch,
    hashers: [foldhash::quality::RandomState; 2],
    swept: UnixNanos,
}

impl Store {
    pub(crate) fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            families: BTreeMap::new(),
            places: Vec::new(),
            free: Vec::new(),
            streams: HashMap::new(),
            sample_names: HashMap::new(),
            scratch: Scratch::default(),
            hashers: Default::default(),
            swept: UnixNanos(0),
        }
    }

    /// Series that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The series of a family, by their labels.
    pub(crate) fn series_of<'s>(&'s self, family: &'s Family) -> impl Iterator<Item = &'s Series> {
        family
            .series
            .values()
            .filter_map(|place| self.places.get(*place)?.as_ref())
    }

    /// The identity of a point's stream, without making names of it.
    fn identity(&self, head: &Head<'_>) -> Result<u128, Malformed> {
        let half = |state: &foldhash::quality::RandomState| {
            let mut hasher = state.build_hasher();
            for part in [head.resource, head.scope, head.name, head.unit] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.write_u8(head.kind as u8);
            hasher.write_u8(u8::from(head.is_monotonic) << 1 | u8::from(head.is_delta));
            each_in(head.point, head.attributes(), |pair| {
                hasher.write_usize(pair.len());
                hasher.write(pair);
                Ok(())
            })?;
            Ok(hasher.finish())
        };
        let [one, two] = &self.hashers;
        Ok(u128::from(half(one)?) << 64 | u128::from(half(two)?))
    }

    /// Takes one point.
    pub(crate) fn apply(&mut self, now: UnixNanos, head: &Head<'_>) -> Result<Applied<'_>, Malformed> {
        let id = self.identity(head)?;
        let mut point = std::mem::take(&mut self.scratch);
        let read = point.read(head, self.limits.with_examples);
        let taken = read.and_then(|()| self.take(now, head, id, &mut point));
        self.scratch = point;
        let place = match taken? {
            Ok(place) => place,
            Err(left) => return Ok(Err(left)),
        };
        let series = self.places.get(place).and_then(Option::as_ref);
        Ok(series.map(|series| (&*series.family, series)).ok_or(Left::Limit))
    }

    fn take(
        &mut self,
        now: UnixNanos,
        head: &Head<'_>,
        id: u128,
        point: &mut Scratch,
    ) -> Result<Result<usize, Left>, Malformed> {
        let mut stream = match self.streams.get(&id) {
            Some(known) => *known,
            None => match self.new_stream(now, head, id)? {
                Ok(new) => new,
                Err(left) => return Ok(Err(left)),
            },
        };
        if head.is_delta && stream.time != 0 && point.time <= stream.time {
            return Ok(Err(Left::OutOfOrder));
        }
        let Some(series) = self.places.get_mut(stream.place).and_then(Option::as_mut) else {
            return Ok(Err(Left::Limit));
        };
        let left = series.take(now, head, id, point);
        stream.last_seen = now;
        if left.is_ok() {
            stream.time = stream.time.max(point.time);
        }
        self.streams.insert(id, stream);
        Ok(left.map(|()| stream.place))
    }

    /// Names of a point that was not seen before.
    fn new_stream(
        &mut self,
        now: UnixNanos,
        head: &Head<'_>,
        id: u128,
    ) -> Result<Result<Stream, Left>, Malformed> {
        let naming = &self.limits.naming;
        let labels = labels::of_point(naming, head.resource, head.scope, head.point, head.attributes())?;
        let (kind, shape) = match head.kind {
            Kind::Sum if head.is_monotonic => (FamilyKind::Counter, (true, false)),
            Kind::Sum => (FamilyKind::Gauge, (false, false)),
            Kind::Gauge => (FamilyKind::Gauge, (false, true)),
            Kind::Histogram | Kind::Exponential => (FamilyKind::Histogram, (false, false)),
            Kind::Summary => (FamilyKind::Summary, (false, false)),
        };
        let shape = Shape {
            is_counter: shape.0,
            is_gauge: shape.1,
        };
        let suffixed = naming.add_metric_suffixes;
        let name = family_name(
            &naming.namespace,
            &text(head.name),
            &text(head.unit),
            shape,
            suffixed,
        );
        let family = match self.family(now, &name, kind, &text(head.description)) {
            Ok(family) => family,
            Err(left) => return Ok(Err(left)),
        };
        Ok(Ok(self.stream(now, &family, labels, Value::empty(head.kind), id)))
    }

    /// The family of a name, if there is room in it.
    fn family(&mut self, now: UnixNanos, name: &str, kind: FamilyKind, help: &str) -> Result<Arc<str>, Left> {
        let is_full = |it: &Self| {
            it.len() >= it.limits.max_series || it.streams.len() >= it.limits.max_series.saturating_mul(2)
        };
        if is_full(self) {
            self.forget(now, self.limits.expiration);
            if is_full(self) {
                return Err(Left::Limit);
            }
        }
        match self.families.get_key_value(name) {
            Some((known, family)) if family.kind == kind => return Ok(Arc::clone(known)),
            Some(_) => return Err(Left::TypeConflict),
            None => {}
        }
        let sample_names = || {
            suffixes(kind)
                .iter()
                .map(|suffix| [name, suffix.as_str()].concat())
        };
        if sample_names().any(|name| self.sample_names.contains_key(&name)) {
            return Err(Left::TypeConflict);
        }
        let known: Arc<str> = name.into();
        self.sample_names
            .extend(sample_names().map(|name| (name, Arc::clone(&known))));
        let family = Family {
            kind,
            help: help.to_owned(),
            series: BTreeMap::new(),
        };
        self.families.insert(Arc::clone(&known), family);
        Ok(known)
    }

    /// A stream that feeds the series with these labels, which is there or begins with `value`.
    fn stream(
        &mut self,
        now: UnixNanos,
        family: &Arc<str>,
        labels: Labels,
        value: Value,
        id: u128,
    ) -> Stream {
        let labels = Arc::new(labels);
        let known = self
            .families
            .get(family)
            .and_then(|family| family.series.get(&labels).copied());
        let place = known.unwrap_or_else(|| {
            let series = Series {
                family: Arc::clone(family),
                labels: Arc::clone(&labels),
                value,
                examples: Vec::new(),
                time: 0,
                start: 0,
                last_seen: now,
                is_absent: false,
                owner: id,
                handed: AtomicU64::new(0),
            };
            let place = self.free.pop().unwrap_or(self.places.len());
            match self.places.get_mut(place) {
                Some(slot) => *slot = Some(series),
                None => self.places.push(Some(series)),
            }
            if let Some(family) = self.families.get_mut(family) {
                family.series.insert(labels, place);
            }
            place
        });
        let stream = Stream {
            place,
            time: 0,
            last_seen: now,
        };
        self.streams.insert(id, stream);
        stream
    }

    /// The `target_info` of a resource, whose points were of `time`.
    pub(crate) fn target(
        &mut self,
        now: UnixNanos,
        resource: &[u8],
        time: u64,
    ) -> Result<Option<Applied<'_>>, Malformed> {
        if !self.limits.naming.target_info {
            return Ok(None);
        }
        let [one, two] = self
            .hashers
            .each_ref()
            .map(|state| state.hash_one(("target_info", resource)));
        let id = u128::from(one) << 64 | u128::from(two);
        let stream = if let Some(known) = self.streams.get_mut(&id) {
            known.last_seen = now;
            *known
        } else {
            let Some(labels) = labels::of_target(&self.limits.naming, resource)? else {
                return Ok(None);
            };
            let shape = Shape {
                is_counter: false,
                is_gauge: false,
            };
            let name = family_name(&self.limits.naming.namespace, "target_info", "", shape, false);
            match self.family(now, &name, FamilyKind::Gauge, "What is known of a target.") {
                Ok(family) => self.stream(now, &family, labels, Value::Number(1.0), id),
                Err(left) => return Ok(Some(Err(left))),
            }
        };
        let Some(series) = self.places.get_mut(stream.place).and_then(Option::as_mut) else {
            return Ok(None);
        };
        series.last_seen = now;
        series.time = series.time.max(time);
        Ok(Some(Ok((&*series.family, series))))
    }

    /// Forgets series that nothing came for in `idle`; those that count deltas are needed to go on, and leave
    /// only when nothing else can.
    fn forget(&mut self, now: UnixNanos, idle: Duration) {
        let is_old = |last: UnixNanos| u128::from(now.0.saturating_sub(last.0)) >= idle.as_nanos();
        let (places, free) = (&mut self.places, &mut self.free);
        self.families.retain(|_, family| {
            family.series.retain(|_, place| {
                let slot = places.get_mut(*place);
                let gone = slot
                    .as_deref()
                    .and_then(Option::as_ref)
                    .is_none_or(|it| is_old(it.last_seen));
                if let Some(slot) = slot.filter(|_| gone) {
                    free.push(*place);
                    *slot = None;
                }
                !gone
            });
            !family.series.is_empty()
        });
        self.streams.retain(|_, stream| {
            places.get(stream.place).is_some_and(Option::is_some) && !is_old(stream.last_seen)
        });
        let families = &self.families;
        self.sample_names
            .retain(|_, family| families.contains_key(family));
    }

    /// The same as [`Self::sweep`], at most once a minute.
    pub(crate) fn sweep_sometimes(&mut self, now: UnixNanos) {
        if now.secs_since(self.swept) >= 60 {
            self.sweep(now);
        }
    }

    /// Forgets what was last heard of a day ago.
    pub(crate) fn sweep(&mut self, now: UnixNanos) {
        self.swept = now;
        self.forget(now, REMEMBERED.max(self.limits.expiration));
    }

    /// Whether a series shows at `now`.
    pub(crate) fn shows(&self, now: UnixNanos, series: &Series) -> bool {
        let idle = u128::from(now.0.saturating_sub(series.last_seen.0));
        !series.is_absent && idle < self.limits.expiration.as_nanos()
    }
}
