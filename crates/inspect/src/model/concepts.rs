//! Words that mean alike: a paraphrase has other words, but mostly the same concepts in the same order.

use super::features::hash;

/// Slots of the table; a power of two, most of them empty.
const SLOTS: usize = 1 << 15;

/// Which concept a word belongs to.
#[derive(Clone)]
pub struct Concepts {
    /// The hash of a word and its concept, from 1; 0 is an empty slot.
    slots: Vec<(u32, u8)>,
}

impl Concepts {
    /// The concepts that the model was trained with: one a line, `name: word word …`.
    pub fn bundled() -> Concepts {
        let lines = include_str!("concepts.txt").lines();
        let lists =
            lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        let mut concepts = Concepts { slots: vec![(0, 0); SLOTS] };
        // Words as written come before the forms of other words.
        for forms in [false, true] {
            for ((_, words), concept) in lists.clone().zip(1..) {
                for word in words.split_whitespace() {
                    match forms {
                        false => concepts.add(word, concept),
                        true => {
                            self::forms(word).iter().for_each(|form| concepts.add(form, concept))
                        }
                    }
                }
            }
        }
        concepts
    }

    /// The concept of a word by its hash, 0 for none.
    pub(crate) fn of(&self, hash: u32) -> u8 {
        self.probe(hash).map_or(0, |slot| self.slots[slot].1)
    }

    fn add(&mut self, word: &str, concept: u8) {
        let hash = hash(word.as_bytes());
        if let Some(slot) = self.probe(hash)
            && self.slots[slot].1 == 0
        {
            self.slots[slot] = (hash, concept);
        }
    }

    /// Where the hash is, or would be.
    fn probe(&self, hash: u32) -> Option<usize> {
        let start = hash as usize % SLOTS;
        (start..SLOTS).chain(0..start).find(|slot| {
            let (known, concept) = self.slots[*slot];
            concept == 0 || known == hash
        })
    }
}

/// What English makes of a word, and more: forms that do not exist do no harm.
fn forms(word: &str) -> Vec<String> {
    let mut forms: Vec<String> =
        ["s", "es", "d", "ed", "ing"].iter().map(|end| format!("{word}{end}")).collect();
    if let Some(stem) = word.strip_suffix('e') {
        forms.push(format!("{stem}ing"));
    }
    if let Some(stem) = word.strip_suffix('y') {
        forms.extend([format!("{stem}ies"), format!("{stem}ied")]);
    }
    if let Some(last) = word.chars().next_back().filter(|last| "bdgklmnprt".contains(*last)) {
        forms.extend([format!("{word}{last}ed"), format!("{word}{last}ing")]);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_its_forms_are_one_concept() {
        let concepts = Concepts::bundled();
        let of = |word: &str| concepts.of(hash(word.as_bytes()));
        assert_ne!(of("send"), 0);
        assert_eq!(of("send"), of("forwarding"));
        assert_eq!(of("delete"), of("deleted"));
        assert_ne!(of("send"), of("delete"));
        assert_eq!(of("marmalade"), 0);
    }
}
