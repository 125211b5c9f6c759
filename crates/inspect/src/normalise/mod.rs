//! One text, in every form that may hide another.
//!
//! [`fold`](fold::fold) gives the text as a reader of plain words sees it: escapes resolved, invisible
//! characters dropped, compatibility forms and case folded. [`decode`](decode::decode) finds what is
//! encoded inside. Every view knows where its bytes come from.

mod decode;
mod fold;
mod map;

use std::{borrow::Cow, ops::Range};

pub(crate) use fold::{Fold, Hidden, fold};
pub(crate) use map::Map;

/// How a view was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Base64,
    Entities,
    Hex,
    Invisible,
    Leet,
    Percent,
    Reversed,
    Rot13,
    Skeleton,
    Spaced,
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Step::Base64 => "base64",
            Step::Entities => "entities",
            Step::Hex => "hex",
            Step::Invisible => "invisible",
            Step::Leet => "leet",
            Step::Percent => "percent",
            Step::Reversed => "reversed",
            Step::Rot13 => "rot13",
            Step::Skeleton => "confusables",
            Step::Spaced => "spaced",
        }
    }

    /// Whether hardly anyone writes so for a good reason.
    pub(crate) fn is_disguise(self) -> bool {
        !matches!(self, Step::Percent | Step::Entities)
    }
}

/// A form of the text.
#[derive(Clone, Debug)]
pub(crate) struct View<'t> {
    pub(crate) steps: Vec<Step>,
    pub(crate) text: Cow<'t, str>,
    pub(crate) map: Map,
}

impl View<'_> {
    /// `plain`, or the steps joined by `+`.
    pub(crate) fn via(&self) -> String {
        if self.steps.is_empty() {
            return "plain".into();
        }
        self.steps.iter().map(|step| step.as_str()).collect::<Vec<_>>().join("+")
    }
}

/// Encodings inside encodings: deeper is not looked into.
const DEEPEST: usize = 3;
/// Views of one text, at most.
const MOST_VIEWS: usize = 64;

/// The views of a text, found one after another; what they may cost together is bounded.
pub(crate) struct Views<'t> {
    pub(crate) views: Vec<View<'t>>,
    /// Bytes that further views may have.
    left: usize,
}

impl<'t> Views<'t> {
    /// The folded text, its skeleton if letters of other scripts imitate it, and what is encoded in it.
    pub(crate) fn of(text: &'t str) -> (Views<'t>, Fold) {
        let (view, found) = fold(text);
        let mut views = Views { views: Vec::new(), left: 2 * text.len() + (16 << 10) };
        let skeleton = found.mixed.then(|| fold::skeleton(&view));
        views.views.push(view);
        if let Some(skeleton) = skeleton {
            views.add(skeleton);
        }
        for (spelled, source) in found.spelled.clone() {
            views.decoded(&[], Step::Invisible, spelled, source);
        }
        let mut at = 0;
        while at < views.views.len() {
            views.look_into(at);
            at += 1;
        }
        (views, found)
    }

    /// Looks at `views[at]` for encoded text.
    pub(crate) fn look_into(&mut self, at: usize) {
        let Some(view) = self.views.get(at) else { return };
        if view.steps.len() >= DEEPEST || view.steps.contains(&Step::Skeleton) {
            return;
        }
        let steps = view.steps.clone();
        let found: Vec<_> = decode::decode(&view.text, self.left)
            .into_iter()
            .map(|(step, range, text)| (step, view.map.source(range), text))
            .collect();
        for (step, source, text) in found {
            self.decoded(&steps, step, text, source);
        }
    }

    /// Reads a part of `views[at]` backwards or by rot13.
    pub(crate) fn reread(&mut self, at: usize, step: Step, range: Range<usize>) {
        let Some(view) = self.views.get(at) else { return };
        if view.steps.len() >= DEEPEST || view.steps.contains(&step) {
            return;
        }
        let Some(part) = view.text.get(range.clone()) else { return };
        let text = match step {
            Step::Reversed => part.chars().rev().collect(),
            _ => part.chars().map(rot13).collect(),
        };
        let (steps, source) = (view.steps.clone(), view.map.source(range));
        self.decoded(&steps, step, text, source);
    }

    fn decoded(&mut self, before: &[Step], step: Step, text: String, source: Range<usize>) {
        let (folded, _) = fold(&text);
        let mut steps = before.to_vec();
        steps.push(step);
        let text = Cow::Owned(folded.text.into_owned());
        self.add(View { steps, text, map: Map::Whole(source) });
    }

    fn add(&mut self, view: View<'t>) {
        if self.views.len() < MOST_VIEWS && view.text.len() <= self.left {
            self.left -= view.text.len();
            self.views.push(view);
        }
    }
}

fn rot13(char: char) -> char {
    let turn = |base: u8| ((char as u8 - base + 13) % 26 + base) as char;
    match char {
        'a'..='z' => turn(b'a'),
        'A'..='Z' => turn(b'A'),
        other => other,
    }
}
