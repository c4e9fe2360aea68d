//! Which labels were made with the same settings, so that their energies have one zero.

use crate::io::Frame;

/// Info keys that must agree; a missing one is a value of its own.
const ALWAYS: [&str; 3] = ["xc", "ecut", "code"];
/// Info keys that must agree where both labels have them: not every program writes them.
const WHERE_KNOWN: [&str; 3] = ["pseudopotentials", "label_settings", "energy_kind"];

/// Settings that some labels have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    always: [String; 3],
    where_known: [Option<String>; 3],
}

impl Origin {
    /// The settings of a label.
    pub fn of(frame: &Frame) -> Self {
        let value = |key: &str| {
            let text = frame.info.get(key)?;
            // 550 and 550.0 are the same cutoff.
            Some(text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string()))
        };
        Self { always: ALWAYS.map(|k| value(k).unwrap_or_else(|| "-".to_owned())), where_known: WHERE_KNOWN.map(value) }
    }

    /// The index of the settings of a label among those that are known, which learn from it or grow by it.
    pub fn find(known: &mut Vec<Self>, frame: &Frame) -> usize {
        let new = Self::of(frame);
        let agree = |(a, b): (&Option<String>, &Option<String>)| a.is_none() || b.is_none() || a == b;
        let same = |o: &Self| o.always == new.always && o.where_known.iter().zip(&new.where_known).all(agree);
        let Some(index) = known.iter().position(same) else {
            known.push(new);
            return known.len() - 1;
        };
        for (old, new) in known[index].where_known.iter_mut().zip(new.where_known) {
            *old = old.take().or(new);
        }
        index
    }

    /// For people.
    pub fn name(&self) -> String {
        let keys = ALWAYS.iter().zip(&self.always).map(|(k, v)| format!("{k} {v}"));
        let more = WHERE_KNOWN.iter().zip(&self.where_known).filter_map(|(k, v)| Some(format!("{k} {}", v.as_ref()?)));
        keys.chain(more).collect::<Vec<_>>().join(", ")
    }
}
