use std::collections::HashSet;
use std::sync::Arc;

use crate::Profile;

/// A function and what was counted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: Arc<str>,
    /// In itself.
    pub flat: i64,
    /// In itself and in what it called; once where it called itself.
    pub cumulative: i64,
}

impl Profile {
    /// The functions by what was counted of a kind (a place in [`Profile::kinds`]) in themselves, largest first (of a
    /// difference the largest change, up or down); those without any are left out.
    pub fn top(&self, kind: usize) -> Vec<Row> {
        let row = |name: &Arc<str>| Row { name: Arc::clone(name), flat: 0, cumulative: 0 };
        let mut rows: Vec<Row> = self.names.iter().map(row).collect();
        let mut seen = HashSet::new();
        for stack in &self.stacks {
            let value = stack.value(kind);
            seen.clear();
            for frame in &stack.frames {
                if let Some(row) = rows.get_mut(*frame as usize).filter(|_| seen.insert(*frame)) {
                    row.cumulative = row.cumulative.saturating_add(value);
                }
            }
            if let Some(row) = stack.frames.last().and_then(|last| rows.get_mut(*last as usize)) {
                row.flat = row.flat.saturating_add(value);
            }
        }
        rows.retain(|row| row.flat != 0 || row.cumulative != 0);
        rows.sort_by(|one, other| {
            let size = |row: &Row| (row.flat.unsigned_abs(), row.cumulative.unsigned_abs());
            size(other).cmp(&size(one)).then_with(|| one.name.cmp(&other.name))
        });
        rows
    }
}
