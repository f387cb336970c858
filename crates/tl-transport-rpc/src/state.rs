//! The latest event of a channel as a document.

use tl_transport::engine::Precondition;
use tl_transport::model::Position;
use tl_transport::reading::{self, Wanted};
use tl_transport::wire::call::{self, Condition, StateChange};
use tl_transport::writing::Change;

use crate::calls::{Asked, Context, Handler, Method, answer};
use crate::error::Refusal;
use crate::events::page;

pub(crate) const METHODS: &[Method] = &[
    Method {
        path: "throughline.v1.StateService/DeleteState",
        handler: Handler::Unary(|asked| answer(delete(asked))),
    },
    Method {
        path: "throughline.v1.StateService/GetState",
        handler: Handler::Query(|asked| answer(read(asked))),
    },
    Method {
        path: "throughline.v1.StateService/ListStates",
        handler: Handler::Query(|asked| answer(list(asked))),
    },
    Method {
        path: "throughline.v1.StateService/PatchState",
        handler: Handler::Unary(|asked| answer(patch(asked))),
    },
    Method {
        path: "throughline.v1.StateService/PutState",
        handler: Handler::Unary(|asked| answer(replace(asked))),
    },
];

async fn read(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let channel = call::read_get_state(context.form, &message)?;
    let document = reading::document(&context.engine, &context.call, &channel).await?;
    let at = Position { epoch: context.engine.epoch(), offset: document.offset };
    Ok(call::write_state(context.form, &document, at))
}

async fn replace(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let asked = call::read_put_state(context.form, &message)?;
    drop(message);
    let changed = change(&context, &asked).replace(asked.draft.clone()).await?;
    let (receipt, is_new) = (&changed.receipt, changed.is_new);
    Ok(call::write_state_put(context.form, receipt, is_new, changed.is_replayed))
}

async fn patch(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let (patch, asked) = call::read_patch_state(context.form, &message)?;
    drop(message);
    let changed = change(&context, &asked).patch(patch, asked.draft.clone()).await?;
    Ok(call::write_state_patched(context.form, &changed.receipt, changed.is_replayed))
}

async fn delete(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let asked = call::read_delete_state(context.form, &message)?;
    drop(message);
    let changed = change(&context, &asked).delete(asked.draft.clone()).await?;
    Ok(call::write_state_deleted(context.form, &changed.receipt, changed.is_replayed))
}

async fn list(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let call::Read { selection, after, events_max, .. } =
        call::read_list_states(context.form, &message)?;
    let Context { engine, call, form, leaving, .. } = context;
    let leaving = leaving.token();
    let found = Wanted { engine, call, selection, after, events_max, leaving }.documents().await?;
    Ok(page(form, &found))
}

fn change<'a>(context: &'a Context, asked: &'a StateChange) -> Change<'a> {
    let Context { engine, call, .. } = context;
    let precondition = asked.condition.map(precondition);
    Change { engine, call, channel: &asked.channel, precondition, key: asked.key.clone() }
}

/// A condition in the engine's words.
pub(crate) fn precondition<P>(condition: Condition<P>) -> Precondition<P> {
    match condition {
        Condition::Absent => Precondition::Absent,
        Condition::Exists => Precondition::Exists,
        Condition::Last(last) => Precondition::Last(vec![last]),
    }
}
