//! The layers: what each crate may be built from. Arrows point inward only.

use super::workspace::{Package, Workspace};

/// The crates of the workspace by ring, and what else of the workspace they may use.
const LAYERS: &[Layer] = &[
    Layer { crates: &["tl-model"], may_use: &[], is_pure: true },
    Layer { crates: &["tl-protocol", "tl-schema"], may_use: &["tl-model"], is_pure: true },
    Layer {
        crates: &["tl-wire", "tl-store"],
        may_use: &["tl-model", "tl-protocol"],
        is_pure: false,
    },
    Layer {
        crates: &["tl-store-disk", "tl-engine"],
        may_use: &["tl-model", "tl-protocol", "tl-schema", "tl-store"],
        is_pure: false,
    },
    Layer {
        crates: &["tl-transport"],
        may_use: &["tl-engine", "tl-model", "tl-protocol", "tl-store", "tl-wire"],
        is_pure: false,
    },
    Layer {
        crates: &[
            "tl-transport-openapi",
            "tl-transport-rest",
            "tl-transport-rpc",
            "tl-transport-sse",
            "tl-transport-websocket",
        ],
        may_use: &["tl-transport"],
        is_pure: false,
    },
    Layer { crates: &["tl-client"], may_use: &["tl-model", "tl-wire"], is_pure: false },
    Layer {
        crates: &[
            "tl-bench",
            "tl-conformance",
            "tl-faults",
            "tl-server",
            "tl-sim",
            "tl-testbench",
            "throughline",
            "xtask",
        ],
        may_use: &["*"],
        is_pure: false,
    },
];

/// What brings time, sockets, threads or chance into a crate that must have none.
const IMPURE: &[&str] =
    &["fastrand", "futures-util", "getrandom", "hyper", "rand", "socket2", "tokio", "uuid"];

/// Who may start a server within itself.
const BINARIES: &[&str] = &["throughline", "tl-testbench"];

struct Layer {
    crates: &'static [&'static str],
    may_use: &'static [&'static str],
    is_pure: bool,
}

pub(super) fn check(workspace: &Workspace, findings: &mut Vec<String>) {
    for package in workspace.members() {
        match LAYERS.iter().find(|layer| layer.crates.contains(&package.name.as_str())) {
            Some(layer) => check_package(package, layer, findings),
            None => {
                findings.push(format!("{} has no layer; give it one in layers.rs", package.name))
            }
        }
    }
}

fn check_package(package: &Package, layer: &Layer, findings: &mut Vec<String>) {
    for dependency in package.built_from() {
        let (name, user) = (dependency.name.as_str(), &package.name);
        let is_own = dependency.source.is_none();
        if is_own && !layer.may_use.contains(&name) && !layer.may_use.contains(&"*") {
            findings.push(format!("{user} may not use {name}: arrows point inward only"));
        }
        if layer.is_pure && IMPURE.contains(&name) {
            findings.push(format!("{user} may not use {name}: it is pure"));
        }
        if name == "tl-server" && !BINARIES.contains(&user.as_str()) {
            findings.push(format!("{user} may not use tl-server: only binaries do"));
        }
    }
}
