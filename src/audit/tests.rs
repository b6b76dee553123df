//! What is done to a record, and whether it shows.

use super::*;
use crate::decide::{
    Action, Actor, Decision, DecisionState, Event, Evidence, GATEWAY, LifeRules, NoEffect, Phase,
};
use crate::ledger::{Counts, TopSignatures};
use crate::store::{Append, Chain as _, Journal as _, MemStore, Store};
use crate::time::UnixNanos;
use proptest::prelude::*;
use std::sync::Arc;

const T0: UnixNanos = UnixNanos::from_secs(1_795_300_000);
const PLENTY: Limits = Limits {
    entries: 10_000,
    secs: 400 * 86_400,
};

fn decision(flag: &str, state: DecisionState) -> Decision {
    Decision {
        id: format!("id-{flag}"),
        exporter: "unleash".to_owned(),
        environment: "production".to_owned(),
        flag: flag.to_owned(),
        deployment: None,
        action: Action::default(),
        actor: Actor::Rule,
        incident: 1,
        decided_at: T0,
        updated_at: T0,
        evidence: Evidence {
            service: "checkout".to_owned(),
            slo: "availability".to_owned(),
            environment: Some("production".to_owned()),
            sha: Some("4f2c1e".to_owned()),
            flag: flag.to_owned(),
            variant: "on".to_owned(),
            window_secs: 300,
            from: T0.minus_secs(300),
            to: T0,
            burn: 14.4,
            burn_above: 7.0,
            held_secs: 180,
            cohort: Counts {
                good: 9_856,
                bad: 144,
            },
            control: Counts { good: 10_000, bad: 0 },
            contrast: None,
            proof: None,
            signatures: TopSignatures::default(),
        },
        state,
        life: crate::decide::Life::default(),
        history: vec![(T0, "decided".to_owned())],
    }
}

fn note(n: u64) -> Draft {
    Draft::by_gateway(
        T0.plus_secs(n),
        "test",
        serde_json::json!({ "n": n, "share": 0.1 + n as f64 }),
    )
}

/// A record of `n` entries, and its store.
fn record(n: u64) -> (Arc<MemStore>, Trail) {
    let store = Arc::new(MemStore::new());
    let trail = Trail::open(store.clone(), PLENTY).unwrap();
    (0..n).for_each(|n| trail.note(note(n)));
    (store, trail)
}

fn lines(store: &dyn Store) -> Vec<Vec<u8>> {
    let rows = store.rows_after(0, usize::MAX).unwrap();
    rows.into_iter().map(|(_, line)| line).collect()
}

/// What a verifier says of these lines.
fn verified(lines: &[Vec<u8>], head: &Head) -> Result<Verified, Break> {
    let mut verifier = Verifier::behind(Head::genesis());
    for line in lines {
        verifier.take(line)?;
    }
    verifier.finish(Some(head))
}

#[test]
fn an_entry_is_what_any_sha256_says_that_it_is() {
    let sealed = note(3).seal(7, "policy-hash", GENESIS).unwrap();
    let line = String::from_utf8(sealed.line.clone()).unwrap();
    assert_eq!(
        line,
        format!(
            r#"{{"seq":7,"time":"2026-11-21T22:26:43.000Z","unix_nanos":1795300003000000000,"kind":"test","actor":{{"kind":"gateway"}},"policy":"policy-hash","facts":{{"n":3,"share":3.1}},"prev":"{GENESIS}","hash":"{}"}}"#,
            sealed.hash
        )
    );
    // printf '%s' '{"seq":7,...,"prev":"000..."}' | sha256sum
    assert_eq!(
        sealed.hash,
        "83fc2ffafce2787cfb252dc8d0084b148648be42db20df3ef83d30d7675cc10c"
    );
    let entry = Entry::read(&sealed.line).unwrap();
    assert_eq!(
        (entry.seq, entry.at(), entry.hash),
        (7, T0.plus_secs(3), sealed.hash)
    );
}

#[test]
fn every_transition_is_an_entry_and_words_within_a_state_are_an_answer() {
    let mut decided = decision("f", DecisionState::Decided);
    let first = of_change(None, &decided).unwrap();
    assert_eq!(
        (first.kind.as_str(), first.said.as_slice()),
        ("decided", &["decided".to_owned()][..])
    );
    assert_eq!(first.actor, serde_json::json!({ "kind": "rule" }));
    assert_eq!(first.evidence.as_ref().unwrap()["cohort"]["bad"], 144);
    let about = first.about.unwrap();
    assert_eq!(
        (
            about.flag.as_str(),
            about.variant.as_str(),
            about.service.as_str(),
            about.sha.as_str()
        ),
        ("f", "on", "checkout", "4f2c1e")
    );

    let before = decided.clone();
    assert_eq!(of_change(Some(&before), &decided), None, "nothing happened");
    decided.state = DecisionState::Sending { attempt: 1 };
    decided
        .history
        .push((T0.plus_secs(1), "sending, attempt 1".to_owned()));
    let sending = of_change(Some(&before), &decided).unwrap();
    assert_eq!((sending.kind.as_str(), sending.said.len()), ("sending", 1));
    assert!(sending.evidence.is_some_and(|it| it["signatures"].is_null()));

    let before = decided.clone();
    decided
        .history
        .push((T0.plus_secs(2), "call failed: 503".to_owned()));
    decided.actor = Actor::Person {
        name: "ops".to_owned(),
        reason: "it burns".to_owned(),
    };
    let answer = of_change(Some(&before), &decided).unwrap();
    assert_eq!(
        (answer.kind.as_str(), answer.said.as_slice()),
        ("answer", &["call failed: 503".to_owned()][..])
    );
    assert_eq!((answer.evidence, &answer.actor["name"]), (None, &"ops".into()));
    assert_eq!(
        answer.at,
        T0.plus_secs(2),
        "when it was said, not when the state began"
    );
}

#[test]
fn whoever_has_a_say_in_a_rules_decision_is_on_record_as_the_one_who_did() {
    let before = decision(
        "f",
        DecisionState::Proposed {
            until: T0.plus_secs(60),
        },
    );
    let after = |event: &Event| {
        let mut it = before.clone();
        it.apply(T0.plus_secs(5), &LifeRules::default(), event).unwrap();
        of_change(Some(&before), &it).unwrap().actor
    };
    let by = || "ann".to_owned();
    let approved = after(&Event::Approved { by: by() });
    assert_eq!(
        (&approved["kind"], &approved["name"]),
        (&"person".into(), &"ann".into())
    );
    let declined = after(&Event::Declined {
        by: by(),
        reason: "the database".to_owned(),
    });
    assert_eq!(
        (&declined["name"], &declined["reason"]),
        (&"ann".into(), &"the database".into())
    );
    let cleared = after(&Event::Cleared);
    assert_eq!(cleared, serde_json::json!({ "kind": "rule" }), "nobody did");
    let gateway = after(&Event::Released {
        by: GATEWAY.to_owned(),
        reason: String::new(),
    });
    assert_eq!(gateway, serde_json::json!({ "kind": "gateway" }));
    // What comes after is the rule's again.
    let mut it = before.clone();
    it.apply(
        T0.plus_secs(5),
        &LifeRules::default(),
        &Event::Approved { by: by() },
    )
    .unwrap();
    let approved = it.clone();
    it.state = DecisionState::Sending { attempt: 1 };
    assert_eq!(of_change(Some(&approved), &it).unwrap().actor["kind"], "rule");
}

#[test]
fn what_came_of_a_switch_is_an_entry_of_its_own_kind_and_has_its_own_time() {
    let state = DecisionState::Confirmed {
        verified: true,
        already_off: false,
    };
    let mut it = decision("f", state);
    let before = it.clone();
    it.life.phase = Phase::Escalated {
        until: T0.plus_secs(86_400),
        why: NoEffect::StillServed { share: 0.5 },
    };
    it.history
        .push((T0.plus_secs(120), "no effect: it is still served".to_owned()));
    let escalated = of_change(Some(&before), &it).unwrap();
    assert_eq!(
        (escalated.kind.as_str(), escalated.at),
        ("escalated", T0.plus_secs(120))
    );
}

#[test]
fn a_row_of_the_journal_and_its_entry_are_written_together() {
    let (store, trail) = record(0);
    for attempt in 1..=3 {
        let row = format!("row {attempt}").into_bytes();
        let seen = trail.record("d", row, |former| {
            let former = former.map(|it| String::from_utf8_lossy(it).into_owned());
            assert_eq!(former, (attempt > 1).then(|| format!("row {}", attempt - 1)));
            Some(note(attempt))
        });
        seen.unwrap();
        assert_eq!(store.all().unwrap().len(), 1);
        assert_eq!(lines(&*store).len() as u64, attempt);
    }
    trail.record("d", b"row 4".to_vec(), |_| None).unwrap();
    assert_eq!(store.journal_row("d").unwrap().unwrap(), b"row 4");
    assert_eq!(trail.end().seq, 3, "nothing happened, nothing is recorded");
    assert_eq!(verify_store(&*store, None).unwrap().unwrap().entries, 3);
}

#[test]
fn a_restart_goes_on_where_the_record_ends() {
    let (store, trail) = record(5);
    let end = trail.end();
    let again = Trail::open(store.clone(), PLENTY).unwrap();
    assert_eq!((again.end(), again.opened_at()), (end, 5));
    again.note(note(6));
    let whole = verify_store(&*store, None).unwrap().unwrap();
    assert_eq!(
        (whole.entries, whole.begins, whole.head),
        (6, Begins::AtGenesis, again.end().head())
    );
}

#[test]
fn what_is_too_much_goes_and_the_rest_still_verifies() {
    let limits = Limits {
        entries: 100,
        ..PLENTY
    };
    let store = Arc::new(MemStore::new());
    let trail = Trail::open(store.clone(), limits).unwrap();
    for n in 0..1_000 {
        trail.note(note(n));
        let end = trail.end();
        assert!(end.entries() <= 100, "{}", end.entries());
        let lines = lines(&*store);
        assert_eq!(lines.len() as u64, end.entries());
        assert_eq!(lines.iter().map(Vec::len).sum::<usize>() as u64, end.bytes);
    }
    let whole = verify_store(&*store, None).unwrap().unwrap();
    assert_eq!(whole.begins, Begins::BehindPruned(trail.end().first - 1));
    // The same again after somebody took more from the beginning.
    let first = trail.end().first;
    let cut = Append {
        mark: serde_json::to_vec(&trail.end()).unwrap(),
        drop_before: first + 3,
        ..Append::default()
    };
    store.append(&cut).unwrap();
    let broken = verify_store(&*store, None).unwrap().unwrap_err();
    assert_eq!(
        (broken.seq, broken.difference),
        (first + 3, Difference::NoBeginning)
    );
}

#[test]
fn what_is_too_old_goes_with_the_next_entry() {
    let limits = Limits {
        secs: 3_600,
        ..PLENTY
    };
    let store = Arc::new(MemStore::new());
    let trail = Trail::open(store.clone(), limits).unwrap();
    for n in 0..10 {
        trail.note(note(n * 600));
    }
    trail.note(note(2 * 3_600));
    let oldest = Entry::read(&lines(&*store)[0]).unwrap();
    assert_eq!(oldest.at(), T0.plus_secs(3_600));
    trail.note(note(90_000));
    assert_eq!(trail.end().entries(), 2, "what was dropped, and the new one");
    verify_store(&*store, None).unwrap().unwrap();
}

#[test]
fn a_tail_that_was_cut_off_is_missed() {
    let (store, trail) = record(9);
    let (mut lines, head) = (lines(&*store), trail.end().head());
    lines.truncate(7);
    let broken = verified(&lines, &head).unwrap_err();
    assert_eq!(
        (broken.seq, broken.difference),
        (8, Difference::Missing { head: 9 })
    );
}

#[test]
fn a_record_that_was_written_anew_has_another_head() {
    let (_, trail) = record(9);
    let (other, _) = {
        let store = Arc::new(MemStore::new());
        let other = Trail::open(store.clone(), PLENTY).unwrap();
        (0..9).for_each(|n| other.note(note(n + u64::from(n == 4))));
        (store, other)
    };
    verify_store(&*other, None).unwrap().unwrap();
    let broken = verified(&lines(&*other), &trail.end().head()).unwrap_err();
    assert!(
        matches!(broken.difference, Difference::OtherHead { .. }),
        "{broken}"
    );
}

#[test]
fn a_head_that_was_kept_tells_of_a_record_written_anew_and_grown() {
    let (store, trail) = record(5);
    let kept = trail.end().head();
    trail.note(note(6));
    verify_store(&*store, Some(kept.clone())).unwrap().unwrap();
    let (other, anew) = record(4);
    (7..12).for_each(|n| anew.note(note(n)));
    verify_store(&*other, None).unwrap().unwrap();
    let broken = verify_store(&*other, Some(kept)).unwrap().unwrap_err();
    assert_eq!(broken.seq, 5);
    let beyond = Head {
        seq: 99,
        ..trail.end().head()
    };
    let broken = verify_store(&*store, Some(beyond)).unwrap().unwrap_err();
    assert_eq!(broken.difference, Difference::Missing { head: 99 });
}

#[test]
fn a_book_is_whole_or_says_where_it_breaks() {
    let (store, trail) = record(8);
    let (since, until) = (T0.plus_secs(2), T0.plus_secs(6));
    let mut book = Vec::new();
    let mut export = Export::new(&mut book, since, until);
    for line in lines(&*store) {
        export.take(&line).unwrap();
    }
    assert_eq!(export.written, 4);
    export.finish().unwrap();
    let part = read_book(book.as_slice(), None).unwrap().unwrap();
    assert_eq!(
        (part.entries, part.begins, part.head.seq),
        (4, Begins::Within(2), 6)
    );

    let text = String::from_utf8(book).unwrap();
    let without_head = text.rsplit_once("{\"head\"").unwrap().0;
    let without_start = text.split_once('\n').unwrap().1;
    for (cut, words) in [
        (
            without_head.to_owned(),
            "entry 7: is no entry: the file does not end",
        ),
        (
            without_start.to_owned(),
            "entry 1: is no entry: the file does not begin",
        ),
        (format!("{text}x"), "behind the line `head`"),
        (text.replace("\"n\":4", "\"n\":5"), "entry 5: was changed"),
        (String::new(), "cut short"),
    ] {
        let broken = read_book(cut.as_bytes(), None).unwrap().unwrap_err().to_string();
        assert!(broken.contains(words), "{words}: {broken}");
    }
    let mut whole = Vec::new();
    let mut export = Export::new(&mut whole, UnixNanos(0), UnixNanos(u64::MAX));
    for line in lines(&*store) {
        export.take(&line).unwrap();
    }
    export.finish().unwrap();
    let found = read_book(whole.as_slice(), None).unwrap().unwrap();
    assert_eq!(
        (found.begins, found.head),
        (Begins::AtGenesis, trail.end().head())
    );
}

#[test]
fn policies_are_named_by_the_hash_of_their_text_and_said_once() {
    let text = "service: a\nslos: [{ name: x, target: 99.9% }]\n";
    let policies = crate::policy::from_text("a.yaml", text).unwrap();
    let same = crate::policy::from_text("other-name.yaml", text).unwrap();
    let other = crate::policy::from_text("a.yaml", &format!("{text}# a word\n")).unwrap();
    assert_eq!(policies.text_hash(), same.text_hash());
    assert_ne!(policies.text_hash(), other.text_hash());
    let (store, trail) = record(0);
    for (n, set) in [&policies, &same, &other].into_iter().enumerate() {
        trail.policies(T0.plus_secs(n as u64), set);
    }
    trail.note(note(5));
    let entries: Vec<Entry> = lines(&*store)
        .iter()
        .map(|line| Entry::read(line).unwrap())
        .collect();
    let told: Vec<_> = entries
        .iter()
        .map(|it| (it.kind.as_str(), it.policy.clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("policy_loaded", policies.text_hash()),
            ("policy_loaded", other.text_hash()),
            ("test", other.text_hash())
        ]
    );
}

proptest! {
    /// Whatever single thing is done to a record, it shows, and at the right place or before it.
    #[test]
    fn no_tampering_goes_unseen(
        entries in 2_u64..20,
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        byte: u8,
        offset in any::<prop::sample::Index>(),
        how in 0_u8..6,
    ) {
        let (store, trail) = record(entries);
        let (whole, head) = (lines(&*store), trail.end().head());
        prop_assert!(verified(&whole, &head).is_ok());
        let mut lines = whole.clone();
        let (at, other) = (at.index(lines.len()), other.index(lines.len()));
        match how {
            0 => { let offset = offset.index(lines[at].len()); lines[at][offset] = byte; }
            1 => { lines.remove(at); }
            2 => lines.swap(at, other),
            3 => { let copy = lines[other].clone(); lines.insert(at, copy); }
            4 => lines.truncate(at),
            _ => {
                // A forged entry with a hash of its own that holds.
                let prev = Head { hash: Entry::read(&lines[at]).unwrap().prev, seq: at as u64 };
                let forged = Draft::by_gateway(T0, "forged", serde_json::json!({})).seal(prev.seq + 1, "", &prev.hash);
                lines[at] = forged.unwrap().line;
            }
        }
        let said = verified(&lines, &head);
        if lines == whole {
            prop_assert!(said.is_ok());
        } else {
            let first = lines.iter().zip(&whole).position(|(a, b)| a != b).unwrap_or(lines.len().min(whole.len()));
            let broken = said.unwrap_err();
            // A forged entry holds by itself: it is the next one that does not follow it.
            prop_assert!(broken.seq == first as u64 + 1 || broken.seq == first as u64 + 2, "{broken}: {first}");
        }
    }

    #[test]
    fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Verifier::new().take(&line);
        let _ = read_book(line.as_slice(), None);
    }
}
