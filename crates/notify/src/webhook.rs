//! A generic webhook, signed as Standard Webhooks 1.0.0 says.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::message::Message;
use crate::send::Remark;
use crate::text::rfc3339;

/// How secrets begin, so that people know what they are.
const PREFIX: &str = "whsec_";

/// The body of a webhook: `type`, `timestamp` and `data`.
pub(crate) fn body(message: &Message, remarks: &[Remark]) -> Value {
    let mut data = json!({ "title": message.title });
    if let (Some(data), Some(own)) = (data.as_object_mut(), message.data.as_object()) {
        data.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(link) = &message.link {
            data.insert("url".to_owned(), json!(link.url));
        }
        if !remarks.is_empty() {
            data.insert("remarks".to_owned(), remarks.iter().map(ToString::to_string).collect());
        }
    }
    json!({ "type": message.event, "timestamp": rfc3339(message.at), "data": data })
}

/// The bytes of a secret: base64 behind `whsec_`, from 24 to 64 of them.
pub fn webhook_key(secret: &str) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// The value of `webhook-signature`: for each key `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
///
/// `id` holds no full stop, or what is signed could be read in two ways.
pub fn webhook_signature(keys: &[Vec<u8>], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures = keys.iter().filter_map(|key| {
        // A key of any length is one to HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the libraries of Standard Webhooks are tested with.
    #[test]
    fn the_published_vector_is_signed_as_published() {
        let key = webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let sign = |keys: &[Vec<u8>], body: &str| {
            webhook_signature(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.as_bytes())
        };
        let published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&key), r#"{"test": 2432232314}"#), published);
        assert_ne!(sign(std::slice::from_ref(&key), r#"{"test": 2432232315}"#), published);
        let both = sign(&[key, vec![7; 32]], r#"{"test": 2432232314}"#);
        assert!(both.starts_with(&format!("{published} v1,")) && both.split(' ').count() == 2, "{both}");
    }

    #[test]
    fn a_secret_has_from_24_to_64_bytes() {
        let secret = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![1; bytes]));
        for (bytes, is_one) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(webhook_key(&secret(bytes)).is_some(), is_one, "{bytes}");
        }
        assert_eq!(webhook_key(secret(32).trim_start_matches("whsec_")), None, "it has to say what it is");
        assert_eq!(webhook_key("whsec_not base64"), None);
    }
}
