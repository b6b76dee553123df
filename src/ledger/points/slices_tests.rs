use super::*;
use crate::sli::SliSpec;
use crate::sli::metrics::MetricSource;
use crate::sli::spec::Source;

const SECOND: u64 = NANOS_PER_SEC;

fn gauge(yaml: &str) -> GaugeSource {
    let spec: SliSpec = serde_saphyr::from_str(&format!("{{ metrics: {yaml} }}")).unwrap();
    match spec.source {
        Source::Metrics(MetricSource::Gauge(gauge)) => gauge,
        other => panic!("{other:?}"),
    }
}

/// A service's gauge of one deployment.
fn feed(streams: &mut Streams, yaml: &str, sha: &str, secs: u64, value: f64) -> bool {
    let rule = Rule::from(&gauge(yaml));
    let value = if matches!(rule.limit, GaugeLimit::AgeAtMost(_)) {
        value * 1e9
    } else {
        value
    };
    let key = sha.bytes().map(u64::from).sum();
    let level = LevelAt {
        value,
        time: secs * SECOND,
    };
    streams.level(key, level, rule, 7, || {
        let place = Place {
            service: Arc::from("shop"),
            sha: Some(Arc::from(sha)),
            ..Place::default()
        };
        (place, Arc::from("lag"))
    })
}

fn close(streams: &mut Streams, secs: u64) -> Vec<(u64, bool)> {
    let events = streams.close_slices(UnixNanos(secs * SECOND));
    events
        .iter()
        .map(|event| (event.at.secs() + 1, event.is_good))
        .collect()
}

const LAG: &str = "{ gauge: lag, at_most: 10, slice: 1m, stale_after: 2m, missing: bad }";

#[test]
fn the_worst_value_of_a_slice_decides_whatever_the_order() {
    let mut streams = Streams::default();
    for (secs, value) in [(620, 3.0), (610, 11.0), (650, 4.0), (665, 10.0)] {
        assert!(feed(&mut streams, LAG, "a", secs, value));
    }
    assert_eq!(close(&mut streams, 669), []);
    assert_eq!(close(&mut streams, 670), [(660, false)]);
    assert_eq!(close(&mut streams, 730), [(720, true)]);
    assert!(!feed(&mut streams, LAG, "a", 700, 1.0), "closed");
}

#[test]
fn a_value_stands_for_itself_for_a_while_and_then_data_is_missing() {
    for (missing, expected) in [("bad", Some(false)), ("good", Some(true)), ("excluded", None)] {
        let yaml = LAG.replace("bad", missing);
        let mut streams = Streams::default();
        feed(&mut streams, &yaml, "a", 605, 3.0);
        let closed = close(&mut streams, 910);
        let mut wanted = vec![(660, true), (720, true), (780, true)];
        wanted.extend(
            expected
                .map(|good| [(840, good), (900, good)])
                .into_iter()
                .flatten(),
        );
        assert_eq!(closed, wanted, "{missing}");
    }
}

#[test]
fn a_time_grows_old_by_itself() {
    let yaml = "{ gauge: published, age_at_most: 10m, slice: 1m, stale_after: 1m }";
    let mut streams = Streams::default();
    feed(&mut streams, yaml, "a", 1205, 1000.0);
    let closed = close(&mut streams, 1750);
    let expected: Vec<_> = (21..=29)
        .map(|minute| (minute * 60, minute * 60 <= 1600))
        .collect();
    assert_eq!(closed, expected);
}

#[test]
fn a_deployment_that_ended_is_not_missing_while_another_has_data() {
    let mut streams = Streams::default();
    feed(&mut streams, LAG, "a", 605, 3.0);
    for secs in (605..1200).step_by(60) {
        feed(&mut streams, LAG, "b", secs, 3.0);
        assert!(close(&mut streams, secs + 66).iter().all(|(_, good)| *good));
    }
    streams.sweep(UnixNanos(1_205 * SECOND));
    assert_eq!(streams.slices.len(), 2, "idle, but not for long");
}

#[test]
fn what_nobody_looked_at_is_not_counted_and_what_was_seen_is() {
    let mut streams = Streams::default();
    feed(&mut streams, LAG, "a", 605, 30.0);
    let rows = streams.changed_rows();
    let mut restored = Streams::default();
    for (key, value) in &rows {
        assert!(restored.restore(key, value.as_deref().unwrap()));
    }
    restored.resume_slices(UnixNanos(900 * SECOND));
    feed(&mut restored, LAG, "a", 905, 1.0);
    assert_eq!(close(&mut restored, 970), [(660, false), (960, true)]);
}
