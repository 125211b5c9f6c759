//! What detection reaches on labelled texts, by source: rules alone, the model alone, both; and how fast.
#![forbid(unsafe_code)]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Parser;
use comfy_table::Table;
use detection::{Item, corpora, harvest::harvest};
use inspect::{Finding, Scanner, Severity, Surface, model::Model, rules};
use mcp::Json;

#[derive(Parser)]
struct Arguments {
    /// Folder of corpora, a `*.jsonl` file for each source; lines as `bartizan inspect score` takes them.
    corpora: PathBuf,
    /// Folders of documents that are benign, read as results.
    #[arg(long)]
    benign: Vec<PathBuf>,
    /// Pieces of those documents.
    #[arg(long, default_value_t = 4000)]
    pieces: usize,
    /// Rows by category too.
    #[arg(long)]
    categories: bool,
    /// Prints the texts that are judged wrongly.
    #[arg(long)]
    wrong: bool,
    /// Only this source.
    #[arg(long)]
    only: Option<String>,
    /// Weights of the trainer, instead of the bundled ones.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Writes a line for each finding in each text, to compare two versions.
    #[arg(long)]
    found: Option<PathBuf>,
    /// Only scans the clean text so many times, for a profiler or to count instructions.
    #[arg(long)]
    scans: Option<usize>,
    /// Only reads the arguments and the result of a small call so many times, for the same.
    #[arg(long)]
    calls: Option<usize>,
    /// Who does: the rules, the model, or both.
    #[arg(long, default_value = "both", value_parser = WAYS)]
    by: String,
}

/// What was flagged of how many, by each way to judge.
#[derive(Clone, Copy, Default)]
struct Tally {
    all: usize,
    flagged: [usize; 3],
}

const WAYS: [&str; 3] = ["rules", "model", "both"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let model = || match &arguments.weights {
        Some(file) => anyhow::Ok(Model::read(&fs::read(file)?)?),
        None => Ok(Model::bundled()?),
    };
    let scanners = [
        Scanner::of(rules::bundled()?, None)?,
        Scanner::of(Vec::new(), Some(model()?))?,
        Scanner::of(rules::bundled()?, Some(model()?))?,
    ];
    let mut items = corpora(&arguments.corpora)?;
    items.extend(documents(&arguments.benign, arguments.pieces));
    items.retain(|item| arguments.only.as_ref().is_none_or(|only| *only == item.source));
    let by = &scanners[WAYS.iter().position(|way| *way == arguments.by).unwrap_or(2)];
    if let Some(times) = arguments.scans {
        let clean = clean(&scanners[2], &items);
        (0..times).for_each(|_| drop(by.scan_while(Surface::Result, &clean, || true)));
        println!("{} bytes", clean.len() * times);
        return Ok(());
    }
    if let Some(times) = arguments.calls {
        (0..times).try_for_each(|_| small_call(by))?;
        println!("{times} calls");
        return Ok(());
    }
    if let Some(file) = &arguments.found {
        let lines: String = items.iter().flat_map(|item| found(&scanners[2], item)).collect();
        fs::write(file, lines)?;
    }
    let mut tallies: BTreeMap<(String, String, bool, String), Tally> = BTreeMap::new();
    for item in &items {
        let flagged = scanners.each_ref().map(|scanner| is_flagged(scanner, item));
        if arguments.wrong && flagged[2] != item.is_attack() {
            show(&scanners[2], item);
        }
        let category = if arguments.categories { item.category.clone() } else { String::new() };
        let key = (item.kind.as_str().to_owned(), item.source.clone(), item.is_attack(), category);
        let tally = tallies.entry(key).or_default();
        tally.all += 1;
        for (sum, flagged) in tally.flagged.iter_mut().zip(flagged) {
            *sum += usize::from(flagged);
        }
    }
    print(&tallies);
    speed(&scanners, &items);
    Ok(())
}

fn documents(roots: &[PathBuf], pieces: usize) -> Vec<Item> {
    let item = |(at, text)| Item {
        id: format!("documents-{at}"),
        source: "documents".into(),
        kind: Surface::Result,
        label: "benign".into(),
        category: "document".into(),
        group: String::new(),
        text,
    };
    harvest(roots, pieces).into_iter().enumerate().map(item).collect()
}

/// A line for each finding.
fn found(scanner: &Scanner, item: &Item) -> Vec<String> {
    let line = |finding: Finding| {
        let Finding { rule, severity, at, via, .. } = finding;
        format!("{}\t{}\t{rule}\t{}\t{at:?}\t{via}\n", item.source, item.id, severity.as_str())
    };
    scanner.scan(item.kind, &item.text).into_iter().map(line).collect()
}

fn is_flagged(scanner: &Scanner, item: &Item) -> bool {
    scanner.scan(item.kind, &item.text).iter().any(|finding| finding.severity >= Severity::Medium)
}

fn show(scanner: &Scanner, item: &Item) {
    println!(
        "--- {} {} {} {} {}",
        item.source,
        item.kind.as_str(),
        item.label,
        item.category,
        item.id
    );
    let found = scanner.scan(item.kind, &item.text);
    if found.is_empty() {
        println!("{}", item.text.chars().take(400).collect::<String>());
    }
    for finding in found.iter().filter(|finding| finding.flagged()) {
        let at = finding.at.start..finding.at.end.min(finding.at.start + 300);
        let part = item.text.get(at).unwrap_or_default();
        println!("  {} {} via {}: {part:?}", finding.rule, finding.severity.as_str(), finding.via);
    }
}

fn print(tallies: &BTreeMap<(String, String, bool, String), Tally>) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "kind",
        "label",
        "source",
        "items",
        WAYS[0],
        WAYS[1],
        WAYS[2],
        "95 % of both",
    ]);
    let mut totals: BTreeMap<(String, bool), Tally> = BTreeMap::new();
    for ((kind, source, attack, category), tally) in tallies {
        let total = totals.entry((kind.clone(), *attack)).or_default();
        total.all += tally.all;
        for way in 0..3 {
            total.flagged[way] += tally.flagged[way];
        }
        let name =
            if category.is_empty() { source.clone() } else { format!("{source}/{category}") };
        table.add_row(row(kind, *attack, &name, tally));
    }
    for ((kind, attack), tally) in &totals {
        table.add_row(row(kind, *attack, "all", tally));
    }
    println!("{table}");
    for kind in totals.keys().map(|(kind, _)| kind).collect::<std::collections::BTreeSet<_>>() {
        let of = |attack| totals.get(&(kind.clone(), attack)).copied().unwrap_or_default();
        let (attacks, benign) = (of(true), of(false));
        let precision =
            attacks.flagged[2] as f64 / (attacks.flagged[2] + benign.flagged[2]).max(1) as f64;
        println!("{kind}: precision {:.1} %", 100.0 * precision);
    }
}

fn row(kind: &str, attack: bool, name: &str, tally: &Tally) -> Vec<String> {
    let percent = |part: usize| format!("{:.1} %", 100.0 * part as f64 / tally.all.max(1) as f64);
    let (low, high) = wilson(tally.flagged[2], tally.all);
    vec![
        kind.into(),
        if attack { "attack" } else { "benign" }.into(),
        name.into(),
        tally.all.to_string(),
        percent(tally.flagged[0]),
        percent(tally.flagged[1]),
        percent(tally.flagged[2]),
        format!("{:.1}–{:.1}", 100.0 * low, 100.0 * high),
    ]
}

/// The interval of Wilson's score for a share, 95 %.
fn wilson(part: usize, all: usize) -> (f64, f64) {
    let (n, z) = (all.max(1) as f64, 1.96_f64);
    let share = part as f64 / n;
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// What servers answered and nothing is found in.
fn clean(scanner: &Scanner, items: &[Item]) -> String {
    let clean: String = items
        .iter()
        .filter(|item| {
            !item.is_attack()
                && item.text.is_ascii()
                && scanner.scan(item.kind, &item.text).is_empty()
        })
        .flat_map(|item| [item.text.as_str(), "\n"])
        .take(40_000)
        .collect();
    clean[..clean.len().min(256 << 10)].to_owned()
}

/// What the detectors do for a call with 32 bytes of text that are echoed.
fn small_call(scanner: &Scanner) -> Result<()> {
    const SCHEMA: &str = r#"{"type":"object","properties":{"text":{"type":"string"}}}"#;
    const ARGUMENTS: &str = r#"{"text":"The quick brown fox jumps over it"}"#;
    const RESULT: &str = concat!(
        r#"{"content":[{"type":"text","text":"The quick brown fox jumps over it"}],"#,
        r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}}}"#
    );
    let json = |text: &'static str| Json::read(text.as_bytes(), &mcp::Limits::default());
    drop(scanner.arguments(json(ARGUMENTS)?, Some(json(SCHEMA)?)));
    drop(scanner.scan_while(Surface::Result, RESULT, || true));
    Ok(())
}

/// Time for each item, and for a megabyte of clean text.
fn speed(scanners: &[Scanner; 3], items: &[Item]) {
    let clean = &clean(&scanners[2], items);
    for (way, scanner) in WAYS.iter().zip(scanners) {
        let began = Instant::now();
        let bytes: usize = items.iter().map(|item| item.text.len()).sum();
        items.iter().for_each(|item| drop(scanner.scan(item.kind, &item.text)));
        let each = began.elapsed().as_secs_f64() * 1e6 / items.len().max(1) as f64;
        let average = bytes / items.len().max(1);
        println!(
            "{way}: {each:.1} µs for an item of {average} bytes on average; {}",
            clean_speed(scanner, clean)
        );
    }
    let short = &clean[..clean.len().min(2048)];
    let small = r#"{"content":[{"type":"text","text":"The build passed in 12 seconds."}]}"#;
    for (way, scanner, text) in [
        ("model", &scanners[1], short),
        ("both", &scanners[2], short),
        ("both", &scanners[2], small),
    ] {
        let micros = best(200, 20, || drop(scanner.scan(Surface::Result, text))) * 1e6;
        println!("{way}: {micros:.2} µs for {} bytes", text.len());
    }
}

/// Seconds of one run: the best average of `times` batches, since other programs only make it slower.
fn best(times: usize, batch: u32, mut run: impl FnMut()) -> f64 {
    let one = |_| {
        let began = Instant::now();
        (0..batch).for_each(|_| run());
        began.elapsed().as_secs_f64() / f64::from(batch)
    };
    (0..times).map(one).fold(f64::MAX, f64::min)
}

fn clean_speed(scanner: &Scanner, clean: &str) -> String {
    let best = best(60, 1, || drop(scanner.scan(Surface::Result, clean)));
    format!("{:.0} MB/s on {} kB of clean text", clean.len() as f64 / best / 1e6, clean.len() >> 10)
}
