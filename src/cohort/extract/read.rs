//! The second step: from raw pieces to flags, once for each distinct evidence.

use super::{Evidence, Extractor, Piece, Role};
use crate::cohort::flags::{
    self, Evaluation, FlagSet, Form, ListError, Mentions, Name, Place, Rank, Refused,
};
use crate::wire::{AnyValue, Value};
use std::sync::Arc;

impl Extractor {
    /// Reads evidence. `named` are the flags of [`Self::named_flags`].
    pub fn read(&self, evidence: &Evidence<'_, '_>, named: &[Arc<str>]) -> FlagSet {
        let mut mentions = Mentions::default();
        let at = |own, list, place| Standing {
            event: (Rank::Event, Place::Event),
            own: (own, place),
            list,
        };
        let resource = at(Rank::ResourceFlag, Rank::ResourceList, Place::Resource);
        self.read_place(evidence.resource, &resource, &mut mentions);
        let scope = at(Rank::ScopeFlag, Rank::ScopeList, Place::Scope);
        self.read_place(evidence.scope, &scope, &mut mentions);
        let item = at(Rank::ItemFlag, Rank::ItemList, Place::Item);
        self.read_place(evidence.item, &item, &mut mentions);
        mentions.resolve(named, self.absent_is_off, self.max_flags)
    }

    /// Reads flags that somebody wrote, each an item of a flag list on the event itself.
    pub fn read_written(&self, items: &[String], named: &[Arc<str>]) -> FlagSet {
        let mut mentions = Mentions::default();
        mentions.has_list = !items.is_empty();
        let items = items.iter().map(String::as_str);
        flags::read_items(items, self.negation, Rank::ItemList(0), &mut mentions);
        mentions.resolve(named, self.absent_is_off, self.max_flags)
    }

    /// Reads what [`Self::collect_told`] or [`Self::collect_record`] found; `place` is where that was.
    pub fn read_told(&self, pieces: &[Piece<'_>], place: Place, named: &[Arc<str>]) -> FlagSet {
        let mut mentions = Mentions::default();
        let standing = Standing {
            event: (Rank::Joined, place),
            own: (Rank::JoinedFlag, place),
            list: Rank::ItemList,
        };
        self.read_place(pieces, &standing, &mut mentions);
        mentions.resolve(named, false, self.max_flags)
    }

    fn read_place(&self, pieces: &[Piece<'_>], standing: &Standing, mentions: &mut Mentions) {
        let mut rest = pieces;
        while let Some((piece, behind)) = rest.split_first() {
            rest = behind;
            match piece.role {
                Role::EventKey => rest = read_evaluation(piece.value, rest, standing.event, mentions),
                Role::OwnKey => rest = read_evaluation(piece.value, rest, standing.own, mentions),
                Role::Flag(prefix, flag) => {
                    Self::read_flag(flag, piece.value, standing.own.0, mentions);
                    mentions.seen(standing.own.1, Form::Flag, Name::Prefix(prefix));
                }
                Role::List(place) => {
                    let rank = (standing.list)(place);
                    self.read_list(piece.value, rank, (standing.own.1, Name::List(place)), mentions);
                }
                // Only ever behind a key.
                Role::Result | Role::Index | Role::Reason | Role::Failure | Role::Provider | Role::Set => {}
            }
        }
    }

    fn read_flag(flag: &[u8], value: AnyValue<'_>, rank: Rank, mentions: &mut Mentions) {
        let Some(flag) = flags::flag_key(flag) else {
            return mentions.invalid();
        };
        let variant = flags::normalise(value);
        if variant.is_none() {
            mentions.invalid();
        }
        mentions.push(rank, flag, variant);
    }

    fn read_list(&self, value: AnyValue<'_>, rank: Rank, at: (Place, Name), mentions: &mut Mentions) {
        let (place, name) = at;
        let form = list_form(value);
        match flags::read_list(value, self.negation, rank, mentions) {
            Ok(true) => {
                mentions.has_list = true;
                mentions.seen(place, form, name);
            }
            Ok(false) => {
                mentions.has_unknown = true;
                mentions.problems.truncated_lists += 1;
                mentions.seen(place, form, name);
                mentions.refused(place, form, name, Refused::Truncated);
            }
            Err(error) => {
                mentions.has_unknown |= error == ListError::Unreadable;
                mentions.problems.rejected_lists += 1;
                let refused = match error {
                    ListError::NotAList => Refused::NotAList,
                    ListError::Unreadable => Refused::Unreadable,
                };
                mentions.refused(place, form, name, refused);
            }
        }
    }
}

/// How good the evidence of one place is, and where that is.
struct Standing {
    event: (Rank, Place),
    own: (Rank, Place),
    list: fn(u16) -> Rank,
}

/// Reads an evaluation, of which `key` is the first piece; what follows it.
fn read_evaluation<'p, 'a>(
    key: AnyValue<'a>,
    mut rest: &'p [Piece<'a>],
    (rank, place): (Rank, Place),
    mentions: &mut Mentions,
) -> &'p [Piece<'a>] {
    let mut evaluation = Evaluation {
        key,
        result: None,
        index: None,
        reason: None,
        failed: false,
        provider: None,
        set: None,
    };
    while let Some((piece, behind)) = rest.split_first() {
        match piece.role {
            Role::Result => evaluation.result = Some(piece.value),
            Role::Index => evaluation.index = Some(piece.value),
            Role::Reason => evaluation.reason = Some(piece.value),
            Role::Failure => evaluation.failed = true,
            Role::Provider => evaluation.provider = Some(piece.value),
            Role::Set => evaluation.set = Some(piece.value),
            Role::EventKey | Role::OwnKey | Role::Flag(..) | Role::List(_) => break,
        }
        rest = behind;
    }
    mentions.evaluation(rank, &evaluation);
    mentions.seen(place, Form::Evaluation, Name::Key);
    rest
}

/// What stands under a list's name.
fn list_form(value: AnyValue<'_>) -> Form {
    match value.value() {
        Ok(Value::Array(_)) => Form::Array,
        Ok(Value::KvList(_)) => Form::Map,
        Ok(Value::Str(text)) if text.trim_ascii_start().starts_with(b"{") => Form::Json,
        Ok(Value::Str(text)) if text.trim_ascii_start().starts_with(b"[") => Form::Json,
        Ok(Value::Str(_)) => Form::Text,
        _ => Form::Scalar,
    }
}

/// The result of an evaluation that stands in a record's body: the member `value`, or all of it.
pub(super) fn result_in_body(body: AnyValue<'_>) -> Option<AnyValue<'_>> {
    match body.value().ok()? {
        Value::Empty => None,
        Value::KvList(pairs) => AnyValue::kvlist_items(pairs)
            .filter_map(Result::ok)
            .filter(|(key, _)| *key == b"value")
            .map(|(_, value)| value)
            .last()
            .or(Some(body)),
        _ => Some(body),
    }
}
