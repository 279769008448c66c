//! Ours, and the usual rules: whether the candidate got worse.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The requests of each run, sorted.
pub(crate) struct Sample(Vec<Vec<f64>>);

impl Sample {
    pub(crate) fn new(mut runs: Vec<Vec<f64>>) -> Self {
        runs.iter_mut().for_each(|run| run.sort_by(f64::total_cmp));
        Self(runs)
    }

    /// A quantile of each run, by the nearest rank.
    pub(crate) fn p(&self, share: f64) -> Vec<f64> {
        let of = |run: &Vec<f64>| run[((run.len() as f64 * share).ceil() as usize).clamp(1, run.len()) - 1];
        self.0.iter().map(of).collect()
    }

    /// The mean of each run.
    pub(crate) fn mean(&self) -> Vec<f64> {
        self.0.iter().map(|run| mean(run)).collect()
    }

    fn pooled(&self) -> Vec<f64> {
        self.0.concat()
    }
}

type Decides = fn(&Sample, &Sample) -> bool;

/// By the names they have in the table.
pub(crate) const ALL: [(&str, Decides); 5] = [
    ("plimsoll", |base, candidate| crate::is_regression(&base.p(0.95), &candidate.p(0.95))),
    ("benchstat's rule", |base, candidate| {
        let (base, candidate) = (base.p(0.95), candidate.p(0.95));
        let (below, pairs) = below(&base, &candidate);
        2.0 * below > pairs && exact_p(&base, &candidate) < 0.05
    }),
    ("10% on p95, one run", |base, candidate| candidate.p(0.95)[0] > 1.1 * base.p(0.95)[0]),
    ("Welch on requests", |base, candidate| {
        let (base, candidate) = (base.pooled(), candidate.pooled());
        mean(&candidate) > mean(&base) && welch_p(&base, &candidate) < 0.05
    }),
    ("Mann-Whitney on requests", |base, candidate| {
        let (base, candidate) = (base.pooled(), candidate.pooled());
        let (below, pairs) = below(&base, &candidate);
        let (n, m) = (base.len() as f64, candidate.len() as f64);
        // H. B. Mann and D. R. Whitney, 1947: U is normal for samples as large as these.
        let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
        let z = (below - pairs / 2.0) / deviation;
        z > 0.0 && 2.0 * Normal::standard().sf(z) < 0.05
    }),
];

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// In how many of all pairs the base is below the candidate, equal ones counted half; and how many there are.
fn below(base: &[f64], candidate: &[f64]) -> (f64, f64) {
    let (mut base, mut candidate) = (base.to_vec(), candidate.to_vec());
    base.sort_by(f64::total_cmp);
    candidate.sort_by(f64::total_cmp);
    let (mut less, mut not_more, mut sum) = (0, 0, 0.0);
    for value in &candidate {
        while less < base.len() && base[less] < *value {
            less += 1;
        }
        while not_more < base.len() && base[not_more] <= *value {
            not_more += 1;
        }
        sum += (less + not_more) as f64 / 2.0;
    }
    (sum, (base.len() * candidate.len()) as f64)
}

/// Two-sided p of the Mann-Whitney test, by all ways to share the ranks out: what golang.org/x/perf's benchstat does with few
/// values that all differ.
fn exact_p(base: &[f64], candidate: &[f64]) -> f64 {
    let (n, m) = (base.len(), candidate.len());
    // ways[i][u]: how many ways there are to choose i of the ranks seen so far with the statistic u.
    let mut ways = vec![vec![0.0_f64; n * m + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for chosen in (0..n.min(rank + 1)).rev() {
            let others = rank - chosen;
            if others > m {
                continue;
            }
            for u in (0..=n * m - others.min(n * m)).rev() {
                let add = ways[chosen][u];
                ways[chosen + 1][u + others] += add;
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    let (u, pairs) = below(base, candidate);
    let smaller = u.min(pairs - u).floor() as usize;
    let tail: f64 = ways[n][..=smaller].iter().sum::<f64>() / all;
    (2.0 * tail).min(1.0)
}

/// Two-sided p of Welch's t test.
fn welch_p(base: &[f64], candidate: &[f64]) -> f64 {
    let part = |values: &[f64]| {
        let middle = mean(values);
        let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
        let count = values.len() as f64;
        (middle, squares / (count - 1.0) / count, count - 1.0)
    };
    let ((one, v1, f1), (other, v2, f2)) = (part(base), part(candidate));
    let freedom = (v1 + v2).powi(2) / (v1.powi(2) / f1 + v2.powi(2) / f2);
    let t = (one - other).abs() / (v1 + v2).sqrt();
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |students| 2.0 * students.sf(t))
}
