//! The estimators: model families, and the solvers that fit them.

use std::fmt;
use std::str::FromStr;

use onnward_schemas::TaskKind;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// A kind of model.
///
/// Every `match` on it is exhaustive: to add one, add a variant and follow the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Logistic regression, of a binary label or of classes.
    Logistic,
    /// A random forest, of any label.
    Forest,
    /// Ridge regression, of a number.
    Ridge,
}

/// The code that fits a model.
///
/// Every `match` on it is exhaustive, as with [`Family`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Solver {
    /// Onnward's own: Newton's method and L-BFGS for logistic regression, histograms for forests, the normal
    /// equations for ridge regression.
    Own,
    /// linfa-logistic. It finds the same logistic regression as [`Solver::Own`], more slowly, of a binary label.
    Linfa,
    /// smartcore. Its forests are as good as those of [`Solver::Own`], and take longer to fit. Only those of a binary
    /// label are used.
    Smartcore,
}

/// A family and the solver that fits it: what a training run compares.
///
/// Each has one name for the command line, the report and the artifact:
///
/// ```
/// use onnward_models::{Estimator, Family, Solver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let estimator: Estimator = "linfa-logistic".parse()?;
/// assert_eq!(estimator, Estimator { solver: Solver::Linfa, family: Family::Logistic });
/// assert_eq!(Estimator::from(Family::Forest).to_string(), "forest");
/// # Ok(())
/// # }
/// ```
// Sorted by solver first: candidates are trained in this order, and the first wins a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Estimator {
    /// The code that fits the model.
    pub solver: Solver,
    /// The kind of model.
    pub family: Family,
}

/// The error for a name that is not a model family.
#[derive(Debug, Error)]
#[error("{0:?} is not a model family: use logistic, forest or ridge")]
pub struct UnknownFamily(String);

/// The error for a name that is not an estimator.
#[derive(Debug, Error)]
#[error("{0:?} is not a candidate: use logistic, forest, ridge, linfa-logistic or smartcore-forest")]
pub struct UnknownEstimator(String);

/// The error for a solver that cannot fit a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the solver {} cannot fit the family {}: use {}", .0.solver, .0.family, available(.0.family))]
pub struct UnsupportedSolver(pub(crate) Estimator);

/// The error for an estimator that cannot fit a label of the table's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{estimator} cannot predict a label of type {:?}: use {}", task.name(), Estimator::names_for(*task)
)]
pub struct UnsupportedTask {
    /// The estimator.
    pub estimator: Estimator,
    /// The task of the table's label.
    pub task: TaskKind,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Logistic, Self::Forest, Self::Ridge];

    /// Returns the family's name, as on the command line and in an artifact.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Forest => "forest",
            Self::Ridge => "ridge",
        }
    }

    /// Returns the families that are compared for a task if none are named, in the order in which they are trained.
    pub fn for_task(task: TaskKind) -> &'static [Self] {
        match task {
            TaskKind::Binary | TaskKind::Classes => &[Self::Logistic, Self::Forest],
            TaskKind::Number => &[Self::Ridge, Self::Forest],
            TaskKind::Raw => &[],
        }
    }
}

impl Solver {
    /// Every solver.
    pub const ALL: [Self; 3] = [Self::Own, Self::Linfa, Self::Smartcore];

    /// Reports whether it can fit models of a family.
    pub fn fits(self, family: Family) -> bool {
        match (self, family) {
            (Self::Own, Family::Logistic | Family::Forest | Family::Ridge)
            | (Self::Linfa, Family::Logistic)
            | (Self::Smartcore, Family::Forest) => true,
            (Self::Linfa, Family::Forest | Family::Ridge)
            | (Self::Smartcore, Family::Logistic | Family::Ridge) => false,
        }
    }

    /// Returns the name and the version of the library that holds it.
    pub fn library(self) -> (&'static str, &'static str) {
        match self {
            Self::Own => (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            Self::Linfa => ("linfa-logistic", "0.8.1"),
            Self::Smartcore => ("smartcore", "0.7.0"),
        }
    }
}

impl Estimator {
    /// Every pair of a solver and a family that it can fit.
    pub const ALL: [Self; 5] = [
        Self { solver: Solver::Own, family: Family::Logistic },
        Self { solver: Solver::Own, family: Family::Forest },
        Self { solver: Solver::Own, family: Family::Ridge },
        Self { solver: Solver::Linfa, family: Family::Logistic },
        Self { solver: Solver::Smartcore, family: Family::Forest },
    ];

    /// Returns the name, as on the command line and in an artifact: the family's alone for [`Solver::Own`].
    pub fn name(self) -> &'static str {
        match (self.solver, self.family) {
            (Solver::Own, family) => family.name(),
            (Solver::Linfa, Family::Logistic) => "linfa-logistic",
            (Solver::Linfa, Family::Forest) => "linfa-forest",
            (Solver::Linfa, Family::Ridge) => "linfa-ridge",
            (Solver::Smartcore, Family::Ridge) => "smartcore-ridge",
            (Solver::Smartcore, Family::Logistic) => "smartcore-logistic",
            (Solver::Smartcore, Family::Forest) => "smartcore-forest",
        }
    }

    /// Reports whether it can predict labels of a task.
    ///
    /// ```
    /// use onnward_models::{Estimator, Family};
    /// use onnward_schemas::TaskKind;
    ///
    /// assert!(Estimator::from(Family::Forest).fits(TaskKind::Number));
    /// assert!(!Estimator::from(Family::Ridge).fits(TaskKind::Classes));
    /// ```
    pub fn fits(self, task: TaskKind) -> bool {
        match (self.solver, self.family, task) {
            (Solver::Own, Family::Logistic, TaskKind::Binary | TaskKind::Classes)
            | (Solver::Own, Family::Forest, TaskKind::Binary | TaskKind::Classes | TaskKind::Number)
            | (Solver::Own, Family::Ridge, TaskKind::Number)
            | (Solver::Linfa | Solver::Smartcore, _, TaskKind::Binary) => self.solver.fits(self.family),
            (Solver::Own | Solver::Linfa | Solver::Smartcore, ..) => false,
        }
    }

    /// Lists the estimators that can predict labels of a task.
    fn names_for(task: TaskKind) -> String {
        let fitting: Vec<&str> = Self::ALL.into_iter().filter(|it| it.fits(task)).map(Self::name).collect();
        match fitting.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => fitting.concat(),
        }
    }

    /// Rejects a solver that cannot fit the family.
    pub(crate) fn check(self) -> Result<(), UnsupportedSolver> {
        if self.solver.fits(self.family) { Ok(()) } else { Err(UnsupportedSolver(self)) }
    }
}

/// Lists the solvers of a family.
fn available(family: Family) -> String {
    let solvers = Solver::ALL.into_iter().filter(|solver| solver.fits(family));
    solvers.map(|solver| solver.to_string()).collect::<Vec<_>>().join(" or ")
}

impl From<Family> for Estimator {
    /// Chooses [`Solver::Own`].
    fn from(family: Family) -> Self {
        Self { solver: Solver::Own, family }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Own => "own",
            Self::Linfa => "linfa",
            Self::Smartcore => "smartcore",
        })
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Estimator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, UnknownFamily> {
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| UnknownFamily(name.to_owned()))
    }
}

impl FromStr for Estimator {
    type Err = UnknownEstimator;

    fn from_str(name: &str) -> Result<Self, UnknownEstimator> {
        let found = Self::ALL.into_iter().find(|estimator| estimator.name() == name);
        found.ok_or_else(|| UnknownEstimator(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_pair() -> impl Iterator<Item = Estimator> {
        let families = |solver| Family::ALL.into_iter().map(move |family| Estimator { solver, family });
        Solver::ALL.into_iter().flat_map(families)
    }

    #[test]
    fn library_versions_are_those_that_are_built_in() {
        let lock = include_str!("../../Cargo.lock");
        for solver in Solver::ALL {
            let (name, version) = solver.library();
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "Cargo.lock has another version than {name} {version}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for estimator in Estimator::ALL {
            assert_eq!(estimator.name().parse::<Estimator>().unwrap(), estimator);
        }
        let refused = "svm".parse::<Estimator>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "\"svm\" is not a candidate: use logistic, forest, ridge, linfa-logistic or smartcore-forest"
        );
        for family in Family::ALL {
            assert_eq!(family.name().parse::<Family>().unwrap(), family);
        }
        let refused = "linfa-logistic".parse::<Family>().unwrap_err().to_string();
        assert_eq!(refused, "\"linfa-logistic\" is not a model family: use logistic, forest or ridge");
    }

    #[test]
    fn the_estimators_are_the_pairs_that_can_be_fitted() {
        let fitting: Vec<Estimator> = every_pair().filter(|pair| pair.check().is_ok()).collect();
        assert_eq!(fitting, Estimator::ALL);
        assert!(Estimator::ALL.is_sorted());
        let refused = Estimator { solver: Solver::Linfa, family: Family::Forest }.check().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the solver linfa cannot fit the family forest: use own or smartcore"
        );
    }

    #[test]
    fn every_task_that_is_trained_has_estimators_and_raw_outputs_have_none() {
        for task in [TaskKind::Binary, TaskKind::Classes, TaskKind::Number, TaskKind::Raw] {
            let families = Family::for_task(task);
            assert_eq!(families.is_empty(), task == TaskKind::Raw);
            assert!(families.iter().all(|family| Estimator::from(*family).fits(task)));
        }
        let error = UnsupportedTask { estimator: Family::Ridge.into(), task: TaskKind::Classes };
        assert_eq!(
            error.to_string(),
            "ridge cannot predict a label of type \"classes\": use logistic or forest"
        );
    }

    #[test]
    fn each_pair_has_a_name_of_its_own() {
        let mut names: Vec<&str> = every_pair().map(Estimator::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Solver::ALL.len() * Family::ALL.len());
    }
}
