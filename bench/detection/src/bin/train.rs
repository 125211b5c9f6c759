//! Trains the model that `inspect` carries. The same inputs give the same weights.
//!
//! Each text is a bag of windows. Of a benign text the worst window must look harmless; of an attack the
//! worst must look bad, or, where the attack was put into a text by this trainer, those that hold it.
//! Thresholds are set on texts that were not trained on: sources are left out in turn.
#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use detection::{
    Item, corpora,
    harvest::harvest,
    random::{Random, hash},
    template::Templates,
};
use inspect::{
    Finding, Scanner, Surface,
    model::{
        BUCKETS, Concepts, HEADS, Head, Known, Model, STRIDE, STRIDES, WIDTH, by_chance, head,
        share, tokens,
    },
    rules,
};

#[derive(Parser)]
struct Arguments {
    /// Folder of corpora, a `*.jsonl` file for each source.
    #[arg(long)]
    corpora: PathBuf,
    /// Folders of benign documents.
    #[arg(long)]
    benign: Vec<PathBuf>,
    /// Pieces of benign documents to use.
    #[arg(long, default_value_t = 24000)]
    pieces: usize,
    /// Passes over all texts.
    #[arg(long, default_value_t = 7)]
    epochs: usize,
    /// Parts that sources are divided into, each left out in turn.
    #[arg(long, default_value_t = 6)]
    folds: usize,
    /// Only report what is found of each source by a model that has not seen it.
    #[arg(long)]
    cross_validate: bool,
    /// Write what each text got from a model that has not seen its source: a line with source, head, label,
    /// whether rules flag it, windows, score, the worst window.
    #[arg(long)]
    scores: Option<PathBuf>,
    /// Print the benign windows that look worst.
    #[arg(long)]
    show: bool,
    /// Folder of the templates.
    #[arg(long, default_value = "bench/detection/data")]
    templates: PathBuf,
    /// Where the weights are written.
    #[arg(long, default_value = "crates/inspect/src/model/weights.bin")]
    out: PathBuf,
}

/// A text as the trainer uses it.
struct Example {
    source: String,
    head: usize,
    attack: bool,
    /// Features of all tokens, and where each stride begins in them.
    features: Vec<u32>,
    strides: Vec<usize>,
    text: String,
    places: Vec<usize>,
    /// Strides that hold an attack put in by this trainer.
    planted: Option<Range<usize>>,
    weight: f32,
    /// Judged, but not learnt from.
    report_only: bool,
    /// Whether the rules alone flag it.
    by_rules: bool,
    /// What is encoded in it. Judged, but not learnt from.
    inside: Vec<Example>,
}

impl Example {
    fn new(
        source: &str,
        surface: Surface,
        attack: bool,
        text: &str,
        planted: Option<Range<usize>>,
        concepts: &Concepts,
    ) -> Option<Example> {
        let (mut features, mut strides, mut places) = (Vec::new(), vec![0], vec![0]);
        let mut held: Option<Range<usize>> = None;
        let mut count = 0;
        tokens(text, concepts, |token| {
            if count == STRIDE {
                strides.push(features.len());
                places.push(token.at.start);
                count = 0;
            }
            count += 1;
            features.extend(token.features);
            if planted
                .as_ref()
                .is_some_and(|planted| token.at.start < planted.end && planted.start < token.at.end)
            {
                let stride = strides.len() - 1;
                held = Some(held.as_ref().map_or(stride, |held| held.start)..stride + 1);
            }
        });
        strides.push(features.len());
        places.push(text.len());
        let planted = held;
        (!features.is_empty()).then(|| Example {
            source: source.to_owned(),
            head: head(surface).unwrap_or(0),
            attack,
            features,
            strides,
            text: text.to_owned(),
            places,
            planted,
            weight: 1.0,
            report_only: false,
            by_rules: false,
            inside: Vec::new(),
        })
    }

    /// The text of a window.
    fn shown(&self, at: usize) -> &str {
        let end = (at + STRIDES).min(self.places.len() - 1);
        self.text.get(self.places[at]..self.places[end]).unwrap_or_default()
    }

    fn windows(&self) -> usize {
        (self.strides.len() - 1).saturating_sub(STRIDES - 1).max(1)
    }

    fn window(&self, at: usize) -> &[u32] {
        let end = (at + STRIDES).min(self.strides.len() - 1);
        &self.features[self.strides[at]..self.strides[end]]
    }

    /// Windows that could hold what makes it an attack.
    fn candidates(&self) -> Range<usize> {
        match &self.planted {
            // A window that holds most of what was planted.
            Some(planted) => {
                let from = planted.start.saturating_sub(if planted.len() >= STRIDES {
                    0
                } else {
                    STRIDES - planted.len()
                });
                let last = self.windows() - 1;
                from.min(last)
                    ..(planted.start.max(planted.end.saturating_sub(STRIDES)) + 1).min(last + 1)
            }
            None => 0..self.windows(),
        }
    }
}

struct Network {
    known: Known,
    table: Vec<[f32; WIDTH]>,
    seen: Vec<f32>,
    heads: [Head; HEADS],
    steps: [Head; HEADS],
}

/// What a pass over all texts ended with.
struct Pass {
    table: Vec<[f32; WIDTH]>,
    heads: [Head; HEADS],
}

struct Forward {
    hidden: [f32; WIDTH],
    share: f32,
    logit: f32,
}

impl Network {
    fn new(known: Known, random: &mut Random) -> Network {
        let mut small = |scale: f32| (random.share() - 0.5) * scale;
        let table = (0..BUCKETS).map(|_| std::array::from_fn(|_| small(0.1))).collect();
        let heads = std::array::from_fn(|_| Head {
            output: std::array::from_fn(
                |column| if column % 2 == 0 { 0.5 } else { -0.5 } + small(0.2),
            ),
            ..Head::default()
        });
        Network { known, table, seen: vec![0.01; BUCKETS], heads, steps: Default::default() }
    }

    fn forward(&self, head: usize, window: &[u32]) -> Forward {
        let head = &self.heads[head];
        let mut hidden = [0.0; WIDTH];
        for feature in window.iter().filter(|feature| self.known.has(**feature)) {
            for (sum, weight) in hidden.iter_mut().zip(&self.table[*feature as usize % BUCKETS]) {
                *sum += weight;
            }
        }
        let share = share(window.len());
        let mut logit = head.bias;
        for ((sum, bias), weight) in hidden.iter_mut().zip(head.hidden).zip(head.output) {
            *sum = (*sum * share + bias).max(0.0);
            logit += *sum * weight;
        }
        Forward { hidden, share, logit }
    }

    fn worst(&self, example: &Example, windows: Range<usize>) -> (usize, f32) {
        let mut worst = (windows.start, f32::MIN);
        for at in windows {
            let logit = self.forward(example.head, example.window(at)).logit;
            if logit > worst.1 {
                worst = (at, logit);
            }
        }
        worst
    }

    fn average(&mut self, passes: &[Pass]) {
        let share = 1.0 / passes.len() as f32;
        let mean = |of: &dyn Fn(&Pass) -> f32| passes.iter().map(|pass| of(pass) * share).sum();
        for (at, row) in self.table.iter_mut().enumerate() {
            *row = std::array::from_fn(|column| mean(&|pass| pass.table[at][column]));
        }
        for (at, head) in self.heads.iter_mut().enumerate() {
            head.hidden = std::array::from_fn(|column| mean(&|pass| pass.heads[at].hidden[column]));
            head.output = std::array::from_fn(|column| mean(&|pass| pass.heads[at].output[column]));
            head.bias = mean(&|pass| pass.heads[at].bias);
        }
    }

    /// The worst window, and what it is worse than it would be by chance.
    fn score(&self, example: &Example) -> (usize, f32) {
        let (window, worst) = self.worst(example, 0..example.windows());
        (window, worst - by_chance(example.head, example.windows()))
    }

    fn learn(&mut self, example: &Example, at: usize, rate: f32, random: &mut Random) {
        // Without some of the words, so that no single one decides.
        let kept: Vec<u32> =
            example.window(at).iter().copied().filter(|_| random.share() > 0.3).collect();
        let forward = self.forward(example.head, &kept);
        let probability = 1.0 / (1.0 + (-forward.logit).exp());
        let wanted = if example.attack { 0.98 } else { 0.005 };
        let error = (probability - wanted) * example.weight;
        if error.abs() < 1e-3 {
            return;
        }
        let (head, step) = (&mut self.heads[example.head], &mut self.steps[example.head]);
        let mut back = [0.0; WIDTH];
        let adapt = |weight: &mut f32, seen: &mut f32, slope: f32| {
            *seen += slope * slope;
            *weight -= rate * slope / (*seen + 1.0).sqrt();
        };
        adapt(&mut head.bias, &mut step.bias, error);
        for (column, active) in forward.hidden.into_iter().enumerate() {
            if active > 0.0 {
                back[column] = error * head.output[column];
                adapt(&mut head.hidden[column], &mut step.hidden[column], back[column]);
            }
            adapt(&mut head.output[column], &mut step.output[column], error * active);
        }
        let size: f32 =
            back.iter().map(|slope| slope * slope).sum::<f32>() * forward.share * forward.share
                / WIDTH as f32;
        for feature in kept.into_iter().filter(|feature| self.known.has(*feature)) {
            let row = feature as usize % BUCKETS;
            self.seen[row] += size;
            let pace = rate * forward.share / self.seen[row].sqrt();
            for (weight, slope) in self.table[row].iter_mut().zip(back) {
                *weight -= pace * (slope + 2e-5 * *weight);
            }
        }
    }
}

fn train(examples: &[&Example], epochs: usize) -> Network {
    let mut random = Random::new(7);
    let mut network = Network::new(known(examples), &mut random);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut passes = Vec::new();
    for epoch in 0..epochs {
        random.shuffle(&mut order);
        let rate = 0.15 * (1.0 - epoch as f32 / epochs as f32).max(0.15);
        for at in &order {
            let example = examples[*at];
            let windows = example.candidates();
            let (worst, _) = network.worst(example, windows.clone());
            network.learn(example, worst, rate, &mut random);
            // Any other window of a benign text is benign too.
            if !example.attack && example.windows() > 1 && random.share() < 0.3 {
                network.learn(example, random.below(example.windows()), rate, &mut random);
            }
        }
        if epoch + LAST >= epochs {
            passes.push(Pass { table: network.table.clone(), heads: network.heads });
        }
    }
    network.average(&passes);
    network
}

/// Passes at the end that are averaged: what single texts pushed to and fro evens out.
const LAST: usize = 3;

/// A text judged by a network that was trained without its source.
struct Judged<'e> {
    example: &'e Example,
    window: usize,
    score: f32,
}

/// A network without each part of the sources, and one with all.
fn train_all(
    examples: &[Example],
    planted: &[Example],
    sources: &[String],
    arguments: &Arguments,
) -> Result<Vec<Network>> {
    let without = |fold: usize| {
        let left_out: Vec<&String> = sources.iter().skip(fold).step_by(arguments.folds).collect();
        let used = examples
            .iter()
            .chain(planted)
            .filter(|example| !example.report_only && !left_out.contains(&&example.source));
        train(&used.collect::<Vec<_>>(), arguments.epochs)
    };
    let without = &without;
    let networks: Option<Vec<Network>> = std::thread::scope(|scope| {
        // Beyond the last fold, `skip` leaves nothing out.
        let folds = (0..arguments.folds).chain([usize::MAX]);
        let threads: Vec<_> = folds.map(|fold| scope.spawn(move || without(fold))).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    });
    networks.context("a training stopped")
}

/// By head: where few benign texts are left, and where hardly any.
fn thresholds(judged: &[Judged<'_>]) -> Vec<(f32, f32)> {
    let of = |head: usize| {
        let scores = |only: fn(&Example) -> bool| {
            let mut scores: Vec<f32> = judged
                .iter()
                .filter(|judged| judged.example.head == head && !judged.example.attack)
                .filter(|judged| only(judged.example))
                .map(|judged| judged.score)
                .collect();
            scores.sort_by(f32::total_cmp);
            scores
        };
        let at = |scores: &[f32], share: f32| {
            scores.get((scores.len() as f32 * share) as usize).copied().unwrap_or(f32::MAX)
        };
        // The labels of `atr` are broad: its benign texts are attacks as others see it.
        let benign = scores(|example| example.source != "atr" || example.head == 1);
        let medium = at(&benign, [0.999, 0.998, 0.9965][head]);
        // A tool of a real server that is flagged for nothing costs most.
        let real = scores(|example| example.head == 0 && is_real(example));
        let medium = if real.is_empty() { medium } else { medium.max(at(&real, 0.9995)) };
        (medium, at(&benign, 0.9995).max(medium))
    };
    (0..HEADS).map(of).collect()
}

/// Whether it comes from servers that people use.
fn is_real(example: &Example) -> bool {
    ["awslabs-mcp", "docker-mcp-registry", "livemcpbench"].contains(&example.source.as_str())
}

fn scores(judged: &[Judged<'_>]) -> String {
    let line = |Judged { example, window, score }: &Judged<'_>| {
        let Example { source, head, attack, by_rules, .. } = example;
        let (windows, shown) = (example.windows(), example.shown(*window));
        format!("{source}\t{head}\t{attack}\t{by_rules}\t{windows}\t{score}\t{shown:?}\n")
    };
    judged.iter().map(line).collect()
}

/// The benign windows that look worst.
fn show(mut judged: Vec<Judged<'_>>) {
    judged.retain(|judged| !judged.example.attack);
    judged.sort_by(|a, b| b.score.total_cmp(&a.score));
    for head in 0..HEADS {
        for Judged { example, window, score } in
            judged.iter().filter(|judged| judged.example.head == head).take(40)
        {
            println!("{score:6.2} {} {:?}", example.source, example.shown(*window));
        }
    }
}

/// Features that some examples share.
fn known(examples: &[&Example]) -> Known {
    let mut counts: Vec<u8> = vec![0; 1 << 21];
    let mut last: Vec<u32> = vec![u32::MAX; 1 << 21];
    for (number, example) in examples.iter().enumerate() {
        for feature in &example.features {
            let place = Known::place(*feature);
            if last[place] != number as u32 {
                last[place] = number as u32;
                counts[place] = counts[place].saturating_add(1);
            }
        }
    }
    let mut known = Known::nothing();
    counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count >= ENOUGH)
        .for_each(|(place, _)| known.add(place));
    known
}

/// Examples that must share a feature.
const ENOUGH: u8 = 5;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let items = corpora(&arguments.corpora)?;
    let documents = harvest(&arguments.benign, arguments.pieces);
    println!("{} items, {} pieces of documents", items.len(), documents.len());
    let rules = Scanner::of(rules::bundled()?, None)?;
    let concepts = Concepts::bundled();
    let mut examples = of_items(&items, &rules, &concepts);
    for piece in &documents {
        let source = format!("documents-{}", hash(piece) % 5);
        let text = folded(piece);
        examples.extend(Example::new(&source, Surface::Result, false, &text, None, &concepts));
    }
    let planted = plant(&arguments.templates, &items, &documents, &concepts)?;
    weigh(&mut examples);
    let sources: BTreeSet<String> = examples.iter().map(|example| example.source.clone()).collect();
    let sources: Vec<String> = sources.into_iter().collect();
    let mut networks = train_all(&examples, &planted, &sources, &arguments)?;
    let Some(mut network) = networks.pop() else { return Ok(()) };
    let judged: Vec<Judged<'_>> = examples
        .iter()
        .map(|example| {
            // By the network that has not seen its source.
            let place = sources.iter().position(|source| *source == example.source).unwrap_or(0);
            let fold = &networks[place % arguments.folds];
            let (window, score) = fold.score(example);
            let inside = example.inside.iter().map(|inside| fold.score(inside).1);
            Judged { example, window, score: inside.fold(score, f32::max) }
        })
        .collect();
    let thresholds = thresholds(&judged);
    report(&judged, &thresholds);
    if let Some(file) = &arguments.scores {
        fs::write(file, scores(&judged))?;
    }
    if arguments.show {
        show(judged);
    }
    if arguments.cross_validate {
        return Ok(());
    }
    for (head, (medium, high)) in network.heads.iter_mut().zip(&thresholds) {
        (head.medium, head.high) = (*medium, *high);
    }
    fs::write(&arguments.out, Model::write(&network.known, &network.table, &network.heads))?;
    Ok(())
}

/// The text as the scanner shows it to the model.
fn folded(text: &str) -> String {
    inspect::folded(text)
}

fn of_items(items: &[Item], rules: &Scanner, concepts: &Concepts) -> Vec<Example> {
    let example = |item: &Item| {
        let text = folded(&item.text);
        let group = folded(&item.group);
        // The attack runs from where its beginning is found to the end of the line.
        let planted = (item.is_attack() && group.len() > 12)
            .then(|| text.find(&group))
            .flatten()
            .map(|start| {
                let end = text[start + group.len()..]
                    .find('\n')
                    .map_or(text.len(), |line| start + group.len() + line);
                start..end.min(start + 400)
            });
        let attack = item.is_attack();
        let mut example = Example::new(&item.source, item.kind, attack, &text, planted, concepts)?;
        example.report_only = item.is_attack() && is_unfit(item);
        example.by_rules = rules.scan(item.kind, &item.text).iter().any(Finding::flagged);
        let inside = |(_, text): &(String, String)| {
            Example::new(&item.source, item.kind, attack, text, None, concepts)
        };
        example.inside = rules.views(&item.text).iter().skip(1).filter_map(inside).collect();
        Some(example)
    };
    items.iter().filter(|item| head(item.kind).is_some()).filter_map(example).collect()
}

/// What a model can't learn from: text that only its decoding shows, and labels by intent that the words
/// do not show.
fn is_unfit(item: &Item) -> bool {
    item.source == "synth-obfuscation" || item.source == "asb" && item.kind == Surface::Definition
}

/// Sources differ in size: a large one must not drown the others.
fn weigh(examples: &mut [Example]) {
    let mut counts: BTreeMap<(String, usize, bool), usize> = BTreeMap::new();
    for example in examples.iter() {
        *counts.entry((example.source.clone(), example.head, example.attack)).or_default() += 1;
    }
    for example in examples {
        let count = counts[&(example.source.clone(), example.head, example.attack)];
        example.weight = (800.0 / count as f32).clamp(0.3, 2.0);
        if example.head == 0 && is_real(example) {
            example.weight *= 2.0;
        }
    }
}

/// Attacks of the templates, alone and put into benign texts of each kind.
fn plant(
    folder: &Path,
    items: &[Item],
    documents: &[String],
    concepts: &Concepts,
) -> Result<Vec<Example>> {
    let templates = Templates::read(folder)?;
    let mut random = Random::new(11);
    let of = |kind: Surface| -> Vec<&str> {
        items
            .iter()
            .filter(|item| item.kind == kind && !item.is_attack())
            .map(|item| item.text.as_str())
            .collect()
    };
    let definitions = of(Surface::Definition);
    let mut results = of(Surface::Result);
    results.extend(documents.iter().take(6000).map(String::as_str));
    let mut planted: Vec<Example> = Vec::new();
    let mut add = |surface, attack: bool, (text, range): (String, Range<usize>)| {
        let range = attack.then_some(range);
        planted.extend(Example::new("templates", surface, attack, &text, range, concepts));
    };
    for _ in 0..9000 {
        let list = ["definition", "framed", "framed"][random.below(3)];
        let text = templates.make(list, &mut random);
        let base = random.of(&definitions);
        add(Surface::Definition, true, insert(base, &text, &mut random));
        let benign = templates.make("benign_definition", &mut random);
        add(Surface::Definition, false, insert(base, &benign, &mut random));
    }
    for _ in 0..2500 {
        let list = ["capability", "capability_more"][random.below(2)];
        let text = templates.make(list, &mut random);
        let name = templates.make("capability_name", &mut random);
        add(
            Surface::Definition,
            true,
            (format!("name: {name}\ndescription: {text}"), 0..text.len() + name.len() + 20),
        );
    }
    for _ in 0..4000 {
        let list = ["crud", "short"][random.below(2)];
        add(Surface::Definition, false, (templates.make(list, &mut random), 0..0));
    }
    for _ in 0..18000 {
        let list = if random.below(16) == 0 { "framed" } else { "result" };
        let text = templates.make(list, &mut random);
        let placed = match random.below(4) {
            0 => (text.clone(), 0..text.len()),
            _ => {
                let base = results[random.below(results.len())];
                insert(short(base, &mut random), &text, &mut random)
            }
        };
        add(Surface::Result, true, placed);
        if random.below(3) > 0 {
            let benign = templates.make("benign_result", &mut random);
            let base = results[random.below(results.len())];
            add(Surface::Result, false, insert(short(base, &mut random), &benign, &mut random));
        }
        if random.below(4) == 0 {
            let text =
                if random.below(2) == 0 { templates.make("jailbreak", &mut random) } else { text };
            add(Surface::Prompt, true, (text.clone(), 0..text.len()));
        }
    }
    Ok(planted)
}

fn short<'t>(text: &'t str, random: &mut Random) -> &'t str {
    let size = 40 + random.below(1500);
    let from = text.floor_char_boundary(random.below(text.len().saturating_sub(size) + 1));
    &text[from..text.floor_char_boundary((from + size).min(text.len()))]
}

/// Puts `text` into `base`: at its end, between two of its sentences or lines, or into a value of its JSON.
fn insert(base: &str, text: &str, random: &mut Random) -> (String, Range<usize>) {
    let base = folded(base);
    let places: Vec<usize> = base
        .bytes()
        .enumerate()
        .filter(|(_, byte)| b"\n.\"'".contains(byte))
        .map(|(at, _)| at + 1)
        .collect();
    let at = match random.below(3) {
        0 => base.len(),
        1 => 0,
        _ if places.is_empty() => base.len(),
        _ => places[random.below(places.len())],
    };
    let (head, tail) = base.split_at(at);
    let glue: &str = [" ", "\n", "\n\n", " "][random.below(4)];
    let text = folded(text);
    let start = head.len() + glue.len();
    (format!("{head}{glue}{text}{glue}{tail}"), start..start + text.len())
}

fn report(judged: &[Judged<'_>], thresholds: &[(f32, f32)]) {
    let mut rows: BTreeMap<(usize, bool, &str), [usize; 4]> = BTreeMap::new();
    for Judged { example, score, .. } in judged {
        let by_model = *score >= thresholds[example.head].0;
        for name in [example.source.as_str(), "~ all"] {
            let row = rows.entry((example.head, example.attack, name)).or_default();
            row[0] += 1;
            row[1] += usize::from(example.by_rules);
            row[2] += usize::from(by_model);
            row[3] += usize::from(example.by_rules || by_model);
        }
    }
    println!("                                         items   rules   model    both");
    for ((head, attack, source), [all, by_rules, by_model, both]) in rows {
        let head = ["definition", "prompt", "result"][head];
        let kind = if attack { "attack" } else { "benign" };
        let percent = |part: usize| 100.0 * part as f64 / all as f64;
        let (rules, model, both) = (percent(by_rules), percent(by_model), percent(both));
        println!("{head:10} {kind} {source:24} {all:6} {rules:6.2}% {model:6.2}% {both:6.2}%");
    }
}
