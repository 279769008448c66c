/// A row of a table: its values as text, in the order of the columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number in the table, from 0.
    pub number: u64,
    /// The line it begins in, from 1, while a table is read from its first byte to its last; 0 where it was read by its number.
    pub line: u64,
    text: String,
    ends: Vec<u32>,
}

impl Row {
    /// The value of a column.
    pub fn get(&self, column: usize) -> Option<&str> {
        let end = *self.ends.get(column)? as usize;
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Its values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|column| self.get(column))
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Ends the value that was being written.
    pub(crate) fn end_value(&mut self) {
        // A row is far below 4 GiB.
        self.ends.push(self.text.len() as u32);
    }
}
