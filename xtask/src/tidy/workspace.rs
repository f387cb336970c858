use serde::Deserialize;

use crate::run::{Result, cargo, output};

/// What cargo knows of the workspace and all it depends on.
#[derive(Deserialize)]
pub(super) struct Workspace {
    pub(super) packages: Vec<Package>,
}

/// A package of this workspace, or one that it depends on.
#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    /// None for a package of this workspace.
    pub(super) source: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
}

/// Something a package declares to depend on.
#[derive(Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev`, `build`, or none for an ordinary one.
    pub(super) kind: Option<String>,
    pub(super) source: Option<String>,
}

impl Workspace {
    pub(super) fn read() -> Result<Self> {
        let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--locked"]))?;
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))
    }

    /// The packages of this workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none())
    }
}

impl Package {
    /// What the package is built from, other than its tests.
    pub(super) fn built_from(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| dependency.kind.is_none())
    }
}
