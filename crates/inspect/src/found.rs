//! What was found in one block of a text: bounded, and never less than what is there.

use std::ops::Range;

use crate::{Finding, Severity};

/// So many findings of one rule are told apart; what comes after them is taken together, from the first
/// to the last of it, so that whoever masks or refuses misses none.
const APART: usize = 1024;
/// When so many were added, what is one is made one.
const SETTLE: usize = 4096;

/// A collection of findings.
#[derive(Default)]
pub(crate) struct Found {
    findings: Vec<Finding>,
    settled: usize,
}

impl Found {
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
        if self.findings.len() >= self.settled + SETTLE {
            self.settle();
        }
    }

    /// Each change of where they stand.
    pub fn places(&mut self) -> impl Iterator<Item = &mut Range<usize>> {
        self.findings.iter_mut().map(|finding| &mut finding.at)
    }

    /// From the front. What overlaps with another of the same rule is one with it, as it was found first.
    pub fn into_findings(mut self) -> Vec<Finding> {
        if self.findings.is_empty() {
            return self.findings;
        }
        self.settle();
        self.findings.sort_by_key(|finding| (finding.at.start, finding.at.end));
        self.findings
    }

    fn settle(&mut self) {
        let mut order: Vec<usize> = (0..self.findings.len()).collect();
        order.sort_by(|a, b| {
            let key = |at: &usize| (&self.findings[*at].rule, self.findings[*at].at.start, *at);
            key(a).cmp(&key(b))
        });
        let mut groups: Vec<(usize, Range<usize>, Severity)> = Vec::new();
        let mut of_rule = 0;
        for at in order {
            let finding = &self.findings[at];
            let same =
                groups.last_mut().filter(|(first, ..)| self.findings[*first].rule == finding.rule);
            let Some((first, place, severity)) = same else {
                of_rule = 1;
                groups.push((at, finding.at.clone(), finding.severity));
                continue;
            };
            let overlaps = finding.at.start < place.end;
            if !overlaps && of_rule < APART {
                of_rule += 1;
                groups.push((at, finding.at.clone(), finding.severity));
                continue;
            }
            place.end = place.end.max(finding.at.end);
            if at < *first {
                (*first, *severity) = (at, finding.severity);
            }
            // Those that are taken together are as bad as the worst of them.
            if !overlaps {
                *severity = (*severity).max(finding.severity);
            }
        }
        groups.sort_by_key(|(first, ..)| *first);
        let settled = groups.into_iter().map(|(first, at, severity)| Finding {
            at,
            severity,
            ..self.findings[first].clone()
        });
        self.findings = settled.collect();
        self.settled = self.findings.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Class;

    fn finding(rule: &str, at: Range<usize>, severity: Severity) -> Finding {
        let (rule, message) = (Arc::from(rule), Arc::from(""));
        Finding { rule, class: Class::Secret, severity, at, via: "plain".into(), message }
    }

    #[test]
    fn however_many_there_are_each_is_covered_and_no_rule_hides_another() {
        let mut found = Found::default();
        for at in 0..50_000 {
            found.push(finding("low", at * 10..at * 10 + 5, Severity::Low));
        }
        found.push(finding("high", 3..4, Severity::High));
        let found = found.into_findings();
        assert!(found.len() <= APART + 1);
        assert!(found.iter().any(|one| &*one.rule == "high"));
        for at in 0..50_000 {
            let place = at * 10..at * 10 + 5;
            let covers = |one: &Finding| {
                &*one.rule == "low" && one.at.start <= place.start && place.end <= one.at.end
            };
            assert!(found.iter().any(covers), "{at}");
        }
    }

    #[test]
    fn what_overlaps_is_one_as_it_was_found_first() {
        let mut found = Found::default();
        found.push(finding("a", 5..9, Severity::Low));
        found.push(finding("a", 2..6, Severity::High));
        found.push(finding("b", 2..6, Severity::High));
        let found = found.into_findings();
        let seen: Vec<_> =
            found.iter().map(|one| (&*one.rule, one.at.clone(), one.severity)).collect();
        assert_eq!(seen, [("b", 2..6, Severity::High), ("a", 2..9, Severity::Low)]);
    }
}
