//! From points to what is fitted.

use crate::Points;
use crate::least_squares::Data;

/// With more points than this neighbours are put together. Beyond it nothing more is learnt about three
/// parameters, and a million points take no longer than these.
const MOST_POINTS: usize = 1000;
/// Into how many.
const GROUPS: usize = 500;

/// Throughput against load. The weight of a point is 1/variance where its error is known, else 1;
/// points without an error among points that have one weigh as much as their mean.
pub(crate) fn throughput(points: &Points) -> Data {
    let known: Vec<f64> =
        points.points().iter().filter_map(|point| Some(point.throughput_error?.powi(-2))).collect();
    let usual = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let weight = |error: Option<f64>| error.map_or(1.0, |error| error.powi(-2) / usual);
    let mut data = Data::default();
    for point in points.points() {
        data.loads.push(point.load);
        data.values.push(point.throughput);
        data.weights.push(weight(point.throughput_error));
    }
    condensed(data)
}

fn condensed(data: Data) -> Data {
    if data.len() <= MOST_POINTS {
        return data;
    }
    let mut groups = Data::default();
    for group in 0..GROUPS {
        let rows = group * data.len() / GROUPS..(group + 1) * data.len() / GROUPS;
        let weights = &data.weights[rows.clone()];
        let total: f64 = weights.iter().sum();
        let mean = |values: &[f64]| {
            values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total
        };
        groups.loads.push(mean(&data.loads[rows.clone()]));
        groups.values.push(mean(&data.values[rows]));
        groups.weights.push(total);
    }
    groups
}
