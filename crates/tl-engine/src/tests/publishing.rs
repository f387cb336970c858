use super::*;
use tl_protocol::admit::Condition;

fn codes(results: &[Result<Receipt, Error>]) -> Vec<&str> {
    results
        .iter()
        .map(|result| result.as_ref().map_or_else(|e| e.code.as_str(), |_| "ok"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_event_gets_a_receipt_with_its_id_and_place() {
    let engine = engine();
    let receipts = publish(&engine, events(vec![event("a", "x"), event("b", "y")])).await;
    let at = |offset| Some(Position { epoch: epoch(), offset: Offset::new(offset) });
    assert_eq!(
        receipts,
        [Ok(Receipt { id: "x".into(), at: at(1) }), Ok(Receipt { id: "y".into(), at: at(2) })]
    );
    let page = read(&engine, &[">"], After::Earliest).await.expect("reads");
    assert_eq!(page.events.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_event_of_a_batch_is_answered_for_itself() {
    let small = Rule { event_bytes_max: Some(1), ..rule("small") };
    let engine = engine_on(Arc::new(MemoryStore::new(epoch())), vec![small]);
    let unreadable = Err(Error::new(ErrorCode::EventInvalid, "no event"));
    let batch = |atomic| Publish {
        events: vec![
            Ok(event("a", "1")),
            unreadable.clone(),
            Ok(event("$sys.x", "2")),
            Ok(event("small", "3")),
            Ok(event("b", "4")),
        ],
        atomic,
        ..Publish::default()
    };
    let answers = publish(&engine, batch(true)).await;
    let expected =
        ["event_invalid", "event_invalid", "channel_reserved", "event_too_large", "event_invalid"];
    assert_eq!(codes(&answers), expected, "all or none");
    assert_eq!(engine.stats().events, 0);
    let answers = publish(&engine, batch(false)).await;
    let expected = ["ok", "event_invalid", "channel_reserved", "event_too_large", "ok"];
    assert_eq!(codes(&answers), expected);
    let page = read(&engine, &[">"], After::Earliest).await.expect("reads");
    let ids: Vec<_> = page.events.iter().map(|event| event.event.id()).collect();
    assert_eq!(ids, ["1", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_limit() {
    let engine = engine();
    let many = vec![event("a", "1"); tl_model::limits::BATCH_EVENTS_MAX + 1];
    let error = engine.publish(&Call::default(), events(many)).await.expect_err("refused");
    assert_eq!(error.code, ErrorCode::BatchTooLarge);
}

#[tokio::test(start_paused = true)]
async fn of_two_writers_who_saw_the_same_only_one_succeeds() {
    let engine = engine();
    let last = publish_one(&engine, "counter", "0").await;
    let attempt = |id: &str| Publish {
        conditions: vec![Condition { channel: channel("counter"), last }],
        ..events(vec![event("counter", id)])
    };
    let both =
        tokio::join!(publish(&engine, attempt("first")), publish(&engine, attempt("second")),);
    assert_eq!((codes(&both.0), codes(&both.1)), (vec!["ok"], vec!["condition_failed"]));
    let late = publish(&engine, attempt("third")).await;
    assert_eq!(codes(&late), ["condition_failed"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_publishers_share_a_batch() {
    let engine = engine();
    let publishers = (0..100).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move { publish_one(&engine, "a", &n.to_string()).await })
    });
    let publishers: Vec<_> = publishers.collect();
    for publisher in publishers {
        publisher.await.expect("publishes");
    }
    let stats = engine.stats();
    assert_eq!(stats.events, 100);
    assert!(stats.batches <= 3, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_reach_the_live_and_leave_the_log_alone() {
    let none = Rule { durability: Some(Durability::None), ..rule("typing") };
    let engine = engine_on(Arc::new(MemoryStore::new(epoch())), vec![none]);
    let mut live = subscribe(&engine, &[">"], After::Latest);
    assert_eq!(told(&mut live).await, "caught-up@0");
    let by_rule = publish(&engine, events(vec![event("typing", "rule")])).await;
    let on_request = Publish { ephemeral: true, ..events(vec![event("a", "request")]) };
    let on_request = publish(&engine, on_request).await;
    assert!([by_rule, on_request].concat().into_iter().all(|it| it.expect("ok").at.is_none()));
    assert_eq!(told(&mut live).await, "rule request");
    assert_eq!(engine.stats().events, 0);
    let mut late = subscribe(&engine, &[">"], After::Earliest);
    assert_eq!(told(&mut late).await, "caught-up@0");
    assert!(is_quiet(&mut late).await);
}

#[tokio::test(start_paused = true)]
async fn rules_of_a_channel_default_to_safe() {
    assert_eq!(ChannelRules::default().durability, Durability::Fsync);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_under_way() {
    let engine = engine();
    let publisher = tokio::spawn({
        let engine = engine.clone();
        async move { publish_one(&engine, "a", "1").await }
    });
    tokio::task::yield_now().await;
    engine.close().await.expect("closes");
    assert_eq!(engine.stats().events, 1);
    publisher.await.expect("publishes");
}
