use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// A kind of model. Every `match` on it is exhaustive: to add one, add a variant and follow the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Logistic regression.
    Logistic,
    /// A random forest.
    Forest,
    /// Logistic regression, by linfa-logistic: the same model, found more slowly.
    LinfaLogistic,
    /// A random forest, by smartcore: as good, and fitted more slowly.
    SmartcoreForest,
}

/// A name that is no model family.
#[derive(Debug, Error)]
#[error("{0:?} is not a model family: use logistic, forest, linfa-logistic or smartcore-forest")]
pub struct UnknownFamily(String);

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Logistic, Self::Forest, Self::LinfaLogistic, Self::SmartcoreForest];

    /// The families that are compared unless others are asked for: one of each kind of model.
    pub const COMPARED: [Self; 2] = [Self::Logistic, Self::Forest];

    /// The family's name, as on the command line and in an artifact.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Forest => "forest",
            Self::LinfaLogistic => "linfa-logistic",
            Self::SmartcoreForest => "smartcore-forest",
        }
    }

    /// The name and the version of the library that fits it.
    pub fn library(self) -> (&'static str, &'static str) {
        match self {
            Self::Logistic | Self::Forest => (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            Self::LinfaLogistic => ("linfa-logistic", "0.8.1"),
            Self::SmartcoreForest => ("smartcore", "0.7.0"),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, UnknownFamily> {
        Self::ALL
            .into_iter()
            .find(|family| family.name() == name)
            .ok_or_else(|| UnknownFamily(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_versions_are_those_that_are_built_in() {
        let lock = include_str!("../../Cargo.lock");
        for family in Family::ALL {
            let (name, version) = family.library();
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "Cargo.lock has another version than {name} {version}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for family in Family::ALL {
            assert_eq!(family.name().parse::<Family>().unwrap(), family);
        }
        let refused = "svm".parse::<Family>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "\"svm\" is not a model family: use logistic, forest, linfa-logistic or smartcore-forest"
        );
    }
}
