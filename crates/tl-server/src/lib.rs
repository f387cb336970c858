//! From a configuration to a running server.
//!
//! [`Config`] is what operators write; [`Server::start`] opens the [store](stores), starts the
//! engine, mounts all [`transports`], and listens. [`Server::shutdown`] drains: every
//! client is told, in its transport's own way, when to come back and where to go on.

pub mod config;
mod health;
pub mod listener;
mod server;
mod stores;
mod transports;

pub use config::Config;
pub use server::{Server, StartError};

#[cfg(test)]
mod contract;
#[cfg(test)]
mod description;
#[cfg(test)]
mod methods;
