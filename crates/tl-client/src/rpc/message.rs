//! Messages that are handed on as they came. The library wants types that borrow what they hold, and
//! those of the contract do not; whoever asked for a message decodes its bytes.

use std::marker::PhantomData;

use buffa::bytes::Buf;
use buffa::encoding::{Tag, skip_field_depth};
use buffa::view::{HasMessageView, MessageView, OwnedView};
use buffa::{DecodeContext, DecodeError, EncodeSink, Message, SizeCache};
use serde::Deserialize;

/// Any message. It holds nothing: the bytes are with its view.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Unread {}

/// Any message, not looked into.
pub(super) struct UnreadView<'a>(PhantomData<&'a [u8]>);

/// A view with its bytes.
pub(super) struct Held(OwnedView<UnreadView<'static>>);

impl<'a> MessageView<'a> for UnreadView<'a> {
    type Owned = Unread;

    fn decode_view(_: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(Self(PhantomData))
    }

    fn merge_view_field(
        &mut self,
        tag: Tag,
        mut rest: &'a [u8],
        _: &'a [u8],
        ctx: DecodeContext<'_>,
    ) -> Result<&'a [u8], DecodeError> {
        skip_field_depth(tag, &mut rest, ctx.depth())?;
        Ok(rest)
    }

    fn to_owned_message(&self) -> Result<Unread, DecodeError> {
        Ok(Unread {})
    }
}

impl HasMessageView for Unread {
    type View<'a> = UnreadView<'a>;
    type ViewHandle = Held;
}

impl From<OwnedView<UnreadView<'static>>> for Held {
    fn from(view: OwnedView<UnreadView<'static>>) -> Self {
        Self(view)
    }
}

impl AsRef<OwnedView<UnreadView<'static>>> for Held {
    fn as_ref(&self) -> &OwnedView<UnreadView<'static>> {
        &self.0
    }
}

buffa::impl_default_instance!(Unread);

impl Message for Unread {
    fn compute_size(&self, _: &mut SizeCache) -> u32 {
        0
    }

    fn write_to(&self, _: &mut SizeCache, _: &mut impl EncodeSink) {}

    fn merge_field(
        &mut self,
        tag: Tag,
        buf: &mut impl Buf,
        ctx: DecodeContext<'_>,
    ) -> Result<(), DecodeError> {
        skip_field_depth(tag, buf, ctx.depth())
    }

    fn clear(&mut self) {}
}
