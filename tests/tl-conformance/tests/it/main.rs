//! The promises, proved on the real server.

mod bench;
mod browser;
mod caching;
mod calls;
mod content;
mod crash;
mod detached;
mod docs;
mod foreign;
mod hostile;
mod listener;
mod matrix;
mod moving;
mod nginx;
mod once;
mod openapi;
mod payloads;
mod payments;
mod rolling;
mod schemas;
mod state;
mod store;
mod updates;
