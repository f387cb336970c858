//! Who may do what: decided here and nowhere else.

use tl_model::{Call, Channel, Error, ErrorCode, Principal, Selection};

/// Whether the caller may publish to a channel.
pub(crate) fn may_publish(call: &Call, channel: &Channel) -> Result<(), Error> {
    match call.principal {
        Principal::Anonymous if channel.is_reserved() => {
            let detail =
                format!("{channel} is written by the server; publish to a name without `$`");
            Err(Error::new(ErrorCode::ChannelReserved, detail))
        }
        Principal::Anonymous => Ok(()),
    }
}

/// Whether the caller may say what events look like.
pub(crate) fn may_put_schemas(call: &Call) -> Result<(), Error> {
    match call.principal {
        Principal::Anonymous => Ok(()),
    }
}

/// Whether the caller may read a selection.
pub(crate) fn may_read(call: &Call, _selection: &Selection) -> Result<(), Error> {
    match call.principal {
        Principal::Anonymous => Ok(()),
    }
}
