use serde_json::{Value, json};

use tl_transport::http::types::StatusCode;
use tl_transport::testkit::{Answer, Kit};

use super::*;

/// The digests of the files as the npm package `swagger-ui-dist` ships them in this version.
const SWAGGER_UI: [(&str, &str); 5] = [
    ("LICENSE", "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"),
    ("NOTICE", "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2"),
    ("swagger-ui-bundle.js", "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2"),
    (
        "swagger-ui-bundle.js.LICENSE.txt",
        "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    ),
    ("swagger-ui.css", "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d"),
];
const SWAGGER_UI_VERSION: &str = "5.35.0";

/// The schema that the OpenAPI Initiative publishes for documents of version 3.1.
const OPENAPI_SCHEMA: &str = include_str!("../schema/2022-10-07.json");

async fn get(path: &str) -> Answer {
    Kit::new(&[&OpenApi]).get(path).await
}

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed() {
    let answer = get("/v1/openapi.json").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, DOCUMENT));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let kit = Kit::new(&[&OpenApi]);
    for path in ["/v1/openapi.json", "/docs", "/docs/swagger-ui.css"] {
        let whole = kit.get(path).await;
        let (tag, weak) = (whole.header("etag"), format!("\"x\", W/{}", whole.header("etag")));
        for known in [tag, &weak, "*"] {
            let again = kit.ask(Method::GET, path, &[("if-none-match", known)], "").await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path} {known}");
            assert_eq!((again.header("etag"), again.text()), (tag, ""));
        }
        let other = kit.ask(Method::GET, path, &[("if-none-match", "\"x\"")], "").await;
        assert_eq!((other.status, &other.body), (StatusCode::OK, &whole.body));
    }
}

#[tokio::test]
async fn the_page_may_ask_nothing_but_this_server() {
    let page = get("/docs").await;
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("://"), "{policy}");
    let text = page.text();
    assert!(!text.contains("://") && !text.contains("<style") && !text.contains("<script>"));
}

#[tokio::test]
async fn every_part_of_the_page_is_there_and_nothing_else() {
    let page = get("/docs").await;
    let links = page.text().split('"').filter(|text| text.starts_with("docs/"));
    let links: Vec<_> = links.map(str::to_owned).collect();
    assert_eq!(links.len(), 3);
    for link in links {
        let part = get(&format!("/{link}")).await;
        assert_eq!(part.status, StatusCode::OK, "{link}");
        assert_eq!(part.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(get("/docs/page.html.bak").await.status, StatusCode::NOT_FOUND);
}

#[test]
fn the_page_is_what_swagger_ui_ships() {
    for (name, digest) in SWAGGER_UI {
        let (_, _, bytes) = PARTS.iter().find(|(part, ..)| *part == name).expect("a part");
        let version = SWAGGER_UI_VERSION;
        assert_eq!(file::sha256(bytes), digest, "{name} is not that of {version}");
    }
}

#[test]
fn the_document_is_legal_openapi() {
    let schema = serde_json::from_str(OPENAPI_SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("the schema is legal");
    let document = document();
    let wrong: Vec<_> = validator
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_schema_in_the_document_is_legal() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("there are schemas");
    for (name, schema) in schemas {
        let checked = jsonschema::draft202012::meta::validate(schema);
        checked.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_example_of_a_body_fits_its_schema() {
    let document = document();
    let mut contents = Vec::new();
    collect_contents(&document, &mut contents);
    assert!(contents.len() > 20);
    for content in contents {
        let schema = json!({"allOf": [content["schema"]], "components": document["components"]});
        let validator = jsonschema::draft202012::new(&schema).expect("a legal schema");
        for (name, example) in content["examples"].as_object().expect("examples have names") {
            let fits = validator.validate(&example["value"]);
            fits.unwrap_or_else(|error| panic!("{name}: {}: {error}", error.instance_path()));
        }
    }
}

/// Whatever has both a schema and examples, parameters as well as bodies.
fn collect_contents<'a>(value: &'a Value, contents: &mut Vec<&'a Value>) {
    let is_content = value["schema"].is_object() && value["examples"].is_object();
    contents.extend(is_content.then_some(value));
    let members = value.as_object().into_iter().flatten().map(|(_, member)| member);
    let items = value.as_array().into_iter().flatten();
    members.chain(items).for_each(|inner| collect_contents(inner, contents));
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let document = document();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in &references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for (kind, entries) in document["components"].as_object().expect("there are components") {
        for name in entries.as_object().expect("they have names").keys() {
            let pointer = format!("#/components/{kind}/{name}");
            assert!(references.contains(&pointer), "nothing refers to {pointer}");
        }
    }
}

fn collect_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            references.extend(reference.map(str::to_owned));
            members.values().for_each(|member| collect_references(member, references));
        }
        _ => {}
    }
}
