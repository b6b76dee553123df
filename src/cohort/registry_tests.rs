//! Claims about the registry: one key, one handle, and no cap exceeded or refused early.

use super::super::places::KEPT_ENVIRONMENTS;
use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Barrier;

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);

fn caps(per_service: u32, total: u32, per_minute: u32, services: u32) -> Registry {
    Registry::new(&Cohorts {
        max_per_service: per_service,
        max_total: total,
        max_new_per_minute: per_minute,
        max_services: services,
        ..Cohorts::default()
    })
}

fn sha<'a>(service: &'a str, sha: &'a str) -> CohortRef<'a> {
    CohortRef {
        service,
        environment: Some("production"),
        level: LevelRef::Deployment(sha),
    }
}

fn intern(registry: &Registry, cohort: &CohortRef<'_>, now: UnixNanos) -> Interned {
    registry.intern(cohort, now, &mut Vec::new())
}

#[test]
fn a_handle_resolves_to_the_key_it_was_given_for() {
    let registry = caps(9, 9, 9, 9);
    let Interned::Live(id) = intern(&registry, &sha("checkout", "abc"), NOW) else {
        panic!("refused")
    };
    assert_eq!(
        intern(&registry, &sha("checkout", "abc"), NOW),
        Interned::Live(id)
    );
    assert_eq!(
        registry.key(id).as_deref(),
        Some(&sha("checkout", "abc").to_key())
    );
    assert_eq!(registry.find(&sha("checkout", "abc").to_key()), Some(id));
    assert_eq!(registry.find(&sha("checkout", "abd").to_key()), None);
    assert_eq!(registry.stats().totals, 1);
}

#[test]
fn each_cap_sends_newcomers_to_the_overflow_of_their_service() {
    let cases = [
        (caps(1, 9, 9, 9), Cap::Service),
        (caps(9, 1, 9, 9), Cap::Total),
        (caps(9, 9, 1, 9), Cap::Rate),
    ];
    for (registry, cap) in cases {
        let first = intern(&registry, &sha("checkout", "a"), NOW);
        let Interned::Overflow(id, why) = intern(&registry, &sha("checkout", "b"), NOW) else {
            panic!("{cap:?} did not hold");
        };
        assert_eq!(why, cap);
        let key = registry.key(id).unwrap();
        assert_eq!((&*key.service, &key.level), ("checkout", &Level::Overflow));
        assert_eq!(intern(&registry, &sha("checkout", "a"), NOW), first, "{cap:?}");
    }
}

#[test]
fn the_next_minute_admits_again() {
    let registry = caps(9, 9, 1, 9);
    intern(&registry, &sha("s", "a"), NOW);
    assert!(matches!(
        intern(&registry, &sha("s", "b"), NOW),
        Interned::Overflow(_, Cap::Rate)
    ));
    assert!(matches!(
        intern(&registry, &sha("s", "b"), NOW.plus_secs(60)),
        Interned::Live(_)
    ));
    // A batch that was stamped before the minute turned does not open the old minute again.
    assert!(matches!(
        intern(&registry, &sha("s", "c"), NOW),
        Interned::Overflow(_, Cap::Rate)
    ));
}

#[test]
fn services_beyond_the_cap_count_together() {
    let registry = caps(9, 9, 9, 1);
    intern(&registry, &sha("first", "a"), NOW);
    let total = CohortRef {
        service: "second",
        environment: None,
        level: LevelRef::Total,
    };
    let Interned::Overflow(id, Cap::Services) = intern(&registry, &total, NOW) else {
        panic!("admitted")
    };
    assert_eq!(&*registry.key(id).unwrap().service, OVERFLOW_SERVICE);
    let Interned::Overflow(rest, Cap::Services) = intern(&registry, &sha("second", "a"), NOW) else {
        panic!("admitted");
    };
    let key = registry.key(rest).unwrap();
    assert_eq!((&*key.service, &key.level), (OVERFLOW_SERVICE, &Level::Overflow));
}

#[test]
fn a_service_with_a_policy_is_never_crowded_out() {
    let registry = caps(9, 9, 9, 1);
    registry.keep_place("named");
    intern(&registry, &sha("stranger", "a"), NOW);
    assert!(matches!(
        intern(&registry, &sha("named", "a"), NOW),
        Interned::Live(_)
    ));
    assert!(matches!(
        intern(&registry, &sha("other", "a"), NOW),
        Interned::Overflow(_, Cap::Services)
    ));
    for n in 0..40 {
        let environment = n.to_string();
        let total = CohortRef {
            service: "named",
            environment: Some(&environment),
            level: LevelRef::Total,
        };
        intern(&registry, &total, NOW);
    }
    assert!(registry.stats().totals <= KEPT_ENVIRONMENTS + 1);
}

#[test]
fn retiring_frees_the_place_and_the_handle_stays_dead() {
    let registry = caps(1, 1, 9, 9);
    let old = intern(&registry, &sha("s", "a"), NOW).id();
    assert!(registry.retire(old));
    assert!(!registry.retire(old));
    assert_eq!((registry.key(old), registry.stats().cohorts), (None, 0));
    let Interned::Live(new) = intern(&registry, &sha("s", "b"), NOW) else {
        panic!("no place")
    };
    assert!(new > old);
    let total = CohortRef {
        level: LevelRef::Total,
        ..sha("s", "")
    };
    assert!(registry.retire(intern(&registry, &total, NOW).id()));
    assert!(!registry.retire(OVERFLOW_TOTAL));
}

#[test]
fn a_restart_restores_beyond_the_rate_and_fills_the_caps() {
    let registry = caps(2, 9, 1, 9);
    let ids: HashSet<_> = ["a", "b"]
        .iter()
        .map(|s| registry.restore(&sha("s", s).to_key()))
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(
        registry.restore(&sha("s", "a").to_key()),
        registry.find(&sha("s", "a").to_key()).unwrap()
    );
    assert_eq!((registry.stats().cohorts, registry.stats().totals), (2, 1));
    assert!(matches!(
        intern(&registry, &sha("s", "c"), NOW),
        Interned::Overflow(_, Cap::Service)
    ));
}

#[test]
fn a_flood_of_shas_leaves_the_living_exact_and_memory_bounded() {
    let flood = std::env::var_os("BURNGATE_LONG").map_or(200_000u32, |_| 10_000_000);
    let registry = caps(1_000, 5_000, 100, 10);
    let mut scratch = Vec::new();
    let living = registry.intern(&sha("s", "living"), NOW, &mut scratch);
    for n in 0..flood {
        let name = n.to_string();
        let now = NOW.plus_secs(u64::from(n) / 1_000);
        let place = registry.intern(&sha("s", &name), now, &mut scratch);
        assert!(matches!(place, Interned::Live(_)) || n >= 99);
        assert_eq!(registry.intern(&sha("s", "living"), now, &mut scratch), living);
    }
    assert!(registry.stats().cohorts <= 1_000);
    // The two of the overflow service, the total, the overflow, and the admitted.
    assert!(registry.keys.len() <= 1_004 && registry.ids.len() == registry.keys.len());
}

#[test]
fn threads_that_meet_agree_on_handles_and_never_pass_a_cap() {
    let registry = caps(300, 500, u32::MAX, 4);
    let barrier = Barrier::new(4);
    let seen: Vec<Vec<(u32, Interned)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u32)
            .map(|thread| {
                let (registry, barrier) = (&registry, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let step = |n: u32| (n * 7 + thread * 131) % 800;
                    let service = |n: u32| if n.is_multiple_of(2) { "even" } else { "odd" };
                    (0..800)
                        .map(step)
                        .map(|n| (n, intern(registry, &sha(service(n), &n.to_string()), NOW)))
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut by_name = std::collections::HashMap::new();
    for (name, place) in seen.into_iter().flatten() {
        if let Interned::Live(id) = place {
            assert_eq!(*by_name.entry(name).or_insert(id), id, "one key, one handle");
        }
    }
    assert_eq!(by_name.values().collect::<HashSet<_>>().len(), by_name.len());
    assert_eq!(
        (by_name.len(), registry.stats().cohorts),
        (500, 500),
        "full, and not one more"
    );
}

proptest! {
    #[test]
    fn places_are_what_lives(steps in proptest::collection::vec((0u8..3, 0u8..4, 0u8..12), 1..200)) {
        let registry = caps(5, 8, 50, 3);
        let mut live = HashSet::new();
        for (action, service, name) in steps {
            let (service, name) = (format!("s{service}"), name.to_string());
            let cohort = sha(&service, &name);
            match action {
                0 | 1 => if let Interned::Live(id) = intern(&registry, &cohort, NOW) { live.insert(id); },
                _ => if let Some(id) = registry.find(&cohort.to_key()) {
                    prop_assert!(registry.retire(id) && live.remove(&id));
                },
            }
            prop_assert_eq!(registry.stats().cohorts as usize, live.len());
            prop_assert!(live.len() <= 8 && registry.stats().totals <= 3);
        }
    }
}
