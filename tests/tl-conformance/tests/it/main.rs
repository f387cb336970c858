//! The promises, proved on the real server.

mod bench;
mod browser;
mod crash;
mod detached;
mod docs;
mod hostile;
mod listener;
mod matrix;
mod nginx;
mod openapi;
mod payloads;
mod store;
