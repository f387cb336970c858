//! The promises, proved on the real server.

mod bench;
mod browser;
mod caching;
mod content;
mod crash;
mod detached;
mod hostile;
mod listener;
mod matrix;
mod nginx;
mod payloads;
mod store;
