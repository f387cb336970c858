use super::*;

const ORDER: &str = "message Order { int64 cents = 1; Line line = 2; State state = 3; \
                     message Line { string sku = 1; } enum State { NEW = 0; PAID = 1; } }";

#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    assert_eq!(reasons(&proto(old), &proto(new)), expected);
}

#[track_caller]
fn refused(name: Option<&str>, source: &str, reason: &str) {
    let error = Schema::parse(Kind::Proto, name, source.as_bytes()).expect_err("refused");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_message_is_taken_in_both_of_its_forms() {
    let schema = proto(ORDER);
    let binary = |data: &[u8]| {
        let found = schema.check(data, Encoding::Protobuf).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(binary(b"").is_empty());
    assert!(binary(b"\x08\x01\x12\x03\x0a\x01a").is_empty());
    assert_eq!(binary(b"\x20\x01"), ["Order has no field 4"]);
    assert_eq!(binary(b"\x12\x02\x10\x01"), ["line: Order.Line has no field 2"]);
    assert!(binary(b"\x08")[0].contains("is not a Order"));
    assert!(
        violations(&schema, r#"{"cents": "1250", "line": {"sku": "a"}, "state": "PAID"}"#)
            .is_empty()
    );
    assert_eq!(violations(&schema, r#"{"cent": 1}"#), [""]);
    assert_eq!(violations(&schema, r#"{"cents": "x"}"#), [""]);
    assert_eq!(violations(&schema, "{} {}"), [""]);
}

#[test]
fn the_message_meant_is_named_or_the_only_one() {
    let two = "syntax = \"proto3\"; package shop; message A {} message B {}";
    refused(None, two, "name the one that is meant");
    refused(Some("C"), two, "no message `C`");
    for name in ["B", "shop.B"] {
        let schema = Schema::parse(Kind::Proto, Some(name), two.as_bytes()).expect("a schema");
        assert_eq!(schema.message(), Some("shop.B"));
    }
    refused(None, "syntax = \"proto3\";", "no message");
}

#[test]
fn a_file_stands_alone_but_for_what_protobuf_brings() {
    let time = proto(
        "import \"google/protobuf/timestamp.proto\"; \
                      message A { google.protobuf.Timestamp at = 1; }",
    );
    assert!(violations(&time, r#"{"at": "2026-01-31T12:00:00Z"}"#).is_empty());
    assert_eq!(violations(&time, r#"{"at": "yesterday"}"#), [""]);
    refused(None, "syntax = \"proto3\"; import \"other.proto\"; message A {}", "stands alone");
    refused(None, "message", "stands alone");
    let extended = "syntax = \"proto2\"; message A { extensions 10 to 20; } \
                    extend A { optional int32 b = 10; }";
    refused(Some("A"), extended, "extensions are not supported");
    let deep = format!("syntax = \"proto3\"; {}", "message A {".repeat(20_000));
    refused(None, &deep, "nested deeper");
}

#[test]
fn descriptors_say_the_same_as_their_source() {
    let files =
        protox::file::File::from_source("a.proto", &format!("syntax = \"proto3\"; {ORDER}"));
    let set = prost_types::FileDescriptorSet {
        file: vec![files.expect("parses").file_descriptor_proto().clone()],
    };
    let set = prost::Message::encode_to_vec(&set);
    let schema = Schema::parse(Kind::Descriptors, None, &set).expect("a schema");
    assert_eq!(reasons(&schema, &proto(ORDER)), [""; 0]);
    assert_eq!(violations(&schema, r#"{"cents": 1}"#), [""; 0]);
    assert!(Schema::parse(Kind::Descriptors, None, b"\xff").is_err());
}

#[test]
fn descriptors_of_another_syntax_are_refused() {
    for syntax in ["editions", "proto9", ""] {
        let file = prost_types::FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            syntax: Some(syntax.to_owned()),
            ..Default::default()
        };
        let set = prost_types::FileDescriptorSet { file: vec![file] };
        let set = prost::Message::encode_to_vec(&set);
        let error = Schema::parse(Kind::Descriptors, None, &set).expect_err("it is not known");
        assert!(error.to_string().contains(&format!("the syntax `{syntax}`")), "{error}");
    }
}

#[test]
fn a_message_may_gain_fields_and_values_and_lose_none() {
    check(ORDER, ORDER, &[]);
    check("message A { int32 a = 1; }", "message A { int32 a = 1; string b = 2; }", &[]);
    check(
        "message A { B b = 1; } enum B { C = 0; }",
        "message A { B b = 1; } enum B { C = 0; D = 1; }",
        &[],
    );
    let one = "message A { int32 a = 1; }";
    check(one, "message A { }", &["A.a: the field with the number 1 is gone"]);
    check(one, "message A { int32 a = 2; }", &["A.a: its number was 1, and is 2"]);
    check(one, "message A { int32 b = 1; }", &["A.a: its name is `b` now, which JSON goes by"]);
    check(one, "message A { string a = 1; }", &["A.a: its type was int32, and is string"]);
    check(one, "message A { repeated int32 a = 1; }", &["A.a: it was singular, and is repeated"]);
    check(one, "message A { optional int32 a = 1; }", &["A.a: it was singular, and is optional"]);
    check(
        "message A { optional int32 a = 1; }",
        "message A { oneof x { int32 a = 1; int32 b = 2; } }",
        &["A.a: it belongs to another `oneof`, or to none any more"],
    );
    check(
        "message A { B b = 1; } enum B { C = 0; D = 1; }",
        "message A { B b = 1; } enum B { C = 0; E = 1; }",
        &["A.b: the value D = 1 is gone"],
    );
}

#[test]
fn messages_within_messages_are_compared_too() {
    let tree = |field: &str| format!("message A {{ map<string, A> parts = 1; {field} }}");
    check(&tree("int32 b = 2;"), &tree("int32 b = 2; int32 c = 3;"), &[]);
    check(&tree("int32 b = 2;"), &tree("bool b = 2;"), &["A.b: its type was int32, and is bool"]);
}

#[test]
fn kinds_cannot_follow_each_other() {
    let found = reasons(&proto(ORDER), &json_schema(&json!({})));
    assert!(found[0].contains("cannot follow each other"));
}

#[test]
fn what_any_can_hold_is_compared_too() {
    let parse = |other: &str| {
        let source = format!(
            "syntax = \"proto3\"; import \"google/protobuf/any.proto\"; \
             message A {{ google.protobuf.Any any = 1; }} {other}"
        );
        Schema::parse(Kind::Proto, Some("A"), source.as_bytes()).expect("a schema")
    };
    let old = parse("message B { int32 b = 1; }");
    assert_eq!(reasons(&old, &parse("message B { int32 b = 1; } message C {}")), [""; 0]);
    let gone = reasons(&old, &parse("message C {}"));
    assert_eq!(gone, ["A.any: the message B that it can hold is gone"]);
    let changed = reasons(&old, &parse("message B { bool b = 1; }"));
    assert_eq!(changed, ["B.b: its type was int32, and is bool"]);
}
