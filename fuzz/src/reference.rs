//! References come back as they went: what is read as one says the same when it is written and read again, and a fault
//! points into the text.

use vault::{Reference, Secret, Source, VaultFault};

pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(Some(source)) = Source::parse(text) {
        assert_eq!(Source::parse(&source.to_string()).unwrap(), Some(source));
    }
    let reference = match Reference::parse(text) {
        Ok(reference) => reference,
        Err(VaultFault::Syntax { at }) => return assert_eq!(data.get(at), Some(&b'$')),
        Err(_) => return,
    };
    let sources: Vec<Source> = reference.sources().cloned().collect();
    assert_eq!(reference.is_literal(), sources.is_empty());
    // A source's own text names it.
    for source in &sources {
        assert_eq!(Source::parse(&source.to_string()).unwrap().as_ref(), Some(source));
    }
    // With each source in place of its value, and every dollar sign of the text doubled, it is the same reference again.
    let values: Vec<Secret> =
        (0..sources.len()).map(|at| Secret::new(format!("\0{at}\0").into())).collect();
    let filled = reference.fill(&values).expose().to_owned();
    let mut written = filled.replace('$', "$$");
    for (at, source) in sources.iter().enumerate() {
        written = written.replacen(&format!("\0{at}\0"), &format!("${{{source}}}"), 1);
    }
    if !text.contains('\0') {
        assert!(Reference::parse(&written).unwrap() == reference);
    }
    // What hides the text shows nothing but the sources.
    let shown = format!("{reference:?}");
    let expected: usize = sources.iter().map(|source| source.to_string().len() + 3).sum();
    let texts = shown.matches("[text]").count();
    assert!(shown.len() <= expected + 6 * texts.max(sources.len() + 1));
}
