//! The OpenMetrics text that [`crate::Gateway::exposition`] makes, read back: what `bartizan top` shows and
//! what is sent over OTLP come from the same text that a scraper gets.

use std::collections::BTreeMap;

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, without the suffixes of samples.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it says of itself.
    pub help: String,
    /// Its samples, in order.
    pub samples: Vec<Sample>,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the metric's name: `_total`, `_bucket`, `_sum`, `_count`, or nothing.
    pub suffix: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Reads an exposition; lines of another kind are passed over.
pub fn parse(text: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            describe(&mut metrics, rest);
        } else if let Some(metric) = metrics.last_mut() {
            metric.samples.extend(sample(line, &metric.name));
        }
    }
    metrics.retain(|metric| !metric.samples.is_empty());
    metrics
}

fn describe(metrics: &mut Vec<Metric>, line: &str) {
    let mut words = line.splitn(3, ' ');
    let (Some(what), Some(name), rest) = (words.next(), words.next(), words.next()) else { return };
    if metrics.last().is_none_or(|metric| metric.name != name) && what != "EOF" {
        let (name, help) = (name.to_owned(), String::new());
        metrics.push(Metric { name, kind: Kind::Gauge, help, samples: Vec::new() });
    }
    let (Some(metric), Some(rest)) = (metrics.last_mut(), rest) else { return };
    match (what, rest) {
        ("HELP", help) => metric.help = help.to_owned(),
        ("TYPE", "counter") => metric.kind = Kind::Counter,
        ("TYPE", "histogram") => metric.kind = Kind::Histogram,
        _ => {}
    }
}

fn sample(line: &str, metric: &str) -> Option<Sample> {
    let rest = line.strip_prefix(metric)?;
    let at = rest.find(['{', ' '])?;
    let (suffix, rest) = rest.split_at(at);
    let mut labels = BTreeMap::new();
    let rest = match rest.strip_prefix('{') {
        Some(inside) => read_labels(inside, &mut labels)?,
        None => rest,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { suffix: suffix.to_owned(), labels, value })
}

/// Reads `a="b",c="d"}` and gives what follows.
fn read_labels<'a>(mut text: &'a str, labels: &mut BTreeMap<String, String>) -> Option<&'a str> {
    loop {
        text = text.trim_start_matches(',');
        if let Some(rest) = text.strip_prefix('}') {
            return Some(rest);
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        text = &rest[end..];
    }
}

impl Metric {
    /// The sum of the values of all samples with these labels and this suffix.
    pub fn sum(&self, suffix: &str, labels: &[(&str, &str)]) -> f64 {
        let held = |sample: &&Sample| {
            sample.suffix == suffix
                && labels
                    .iter()
                    .all(|(name, value)| sample.labels.get(*name).is_some_and(|own| own == value))
        };
        // The sum of nothing is -0.0 in floating point.
        self.samples.iter().filter(held).map(|sample| sample.value).sum::<f64>() + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposition_is_read_back() {
        let text = "# HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{s=\"x\",t=\"q\\\"\\\\\\n,}\"} 3\na_calls_total{s=\"y\",t=\"\"} 4\n# HELP b B.\n# TYPE b histogram\n# UNIT b seconds\nb_sum 1.5\nb_count 2\nb_bucket{le=\"0.1\"} 1\nb_bucket{le=\"+Inf\"} 2\n# HELP empty E.\n# TYPE empty gauge\n# EOF\n";
        let metrics = parse(text);
        assert_eq!(metrics.len(), 2, "{metrics:?}");
        assert_eq!((metrics[0].kind, metrics[0].help.as_str()), (Kind::Counter, "Calls."));
        assert_eq!(metrics[0].samples[0].labels["t"], "q\"\\\n,}");
        assert_eq!(metrics[0].sum("_total", &[]), 7.0);
        assert_eq!(metrics[0].sum("_total", &[("s", "y")]), 4.0);
        assert_eq!(metrics[0].sum("_total", &[("s", "z")]).to_string(), "0");
        assert_eq!(metrics[1].kind, Kind::Histogram);
        assert_eq!(metrics[1].samples.len(), 4);
        assert_eq!(metrics[1].sum("_bucket", &[("le", "+Inf")]), 2.0);
    }

    #[test]
    fn broken_text_is_passed_over() {
        for text in
            ["", "#", "# TYPE", "a 1", "# TYPE a gauge\na{b=\"c\na{ 1\na x\na{b=\"\\", "# EOF"]
        {
            assert!(parse(text).is_empty(), "{text}");
        }
    }
}
