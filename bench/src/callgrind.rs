//! Reads what callgrind wrote, and subtracts a short run from a long one: what remains is the cost of the calls.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::Context;

mod origin;

pub use origin::{Origin, crate_of, is_allocation, is_thin};

type Id = u32;

/// Calls of one function by another.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    calls: f64,
    cost: f64,
}

/// One profile: functions, who called whom, and where the instructions stand in the source.
#[derive(Debug, Default)]
pub struct Profile {
    names: Vec<String>,
    ids: HashMap<String, Id>,
    own: HashMap<Id, f64>,
    edges: HashMap<(Id, Id), Edge>,
    files: HashMap<String, f64>,
    total: f64,
}

impl Profile {
    /// Reads a file written with `--compress-strings=no --compress-pos=no`.
    ///
    /// # Errors
    /// When it can't be read or is no profile.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let mut reading = Reading::default();
        let file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
        for line in file.lines() {
            reading.line(&line?).with_context(|| format!("in {}", path.display()))?;
        }
        anyhow::ensure!(reading.profile.total > 0.0, "{} holds no instructions", path.display());
        Ok(reading.profile)
    }

    /// What this run did more than `shorter`, for each of `calls` calls.
    #[must_use]
    pub fn per_call(&self, shorter: &Self, calls: u32) -> Self {
        let calls = f64::from(calls);
        let mut difference =
            Self { names: self.names.clone(), ids: self.ids.clone(), ..Self::default() };
        let other = |id: &Id| shorter.ids.get(&self.names[*id as usize]);
        for (id, cost) in &self.own {
            let before = other(id).and_then(|id| shorter.own.get(id)).copied().unwrap_or_default();
            difference.own.insert(*id, (cost - before) / calls);
        }
        for ((caller, callee), edge) in &self.edges {
            let key = other(caller).zip(other(callee));
            let before = key
                .and_then(|(from, to)| shorter.edges.get(&(*from, *to)))
                .copied()
                .unwrap_or_default();
            let edge = Edge {
                calls: (edge.calls - before.calls) / calls,
                cost: (edge.cost - before.cost) / calls,
            };
            difference.edges.insert((*caller, *callee), edge);
        }
        for (file, cost) in &self.files {
            let before = shorter.files.get(file).copied().unwrap_or_default();
            difference.files.insert(file.clone(), (cost - before) / calls);
        }
        difference.total = (self.total - shorter.total) / calls;
        difference
    }

    /// All instructions.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Calls that ask an allocator for memory.
    #[must_use]
    pub fn allocations(&self) -> f64 {
        self.allocating().map(|(_, calls)| calls).sum()
    }

    fn allocating(&self) -> impl Iterator<Item = (Id, f64)> {
        let entry = |caller: Id, callee: Id| is_allocation(self.name(caller), self.name(callee));
        self.edges
            .iter()
            .filter(move |((caller, callee), _)| entry(*caller, *callee))
            .map(|((caller, _), edge)| (*caller, edge.calls))
    }

    /// Who asks for memory; the library's own collections hand the blame on to their callers.
    #[must_use]
    pub fn allocators(&self) -> Vec<(String, f64)> {
        let mut callers: HashMap<Id, Vec<(Id, f64)>> = HashMap::new();
        for ((caller, callee), edge) in self.edges.iter().filter(|(_, edge)| edge.calls > 0.0) {
            callers.entry(*callee).or_default().push((*caller, edge.calls));
        }
        let mut blamed: HashMap<Id, f64> = HashMap::new();
        let mut open: Vec<(Id, f64, u8)> =
            self.allocating().map(|(caller, calls)| (caller, calls, 0)).collect();
        while let Some((id, calls, depth)) = open.pop() {
            let above =
                callers.get(&id).filter(|_| depth < 6 && calls > 0.005 && is_thin(self.name(id)));
            let Some(above) = above else {
                *blamed.entry(id).or_default() += calls;
                continue;
            };
            let sum: f64 = above.iter().map(|(_, calls)| calls).sum();
            open.extend(
                above.iter().map(|(caller, share)| (*caller, calls * share / sum, depth + 1)),
            );
        }
        self.sorted(blamed)
    }

    /// The own instructions of all functions whose name contains `part`.
    #[must_use]
    pub fn within(&self, part: &str) -> f64 {
        self.own.iter().filter(|(id, _)| self.name(**id).contains(part)).map(|(_, cost)| cost).sum()
    }

    /// Functions by their own instructions.
    #[must_use]
    pub fn own(&self) -> Vec<(String, f64)> {
        self.sorted(self.own.clone())
    }

    /// Functions by their own and their callees' instructions. Recursion counts more than once, up to the total.
    #[must_use]
    pub fn inclusive(&self) -> Vec<(String, f64)> {
        let mut inclusive = self.own.clone();
        for ((caller, callee), edge) in &self.edges {
            if caller != callee {
                *inclusive.entry(*caller).or_default() += edge.cost;
            }
        }
        for cost in inclusive.values_mut() {
            *cost = cost.min(self.total);
        }
        self.sorted(inclusive)
    }

    /// What each crate costs from where it is entered: its own instructions and all it calls. Crates overlap.
    #[must_use]
    pub fn entered(&self) -> Vec<(String, f64)> {
        let mut entered: HashMap<&str, f64> = HashMap::new();
        for ((caller, callee), edge) in &self.edges {
            let (from, to) = (crate_of(self.name(*caller)), crate_of(self.name(*callee)));
            if from != to && !to.is_empty() {
                *entered.entry(to).or_default() += edge.cost;
            }
        }
        let mut entered: Vec<_> = entered
            .into_iter()
            .map(|(name, cost)| (name.to_owned(), cost.min(self.total)))
            .collect();
        entered.sort_by(|one, other| other.1.total_cmp(&one.1));
        entered
    }

    /// Instructions by the crate (or library) whose source they were written in, inlined or not.
    #[must_use]
    pub fn origins(&self) -> Vec<(Origin, f64)> {
        let mut origins: HashMap<Origin, f64> = HashMap::new();
        for (file, cost) in &self.files {
            *origins.entry(Origin::of(file)).or_default() += cost;
        }
        let mut origins: Vec<_> = origins.into_iter().collect();
        origins.sort_by(|one, other| other.1.total_cmp(&one.1));
        origins
    }

    /// Who spends instructions in functions whose name contains `part`: caller, callee, calls, instructions.
    #[must_use]
    pub fn callers(&self, part: &str) -> Vec<(String, String, f64, f64)> {
        let matching =
            self.edges.iter().filter(|((_, callee), _)| self.name(*callee).contains(part));
        let mut callers: Vec<_> = matching
            .map(|((caller, callee), edge)| {
                (
                    self.name(*caller).to_owned(),
                    self.name(*callee).to_owned(),
                    edge.calls,
                    edge.cost,
                )
            })
            .collect();
        callers.sort_by(|one, other| other.3.total_cmp(&one.3));
        callers
    }

    fn name(&self, id: Id) -> &str {
        &self.names[id as usize]
    }

    fn sorted(&self, costs: HashMap<Id, f64>) -> Vec<(String, f64)> {
        let mut costs: Vec<_> =
            costs.into_iter().map(|(id, cost)| (self.name(id).to_owned(), cost)).collect();
        costs.sort_by(|one, other| other.1.total_cmp(&one.1));
        costs
    }

    fn id(&mut self, mangled: &str) -> Id {
        let name = format!("{:#}", rustc_demangle::demangle(mangled));
        let next = Id::try_from(self.names.len()).unwrap_or(Id::MAX);
        *self.ids.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }
}

/// Where a reader stands in the file.
#[derive(Default)]
struct Reading {
    profile: Profile,
    function: Id,
    file: String,
    callee: Id,
    /// Set by a `calls=` line: the next line of costs is the callee's.
    calls: Option<f64>,
}

impl Reading {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).context("a line without costs")?.parse()?;
            self.cost(cost);
            return Ok(());
        }
        let Some((key, value)) = line.split_once('=') else { return Ok(()) };
        match key {
            "fn" => self.function = self.profile.id(value),
            "cfn" => self.callee = self.profile.id(value),
            "fl" | "fi" | "fe" => value.clone_into(&mut self.file),
            "calls" => self.calls = Some(value.split(' ').next().unwrap_or_default().parse()?),
            _ => {}
        }
        Ok(())
    }

    fn cost(&mut self, cost: f64) {
        let profile = &mut self.profile;
        if let Some(calls) = self.calls.take() {
            let edge = profile.edges.entry((self.function, self.callee)).or_default();
            edge.calls += calls;
            edge.cost += cost;
            return;
        }
        *profile.own.entry(self.function).or_default() += cost;
        profile.total += cost;
        match profile.files.get_mut(&self.file) {
            Some(sum) => *sum += cost,
            None => {
                profile.files.insert(self.file.clone(), cost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn profile(calls: u32) -> Profile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(
            file,
            "events: Ir\n\nfl=crates/gateway/src/call.rs\nfn=serve\n1 {}\nfi=/rustc/0/library/core/src/str.rs\n2 {}\n\
             cfn=mi_malloc\ncalls={} 0\n3 {}\n\nfl=alloc.c\nfn=mi_malloc\n1 {}\ncfn=mi_malloc_generic\ncalls={calls} 1\n\
             1 0\n\ntotals: 1\n",
            100 + 10 * calls,
            5 * calls,
            3 * calls,
            30 * calls,
            30 * calls
        )
        .unwrap();
        Profile::read(file.path()).unwrap()
    }

    #[test]
    fn the_difference_is_the_cost_of_the_calls() {
        let each = profile(15).per_call(&profile(5), 10);
        assert!((each.total() - 45.0).abs() < 1e-9, "{each:?}");
        assert!(
            (each.allocations() - 3.0).abs() < 1e-9,
            "the allocator's inner calls do not count"
        );
        assert_eq!(each.inclusive()[0], ("serve".into(), 45.0));
        assert_eq!(each.own()[0], ("mi_malloc".into(), 30.0));
        assert_eq!(each.allocators(), [("serve".into(), 3.0)]);
        assert!(each.origins().contains(&(Origin::Ours("gateway".into()), 10.0)));
    }
}
