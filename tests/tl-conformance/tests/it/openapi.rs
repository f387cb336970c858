//! The description of HTTP, held against the real server: every example in it is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use tl_conformance::{Answer, RawSocket, RunningServer, ServerOptions};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_it_is_described() {
    let server = RunningServer::start(&ServerOptions::default());
    let receipt = server.client().publish("orders.eu", &tl_client::Draft::default()).await;
    let cursor = receipt.expect("a receipt").cursor;
    let document = Document::served_by(&server).await;
    let mut succeeded = BTreeSet::new();
    let mut operations = document.operations();
    // What is there can be read, and what is gone cannot.
    operations.sort_by_key(|operation| METHODS.iter().position(|it| *it == operation.method));
    for operation in &operations {
        for request in operation.requests(&cursor) {
            let answer = request.send(&server).await;
            let wrong = operation.wrong(&answer);
            assert!(wrong.is_none(), "{}: {request:?} {answer:?}", wrong.unwrap_or_default());
            if answer.status < 400 {
                succeeded.insert(operation.id());
            }
        }
    }
    let described: BTreeSet<_> = operations.iter().map(Operation::id).collect();
    assert_eq!(succeeded, described, "every operation has an example that works");
}

/// The document, as the server itself hands it out.
struct Document(Value);

/// An operation of the document.
struct Operation<'a> {
    document: &'a Document,
    method: String,
    path: &'a str,
    parameters: Vec<&'a Value>,
    described: &'a Value,
}

/// What is sent.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Document {
    async fn served_by(server: &RunningServer) -> Self {
        let path = "/v1/openapi.json".to_owned();
        let (query, headers) = (Vec::new(), Vec::new());
        let request = Request { method: "GET".into(), path, query, headers, body: None };
        let answer = request.send(server).await;
        Self(serde_json::from_str(&answer.body).expect("the document is JSON"))
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|reference| self.0.pointer(&reference[1..])) {
            Some(target) => self.follow(target),
            None => value,
        }
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().expect("there are paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("a path has methods").iter();
            let methods = methods.filter(|(method, _)| *method != "parameters");
            methods.map(move |(method, described)| {
                let lists = [&item["parameters"], &described["parameters"]];
                let parameters = lists.into_iter().filter_map(Value::as_array).flatten();
                let parameters = parameters.map(|parameter| self.follow(parameter)).collect();
                let method = method.to_uppercase();
                Operation { document: self, method, path, parameters, described }
            })
        });
        operations.collect()
    }

    /// Whether a value fits a schema of the document.
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        jsonschema::draft202012::new(&whole).expect("a legal schema").is_valid(value)
    }
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.described["operationId"].as_str().expect("every operation has an id")
    }

    /// For every example of a body and every form of an answer: a request with all that must be there,
    /// one more with each example of what may be there, and one with all of that.
    fn requests(&self, cursor: &str) -> Vec<Request> {
        let (required, optional): (Vec<&Value>, Vec<&Value>) =
            self.parameters.iter().copied().partition(|it| it["required"] == true);
        let mut requests = Vec::new();
        for mut plain in self.bodies().into_iter().chain(self.forms()) {
            for parameter in &required {
                let mut examples = examples(parameter, cursor);
                plain.give(parameter, &examples.remove(0));
            }
            let mut whole = plain.clone();
            for parameter in &optional {
                for (index, example) in examples(parameter, cursor).iter().enumerate() {
                    let mut request = plain.clone();
                    request.give(parameter, example);
                    requests.push(request);
                    if index == 0 {
                        whole.give(parameter, example);
                    }
                }
            }
            requests.extend([plain, whole]);
        }
        requests
    }

    fn bodies(&self) -> Vec<Request> {
        let contents = self.described["requestBody"]["content"].as_object().into_iter().flatten();
        let examples = contents.flat_map(|(media_type, content)| {
            let examples = content["examples"].as_object().expect("every form has an example");
            examples.values().map(move |example| (media_type, &example["value"]))
        });
        let request = |(media_type, value): (&String, &Value)| {
            let is_json = media_type.ends_with("json") && !media_type.contains("ndjson");
            let text = value.as_str().filter(|_| !is_json).map(str::to_owned);
            let body = Some(text.unwrap_or_else(|| value.to_string()));
            self.request(vec![("content-type".into(), media_type.clone())], body)
        };
        examples.map(request).collect()
    }

    fn forms(&self) -> Vec<Request> {
        if !self.described["requestBody"].is_null() {
            return Vec::new();
        }
        let answer = self.document.follow(&self.described["responses"]["200"]);
        let forms = answer["content"].as_object().into_iter().flatten();
        let headers = forms.map(|(form, _)| vec![("accept".to_owned(), form.clone())]);
        headers.chain([Vec::new()]).map(|headers| self.request(headers, None)).collect()
    }

    fn request(&self, headers: Vec<(String, String)>, body: Option<String>) -> Request {
        let (method, path) = (self.method.clone(), self.path.to_owned());
        Request { method, path, query: Vec::new(), headers, body }
    }

    /// What is not as it is described, if anything.
    fn wrong(&self, answer: &Answer) -> Option<String> {
        let described = &self.described["responses"][answer.status.to_string()];
        if described.is_null() {
            return Some(format!("{} does not describe {}", self.id(), answer.status));
        }
        let described = self.document.follow(described);
        let headers = described["headers"].as_object().into_iter().flatten();
        for (name, header) in headers {
            let header = self.document.follow(header);
            match answer.header(&name.to_lowercase()) {
                None if header["required"] == true => return Some(format!("{name} is missing")),
                Some(value) if !self.document.fits_text(&header["schema"], value) => {
                    return Some(format!("{name} is described otherwise"));
                }
                _ => {}
            }
        }
        self.wrong_content(described, answer)
    }

    fn wrong_content(&self, described: &Value, answer: &Answer) -> Option<String> {
        let Some(contents) = described["content"].as_object() else {
            return (!answer.body.is_empty()).then(|| "no body is described".into());
        };
        let named = answer.header("content-type").unwrap_or_default();
        let essence = named.split(';').next().unwrap_or_default();
        let Some(content) = contents.get(essence).or(contents.get("*/*")) else {
            return Some(format!("the media type {named:?} is not described"));
        };
        let is_json = essence.ends_with("json") && !essence.contains("ndjson");
        let body = match is_json {
            true => serde_json::from_str(&answer.body).ok()?,
            false => Value::from(answer.body.clone()),
        };
        let schema = content.get("schema")?;
        (!self.document.fits(schema, &body)).then(|| "the body is described otherwise".into())
    }
}

impl Document {
    /// Whether a header fits its schema: as text, or as the number that it is.
    fn fits_text(&self, schema: &Value, text: &str) -> bool {
        let number = text.parse().ok().map(|number: serde_json::Number| Value::Number(number));
        let values = [Some(Value::from(text)), number];
        values.into_iter().flatten().any(|value| self.fits(schema, &value))
    }
}

impl Request {
    /// Gives a parameter a value.
    fn give(&mut self, parameter: &Value, value: &str) {
        let name = parameter["name"].as_str().expect("a parameter has a name");
        match parameter["in"].as_str() {
            Some("path") => self.path = self.path.replace(&format!("{{{name}}}"), value),
            Some("query") => self.query.push(format!("{name}={}", value.replace('>', "%3E"))),
            _ => self.headers.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Sends it on a connection of its own. Of what does not end only the head is read.
    async fn send(&self, server: &RunningServer) -> Answer {
        let mut headers: BTreeMap<_, _> = self.headers.iter().cloned().collect();
        headers.insert("Host".into(), "x".into());
        let body = self.body.as_deref().unwrap_or_default();
        headers.insert("Content-Length".into(), body.len().to_string());
        let query = if self.query.is_empty() { "" } else { "?" };
        let path = format!("{}{query}{}", self.path, self.query.join("&"));
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        let mut socket = RawSocket::connect(server.port()).await;
        socket.send(format!("{} {path} HTTP/1.1\r\n{headers}\r\n{body}", self.method)).await;
        socket.answer().await.expect("an answer")
    }
}

/// The examples of a parameter. A cursor of another log would find nothing.
fn examples(parameter: &Value, cursor: &str) -> Vec<String> {
    if parameter["name"] == "cursor" {
        return vec![cursor.to_owned()];
    }
    let several = parameter["examples"].as_object().into_iter().flatten();
    let several = several.map(|(_, example)| &example["value"]);
    let one = [&parameter["example"], &parameter["schema"]["const"]];
    let all = one.into_iter().filter(|value| !value.is_null()).chain(several);
    all.map(|value| match value {
        Value::Array(items) => text(&items[0]),
        value => text(value),
    })
    .collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "GET", "DELETE"];
