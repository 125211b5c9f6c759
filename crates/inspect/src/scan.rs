//! One pass over all views of a text, however many rules there are.

use std::{ops::Range, sync::Arc};

use mcp::Json;

use crate::{
    Class, Finding, Rule, Severity, Surface,
    anchors::{Anchors, Reread, Target},
    arguments::{self, Checks},
    definition,
    found::Found,
    model::{self, Model, ModelFault},
    normalise::{Fold, Hidden, Step, View, Views},
    personal,
    rules::{self, RuleFault, RuleReason},
    stream::{self, Stream},
};

/// What one text is read by: all rules at once, and the model.
pub struct Scanner {
    rules: Vec<Rule>,
    /// One for each surface, in the order of [`Surface::ALL`]: what can't apply costs nothing.
    anchors: [Anchors; Surface::ALL.len()],
    model: Option<Model>,
    checks: Checks,
}

/// Why a scanner could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScannerFault {
    /// The model's weights.
    #[error(transparent)]
    Model(#[from] ModelFault),
    /// The rules.
    #[error(transparent)]
    Rule(#[from] RuleFault),
}

impl Scanner {
    /// The bundled rules, those of the user, and the model.
    pub fn new(more: Vec<Rule>) -> Result<Scanner, ScannerFault> {
        let mut all = rules::bundled()?;
        for rule in more {
            if all.iter().any(|known| known.id == rule.id) {
                let reason = RuleReason::Duplicate(rule.id.to_string());
                return Err(RuleFault { file: "rules".into(), line: 1, reason }.into());
            }
            all.push(rule);
        }
        Ok(Scanner::of(all, Some(Model::bundled()?))?)
    }

    /// Only `rules`, and the model if given.
    pub fn of(rules: Vec<Rule>, model: Option<Model>) -> Result<Scanner, RuleFault> {
        let [arguments, definition, prompt, result] = Surface::ALL;
        let anchors = [
            Anchors::of(&rules, arguments),
            Anchors::of(&rules, definition),
            Anchors::of(&rules, prompt),
            Anchors::of(&rules, result),
        ];
        Ok(Scanner { rules, anchors, model, checks: Checks::new()? })
    }

    /// The rules, in the order of their files.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is found in `text`. Arguments that are JSON are judged by the types of their members too.
    pub fn scan(&self, surface: Surface, text: &str) -> Vec<Finding> {
        match Json::read(text.as_bytes(), &mcp::Limits::default()) {
            Ok(arguments) if surface == Surface::Arguments => self.arguments(arguments, None),
            _ => self.scan_text(surface, text),
        }
    }

    /// What is found in the arguments of a call to a tool with this input schema.
    pub fn arguments(&self, arguments: Json<'_>, schema: Option<Json<'_>>) -> Vec<Finding> {
        let mut found = self.scan_text(Surface::Arguments, arguments.text());
        found.extend(arguments::find(&self.checks, arguments, schema));
        found
    }

    /// What is found in a definition of a tool, prompt, resource or server, with the words that show it.
    pub fn definition(&self, definition: Json<'_>) -> Vec<(Finding, String)> {
        let definition::Reading { text, mut found, .. } = definition::read(definition);
        found.extend(self.scan_text(Surface::Definition, &text));
        let shown = |finding: &Finding| text.get(finding.at.clone()).unwrap_or_default().to_owned();
        found.into_iter().map(|finding| (finding.clone(), shown(&finding))).collect()
    }

    /// What is found in `text` while `go_on` says so, and whether that is all of it.
    pub fn scan_while(
        &self,
        surface: Surface,
        text: &str,
        go_on: impl FnMut() -> bool,
    ) -> (Vec<Finding>, bool) {
        stream::scan_whole(self, surface, text, go_on)
    }

    /// What is found in `text` as a text.
    pub(crate) fn scan_text(&self, surface: Surface, text: &str) -> Vec<Finding> {
        stream::scan_whole(self, surface, text, || true).0
    }

    /// Scans a text that comes in pieces. However it is cut, the findings are the same.
    pub fn stream(&self, surface: Surface) -> Stream<'_> {
        Stream::new(self, surface)
    }

    /// How `text` reads: each view with the steps that made it.
    pub fn views(&self, text: &str) -> Vec<(String, String)> {
        let (mut views, _) = Views::of(text);
        let mut hits = Vec::new();
        let mut at = 0;
        while at < views.views.len() {
            hits.clear();
            self.anchors(Surface::Result).hits(&views.views[at].text, &mut hits);
            self.reread(&mut views, at, &hits);
            at += 1;
        }
        views.views.iter().map(|view| (view.via(), view.text.to_string())).collect()
    }

    /// One block: all views, all rules, the model.
    pub(crate) fn block(&self, surface: Surface, text: &str) -> Vec<Finding> {
        let (mut views, fold) = Views::of(text);
        let mut found = Found::default();
        hidden(&fold, &mut found);
        let mut hits = Vec::new();
        let mut at = 0;
        while at < views.views.len() {
            hits.clear();
            self.anchors(surface).hits(&views.views[at].text, &mut hits);
            self.reread(&mut views, at, &hits);
            let view = &views.views[at];
            self.try_rules(view, &mut hits, &mut found);
            if let Some(model) = &self.model {
                judge(model, surface, view, &mut found);
            }
            at += 1;
        }
        if matches!(surface, Surface::Arguments | Surface::Result) {
            personal::find(text, &mut found);
        }
        // A letter may be longer in the text than in the view where it was found.
        for at in found.places() {
            *at = text.floor_char_boundary(at.start)..text.ceil_char_boundary(at.end);
        }
        found.into_findings()
    }

    fn anchors(&self, surface: Surface) -> &Anchors {
        let [arguments, definition, prompt, result] = &self.anchors;
        match surface {
            Surface::Arguments => arguments,
            Surface::Definition => definition,
            Surface::Prompt => prompt,
            Surface::Result => result,
        }
    }

    fn reread(&self, views: &mut Views<'_>, at: usize, hits: &[(Target, Range<usize>)]) {
        const AROUND: usize = 400;
        let mut until = 0;
        for (target, hit) in hits {
            let Target::Reread(how) = target else { continue };
            let Some(view) = views.views.get(at) else { return };
            if hit.start < until {
                continue;
            }
            let start = view.text.floor_char_boundary(hit.start.saturating_sub(AROUND));
            let end = view.text.ceil_char_boundary((hit.end + AROUND).min(view.text.len()));
            until = end;
            let step = match how {
                Reread::Reversed => Step::Reversed,
                Reread::Rot13 => Step::Rot13,
            };
            views.reread(at, step, start..end);
        }
    }

    /// Tries each rule around its anchors, where those are close together only once.
    fn try_rules(&self, view: &View<'_>, hits: &mut [(Target, Range<usize>)], found: &mut Found) {
        hits.sort_unstable_by_key(|(target, hit)| (*target, hit.start));
        let mut at = 0;
        while let Some((Target::Rule(index), first)) = hits.get(at).cloned() {
            let rule = &self.rules[index];
            let near = |hit: &Range<usize>| {
                hit.start.saturating_sub(rule.reach.0)
                    ..(hit.end + rule.reach.1).min(view.text.len())
            };
            let mut region = near(&first);
            at += 1;
            while let Some((target, next)) = hits.get(at)
                && *target == Target::Rule(index)
                && near(next).start <= region.end
            {
                region.end = near(next).end;
                at += 1;
            }
            try_rule(rule, view, &first, region, found);
        }
    }
}

/// Bytes before a match that `unless` sees.
const BEFORE: usize = 40;

fn try_rule(
    rule: &Rule,
    view: &View<'_>,
    anchor: &Range<usize>,
    region: Range<usize>,
    found: &mut Found,
) {
    if rule.patterns.is_empty() {
        push(rule, view, anchor.clone(), found);
        return;
    }
    let bytes = view.text.as_bytes();
    for pattern in &rule.patterns {
        // The whole text with bounds, so that `\b` and `^` see what is really there.
        let mut from = region.start;
        while let Some(hit) = pattern.regex().find_at(&bytes[..region.end], from) {
            from = hit.end().max(hit.start() + 1);
            let before = &bytes[hit.start().saturating_sub(BEFORE)..hit.start()];
            if rule.check.is_none_or(|check| check.passes(hit.as_bytes()))
                && rule.unless.as_ref().is_none_or(|unless| !unless.regex().is_match(before))
                && rule.without.as_ref().is_none_or(|one| !one.regex().is_match(hit.as_bytes()))
            {
                push(rule, view, hit.range(), found);
            }
            if from >= region.end {
                break;
            }
        }
    }
}

fn push(rule: &Rule, view: &View<'_>, at: Range<usize>, found: &mut Found) {
    let at = view.map.source(at);
    // Whoever hides what a rule looks for knows that it is looked for.
    let disguised = view.steps.iter().any(|step| step.is_disguise()) && rule.class != Class::Secret;
    found.push(Finding {
        rule: rule.id.clone(),
        class: rule.class,
        severity: if disguised { Severity::High } else { rule.severity },
        at,
        via: view.via(),
        message: rule.catches.clone(),
    });
}

fn judge(model: &Model, surface: Surface, view: &View<'_>, found: &mut Found) {
    let Some(judged) = model.judge(surface, &view.text) else { return };
    let disguised = view.steps.iter().any(|step| step.is_disguise());
    found.push(Finding {
        rule: Arc::from(model::RULE),
        class: Class::Injection,
        severity: if disguised { judged.severity.max(Severity::Medium) } else { judged.severity },
        at: view.map.source(judged.at),
        via: view.via(),
        message: Arc::from(model::MESSAGE),
    });
}

/// Findings of what the folding noticed.
fn hidden(fold: &Fold, found: &mut Found) {
    for (kind, at, count) in &fold.hidden {
        let (rule, severity, message) = match kind {
            Hidden::Ansi => (
                "hidden.ansi",
                Severity::Medium,
                "Terminal sequences that conceal text or write to the clipboard.",
            ),
            Hidden::Bidi => (
                "hidden.bidi",
                Severity::High,
                "Characters that make text read in another order than it is shown.",
            ),
            Hidden::Tags => {
                ("hidden.tags", Severity::High, "Invisible tag characters that spell text.")
            }
            Hidden::Variation => (
                "hidden.variation-selectors",
                if *count > 3 { Severity::High } else { Severity::Low },
                "Runs of variation selectors that can carry hidden text.",
            ),
            Hidden::ZeroWidth => (
                "hidden.zero-width",
                if *count > 2 { Severity::High } else { Severity::Low },
                "Zero-width characters inside words.",
            ),
        };
        found.push(finding(rule, severity, message, at.clone()));
    }
    if let Some((at, count)) = &fold.homoglyphs {
        let severity = if *count > 1 { Severity::Medium } else { Severity::Low };
        found.push(finding(
            "hidden.homoglyphs",
            severity,
            "Words that mix letters of scripts which look alike.",
            at.clone(),
        ));
    }
}

fn finding(rule: &str, severity: Severity, message: &str, at: Range<usize>) -> Finding {
    Finding {
        rule: Arc::from(rule),
        class: Class::Hidden,
        severity,
        at,
        via: "plain".into(),
        message: Arc::from(message),
    }
}
