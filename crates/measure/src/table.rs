//! A map for recorders that are looked up once or several times per request.

use rustc_hash::FxHashMap;

use crate::Phase;

/// A key as one number, equal only for equal keys: comparing and hashing it is one instruction or two.
pub(crate) trait Packed: Copy {
    fn packed(self) -> u64;
}

/// An index, a phase and a stage in 40 bits.
#[inline]
pub(crate) fn packed(index: u16, phase: Phase, stage: Option<u16>) -> u64 {
    // 17 bits tell no stage from the last of them.
    let stage = stage.map_or(0, |stage| u64::from(stage) + 1);
    u64::from(index) | stage << 16 | (phase as u64) << 40
}

/// Values by key, in one row, and where the key used last has its own: most requests are of the series
/// that the one before was of.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    rows: Vec<(K, V)>,
    positions: FxHashMap<u64, u32>,
    last: Option<(u64, u32)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: Vec::new(), positions: FxHashMap::default(), last: None }
    }
}

impl<K: Packed, V: Default> Table<K, V> {
    /// The value of a key, an empty one if it is new.
    #[inline(always)]
    pub(crate) fn entry(&mut self, key: K) -> &mut V {
        let position = self.find(key).unwrap_or_else(|| self.add(key));
        self.at(position)
    }

    /// Where the value of a key is, until the next [`Self::retain`].
    #[inline(always)]
    pub(crate) fn find(&mut self, key: K) -> Option<u32> {
        let packed = key.packed();
        match self.last {
            Some((last, position)) if last == packed => Some(position),
            _ => self.look_up(packed),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, packed: u64) -> Option<u32> {
        let position = *self.positions.get(&packed)?;
        self.last = Some((packed, position));
        Some(position)
    }

    /// Adds an empty value for a key that has none.
    #[cold]
    #[inline(never)]
    pub(crate) fn add(&mut self, key: K) -> u32 {
        let position = self.rows.len() as u32;
        self.rows.push((key, V::default()));
        self.positions.insert(key.packed(), position);
        position
    }

    /// The value at a position.
    #[inline(always)]
    pub(crate) fn at(&mut self, position: u32) -> &mut V {
        &mut self.rows[position as usize].1
    }

    /// The key at a position.
    pub(crate) fn key(&self, position: u32) -> K {
        self.rows[position as usize].0
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Drops the values that are not wanted any more.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&V) -> bool) {
        let before = self.rows.len();
        self.rows.retain(|(_, value)| wanted(value));
        if self.rows.len() == before {
            return;
        }
        self.last = None;
        self.positions.clear();
        let positions = self.rows.iter().zip(0..).map(|((key, _), position)| (key.packed(), position));
        self.positions.extend(positions);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IterationKey, Outcome, SeriesKey};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn different_keys_pack_differently() {
        let mut seen = BTreeMap::new();
        let numbers = [0, 1, 255, 256, u16::MAX - 1, u16::MAX];
        let stages = || numbers.into_iter().map(Some).chain([None]);
        for step in numbers {
            for (phase, stage) in
                Phase::ALL.into_iter().flat_map(|phase| stages().map(move |stage| (phase, stage)))
            {
                for outcome in Outcome::ALL {
                    let key = SeriesKey { step, phase, stage, outcome };
                    assert_eq!(seen.insert(key.packed(), key), None);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0_u16..6, prop::bool::weighted(0.05)), 0..300)) {
            let (mut table, mut reference) = (Table::<IterationKey, u64>::default(), BTreeMap::<u16, u64>::new());
            for (scenario, forget) in steps {
                let key = IterationKey { scenario, phase: Phase::Measured, stage: None };
                *table.entry(key) += 1;
                *reference.entry(scenario).or_default() += 1;
                if forget {
                    table.retain(|count| *count % 2 == 0);
                    reference.retain(|_, count| *count % 2 == 0);
                }
                prop_assert_eq!(table.len(), reference.len());
            }
            let mut found: Vec<_> = table.iter().map(|(key, count)| (key.scenario, *count)).collect();
            found.sort_unstable();
            prop_assert_eq!(found, reference.into_iter().collect::<Vec<_>>());
        }
    }
}
