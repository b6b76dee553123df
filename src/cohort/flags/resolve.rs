//! From ranked evidence to the set of an event's flags.

use super::variant::{Variant, flag_key, normalise};
use super::{DEFAULT, ERROR, Form, Name, OFF, Place, Refused, STALE, Shape};
use crate::cohort::label_text;
use crate::wire::{AnyValue, Value};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

/// How good a piece of evidence is; less is better. Lists of one place are ranked by their order in the
/// configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A span event.
    Event,
    /// An evaluation that a child span, an evaluation span or a log record tells of.
    Joined,
    /// An attribute of one flag, on the span.
    ItemFlag,
    /// An attribute of one flag, on a child span.
    JoinedFlag,
    /// An attribute of one flag, on the scope.
    ScopeFlag,
    /// A list on the span.
    ItemList(u16),
    /// A list on the scope.
    ScopeList(u16),
    /// An attribute of one flag, on the resource.
    ResourceFlag,
    /// A list on the resource.
    ResourceList(u16),
    /// None: a list lacks the flag, which is off by that.
    Absent,
}

/// How a flag came to have its variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Basis {
    /// Nobody says; so it is with all lists and attributes of single flags.
    #[default]
    Unknown,
    /// Dice decided: reason `split`.
    Split,
    /// A rule, a default or a switch decided: whoever has the variant is another kind of user.
    Chosen,
}

impl Basis {
    /// From a reason, in any case. `cached` hides the reason behind it.
    fn of(reason: &[u8]) -> Self {
        let is = |word: &str| reason.eq_ignore_ascii_case(word.as_bytes());
        if is("split") {
            Self::Split
        } else if reason.is_empty() || is("unknown") || is("cached") {
            Self::Unknown
        } else {
            Self::Chosen
        }
    }

    /// Whether events may be compared by it.
    pub const fn is_causal(self) -> bool {
        !matches!(self, Self::Chosen)
    }
}

/// One flag of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagVariant {
    /// The flag's key.
    pub flag: Box<str>,
    /// The normalised variant, possibly a reserved one.
    pub variant: Cow<'static, str>,
    /// Whether a policy of the service names the flag.
    pub named: bool,
    /// How good the evidence is.
    pub rank: Rank,
    /// How it came to have its variant.
    pub basis: Basis,
}

/// Which provider told of a flag, and in which of its environments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToldBy {
    /// The flag's key.
    pub flag: Box<str>,
    /// `feature_flag.provider.name` or an older name of it.
    pub provider: Option<Box<str>>,
    /// `feature_flag.set.id`: LaunchDarkly's environment, or a project.
    pub set: Option<Box<str>>,
    /// How it came to have its variant.
    pub basis: Basis,
}

/// What could not be used of an event's evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Values under a list's name that are no list, or that cannot be understood.
    pub rejected_lists: u32,
    /// Lists longer than is read.
    pub truncated_lists: u32,
    /// Items, evaluations or attributes whose flag or variant cannot be used.
    pub invalid_items: u32,
    /// Evaluations that name a flag and give no result.
    pub without_result: u32,
    /// Flags beyond `max_flags`.
    pub excess_flags: u32,
}

/// The flags of an event, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagSet {
    /// Flags that a policy names come first, then the order is that of the keys.
    pub flags: Vec<FlagVariant>,
    /// Flags that are mentioned without a variant that can be used: not absent.
    pub mentioned: Vec<Box<str>>,
    /// What could not be used.
    pub problems: Problems,
    /// The shapes that were met, each time, with how many pieces.
    pub shapes: Vec<(Shape, u32)>,
    /// Who told of flags.
    pub told_by: Vec<ToldBy>,
}

/// One evaluation, as its attributes come: of an event, or of `feature_flag.key` and its result on the item
/// itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) key: AnyValue<'a>,
    pub(crate) result: Option<AnyValue<'a>>,
    pub(crate) index: Option<AnyValue<'a>>,
    pub(crate) reason: Option<AnyValue<'a>>,
    pub(crate) failed: bool,
    pub(crate) provider: Option<AnyValue<'a>>,
    pub(crate) set: Option<AnyValue<'a>>,
}

/// All that the evidence of one event says, in the order in which it was read.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    all: Vec<Mention>,
    /// A list was read to its end.
    pub(crate) has_list: bool,
    /// A list was there and is not known to its end.
    pub(crate) has_unknown: bool,
    pub(crate) problems: Problems,
    pub(crate) shapes: Vec<(Shape, u32)>,
    told_by: Vec<ToldBy>,
    /// Of `problems`, invalid items and evaluations without result that a shape has been blamed for.
    accounted: (u32, u32),
}

#[derive(Debug)]
struct Mention {
    flag: Box<str>,
    rank: Rank,
    /// `None`: the flag is mentioned, but not with a variant that can be used.
    variant: Option<Variant>,
    basis: Basis,
}

impl Mentions {
    pub(crate) fn push(&mut self, rank: Rank, flag: &str, variant: Option<Variant>) {
        self.push_based(rank, flag, variant, Basis::Unknown);
    }

    fn push_based(&mut self, rank: Rank, flag: &str, variant: Option<Variant>, basis: Basis) {
        self.all.push(Mention {
            flag: flag.into(),
            rank,
            variant,
            basis,
        });
    }

    pub(crate) fn invalid(&mut self) {
        self.problems.invalid_items += 1;
    }

    /// Evidence of this shape was met. What of it could not be used since the last one was met is refused.
    pub(crate) fn seen(&mut self, place: Place, form: Form, name: Name) {
        let shape = |refused| Shape {
            place,
            form,
            name,
            refused,
        };
        self.shapes.push((shape(None), 1));
        let now = (self.problems.invalid_items, self.problems.without_result);
        for (refused, times) in [
            (Refused::InvalidItem, now.0 - self.accounted.0),
            (Refused::WithoutResult, now.1 - self.accounted.1),
        ] {
            if times > 0 {
                self.shapes.push((shape(Some(refused)), times));
            }
        }
        self.accounted = now;
    }

    /// Evidence of this shape was met and refused.
    pub(crate) fn refused(&mut self, place: Place, form: Form, name: Name, refused: Refused) {
        let shape = Shape {
            place,
            form,
            name,
            refused: Some(refused),
        };
        self.shapes.push((shape, 1));
        self.accounted = (self.problems.invalid_items, self.problems.without_result);
    }

    /// Adds an evaluation. Failed, fallen-back and stale ones go to their reserved variants.
    pub(crate) fn evaluation(&mut self, rank: Rank, evaluation: &Evaluation<'_>) {
        let Some(flag) = evaluation.key.as_str().and_then(flag_key) else {
            return self.invalid();
        };
        let reason = evaluation.reason.and_then(AnyValue::as_str).unwrap_or_default();
        let basis = Basis::of(reason);
        self.told_by(flag, evaluation, basis);
        let is = |word: &str| reason.eq_ignore_ascii_case(word.as_bytes());
        let variant = if is("error") || evaluation.failed {
            Some(Cow::Borrowed(ERROR))
        } else if is("default") {
            Some(Cow::Borrowed(DEFAULT))
        } else if is("stale") {
            Some(Cow::Borrowed(STALE))
        } else {
            match (evaluation.result, evaluation.index) {
                (Some(result), _) => normalise(result),
                (None, Some(index)) => variation(index),
                // No result, but the provider says that the flag is switched off.
                (None, None) if is("disabled") => Some(Cow::Borrowed(OFF)),
                (None, None) => {
                    self.problems.without_result += 1;
                    return self.push(rank, flag, None);
                }
            }
        };
        if variant.is_none() {
            self.invalid();
        }
        self.push_based(rank, flag, variant, basis);
    }

    fn told_by(&mut self, flag: &str, evaluation: &Evaluation<'_>, basis: Basis) {
        let name = |value: Option<AnyValue<'_>>| label_text(value?.as_str()?).map(|text| Box::from(&*text));
        let (provider, set) = (name(evaluation.provider), name(evaluation.set));
        if provider.is_some() || set.is_some() || basis != Basis::Unknown {
            self.told_by.push(ToldBy {
                flag: flag.into(),
                provider,
                set,
                basis,
            });
        }
    }

    /// The set: for each flag the best rank that gives a variant, of equals the last. `named` is sorted;
    /// `absent_is_off` says that the flags of it which no evidence mentions are off, if a list was read and
    /// none remained unknown.
    pub(crate) fn resolve(self, named: &[Arc<str>], absent_is_off: bool, max_flags: u32) -> FlagSet {
        let mut problems = self.problems;
        let mut all: Vec<(usize, Mention)> = self.all.into_iter().enumerate().collect();
        all.sort_unstable_by(|(a_at, a), (b_at, b)| {
            let key = |at: usize, m: &Mention| (m.variant.is_none(), m.rank, Reverse(at));
            a.flag
                .cmp(&b.flag)
                .then_with(|| key(*a_at, a).cmp(&key(*b_at, b)))
        });
        all.dedup_by(|(_, later), (_, kept)| later.flag == kept.flag);
        let implies_off = absent_is_off && self.has_list && !self.has_unknown;
        let mut flags: Vec<FlagVariant> = Vec::with_capacity(all.len());
        if implies_off {
            let mentioned = |flag: &Arc<str>| all.binary_search_by(|(_, m)| (*m.flag).cmp(&**flag)).is_ok();
            flags.extend(
                named
                    .iter()
                    .filter(|flag| !mentioned(flag))
                    .map(|flag| FlagVariant {
                        flag: Box::from(&**flag),
                        variant: Cow::Borrowed(OFF),
                        named: true,
                        rank: Rank::Absent,
                        basis: Basis::Unknown,
                    }),
            );
        }
        let mut mentioned = Vec::new();
        for (_, mention) in all {
            let named = named
                .binary_search_by(|flag| (**flag).cmp(&*mention.flag))
                .is_ok();
            match mention.variant {
                Some(variant) => flags.push(FlagVariant {
                    flag: mention.flag,
                    variant,
                    named,
                    rank: mention.rank,
                    basis: mention.basis,
                }),
                None => mentioned.push(mention.flag),
            }
        }
        flags.sort_unstable_by(|a, b| (!a.named, &a.flag).cmp(&(!b.named, &b.flag)));
        let most = usize::try_from(max_flags).unwrap_or(usize::MAX);
        let excess = flags.len().saturating_sub(most);
        problems.excess_flags = u32::try_from(excess).unwrap_or(u32::MAX);
        flags.truncate(most);
        mentioned.truncate(most);
        // That nobody says how is worth knowing of the flags that may be switched.
        let mut told_by = self.told_by;
        let silent = flags
            .iter()
            .filter(|flag| flag.named && flag.basis == Basis::Unknown);
        told_by.extend(silent.map(|flag| ToldBy {
            flag: flag.flag.clone(),
            provider: None,
            set: None,
            basis: Basis::Unknown,
        }));
        FlagSet {
            flags,
            mentioned,
            problems,
            shapes: self.shapes,
            told_by,
        }
    }
}

/// LaunchDarkly's variation index as a variant: `#0`, `#1` ...
fn variation(index: AnyValue<'_>) -> Option<Variant> {
    let number = match index.value().ok()? {
        Value::Int(number) => number,
        Value::Str(text) => std::str::from_utf8(text).ok()?.trim().parse().ok()?,
        _ => return None,
    };
    Some(Cow::Owned(format!("#{number}")))
}
