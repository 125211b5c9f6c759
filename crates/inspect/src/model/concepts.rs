//! Words that mean alike: a paraphrase has other words, but mostly the same concepts in the same order.

use super::features::hash;

/// Slots of the table; a power of two, more than half of them empty.
const SLOTS: usize = 1 << 16;

/// What a word stands for.
#[derive(Clone)]
pub struct Concepts {
    slots: Vec<Word>,
}

/// A word of the table.
#[derive(Clone, Copy, Default)]
pub(crate) struct Word {
    /// 0 is an empty slot.
    hash: u32,
    /// Which of the concepts, from 1; 0 for none.
    pub(crate) concept: u8,
    /// Which of the families of words that are used alike, from 1; 0 for none.
    pub(crate) family: u16,
}

impl Concepts {
    /// The words that the model was trained with: concepts written by hand, one a line, `name: word word …`;
    /// and families, one a line, that `bench/detection` found in public word vectors.
    pub fn bundled() -> Concepts {
        let lines = include_str!("concepts.txt").lines();
        let lists =
            lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        let mut concepts = Concepts { slots: vec![Word::default(); SLOTS] };
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
        for (line, family) in include_str!("families.txt").lines().zip(1..) {
            for word in line.split_whitespace() {
                if let Some(word) = concepts.slot(word) {
                    word.family = family;
                }
            }
        }
        concepts
    }

    /// What a word stands for, by its hash.
    pub(crate) fn of(&self, hash: u32) -> Word {
        self.probe(hash).map_or(Word::default(), |slot| self.slots[slot])
    }

    fn add(&mut self, word: &str, concept: u8) {
        if let Some(word) = self.slot(word).filter(|word| word.concept == 0) {
            word.concept = concept;
        }
    }

    /// The word's place, taken if it was free.
    fn slot(&mut self, word: &str) -> Option<&mut Word> {
        let hash = hash(word.as_bytes());
        let slot = self.probe(hash)?;
        let word = self.slots.get_mut(slot)?;
        word.hash = hash;
        Some(word)
    }

    /// Where the hash is, or would be.
    fn probe(&self, hash: u32) -> Option<usize> {
        let mut slot = hash as usize % SLOTS;
        // A table that is full would be looked through once.
        for _ in 0..SLOTS {
            let known = self.slots[slot].hash;
            if known == hash || known == 0 {
                return Some(slot);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
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
        let of = |word: &str| concepts.of(hash(word.as_bytes())).concept;
        assert_ne!(of("send"), 0);
        assert_eq!(of("send"), of("forwarding"));
        assert_eq!(of("delete"), of("deleted"));
        assert_ne!(of("send"), of("delete"));
        assert_eq!(of("marmalade"), 0);
    }

    #[test]
    fn words_that_are_used_alike_are_of_one_family() {
        let concepts = Concepts::bundled();
        let of = |word: &str| concepts.of(hash(word.as_bytes())).family;
        assert_ne!(of("monday"), 0);
        assert_eq!(of("monday"), of("thursday"));
        assert_ne!(of("monday"), of("banana"));
        assert_eq!(of("xyzzyplugh"), 0);
    }
}
