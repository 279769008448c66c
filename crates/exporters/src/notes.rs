use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::lock;

/// How many different things a run's exporters tell; a sink that fails in ever new ways repeats itself.
const MOST: usize = 50;

/// What is worth telling about sinks: each thing once. Clones share what was told.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    keys: BTreeSet<String>,
    waiting: Vec<String>,
}

impl Notes {
    /// Tells `text`, unless something was told under this key before.
    pub fn tell(&self, key: &str, text: String) {
        let mut told = lock(&self.0);
        if told.keys.len() < MOST && told.keys.insert(key.to_owned()) {
            told.waiting.push(text);
        }
    }

    /// What was told since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_not_too_many() {
        let notes = Notes::default();
        notes.tell("401", "first".to_owned());
        notes.tell("401", "again".to_owned());
        assert_eq!(notes.take(), ["first"]);
        notes.tell("401", "again".to_owned());
        assert_eq!(notes.take(), Vec::<String>::new());
        for number in 0..1000 {
            notes.tell(&number.to_string(), String::new());
        }
        assert_eq!(notes.take().len(), MOST - 1);
    }
}
