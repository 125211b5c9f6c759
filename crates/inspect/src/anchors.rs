//! What is looked for in every text: the anchors of the rules that apply to it, and words that betray another way
//! to read it.

use std::{collections::HashMap, ops::Range};

use crate::{Rule, Surface, literals::Literals};

/// All literals that are looked for on one surface.
pub(crate) struct Anchors {
    literals: Literals,
    /// For each literal, what to do where it is found.
    targets: Vec<Vec<Target>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Rule(usize),
    Reread(Reread),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reread {
    Reversed,
    Rot13,
}

/// Words that betray text written backwards or by rot13.
const REVERSED: [&str; 24] = [
    "snoitcurtsni",
    "suoiverp",
    "erongi",
    "metsys",
    "drowssap",
    "laitnederc",
    "drawrof",
    "tnatsissa",
    "dnammoc",
    "evitcerid",
    "noitasrevnoc",
    "noisses",
    "terces",
    "erofeb",
    "syawla",
    "tuohtiw",
    "etucexe",
    "eteled",
    "retemarap",
    "egassem",
    "stnetnoc",
    "tsum uoy",
    "resu eht",
    "tnatsissa eht",
];
const ROT13: [&str; 24] = [
    "vafgehpgvbaf",
    "cerivbhf",
    "vtaber",
    "flfgrz",
    "cnffjbeq",
    "perqragvny",
    "sbejneq",
    "nffvfgnag",
    "pbzznaq",
    "qverpgvir",
    "pbairefngvba",
    "frffvba",
    "frperg",
    "orsber",
    "nyjnlf",
    "jvgubhg",
    "rkrphgr",
    "qryrgr",
    "cnenzrgre",
    "zrffntr",
    "pbagragf",
    "lbh zhfg",
    "gur hfre",
    "gur nffvfgnag",
];

impl Anchors {
    pub fn of(rules: &[Rule], surface: Surface) -> Anchors {
        let mut literals: Vec<&str> = Vec::new();
        let mut targets: Vec<Vec<Target>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let of_rules =
            rules.iter().enumerate().filter(|(_, rule)| rule.applies.contains(&surface)).flat_map(
                |(at, rule)| rule.anchors.iter().map(move |anchor| (&**anchor, Target::Rule(at))),
            );
        let reversed = REVERSED.into_iter().map(|word| (word, Target::Reread(Reread::Reversed)));
        let rot13 = ROT13.into_iter().map(|word| (word, Target::Reread(Reread::Rot13)));
        for (literal, target) in of_rules.chain(reversed).chain(rot13) {
            let place = *places.entry(literal).or_insert(literals.len());
            if place == literals.len() {
                literals.push(literal);
                targets.push(Vec::new());
            }
            targets[place].push(target);
        }
        Anchors { literals: Literals::new(&literals), targets }
    }

    /// Where the literals are, from the front.
    pub fn hits(&self, text: &str, hits: &mut Vec<(Target, Range<usize>)>) {
        self.literals.find(text, |literal, at| {
            hits.extend(self.targets[literal].iter().map(|target| (*target, at.clone())));
        });
        hits.sort_unstable_by_key(|(target, at)| (at.start, at.end, *target));
    }
}
