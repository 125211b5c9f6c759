//! Offsets of a view, back to offsets of the text it was made of.

use std::ops::Range;

/// How offsets of a view translate.
#[derive(Clone, Debug)]
pub(crate) enum Map {
    /// The same text, from this offset on.
    Same(usize),
    /// Runs that were copied, each with where it begins in the view and in the source.
    Runs { runs: Vec<(usize, usize)>, end: usize },
    /// Decoded: each byte stands for all of these.
    Whole(Range<usize>),
}

impl Map {
    /// What `range` of the view was in the source.
    pub(crate) fn source(&self, range: Range<usize>) -> Range<usize> {
        match self {
            Map::Same(from) => from + range.start..from + range.end,
            Map::Whole(range) => range.clone(),
            Map::Runs { runs, end } => {
                let at = |offset: usize| {
                    let run = runs.partition_point(|(view, _)| *view <= offset).saturating_sub(1);
                    let (view, source) = runs.get(run).copied().unwrap_or((0, 0));
                    let next = runs.get(run + 1).map_or(*end, |(_, source)| *source);
                    (source + offset.saturating_sub(view)).min(next)
                };
                let start = at(range.start);
                // One past the last byte, so that what was dropped behind it stays outside.
                let last = if range.end > range.start { at(range.end - 1) + 1 } else { start };
                start..last.max(start).min(*end)
            }
        }
    }
}

/// Builds a view's text together with its [`Map::Runs`].
#[derive(Default)]
pub(crate) struct Builder {
    pub(crate) text: String,
    runs: Vec<(usize, usize)>,
}

impl Builder {
    pub(crate) fn with_capacity(bytes: usize) -> Builder {
        Builder { text: String::with_capacity(bytes), runs: Vec::new() }
    }

    /// Appends what begins at `source`.
    pub(crate) fn push_str(&mut self, piece: &str, source: usize) {
        self.mark(source);
        self.text.push_str(piece);
    }

    pub(crate) fn push(&mut self, char: char, source: usize) {
        self.mark(source);
        self.text.push(char);
    }

    fn mark(&mut self, source: usize) {
        let view = self.text.len();
        let follows =
            self.runs.last().is_some_and(|(v, s)| source.checked_sub(*s) == view.checked_sub(*v));
        if !follows {
            self.runs.push((view, source));
        }
    }

    pub(crate) fn finish(self, end: usize) -> (String, Map) {
        (self.text, Map::Runs { runs: self.runs, end })
    }
}
