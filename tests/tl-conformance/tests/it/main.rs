//! The promises, proved on the real server.

mod matrix;
