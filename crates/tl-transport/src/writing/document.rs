//! Changes to the document of a channel.

use bytes::Bytes;

use tl_engine::{Answer, Engine, Precondition, Publish, Receipt};
use tl_model::{
    Call, Channel, Error, ErrorCode, Fingerprint, IdempotencyKey, LoggedEvent, Once, TOMBSTONE,
};
use tl_protocol::admit::Condition;
use tl_wire::draft::{Draft, ExtensionValue};
use tl_wire::{fingerprint, merge_patch};

use super::{Write, invalid, is_overtaken, new_event};
use crate::reading;

/// How a document is changed. The attributes of the new one are given as a draft without data and
/// without its media type.
pub struct Change<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// On whose behalf, and until when.
    pub call: &'a Call,
    /// Whose document it is.
    pub channel: &'a Channel,
    /// What must be true of it.
    pub precondition: Option<Precondition>,
    /// The request's name, if it may be repeated.
    pub key: Option<IdempotencyKey>,
}

/// A change that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// Where the new document is, or the tombstone.
    pub receipt: Receipt,
    /// There was no document before.
    pub is_new: bool,
    /// It was made before, by a request with the same key; this time nothing was done.
    pub is_replayed: bool,
}

impl Change<'_> {
    /// Puts another document in its place, or the first.
    ///
    /// # Errors
    ///
    /// Those of [`Write::publish`]; `event_invalid`.
    pub async fn replace(self, draft: Draft) -> Result<Changed, Error> {
        if draft.data.is_none() {
            let detail = "a document has a body; to remove it use DELETE";
            return Err(Error::new(ErrorCode::EventInvalid, detail));
        }
        let Self { engine, call, channel, .. } = self;
        let once = self.once("put", &draft);
        let events = vec![Ok(new_event(engine, channel, &draft)?)];
        let condition = self.precondition.map(|precondition| (channel, precondition));
        let write = Write { engine, call, condition, once };
        let answer = write.publish(Publish { events, ..Publish::default() }).await?;
        let changed = changed(answer)?;
        let is_new = match changed.receipt.at {
            Some(place) => engine.is_new_document(channel, place).await?,
            None => false,
        };
        Ok(Changed { is_new, ..changed })
    }

    /// Applies a merge patch. Whoever changes the document meanwhile goes first. Attributes that are
    /// not named stay as they are.
    ///
    /// # Errors
    ///
    /// Those of [`Write::publish`] and [`reading::document`]; `event_invalid`, `state_invalid` if the
    /// document is no JSON, `state_contended`.
    pub async fn patch(self, patch: Bytes, attributes: Draft) -> Result<Changed, Error> {
        let asked = Draft { data: Some(patch.clone()), ..attributes.clone() };
        let next = |event: &LoggedEvent| {
            let document = event.event.data().unwrap_or_default();
            let merged = merge_patch::apply(&document, &patch).map_err(|error| match error {
                merge_patch::PatchError::Document => {
                    Error::new(ErrorCode::StateInvalid, error.to_string())
                }
                _ => invalid(&error),
            })?;
            let draft = Draft { data: Some(merged.into()), ..Draft::from(&event.event) };
            Ok(renewed(draft, attributes.clone()))
        };
        self.change("patch", &asked, next).await
    }

    /// Puts a tombstone in its place.
    ///
    /// # Errors
    ///
    /// Those of [`Write::publish`] and [`reading::document`]; `event_invalid`, `state_contended`.
    pub async fn delete(self, attributes: Draft) -> Result<Changed, Error> {
        let next = |_: &LoggedEvent| {
            let extensions = vec![(TOMBSTONE.to_owned(), ExtensionValue::Boolean(true))];
            Ok(Draft { extensions, ..attributes.clone() })
        };
        self.change("delete", &attributes, next).await
    }

    /// Makes of the document what `next` says, if it is still the one that `next` was given.
    async fn change(
        self,
        method: &str,
        asked: &Draft,
        next: impl Fn(&LoggedEvent) -> Result<Draft, Error>,
    ) -> Result<Changed, Error> {
        let Self { engine, call, channel, .. } = self;
        let once = self.once(method, asked);
        // A rule that demands a condition means one that the client names.
        let may_be_any = self.precondition.is_some() || !engine.requires_condition(channel);
        // What is changed exists in any case.
        let named = self.precondition.filter(|it| *it != Precondition::Exists);
        let is_named = named.is_some();
        let condition = named.map(|precondition| (channel, precondition));
        let write = Write { engine, call, condition, once };
        let next = || async {
            let event = reading::document(engine, call, channel).await?;
            let events = vec![Ok(new_event(engine, channel, &next(&event)?)?)];
            let seen = Condition { channel: channel.clone(), last: event.offset };
            let named = write.condition().await?;
            let conditions = may_be_any.then_some(seen).into_iter().chain(named).collect();
            Ok(Publish { events, conditions, ..Publish::default() })
        };
        let answer = write.publish_next(is_named, next).await?;
        if !is_named && is_overtaken(&answer) {
            return Err(contended(channel));
        }
        changed(answer)
    }

    /// The same for a request that is repeated, on whichever transport.
    fn once(&self, method: &str, asked: &Draft) -> Option<Once> {
        let key = self.key.clone()?;
        let drafts = [Ok(asked)].into_iter();
        let publish = fingerprint::of_publish(self.channel.as_str(), false, drafts);
        let fingerprint = Fingerprint::of([method.as_bytes(), &publish.bytes()]);
        Some(Once { key, fingerprint })
    }
}

fn changed(Answer { mut receipts, is_replayed }: Answer) -> Result<Changed, Error> {
    let internal = || Error::new(ErrorCode::Internal, "the change was not answered");
    let receipt = receipts.pop().ok_or_else(internal)??;
    Ok(Changed { receipt, is_new: false, is_replayed })
}

/// A new event with the attributes of the one before it, where the request does not name others.
fn renewed(before: Draft, named: Draft) -> Draft {
    let is_named = |name: &String| named.extensions.iter().any(|(other, _)| other == name);
    let kept = before.extensions.into_iter().filter(|(name, _)| !is_named(name));
    Draft {
        source: named.source.or(before.source),
        event_type: named.event_type.or(before.event_type),
        subject: named.subject.or(before.subject),
        data_content_type: before.data_content_type,
        data_schema: named.data_schema.or(before.data_schema),
        extensions: kept.chain(named.extensions.clone()).collect(),
        data: before.data,
        id: named.id,
        time: named.time,
        channel: None,
        cursor: None,
        previous: None,
    }
}

fn contended(channel: &Channel) -> Error {
    let detail = format!("{channel} is changed by others all the time; try again, or use If-Match");
    Error::new(ErrorCode::StateContended, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Kit;

    fn json(text: &'static str) -> Draft {
        let data_content_type = Some("application/json".to_owned());
        Draft { data_content_type, data: Some(text.into()), ..Draft::default() }
    }

    /// Somebody who changes a document.
    struct Caller<'a> {
        kit: &'a Kit,
        call: Call,
        channel: Channel,
    }

    impl<'a> Caller<'a> {
        fn of(kit: &'a Kit) -> Self {
            let channel = Channel::parse("orders").expect("a channel");
            Self { kit, call: Call::default(), channel }
        }

        fn change(&self, precondition: Option<Precondition>, key: Option<&str>) -> Change<'_> {
            let key = key.map(|key| IdempotencyKey::parse(key).expect("a key"));
            let Self { kit, call, channel } = self;
            Change { engine: &kit.engine, call, channel, precondition, key }
        }

        async fn document(&self) -> String {
            let document = reading::document(&self.kit.engine, &self.call, &self.channel).await;
            let data = document.expect("a document").event.data().expect("data");
            String::from_utf8(data.to_vec()).expect("text")
        }
    }

    #[tokio::test]
    async fn a_known_key_is_answered_though_the_request_broke_its_own_condition() {
        let kit = Kit::new(&[]);
        let caller = Caller::of(&kit);
        let make =
            async || caller.change(Some(Precondition::Absent), Some("k")).replace(json("1")).await;
        let first = make().await.expect("there is none");
        assert!(first.is_new && !first.is_replayed);
        let again = Changed { is_replayed: true, ..first };
        assert_eq!(make().await, Ok(again));
        let other = caller.change(Some(Precondition::Absent), None).replace(json("1")).await;
        assert_eq!(other.map_err(|error| error.code), Err(ErrorCode::ConditionFailed));
    }

    #[tokio::test]
    async fn of_patches_at_the_same_moment_none_is_lost() {
        let kit = Kit::new(&[]);
        let caller = Caller::of(&kit);
        caller.change(None, None).replace(json("{}")).await.expect("there is none");
        let patches = [r#"{"a":1}"#, r#"{"b":1}"#, r#"{"c":1}"#, r#"{"d":1}"#];
        let patch = |patch: &'static str| {
            caller.change(Some(Precondition::Exists), None).patch(patch.into(), Draft::default())
        };
        for patched in futures_util::future::join_all(patches.map(patch)).await {
            assert!(!patched.expect("the others only go first").is_new);
        }
        let document = caller.document().await;
        assert!(patches.iter().all(|it| document.contains(&it[1..it.len() - 1])), "{document}");
    }

    /// Keys are known for longer than a server runs, and whoever repeats a request may do so over another
    /// transport.
    #[tokio::test]
    async fn what_a_change_asks_for_is_told_by_the_same_fingerprint_in_every_version() {
        let kit = Kit::new(&[]);
        let caller = Caller::of(&kit);
        let extensions = vec![("region".to_owned(), ExtensionValue::String("eu".into()))];
        let asked = Draft { id: Some("1".into()), extensions, ..json(r#"{"n": 1.50}"#) };
        for (method, expected) in [
            ("put", 0x5b34_fb56_10cb_c727_fac3_2ab7_0641_b6a9),
            ("patch", 0xb96b_08a0_ab35_f68d_9da1_b2f0_fc4a_3309),
            ("delete", 0xf518_2668_3bea_6e11_4523_abc8_f2e5_cb72),
        ] {
            let once = caller.change(None, Some("k")).once(method, &asked).expect("it has a key");
            assert_eq!(u128::from_be_bytes(once.fingerprint.bytes()), expected, "{method}");
        }
        assert_eq!(caller.change(None, None).once("put", &asked), None);
    }
}
