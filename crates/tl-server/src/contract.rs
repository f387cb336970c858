//! The public contract, written down line by line in `docs/contract.txt`. Lines are added, never
//! taken away; `cargo xtask tidy` looks through the file's history for that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use tl_engine::{Engine, Options, SystemEnvironment};
use tl_model::{Epoch, ErrorCode};
use tl_store::MemoryStore;
use tl_transport::Host;
use tl_transport::http::types::Method;
use tl_wire::DESCRIPTORS;

use crate::{Config, server};

/// Run with `UPDATE_CONTRACT=1` to write down what was added.
#[tokio::test]
async fn the_contract_is_written_down() {
    let lines: BTreeSet<String> =
        errors().chain(messages()).chain(settings()).chain(routes()).collect();
    let current = lines.into_iter().map(|line| line + "\n").collect::<String>();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contract.txt");
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        std::fs::write(&path, &current).expect("the contract is written");
    }
    let written = std::fs::read_to_string(&path).expect("docs/contract.txt exists");
    assert_eq!(written, current, "run this test with UPDATE_CONTRACT=1 and look at what changed");
}

fn errors() -> impl Iterator<Item = String> {
    ErrorCode::ALL.iter().map(|code| format!("error {code}"))
}

fn messages() -> impl Iterator<Item = String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("what protox wrote");
    let messages = set.file.into_iter().flat_map(|file| file.message_type);
    messages.flat_map(|message| fields(&message, message.name()))
}

fn fields(message: &DescriptorProto, path: &str) -> Vec<String> {
    let own = message.field.iter().map(|field| {
        format!("message {path}.{} = {} {}", field.name(), field.number(), kind(field))
    });
    let nested = message.nested_type.iter();
    own.chain(nested.flat_map(|it| fields(it, &format!("{path}.{}", it.name())))).collect()
}

fn kind(field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    match field.r#type() {
        Type::Message => format!("{repeated}{}", field.type_name()),
        kind => format!("{repeated}{}", kind.as_str_name()),
    }
}

fn settings() -> impl Iterator<Item = String> {
    let schema = serde_json::to_value(Config::schema()).expect("JSON");
    let mut paths = Vec::new();
    collect_settings(&schema, &schema, "", &mut paths);
    paths.into_iter().map(|path| format!("setting {path}"))
}

fn collect_settings(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    path: &str,
    paths: &mut Vec<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return collect_settings(root, target, path, paths);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        collect_settings(root, choice, path, paths);
    }
    if schema["items"].is_object() {
        collect_settings(root, &schema["items"], path, paths);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        paths.push(path.clone());
        collect_settings(root, property, &path, paths);
    }
}

fn routes() -> impl Iterator<Item = String> {
    let host = host();
    let lines = host.routes().iter().map(|route| {
        format!("route {} {} {}", route.method, route.path, route.produces.join(" "))
            .trim_end()
            .to_owned()
    });
    lines.collect::<Vec<_>>().into_iter()
}

/// Every method of every path.
pub(crate) fn methods_and_paths() -> Vec<(Method, &'static str)> {
    host().routes().iter().map(|route| (route.method.clone(), route.path)).collect()
}

fn host() -> Host {
    let store = Arc::new(MemoryStore::new(Epoch::from_random(1)));
    let engine = Engine::start(store, Arc::new(SystemEnvironment), Options::default());
    server::host(&Config::default(), &engine)
}
