//! Which single requests stand for the others of their bucket.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use plimsoll_measure::{Edges, SeriesKey, Single, Timing};

use crate::Exemplar;

/// The most UTF-8 characters that names and values of an exemplar's labels have together (OpenMetrics
/// 1.0, Exemplars).
const MOST_CHARACTERS: usize = 128;

/// What is left of them for the name of a step.
const STEP_CHARACTERS: usize = MOST_CHARACTERS - "trace_id".len() - 32 - "span_id".len() - 16 - "step".len();

/// Of each series the traced requests of a second to show: for each bucket the slowest that was told.
/// `series` says which series a request is counted in.
pub(crate) fn shown<'a>(
    singles: &'a [Single],
    edges: &Edges,
    series: impl Fn(SeriesKey) -> SeriesKey,
) -> BTreeMap<SeriesKey, Vec<&'a Single>> {
    let mut traced: Vec<_> =
        singles.iter().filter(|single| single.purposes.trace && single.trace.is_some()).collect();
    // The trace decides among those of equal time, so that the order of workers does not.
    traced.sort_by_key(|single| (Reverse(nanos(single)), single.trace.map(|trace| trace.trace_id)));
    let mut shown: BTreeMap<SeriesKey, BTreeMap<usize, &Single>> = BTreeMap::new();
    for single in traced {
        let buckets = shown.entry(series(single.sample.key)).or_default();
        buckets.entry(edges.bucket(nanos(single))).or_insert(single);
    }
    shown.into_iter().map(|(key, buckets)| (key, buckets.into_values().collect())).collect()
}

/// A single request as an exemplar of its response time; `None` without a trace.
pub(crate) fn exemplar(single: &Single, step: &str, wall_nanos: i64) -> Option<Exemplar> {
    let trace = single.trace?;
    let labels = vec![
        ("trace_id".to_owned(), hex(&trace.trace_id)),
        ("span_id".to_owned(), hex(&trace.span_id)),
        ("step".to_owned(), step.chars().take(STEP_CHARACTERS).collect()),
    ];
    Some(Exemplar { labels, nanos: nanos(single), wall_nanos: Some(wall_nanos) })
}

fn nanos(single: &Single) -> u64 {
    Timing::ResponseTime.of(&single.sample).unwrap_or_default()
}

/// Lower case, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_measure::{Outcome, Phase, Purposes, Sample, TraceContext};
    use proptest::prelude::*;

    fn single(step: u16, nanos: u64, id: u8) -> Single {
        let key = SeriesKey { step, phase: Phase::Measured, stage: Some(id.into()), outcome: Outcome::Ok };
        Single {
            sample: Sample { done: 100 + nanos, ..Sample::at(key, 100) },
            trace: Some(TraceContext { trace_id: [id; 16], span_id: [id; 8], sampled: true }),
            purposes: Purposes { trace: true, samples: false },
        }
    }

    fn first(key: SeriesKey) -> SeriesKey {
        SeriesKey { stage: None, ..key }
    }

    #[test]
    fn the_slowest_of_each_bucket_and_series_is_shown() {
        let not_traced = Single { purposes: Purposes::default(), ..single(0, 19, 9) };
        let without = Single { trace: None, ..single(0, 18, 8) };
        let singles =
            [single(0, 5, 1), single(0, 9, 2), single(0, 15, 3), single(1, 7, 4), not_traced, without];
        let shown = shown(&singles, &Edges::exactly([10, 20]), first);
        let ids: Vec<Vec<u8>> =
            shown.values().map(|of| of.iter().map(|s| s.trace.unwrap().trace_id[0]).collect()).collect();
        assert_eq!(ids, [vec![2, 3], vec![4]]);
    }

    proptest! {
        #[test]
        fn there_is_at_most_one_a_bucket_whatever_the_order(
            singles in prop::collection::vec((0_u16..3, 0_u64..50, 0_u8..), 0..60).prop_shuffle(),
        ) {
            let edges = Edges::exactly([10, 20, 30]);
            let singles: Vec<_> = singles.into_iter().map(|(step, nanos, id)| single(step, nanos, id)).collect();
            let mut turned = singles.clone();
            turned.reverse();
            let labels = |shown: BTreeMap<SeriesKey, Vec<&Single>>| {
                shown
                    .into_iter()
                    .map(|(key, of)| (key, of.iter().map(|s| (nanos(s), s.trace)).collect::<Vec<_>>()))
                    .collect::<Vec<_>>()
            };
            let found = labels(shown(&singles, &edges, first));
            for (key, of) in &found {
                let mut buckets: Vec<_> = of.iter().map(|(nanos, _)| edges.bucket(*nanos)).collect();
                buckets.dedup();
                prop_assert_eq!(buckets.len(), of.len());
                let slowest = singles.iter().filter(|s| first(s.sample.key) == *key).map(nanos).max();
                prop_assert_eq!(of.last().map(|(nanos, _)| *nanos), slowest);
            }
            prop_assert_eq!(found, labels(shown(&turned, &edges, first)));
        }

        #[test]
        fn labels_are_never_too_long(step in ".{0,200}") {
            let shown = exemplar(&single(0, 5, 0xaf), &step, 7).unwrap();
            let characters: usize =
                shown.labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
            prop_assert!(characters <= MOST_CHARACTERS, "{characters}");
            prop_assert_eq!(&shown.labels[1].1, "afafafafafafafaf");
            prop_assert!(step.starts_with(&shown.labels[2].1));
        }
    }
}
