//! Every limit, with its name and the reason for its value.
//!
//! A limit that operators may change is the default of the setting of the same name; the others are
//! part of the wire contract.

use std::time::Duration;

// Names

/// Longest channel name, in bytes: fits a URL path segment and a NATS subject with room to spare.
pub const CHANNEL_BYTES_MAX: usize = 255;
/// Patterns one selection may name; a reader of more wants a wider pattern.
pub const SELECTION_PATTERNS_MAX: usize = 256;

// Events

/// Largest data of one event. Larger things belong in an object store, with a link in the event.
pub const EVENT_DATA_BYTES_MAX: usize = 1024 * 1024;
/// All attributes of one event together. CloudEvents asks for at least 64 KiB an event overall.
pub const EVENT_ATTRIBUTES_BYTES_MAX: usize = 32 * 1024;
/// Extension attributes one event may carry.
pub const EVENT_EXTENSIONS_MAX: usize = 64;
/// Longest extension name. CloudEvents 1.0 §3.1 advises 20; a few documented ones are longer.
pub const EXTENSION_NAME_BYTES_MAX: usize = 64;

// Publishing

/// Events in one batch of the log, from as many publishers as have them ready.
pub const LOG_BATCH_EVENTS_MAX: usize = 4_096;
/// Bytes in one batch of the log: a few milliseconds of writing on a slow disk.
pub const LOG_BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// Data and attributes of one batch together; also the largest request body.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of published events that may wait for the log before publishers are told to slow down.
pub const PUBLISH_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest idempotency key: a UUID seven times over.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long a key is known.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// Keys known at once; each takes about 80 bytes of memory.
pub const IDEMPOTENCY_KEYS_MAX: usize = 4_000_000;
/// Objects inside each other in a merge patch: more than any document needs.
pub const PATCH_DEPTH_MAX: usize = 64;
/// How often a merge patch is tried anew when others change the document meanwhile.
pub const STATE_TRIES_MAX: usize = 64;
/// Publishes one session may have under way; it is not read further until some are answered.
pub const SESSION_PUBLISHES_MAX: usize = 1_024;

// Schemas

/// Largest schema: a few thousand lines.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of a schema's own text.
pub const SCHEMA_NESTING_MAX: usize = 64;
/// Deepest nesting of JSON data that is checked, so that a check needs little of the stack.
pub const SCHEMA_DATA_NESTING_MAX: usize = 32;
/// Schemas that may apply to the same value, one by way of the other, for the same reason.
pub const SCHEMA_CHAIN_MAX: usize = 32;
/// Schemas within one schema that lead from one to another: going through them takes stack.
pub const SCHEMA_WAY_MAX: usize = 1_000;
/// Regular expressions in one schema. Each takes memory for as long as the server runs.
pub const SCHEMA_PATTERNS_MAX: usize = 64;
/// Bytes of one compiled regular expression: what it has to look at for each letter of a text.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 16 * 1024;
/// Checks on the way to one value of the data, at most: recursive schemas can double at every step.
pub const SCHEMA_PATH_CHECKS_MAX: u64 = 10_000;
/// Checks of one event's data, and of a batch's events together, at most: about a second.
pub const SCHEMA_CHECKS_MAX: u64 = 50_000_000;
/// Schemas within schemas that are compared at once.
pub const SCHEMA_COMPARISON_NESTING_MAX: usize = 64;
/// Steps in which a new version must be proved additive.
pub const SCHEMA_COMPARISONS_MAX: usize = 100_000;
/// What is told of one event's violations, and of the reasons why a version is refused.
pub const SCHEMA_FINDINGS_MAX: usize = 8;
/// Longest event type that can have a schema.
pub const SCHEMA_TYPE_BYTES_MAX: usize = 255;
/// Event types that can have a schema; all are held in memory.
pub const SCHEMAS_MAX: usize = 1_000;

// Reading

/// Events in one page.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// Events in one page when the reader does not say.
pub const PAGE_EVENTS_DEFAULT: usize = 100;
/// Data and attributes with which a page is full. The event that fills it may go beyond, but not beyond
/// the 4 MiB of a message that clients of gRPC take unless told otherwise; in base64, as generated code has
/// it in JSON, it is a third more, where no such limit is usual.
pub const PAGE_BYTES_MAX: usize = 5 * 512 * 1024;
/// Parameters in the body of a request: the largest selection, with every byte of it escaped.
pub const QUERY_BYTES_MAX: usize = 256 * 1024;
/// Longest address that a client is led to; common clients and proxies refuse longer lines.
pub const LINK_BYTES_MAX: usize = 4 * 1024;
/// Longest wait of a long poll: under the 60 s after which common proxies give up.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Events a subscription takes from the log or the tail at once: one vectored write's worth.
pub const DELIVERY_EVENTS_MAX: usize = 256;
/// Bytes a subscription takes at once, but always one event: with the socket's own buffer, all that a
/// slow reader can hold.
pub const DELIVERY_BYTES_MAX: usize = 64 * 1024;
/// Subscriptions one session may hold.
pub const SESSION_SUBSCRIPTIONS_MAX: usize = 256;

// The tail

/// Recent events kept in memory for live subscribers, by count.
pub const TAIL_EVENTS_MAX: usize = 65_536;
/// Recent events kept in memory for live subscribers, by bytes.
pub const TAIL_BYTES_MAX: usize = 64 * 1024 * 1024;

// Long-lived connections

/// Silence after which a heartbeat is sent: under the 30 s to 60 s idle limit of common proxies.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Heartbeats after which a silent peer counts as dead: one to ask it, one for its answer.
pub const HEARTBEATS_DEAD: u32 = 2;
/// Largest frame a client may send: a batch of binary data in base64, within reason.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest SSE event; common clients and proxies stumble over much longer lines.
pub const SSE_EVENT_BYTES_MAX: usize = 32 * 1024;

// Connections

/// Time a client has for the TLS handshake, and for the headers of its first request.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client may leave a connection without a request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Time a client has to take an answer that has not waited for the rest of its request.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time a client may leave a request body without a byte of progress.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Time a client has for the whole of a request body: 8 MiB at 70 kB a second.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// Request bodies in memory at once, over all connections; one more is refused, to be sent again.
pub const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The beginning of a body that does not count: ordinary publishes are never refused for the large
/// ones of others.
pub const BODY_BYTES_FREE: usize = 16 * 1024;
/// Request line and headers together.
pub const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Header fields in one request.
pub const HEADERS_MAX: usize = 100;
/// Streams one HTTP/2 connection may have open.
pub const HTTP2_STREAMS_MAX: u32 = 1_000;
/// Bytes that may wait to be sent on one stream of HTTP/2, or connection of HTTP/1.1, before its body is
/// asked for more: as much as any other slow reader can hold.
pub const SEND_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a client of HTTP/2 may send before they are read, on all its streams together: what several
/// of them hold back leaves room for the others.
pub const HTTP2_RECEIVE_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// The same for each of them.
pub const HTTP2_STREAM_RECEIVE_BYTES_MAX: u32 = 128 * 1024;
/// Requests of HTTP/2 that a client may have taken back before the server got to see them; one more ends
/// the connection (CVE-2023-44487). Who is served takes back far fewer at once.
pub const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Streams of one HTTP/2 connection that the server may have had to reset for the client's mistakes; one
/// more ends the connection (CVE-2025-8671).
pub const HTTP2_RESETS_FAULTY_MAX: usize = 1_024;
/// Time that is left to the streams of an HTTP/2 connection that has reached its age.
pub const AGE_GRACE: Duration = Duration::from_secs(30);
/// Connections served at once; below the usual limit of open files, with room for segments.
pub const CONNECTIONS_MAX: usize = 18_000;
