//! `bench leaks`: how fast clean text passes the filter for secrets, and what it costs to learn one.

use std::{hint::black_box, time::Instant};

use clap::Args;
use vault::leak::Known;

/// What is measured.
#[derive(Args)]
pub struct Options {
    /// Megabytes of text for each measurement.
    #[arg(long, default_value_t = 256)]
    megabytes: usize,
}

/// Texts as servers answer with them.
const TEXTS: [(&str, &str); 3] = [
    (
        "prose",
        "The gateway stands between clients and servers; it answers nine questions about each call, in this order. ",
    ),
    (
        "JSON",
        r#"{"content":[{"type":"text","text":"issue 4711: \"login fails\" \u2014 opened by ada"}],"isError":false},"#,
    ),
    (
        "base64",
        "iVBORw0KGgoAAAANSUhEUgAAAgAAAAIACAYAAAD0eNT6AAAABHNCSVQICAgIfAhkiAAAAAlwSFlzAAAOxAAADsQBlSsOGwAA",
    ),
];

pub fn run(options: &Options) -> anyhow::Result<()> {
    println!(
        "| known secrets | learning one, ms | {} |",
        TEXTS.map(|(name, _)| format!("{name}, GB/s")).join(" | ")
    );
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for secrets in [1, 10, 100, 1000] {
        let known = Known::default();
        (1..secrets).for_each(|at| known.learn("bench", &secret(at)));
        let began = Instant::now();
        known.learn("bench", &secret(0));
        let learning = began.elapsed().as_secs_f64() * 1e3;
        let filter = known.filter();
        let speeds = TEXTS.map(|(_, text)| {
            let text = text.repeat((1 << 20) / text.len());
            let began = Instant::now();
            for _ in 0..options.megabytes {
                black_box(filter.mask(black_box(text.as_bytes())));
            }
            let bytes = text.len() * options.megabytes;
            format!("{:.2}", bytes as f64 / began.elapsed().as_secs_f64() / 1e9)
        });
        println!("| {secrets} | {learning:.2} | {} |", speeds.join(" | "));
    }
    Ok(())
}

/// A key of 40 letters that only its number decides.
fn secret(number: usize) -> String {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let letter = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        char::from(letters[(state >> 33) as usize % letters.len()])
    };
    (0..40).map(letter).collect()
}
