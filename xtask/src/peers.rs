//! The servers that ours is measured beside, installed by name with their own package managers.

use std::fs;
use std::path::Path;

use crate::go::go;
use crate::machine;
use crate::run::{Result, cargo, run};
use crate::suite::{about, target};

/// Installs all of them; what is there in its version stays.
pub(crate) fn install() -> Result {
    machine::install(PACKAGES)?;
    let home = target().join("peers");
    for program in GO_PROGRAMS {
        program.install(&home)?;
    }
    install_sockudo(&home)
}

/// A program that Go's package manager builds.
struct GoProgram {
    name: &'static str,
    package: &'static str,
    /// Modules in their versions: the program's, and those that are to be newer than it asks for.
    modules: &'static [&'static str],
    /// What its own releases are built with.
    tags: &'static str,
}

impl GoProgram {
    /// Builds it within a module of its own: `go install` alone takes no program of a module that replaces
    /// others, as Mercure's does.
    fn install(&self, home: &Path) -> Result {
        let module = home.join("modules").join(self.name);
        fs::create_dir_all(&module).map_err(about(module.display()))?;
        if !module.join("go.mod").exists() {
            run(go(&["mod", "init", "peers"]).current_dir(&module))?;
        }
        run(go(&["get"]).args(self.modules).current_dir(&module))?;
        let mut install = go(&["install", "-tags", self.tags, self.package]);
        install.env("GOBIN", home.join("bin")).env("CGO_ENABLED", "0");
        run(install.current_dir(&module))
    }
}

fn install_sockudo(home: &Path) -> Result {
    let mut install = cargo(&["install", "sockudo", "--locked", "--version", SOCKUDO_VERSION]);
    install.arg("--root").arg(home).env("CARGO_TARGET_DIR", home.join("build"));
    run(&mut install)
}

/// Debian packages: nginx with Nchan, PostgreSQL, and what Sockudo is built with.
const PACKAGES: &[(&str, &str)] = &[
    ("libnginx-mod-nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so"),
    ("libprotobuf-dev", "/usr/include/google/protobuf/timestamp.proto"),
    ("nginx-light", "/usr/sbin/nginx"),
    ("postgresql-15", "/usr/lib/postgresql/15/bin/postgres"),
    ("protobuf-compiler", "/usr/bin/protoc"),
];
const GO_PROGRAMS: &[GoProgram] = &[
    GoProgram {
        name: "centrifugo",
        package: "github.com/centrifugal/centrifugo/v5",
        modules: &["github.com/centrifugal/centrifugo/v5@v5.4.9"],
        tags: "",
    },
    GoProgram {
        name: "mercure",
        package: "github.com/dunglas/mercure/caddy/mercure",
        modules: &[
            "github.com/dunglas/mercure/caddy/mercure@v0.24.2",
            "github.com/caddyserver/caddy/v2@v2.11.9",
        ],
        tags: "nobadger,nomysql,nopgx",
    },
    GoProgram {
        name: "nats-server",
        package: "github.com/nats-io/nats-server/v2",
        modules: &["github.com/nats-io/nats-server/v2@v2.15.2"],
        tags: "",
    },
];
const SOCKUDO_VERSION: &str = "5.2.0";
