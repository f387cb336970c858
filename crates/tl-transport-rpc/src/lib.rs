//! gRPC, gRPC-Web and Connect: one set of methods, whatever the client speaks.
//!
//! | path | what it does |
//! | --- | --- |
//! | `/throughline.v1.EventService/Publish` | publishes events |
//! | `/throughline.v1.EventService/PublishMany` | publishes a stream of events |
//! | `/throughline.v1.EventService/Read` | a page of events; also by `GET` |
//! | `/throughline.v1.EventService/Subscribe` | what comes behind a cursor, then what comes live |
//! | `/throughline.v1.EventService/Session` | the two-way protocol |
//! | `/throughline.v1.StateService/GetState`, `/ListStates` | documents; also by `GET` |
//! | `/throughline.v1.StateService/PutState`, `/PatchState`, `/DeleteState` | changes a document |
//! | `/throughline.v1.SchemaService/ListSchemas`, `/GetSchema` | schemas of event types; also by `GET` |
//! | `/throughline.v1.SchemaService/PutSchema`, `/CheckSchema` | adds a version of one, or would |
//! | `/throughline.v1.AdminService/GetServerStatus` | how the server is; also by `GET` |
//! | `/grpc.health.v1.Health/Check`, `/Watch` | whether the server wants to be sent anything new |
//! | `/grpc.reflection.v1.ServerReflection/…` | what methods and messages there are, if that is wanted |
//!
//! Standards: gRPC over HTTP/2, gRPC-Web in its binary and its text form, the Connect protocol. The
//! library `connectrpc` speaks them; this room tells it what the methods do.
//!
//! Messages are read and written by [`wire::call`](tl_transport::wire::call), and frames by
//! [`wire::frame`](tl_transport::wire::frame), each event at most once for all who get it, but for those
//! who speak the JSON of generated code. HTTP/2's flow control is all the credit there is: what nobody
//! reads is not taken from the log, but for one message.

mod admin;
mod bounds;
mod calls;
mod error;
mod events;
mod health;
mod mapping;
pub mod mount;
mod reflection;
mod schemas;
mod session;
mod state;
mod subscribe;
mod text;

use std::time::Duration;

use tl_transport::model::limits::{HEARTBEAT, WAIT_MAX};
use tl_transport::session::SessionOptions;
use tl_transport::{Host, Transport};

use calls::Calls;
use mapping::Mapped;

/// The room.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    /// How sessions and subscriptions behave.
    pub session: SessionOptions,
    /// The longest wait of a `Read`; longer ones are cut to it.
    pub wait_max: Duration,
    /// Whether clients may ask what methods and messages there are.
    pub reflection: bool,
}

impl Default for Rpc {
    fn default() -> Self {
        let session = SessionOptions {
            heartbeat: HEARTBEAT,
            reconnect_within: Duration::from_secs(10),
            drain_grace: Duration::from_secs(5),
        };
        Self { session, wait_max: WAIT_MAX, reflection: false }
    }
}

impl Transport for Rpc {
    fn mount(&self, host: &mut Host) {
        let calls = Calls::new(host.engine().clone(), *self, host.room().clone());
        let service = mount::service(Mapped::new(calls));
        for name in calls::services() {
            mount::mount(host, name, &service);
        }
        if self.reflection {
            reflection::mount(host);
        }
    }
}

#[cfg(test)]
mod tests;
