use std::collections::BTreeMap;

use plimsoll_measure::{AddressKey, AddressSeries, Histogram, LatencyFigures};

use crate::Shape;

/// One of several addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressSummary {
    /// Its name.
    pub address: String,
    /// Its share of the load among the weights, as planned.
    pub weight: u32,
    /// Requests, cut ones included.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Its share of all requests.
    pub share: Option<f64>,
    /// Response times.
    pub response_time: LatencyFigures,
}

/// How unequal addresses are: 1 where they are equal.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Skew {
    /// The largest share of requests over the smallest, each divided by its weight; `None` where an
    /// address got no request.
    pub share: Option<f64>,
    /// The largest median response time over the smallest; `None` with fewer than two medians.
    pub p50: Option<f64>,
}

/// The addresses of a run over its measured phases; empty where it has one.
pub(crate) fn summaries(
    shape: &Shape,
    addresses: &BTreeMap<AddressKey, AddressSeries>,
) -> Vec<AddressSummary> {
    let all: u64 = addresses.iter().filter(|(key, _)| key.phase.is_measured()).map(|(_, s)| s.requests).sum();
    let summary = |(index, address): (usize, &crate::AddressShape)| {
        let here = addresses
            .iter()
            .filter(|(key, _)| usize::from(key.address) == index && key.phase.is_measured())
            .map(|(_, series)| series);
        let mut times = Histogram::new(shape.edges.clone());
        let (mut requests, mut failed) = (0, 0);
        for series in here {
            requests += series.requests;
            failed += series.failed;
            series.response_time.iter().for_each(|distribution| times.add(distribution));
        }
        AddressSummary {
            address: address.name.clone(),
            weight: address.weight,
            requests,
            failed,
            share: (all > 0).then(|| requests as f64 / all as f64),
            response_time: LatencyFigures::from(&times),
        }
    };
    shape.addresses.iter().enumerate().map(summary).collect()
}

/// How unequal they are; `None` with fewer than two.
pub(crate) fn skew(addresses: &[AddressSummary]) -> Option<Skew> {
    let ratio = |values: &[f64]| {
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        (values.len() > 1 && least > 0.0).then(|| most / least)
    };
    let loads: Vec<_> =
        addresses.iter().map(|address| address.requests as f64 / f64::from(address.weight.max(1))).collect();
    let medians: Vec<_> = addresses.iter().filter_map(|address| address.response_time.p50).collect();
    (addresses.len() > 1).then(|| Skew { share: ratio(&loads), p50: ratio(&medians) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[(u32, u64, Option<f64>)], expected: Option<(Option<f64>, Option<f64>)>) {
        let summary = |(weight, requests, p50): &(u32, u64, Option<f64>)| AddressSummary {
            address: String::new(),
            weight: *weight,
            requests: *requests,
            failed: 0,
            share: None,
            response_time: LatencyFigures { p50: *p50, ..LatencyFigures::default() },
        };
        let summaries: Vec<_> = addresses.iter().map(summary).collect();
        assert_eq!(skew(&summaries), expected.map(|(share, p50)| Skew { share, p50 }), "{addresses:?}");
    }

    #[test]
    fn skew_is_largest_over_smallest_after_weights() {
        check(&[], None);
        check(&[(1, 5, Some(1.0))], None);
        check(&[(1, 5, Some(1.0)), (1, 5, Some(1.0))], Some((Some(1.0), Some(1.0))));
        check(&[(3, 300, Some(0.5)), (1, 50, Some(2.0))], Some((Some(2.0), Some(4.0))));
        check(&[(1, 5, Some(1.0)), (1, 0, None)], Some((None, None)));
        check(&[(1, 5, Some(1.0)), (1, 5, None), (1, 10, Some(3.0))], Some((Some(2.0), Some(3.0))));
    }
}
