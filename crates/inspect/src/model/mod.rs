//! A small statistical model: what rules can't name, paraphrases mostly, it finds by likeness.
//!
//! Words, pairs and triples of words, pieces of words, and sequences of concepts and of families of words
//! that are used alike are hashed into a table of small vectors. Their sum over a window of the text goes
//! through one hidden layer. The worst window decides, so a sentence in a long document counts as much as
//! one alone. The trainer is `bench/detection`.

mod concepts;
mod features;
mod lex;
mod sums;

use std::ops::Range;

pub use concepts::Concepts;
pub use features::{BUCKETS, Token, tokens};
use sums::{Row, Sums};

use crate::{Severity, Surface};

/// The id of findings that the model makes.
pub(crate) const RULE: &str = "model.injection";
pub(crate) const MESSAGE: &str =
    "Text that reads like instructions to the model, or like an attack.";

/// Width of a vector of the table, and of the hidden layer.
pub const WIDTH: usize = 16;
/// Tokens by which windows move.
pub const STRIDE: usize = 6;
/// Strides of one window.
pub const STRIDES: usize = 4;
// A stride's sums fit.
const _: () = assert!(STRIDE * features::MOST <= Sums::MOST);
/// Surfaces that have a head: definition, prompt, result.
pub const HEADS: usize = 3;

const MAGIC: &[u8; 8] = b"bztmodl3";
const BYTES: usize = 8 + 4 * PARAMETERS + Known::BYTES + BUCKETS * WIDTH;
/// Scales of the table's columns; for each head: hidden biases, output weights, output bias, two thresholds.
const PARAMETERS: usize = WIDTH + HEADS * (2 * WIDTH + 3);

/// Why bytes are not a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a model of this version: it has {0} bytes, {BYTES} are expected behind {MAGIC:?}")]
pub struct ModelFault(usize);

/// Which features were met in training. What was not says nothing: its row belongs to others.
#[derive(Clone)]
pub struct Known(Vec<u64>);

impl Known {
    const BITS: u32 = 21;
    const BYTES: usize = 1 << (Self::BITS - 3);

    /// Nothing is known.
    pub fn nothing() -> Known {
        Known(vec![0; Self::BYTES / 8])
    }

    /// Where the feature is noted.
    pub fn place(feature: u32) -> usize {
        (feature >> (32 - Self::BITS)) as usize
    }

    /// Notes a place.
    pub fn add(&mut self, place: usize) {
        if let Some(bits) = self.0.get_mut(place / 64) {
            *bits |= 1 << (place % 64);
        }
    }

    /// Whether the feature, or one that shares its place, was noted.
    pub fn has(&self, feature: u32) -> bool {
        let place = Self::place(feature);
        self.0.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }
}

/// The trained weights.
pub struct Model {
    concepts: Concepts,
    known: Known,
    table: Vec<Row>,
    scales: [f32; WIDTH],
    heads: [Head; HEADS],
}

/// What judges one surface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Of the hidden layer.
    pub hidden: [f32; WIDTH],
    /// From the hidden layer to the answer.
    pub output: [f32; WIDTH],
    /// Of the answer.
    pub bias: f32,
    /// From here on [`Severity::Medium`].
    pub medium: f32,
    /// From here on [`Severity::High`].
    pub high: f32,
}

/// What the model says of a text.
pub(crate) struct Judged {
    pub(crate) severity: Severity,
    /// The worst window.
    pub(crate) at: Range<usize>,
}

/// The head of a surface; arguments have none, they are judged by their types.
pub fn head(surface: Surface) -> Option<usize> {
    match surface {
        Surface::Arguments => None,
        Surface::Definition => Some(0),
        Surface::Prompt => Some(1),
        Surface::Result => Some(2),
    }
}

impl Model {
    /// The weights that come with Bartizan.
    pub fn bundled() -> Result<Model, ModelFault> {
        Model::read(include_bytes!("weights.bin"))
    }

    /// Reads what [`Model::write`] wrote.
    pub fn read(bytes: &[u8]) -> Result<Model, ModelFault> {
        let fault = ModelFault(bytes.len());
        let body = bytes.strip_prefix(MAGIC).filter(|_| bytes.len() == BYTES).ok_or(fault)?;
        let (parameters, rest) = body.split_at(4 * PARAMETERS);
        let (known, table) = rest.split_at(Known::BYTES);
        let word =
            |eight: &[u8]| eight.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let known = Known(known.chunks_exact(8).map(word).collect());
        let mut numbers = parameters
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        let mut next = || numbers.next().unwrap_or_default();
        let scales = std::array::from_fn(|_| next());
        let heads = std::array::from_fn(|_| Head {
            hidden: std::array::from_fn(|_| next()),
            output: std::array::from_fn(|_| next()),
            bias: next(),
            medium: next(),
            high: next(),
        });
        let table = table.as_chunks().0.iter().map(Row::of).collect();
        Ok(Model { concepts: Concepts::bundled(), known, table, scales, heads })
    }

    /// Quantises trained weights.
    pub fn write(known: &Known, table: &[[f32; WIDTH]], heads: &[Head; HEADS]) -> Vec<u8> {
        let mut scales = [0_f32; WIDTH];
        for row in table {
            for (scale, weight) in scales.iter_mut().zip(row) {
                *scale = scale.max(weight.abs() / 127.0);
            }
        }
        let mut bytes = MAGIC.to_vec();
        let mut push = |number: f32| bytes.extend(number.to_le_bytes());
        scales.into_iter().for_each(&mut push);
        for head in heads {
            head.hidden.into_iter().chain(head.output).for_each(&mut push);
            [head.bias, head.medium, head.high].into_iter().for_each(&mut push);
        }
        bytes.extend(known.0.iter().flat_map(|word| word.to_le_bytes()));
        for row in table {
            bytes.extend(row.iter().zip(scales).map(|(weight, scale)| {
                (weight / scale.max(f32::MIN_POSITIVE)).round().clamp(-127.0, 127.0) as i8 as u8
            }));
        }
        bytes
    }

    pub(crate) fn judge(&self, surface: Surface, text: &str) -> Option<Judged> {
        let number = head(surface)?;
        let (worst, at) = self.worst(number, text)?;
        let head = &self.heads[number];
        let severity = match worst {
            worst if worst >= head.high => Severity::High,
            worst if worst >= head.medium => Severity::Medium,
            _ => return None,
        };
        Some(Judged { severity, at })
    }

    /// The score of the worst window, less what it has by chance: a logit.
    pub fn score(&self, surface: Surface, text: &str) -> Option<f32> {
        self.worst(head(surface)?, text).map(|(worst, _)| worst)
    }

    fn worst(&self, number: usize, text: &str) -> Option<(f32, Range<usize>)> {
        let head = &self.heads[number];
        // The last strides; a window is all of them together.
        let mut ring = [Stride::default(); STRIDES];
        let mut now = Stride::default();
        let mut sums = Sums::default();
        let mut worst: Option<(f32, Range<usize>)> = None;
        let (mut strides, mut windows) = (0, 0);
        let mut judge = |ring: &[Stride; STRIDES]| {
            windows += 1;
            let score = self.window(head, ring);
            if worst.as_ref().is_none_or(|(known, _)| score > *known) {
                let used = ring.iter().filter(|stride| stride.tokens > 0);
                let from = used.clone().map(|stride| stride.from).min().unwrap_or(0);
                worst = Some((score, from..used.map(|stride| stride.until).max().unwrap_or(0)));
            }
        };
        tokens(text, &self.concepts, |token| {
            if now.tokens == 0 {
                now.from = token.at.start;
            }
            for feature in token.features.iter().filter(|feature| self.known.has(**feature)) {
                sums.add(&self.table[*feature as usize % BUCKETS]);
            }
            now.features += token.features.len();
            now.until = token.at.end;
            now.tokens += 1;
            if now.tokens == STRIDE {
                now.sums = std::mem::take(&mut sums).columns();
                ring[strides % STRIDES] = std::mem::take(&mut now);
                strides += 1;
                if strides >= STRIDES {
                    judge(&ring);
                }
            }
        });
        if now.tokens > 0 {
            now.sums = sums.columns();
            ring[strides % STRIDES] = now;
            judge(&ring);
        } else if strides > 0 && strides < STRIDES {
            judge(&ring);
        }
        worst.map(|(score, at)| (score - by_chance(number, windows), at))
    }

    fn window(&self, head: &Head, ring: &[Stride; STRIDES]) -> f32 {
        let mut features = 0;
        let mut sums = [0_i32; WIDTH];
        for stride in ring {
            features += stride.features;
            // Far from what would wrap, and a checked sum is no vector instruction.
            sums.iter_mut().zip(stride.sums).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        }
        let share = share(features);
        let mut answer = head.bias;
        for (column, sum) in sums.into_iter().enumerate() {
            let hidden = sum as f32 * self.scales[column] * share + head.hidden[column];
            answer += hidden.max(0.0) * head.output[column];
        }
        answer
    }
}

/// What the worst of so many windows is worse than a single one of them, by chance alone: the longer a text, the
/// more it takes to be told of. For each head as it served best on sources that were not trained on.
pub fn by_chance(head: usize, windows: usize) -> f32 {
    const BY_HEAD: [f32; HEADS] = [0.6, 0.0, 0.35];
    // From here on an attacker gains nothing by making a text longer.
    const MOST: usize = 128;
    BY_HEAD[head] * (windows.clamp(1, MOST) as f32).ln()
}

/// What each of so many features counts in its window. A few words are no window: they may not shout.
pub fn share(features: usize) -> f32 {
    const FEWEST: usize = 64;
    1.0 / (features.max(FEWEST) as f32).sqrt()
}

#[derive(Clone, Copy, Default)]
struct Stride {
    sums: [i32; WIDTH],
    features: usize,
    tokens: usize,
    from: usize,
    until: usize,
}
