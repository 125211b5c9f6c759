//! What a child process gets as environment.

use crate::source::env_name;
use crate::{Reference, Secret, VaultFault};

/// What a child process gets as environment.
#[derive(Clone, Debug)]
pub struct Environment(Vec<(String, Reference)>);

impl Environment {
    /// No name twice.
    pub fn new(variables: Vec<(String, Reference)>) -> Result<Environment, VaultFault> {
        for (at, (name, _)) in variables.iter().enumerate() {
            env_name(name)?;
            if variables[..at].iter().any(|(other, _)| other == name) {
                return Err(VaultFault::Duplicate(name.clone()));
            }
        }
        Ok(Environment(variables))
    }

    /// The variables as configured.
    pub fn list(&self) -> &[(String, Reference)] {
        &self.0
    }

    /// The variables with these values, one for each of [`Environment::list`].
    pub fn fill(&self, values: Vec<Secret>) -> Result<Vec<(String, Secret)>, VaultFault> {
        let fit = |((name, _), secret): (&(String, Reference), Secret)| {
            if secret.expose().contains('\0') {
                Err(VaultFault::Value(name.clone()))
            } else {
                Ok((name.clone(), secret))
            }
        };
        self.0.iter().zip(values).map(fit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_of_children() {
        let reference = |text| Reference::parse(text).unwrap();
        let environment =
            Environment::new(vec![("A".into(), reference("x")), ("B".into(), reference("y"))])
                .unwrap();
        let secret = |text: &str| Secret::new(text.into());
        let resolved = environment.fill(vec![secret("x"), secret("y")]).unwrap();
        assert_eq!(resolved.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(resolved[1].1.expose(), "y");
        assert!(matches!(
            Environment::new(vec![("A=B".into(), reference("x"))]),
            Err(VaultFault::EnvName(_))
        ));
        let twice = vec![("A".into(), reference("x")), ("A".into(), reference("y"))];
        assert!(matches!(Environment::new(twice), Err(VaultFault::Duplicate(_))));
        let nul = environment.fill(vec![secret("x"), secret("x\0y")]);
        assert!(matches!(nul, Err(VaultFault::Value(name)) if name == "B"));
    }
}
