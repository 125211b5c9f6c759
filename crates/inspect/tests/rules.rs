//! Every rule finds what it says it finds, and passes what it says it passes.

use inspect::{Scanner, rules};

#[test]
fn every_example_of_every_bundled_rule_holds() {
    let rules = rules::bundled().unwrap();
    assert!(rules.len() > 40, "{}", rules.len());
    let faults: Vec<String> = rules::failed_examples(&rules).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_bundled_rule_has_examples_of_both_sorts() {
    for rule in rules::bundled().unwrap() {
        assert!(!rule.clean.is_empty(), "{} has nothing that it passes", rule.id);
        assert!(!rule.matches.is_empty(), "{} has nothing that it finds", rule.id);
        assert!(
            rule.id.starts_with(rule.class.as_str()) || rule.id.starts_with("steering."),
            "{}",
            rule.id
        );
    }
}

#[test]
fn all_rules_and_the_model_fit_together() {
    assert!(Scanner::new(Vec::new()).is_ok());
}
