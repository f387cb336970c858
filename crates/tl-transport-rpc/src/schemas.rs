//! What events of a type look like.

use tl_transport::engine::{NewSchema, SchemaKind, SchemaVersion};
use tl_transport::model::{Error, ErrorCode};
use tl_transport::wire::call::{self, SchemaChange};
use tl_transport::wire::generated::throughline::v1::ListSchemasRequest;
use tl_transport::wire::schemas as wire;

use crate::calls::{Asked, Handler, Method, answer};
use crate::error::Refusal;
use crate::state::precondition;

pub(crate) const METHODS: &[Method] = &[
    Method {
        path: "throughline.v1.SchemaService/CheckSchema",
        handler: Handler::Unary(|asked| answer(check(asked))),
    },
    Method {
        path: "throughline.v1.SchemaService/GetSchema",
        handler: Handler::Query(|asked| answer(read(asked))),
    },
    Method {
        path: "throughline.v1.SchemaService/ListSchemas",
        handler: Handler::Query(|asked| answer(list(asked))),
    },
    Method {
        path: "throughline.v1.SchemaService/PutSchema",
        handler: Handler::Unary(|asked| answer(put(asked))),
    },
];

async fn list(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let _: ListSchemasRequest = call::decode(context.form, &message)?;
    let schemas = context.engine.schemas().into_iter().map(version);
    Ok(call::write_schemas(context.form, schemas))
}

async fn read(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let (event_type, number) = call::read_get_schema(context.form, &message)?;
    let (found, source) = context.engine.schema(&context.call, &event_type, number).await?;
    Ok(call::write_schema(context.form, version(found), source))
}

async fn put(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let new = new_schema(call::read_put_schema(context.form, &message)?)?;
    let put = context.engine.put_schema(&context.call, new).await?;
    Ok(call::write_schema_put(context.form, put.version, put.is_new))
}

async fn check(Asked { context, message }: Asked) -> Result<Vec<u8>, Refusal> {
    let new = new_schema(call::read_check_schema(context.form, &message)?)?;
    let put = context.engine.check_schema(&context.call, new).await?;
    Ok(call::write_schema_checked(context.form, put.version, put.is_new))
}

fn version(version: SchemaVersion) -> wire::SchemaVersion {
    let SchemaVersion { event_type, version, kind, message, time, .. } = version;
    let (event_type, kind) = (event_type.to_string(), kind.to_string());
    wire::SchemaVersion { event_type, version, kind, message, time: Some(time) }
}

fn new_schema(asked: SchemaChange) -> Result<NewSchema, Error> {
    let SchemaChange { event_type, kind, message, source, condition } = asked;
    let kind = SchemaKind::ALL.into_iter().find(|it| it.as_str() == kind).ok_or_else(|| {
        let names = SchemaKind::ALL.map(SchemaKind::as_str).join(", ");
        Error::new(ErrorCode::ParameterInvalid, format!("the `kind` of a schema is one of {names}"))
    })?;
    Ok(NewSchema { event_type, kind, message, source, condition: condition.map(precondition) })
}
