//! Tokens and signatures of those who want them.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// A JSON Web Token with these claims (HS256).
pub(super) fn json_web_token(claims: &str) -> String {
    let [header, claims] =
        [r#"{"alg":"HS256","typ":"JWT"}"#, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature(&signed));
    format!("{signed}.{signature}")
}

/// Signs a text with HMAC-SHA256.
pub(super) fn signature(text: &str) -> Tag {
    sign(&Key::new(HMAC_SHA256, SECRET.as_bytes()), text.as_bytes())
}

/// What all servers share with those who publish here. They listen on loopback only.
pub(super) const SECRET: &str = "a-secret-of-this-benchmark-alone";
