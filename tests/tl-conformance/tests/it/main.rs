//! The promises, proved on the real server.

mod bench;
mod browser;
mod crash;
mod detached;
mod hostile;
mod listener;
mod matrix;
mod nginx;
mod payloads;
mod schemas;
mod store;
