//! A pprof message that stays bytes.

use bytes::Buf;
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message, Name};

/// A `perftools.profiles.Profile` that somebody has encoded already. A profile has more rows than
/// anybody wants to make structs of just to send them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedProfile(pub Vec<u8>);

impl Name for EncodedProfile {
    const NAME: &'static str = "Profile";
    const PACKAGE: &'static str = "perftools.profiles";

    fn full_name() -> String {
        format!("{}.{}", Self::PACKAGE, Self::NAME)
    }
}

impl Message for EncodedProfile {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let out = &mut self.0;
        match wire_type {
            WireType::Varint => {
                let mut value = 0u64;
                encoding::uint64::merge(wire_type, &mut value, buf, ctx)?;
                encoding::uint64::encode(tag, &value, out);
            }
            WireType::SixtyFourBit => {
                let mut value = 0u64;
                encoding::fixed64::merge(wire_type, &mut value, buf, ctx)?;
                encoding::fixed64::encode(tag, &value, out);
            }
            WireType::ThirtyTwoBit => {
                let mut value = 0u32;
                encoding::fixed32::merge(wire_type, &mut value, buf, ctx)?;
                encoding::fixed32::encode(tag, &value, out);
            }
            WireType::LengthDelimited => {
                let mut value = Vec::new();
                encoding::bytes::merge(wire_type, &mut value, buf, ctx)?;
                encoding::bytes::encode(tag, &value, out);
            }
            // No profile has any.
            WireType::StartGroup | WireType::EndGroup => {
                encoding::skip_field(wire_type, tag, buf, ctx)?;
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perftools::profiles::{Label, Profile, Sample};
    use crate::querier::v1::PprofProfile;

    fn profile() -> Profile {
        let sample = Sample {
            location_id: vec![1, 300],
            value: vec![-1],
            label: vec![Label::default()],
        };
        Profile {
            sample: vec![sample.clone(), sample],
            string_table: vec![String::new(), "é".to_owned()],
            time_nanos: i64::MIN,
            ..Profile::default()
        }
    }

    #[test]
    fn bytes_are_the_message_alone_and_within_another() {
        let bytes = profile().encode_to_vec();
        let encoded = EncodedProfile(bytes.clone());
        assert_eq!(encoded.encode_to_vec(), bytes);
        let read = EncodedProfile::decode(&bytes[..]).expect("valid");
        assert_eq!(Profile::decode(&read.0[..]).expect("valid"), profile());
        let within = PprofProfile {
            profile: Some(encoded.clone()),
        };
        let read = PprofProfile::decode(&within.encode_to_vec()[..]).expect("valid");
        assert_eq!(read.profile, Some(encoded));
        assert!(EncodedProfile::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn json_shows_what_is_in_the_bytes() {
        let encoded = EncodedProfile(profile().encode_to_vec());
        let shown = crate::json::to_json(&encoded, crate::json::Defaults::Omitted);
        let plain = crate::json::to_json(&profile(), crate::json::Defaults::Omitted);
        assert_eq!(shown, plain);
        assert!(shown.contains("\"stringTable\":[\"\",\"é\"]"), "{shown}");
    }
}
