//! Content codings, as rooms see them: not at all.

use std::io::{Read, Write};

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(plain).expect("packs");
    writer.finish().expect("packs")
}

fn gunzip(answer: &Answer) -> Answer {
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut body).expect("unpacks");
    Answer { status: answer.status, headers: answer.headers.clone(), body: body.into() }
}

async fn publish_some(kit: &Kit) {
    for number in 0..20 {
        kit.publish("orders", &number.to_string(), "x").await;
    }
}

async fn get(kit: &Kit, path: &str, headers: &[(&str, &str)]) -> Answer {
    kit.ask(Method::GET, path, headers, "").await
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

#[tokio::test]
async fn a_packed_body_is_published_as_if_it_were_not() {
    let kit = kit();
    let post = async |coding: &str, body: Vec<u8>| {
        let headers = [("content-encoding", coding), ("content-type", "application/json")];
        kit.ask(Method::POST, EVENTS, &headers, body).await
    };
    let plain = br#"{"total": 12.50}"#;
    for (coding, body) in
        [("gzip", gzip(plain)), ("x-gzip", gzip(plain)), ("identity", plain.into())]
    {
        let posted = post(coding, body).await;
        assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text());
        assert_eq!(kit.get(posted.header("location")).await.body, plain[..], "{coding}");
    }
    let bomb = post("gzip", gzip(&vec![b' '; BATCH_BYTES_MAX + 1])).await;
    assert_eq!(bomb.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(bomb.text().contains("body_too_large"), "{}", bomb.text());
    let broken = post("gzip", plain.into()).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    for unknown in ["deflate", "gzip, br"] {
        let refused = post(unknown, gzip(plain)).await;
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{unknown}");
        assert_eq!(refused.header("accept-encoding"), "zstd, br, gzip");
    }
}

#[tokio::test]
async fn a_page_is_packed_as_the_client_wants_it() {
    let kit = kit();
    publish_some(&kit).await;
    let plain = kit.get(EVENTS).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.header("vary").contains("accept-encoding"), "{}", plain.header("vary"));
    let packed = get(&kit, EVENTS, &[GZIP]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(packed.header("content-length"), packed.body.len().to_string());
    assert!(packed.body.len() < plain.body.len() / 2);
    assert_eq!(gunzip(&packed).body, plain.body);
    for (wanted, coding) in [("br, gzip", "br"), ("zstd, br", "zstd"), ("zstd;q=0.1, gzip", "gzip")]
    {
        let packed = get(&kit, EVENTS, &[("accept-encoding", wanted)]).await;
        assert_eq!(packed.header("content-encoding"), coding, "{wanted}");
    }
    let one = get(&kit, &format!("{EVENTS}?limit=1"), &[GZIP]).await;
    assert_eq!(one.header("content-encoding"), "", "a small answer is left as it is");
}

#[tokio::test]
async fn every_coding_of_a_page_has_a_tag_of_its_own() {
    let kit = kit();
    publish_some(&kit).await;
    let (plain, packed) = (kit.get(EVENTS).await, get(&kit, EVENTS, &[GZIP]).await);
    let (plain, packed) = (plain.header("etag"), packed.header("etag"));
    assert_eq!(packed, format!("{}-gzip\"", plain.trim_end_matches('"')));
    let again = async |tag: &str, wanted: &str| {
        let headers = [("if-none-match", tag), ("accept-encoding", wanted)];
        get(&kit, EVENTS, &headers).await
    };
    let unchanged = again(packed, "gzip").await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.header("etag"), packed);
    assert!(unchanged.header("vary").contains("accept-encoding"));
    let unchanged = again(plain, "gzip").await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (StatusCode::NOT_MODIFIED, plain));
    assert_eq!(again(packed, "br").await.status, StatusCode::OK, "packed otherwise it is another");
    assert_eq!(again(packed, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_tells_of_a_packed_page_what_get_does() {
    let kit = kit();
    publish_some(&kit).await;
    let page = get(&kit, EVENTS, &[GZIP]).await;
    let head = kit.ask(Method::HEAD, EVENTS, &[GZIP], "").await;
    assert!(head.body.is_empty());
    for name in ["content-encoding", "content-length", "etag", "vary", "content-type"] {
        assert_eq!(head.header(name), page.header(name), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_that_is_answered_later_is_packed_too() {
    let kit = kit();
    let path = format!("{EVENTS}?wait=30");
    let publish = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        post(&kit, EVENTS, "text/plain", &"x".repeat(2_000)).await;
    };
    let (answer, ()) = tokio::join!(get(&kit, &path, &[GZIP]), publish);
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(ids(&gunzip(&answer)).len(), 1);
}
