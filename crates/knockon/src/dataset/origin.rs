//! Which labels were made with the same settings, so that their energies have one zero.

use crate::io::Frame;
use std::collections::BTreeSet;

/// Info keys that must agree; a missing one is a value of its own.
const ALWAYS: [&str; 4] = ["xc", "ecut", "code", CHARGE];
/// Charge of the box in e, of one that is not neutral: its energy depends on where the electrons went.
const CHARGE: &str = "charge";
/// Info keys that must agree where both labels have them: not every program writes them.
const WHERE_KNOWN: [&str; 3] = ["pseudopotentials", "label_settings", "energy_kind"];

/// Settings that some labels have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    always: [String; 4],
    where_known: [Option<String>; 3],
}

impl Origin {
    /// The settings of a label.
    pub fn of(frame: &Frame) -> Self {
        let value = |key: &str| {
            let text = frame.info.get(key)?;
            if key == "pseudopotentials" {
                return Some(in_order(text));
            }
            // 550 and 550.0 are the same cutoff.
            Some(text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string()))
        };
        Self { always: ALWAYS.map(|k| value(k).unwrap_or_else(|| "-".to_owned())), where_known: WHERE_KNOWN.map(value) }
    }

    /// Whether two labels may have been made with the same settings.
    pub fn agree(a: &Frame, b: &Frame) -> bool {
        Self::of(a).agrees(&Self::of(b))
    }

    fn agrees(&self, other: &Self) -> bool {
        let agree = |(a, b): (&Option<String>, &Option<String>)| a.is_none() || b.is_none() || a == b;
        self.always == other.always && self.where_known.iter().zip(&other.where_known).all(agree)
    }

    /// The different settings of some labels, and for each label the index of its own. Whatever their order: those that say more
    /// come first, and one that says too little to tell which of several are its own has settings of its own.
    pub fn number<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> (Vec<Self>, Vec<usize>) {
        let labels: Vec<Self> = frames.into_iter().map(Self::of).collect();
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|label| labels[*label].where_known.iter().filter(|value| value.is_none()).count());
        let (mut known, mut numbers): (Vec<Self>, _) = (Vec::new(), vec![0; labels.len()]);
        for label in order {
            let new = labels[label].clone();
            if let Some(same) = known.iter().position(|other| *other == new) {
                numbers[label] = same;
                continue;
            }
            let mut matches = (0..known.len()).filter(|k| known[*k].agrees(&new));
            numbers[label] = match (matches.next(), matches.next()) {
                (Some(only), None) => {
                    for (old, new) in known[only].where_known.iter_mut().zip(new.where_known) {
                        *old = old.take().or(new);
                    }
                    only
                }
                _ => {
                    known.push(new);
                    known.len() - 1
                }
            };
        }
        (known, numbers)
    }

    /// For people.
    pub fn name(&self) -> String {
        let is_told = |(key, value): &(&&str, &String)| **key != CHARGE || value.as_str() != "-";
        let keys = ALWAYS.iter().zip(&self.always).filter(is_told).map(|(k, v)| format!("{k} {v}"));
        let more = WHERE_KNOWN.iter().zip(&self.where_known).filter_map(|(k, v)| Some(format!("{k} {}", v.as_ref()?)));
        keys.chain(more).collect::<Vec<_>>().join(", ")
    }
}

/// Names between commas, each once: boxes list their elements in any order, and some programs one several times.
fn in_order(names: &str) -> String {
    let names: BTreeSet<&str> = names.split(',').map(str::trim).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::test_boxes::two_atoms;
    use super::*;
    use glam::DVec3;

    fn label(pseudopotentials: &str) -> Frame {
        let mut frame = two_atoms(DVec3::X);
        frame.info.set("xc", "PBE");
        if !pseudopotentials.is_empty() {
            frame.info.set("pseudopotentials", pseudopotentials);
        }
        frame
    }

    #[test]
    fn labels_that_say_little_join_what_is_theirs_in_any_order() {
        let [a, c, silent] = ["A", "C", ""].map(label);
        let numbers = |frames: &[&Frame]| Origin::number(frames.iter().copied()).1;
        assert_eq!(numbers(&[&silent, &a, &a]), [0, 0, 0]);
        assert_eq!(numbers(&[&a, &silent]), [0, 0]);
        // Of either or of neither: not for the order of the files to say.
        for frames in [[&a, &silent, &c, &silent], [&c, &silent, &a, &silent]] {
            assert_eq!(numbers(&frames), [0, 2, 1, 2]);
        }
        assert!(Origin::agree(&a, &silent) && !Origin::agree(&a, &c));
        let [one_way, other_way, repeated, more] =
            ["PAW O, PAW Si", "PAW Si, PAW O", "PAW Si, PAW O, PAW Si", "PAW Si_h, PAW O"].map(label);
        let mut charged = one_way.clone();
        charged.info.set("charge", "2");
        assert!(!Origin::agree(&one_way, &charged) && Origin::of(&charged).name().contains("charge 2"));
        assert!(!Origin::of(&one_way).name().contains("charge"));
        assert!(Origin::agree(&one_way, &other_way) && Origin::agree(&one_way, &repeated));
        assert!(!Origin::agree(&one_way, &more));
    }
}
