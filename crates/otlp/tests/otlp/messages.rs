//! Requests as producers write them, encoded by another library from the field tables of each
//! release. Messages that no release changed are written once; the others once per layout.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resources: Vec<Resources>,
    #[prost(message, optional, tag = "2")]
    pub(crate) dictionary: Option<Tables>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resources {
    #[prost(message, optional, tag = "1")]
    pub(crate) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scopes: Vec<Scopes>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scopes {
    #[prost(message, optional, tag = "1")]
    pub(crate) scope: Option<Scope>,
    /// Messages of the layout at hand.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) profiles: Vec<Vec<u8>>,
    #[prost(string, tag = "3")]
    pub(crate) schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "2")]
    pub(crate) dropped_attributes_count: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scope {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "4")]
    pub(crate) dropped_attributes_count: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
    #[prost(int32, tag = "3")]
    pub(crate) key_strindex: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub(crate) value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(Values),
    #[prost(message, tag = "6")]
    Map(Pairs),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
    #[prost(int32, tag = "8")]
    Reference(i32),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Values {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pairs {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tables {
    #[prost(message, repeated, tag = "1")]
    pub(crate) mappings: Vec<Mapping>,
    /// Messages of the layout at hand.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) locations: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) functions: Vec<Function>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) links: Vec<Link>,
    #[prost(string, repeated, tag = "5")]
    pub(crate) strings: Vec<String>,
    /// Messages of the layout at hand.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) attributes: Vec<Vec<u8>>,
    /// Messages of the layout at hand.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub(crate) stacks: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(crate) memory_start: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) memory_limit: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) file_offset: u64,
    #[prost(int32, tag = "4")]
    pub(crate) filename_strindex: i32,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(int32, tag = "1")]
    pub(crate) name_strindex: i32,
    #[prost(int32, tag = "2")]
    pub(crate) system_name_strindex: i32,
    #[prost(int32, tag = "3")]
    pub(crate) filename_strindex: i32,
    #[prost(int64, tag = "4")]
    pub(crate) start_line: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(int32, tag = "1")]
    pub(crate) function_index: i32,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
    #[prost(int64, tag = "3")]
    pub(crate) column: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int32, tag = "1")]
    pub(crate) type_strindex: i32,
    #[prost(int32, tag = "2")]
    pub(crate) unit_strindex: i32,
    /// Up to 1.8.
    #[prost(int32, tag = "3")]
    pub(crate) aggregation_temporality: i32,
}

// === Since 1.8 ===

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(int32, tag = "1")]
    pub(crate) mapping_index: i32,
    #[prost(uint64, tag = "2")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) lines: Vec<Line>,
    #[prost(int32, repeated, tag = "4")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(int32, tag = "1")]
    pub(crate) key_strindex: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<AnyValue>,
    #[prost(int32, tag = "3")]
    pub(crate) unit_strindex: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stack {
    #[prost(int32, repeated, tag = "1")]
    pub(crate) location_indices: Vec<i32>,
}

// === 1.7 ===

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location7 {
    #[prost(int32, optional, tag = "1")]
    pub(crate) mapping_index: Option<i32>,
    #[prost(uint64, tag = "2")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) lines: Vec<Line>,
    #[prost(bool, tag = "4")]
    pub(crate) is_folded: bool,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Unit7 {
    #[prost(int32, tag = "1")]
    pub(crate) attribute_key_strindex: i32,
    #[prost(int32, tag = "2")]
    pub(crate) unit_strindex: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile7 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample7>,
    #[prost(int32, repeated, tag = "3")]
    pub(crate) location_indices: Vec<i32>,
    #[prost(int64, tag = "4")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "5")]
    pub(crate) duration_nanos: i64,
    #[prost(message, optional, tag = "6")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "7")]
    pub(crate) period: i64,
    #[prost(int32, repeated, tag = "8")]
    pub(crate) comment_strindices: Vec<i32>,
    #[prost(int32, tag = "9")]
    pub(crate) default_sample_type_index: i32,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) profile_id: Vec<u8>,
    #[prost(uint32, tag = "11")]
    pub(crate) dropped_attributes_count: u32,
    #[prost(string, tag = "12")]
    pub(crate) original_payload_format: String,
    #[prost(bytes = "vec", tag = "13")]
    pub(crate) original_payload: Vec<u8>,
    #[prost(int32, repeated, tag = "14")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample7 {
    #[prost(int32, tag = "1")]
    pub(crate) locations_start_index: i32,
    #[prost(int32, tag = "2")]
    pub(crate) locations_length: i32,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) value: Vec<i64>,
    #[prost(int32, repeated, tag = "4")]
    pub(crate) attribute_indices: Vec<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(crate) link_index: Option<i32>,
    #[prost(uint64, repeated, tag = "6")]
    pub(crate) timestamps_unix_nano: Vec<u64>,
}

// === 1.8 and 1.9 ===

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile8 {
    #[prost(message, optional, tag = "1")]
    pub(crate) sample_type: Option<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample8>,
    #[prost(fixed64, tag = "3")]
    pub(crate) time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) duration_nano: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "6")]
    pub(crate) period: i64,
    #[prost(int32, repeated, tag = "7")]
    pub(crate) comment_strindices: Vec<i32>,
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) profile_id: Vec<u8>,
    #[prost(uint32, tag = "9")]
    pub(crate) dropped_attributes_count: u32,
    #[prost(string, tag = "10")]
    pub(crate) original_payload_format: String,
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) original_payload: Vec<u8>,
    #[prost(int32, repeated, tag = "12")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile9 {
    #[prost(message, optional, tag = "1")]
    pub(crate) sample_type: Option<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample8>,
    #[prost(fixed64, tag = "3")]
    pub(crate) time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) duration_nano: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "6")]
    pub(crate) period: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) profile_id: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub(crate) dropped_attributes_count: u32,
    #[prost(string, tag = "9")]
    pub(crate) original_payload_format: String,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) original_payload: Vec<u8>,
    #[prost(int32, repeated, tag = "11")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample8 {
    #[prost(int32, tag = "1")]
    pub(crate) stack_index: i32,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) values: Vec<i64>,
    #[prost(int32, repeated, tag = "3")]
    pub(crate) attribute_indices: Vec<i32>,
    #[prost(int32, tag = "4")]
    pub(crate) link_index: i32,
    #[prost(fixed64, repeated, tag = "5")]
    pub(crate) timestamps_unix_nano: Vec<u64>,
}

// === Since 1.10 ===

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, optional, tag = "1")]
    pub(crate) sample_type: Option<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(fixed64, tag = "3")]
    pub(crate) time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) duration_nano: u64,
    #[prost(message, optional, tag = "5")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "6")]
    pub(crate) period: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) profile_id: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub(crate) dropped_attributes_count: u32,
    #[prost(string, tag = "9")]
    pub(crate) original_payload_format: String,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) original_payload: Vec<u8>,
    #[prost(int32, repeated, tag = "11")]
    pub(crate) attribute_indices: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(int32, tag = "1")]
    pub(crate) stack_index: i32,
    #[prost(int32, repeated, tag = "2")]
    pub(crate) attribute_indices: Vec<i32>,
    #[prost(int32, tag = "3")]
    pub(crate) link_index: i32,
    #[prost(int64, repeated, tag = "4")]
    pub(crate) values: Vec<i64>,
    #[prost(fixed64, repeated, tag = "5")]
    pub(crate) timestamps_unix_nano: Vec<u64>,
}

// === Making requests of the newest layout ===

/// A dictionary in the making, with the zero rows that the protocol demands.
pub(crate) struct Book {
    pub(crate) tables: Tables,
}

pub(crate) fn any(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

pub(crate) fn text(text: &str) -> Any {
    Any::Text(text.to_owned())
}

pub(crate) fn key_value(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: any(value),
        key_strindex: 0,
    }
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            tables: Tables {
                mappings: vec![Mapping::default()],
                locations: vec![vec![]],
                functions: vec![Function::default()],
                links: vec![Link::default()],
                strings: vec![String::new()],
                // An empty value, as OpenTelemetry's profiler writes it.
                attributes: vec![vec![0x12, 0]],
                stacks: vec![vec![]],
            },
        }
    }

    pub(crate) fn string(&mut self, text: &str) -> i32 {
        let strings = &mut self.tables.strings;
        let found = strings.iter().position(|string| string == text);
        found.unwrap_or_else(|| {
            strings.push(text.to_owned());
            strings.len() - 1
        }) as i32
    }

    pub(crate) fn kind(&mut self, kind: &str, unit: &str) -> Option<ValueType> {
        Some(ValueType {
            type_strindex: self.string(kind),
            unit_strindex: self.string(unit),
            aggregation_temporality: 0,
        })
    }

    pub(crate) fn attribute(&mut self, key: &str, value: Any, unit: &str) -> i32 {
        let attribute = Attribute {
            key_strindex: self.string(key),
            value: any(value),
            unit_strindex: self.string(unit),
        };
        self.tables.attributes.push(attribute.encode_to_vec());
        self.tables.attributes.len() as i32 - 1
    }

    pub(crate) fn line(&mut self, name: &str, line: i64) -> Line {
        let name_strindex = self.string(name);
        self.tables.functions.push(Function {
            name_strindex,
            ..Function::default()
        });
        Line {
            function_index: self.tables.functions.len() as i32 - 1,
            line,
            column: 0,
        }
    }

    pub(crate) fn location(&mut self, location: &Location) -> i32 {
        self.tables.locations.push(location.encode_to_vec());
        self.tables.locations.len() as i32 - 1
    }

    pub(crate) fn mapping(&mut self, file: &str, mapping: Mapping) -> i32 {
        let filename_strindex = self.string(file);
        self.tables.mappings.push(Mapping {
            filename_strindex,
            ..mapping
        });
        self.tables.mappings.len() as i32 - 1
    }

    pub(crate) fn stack(&mut self, locations: &[i32]) -> i32 {
        let stack = Stack {
            location_indices: locations.to_vec(),
        };
        self.tables.stacks.push(stack.encode_to_vec());
        self.tables.stacks.len() as i32 - 1
    }

    /// A stack of frames that are names only, leaf first.
    pub(crate) fn frames(&mut self, names: &[&str]) -> i32 {
        let locations: Vec<i32> = names
            .iter()
            .map(|name| {
                let line = self.line(name, 7);
                self.location(&Location {
                    lines: vec![line],
                    ..Location::default()
                })
            })
            .collect();
        self.stack(&locations)
    }

    pub(crate) fn link(&mut self, trace_id: &[u8], span_id: &[u8]) -> i32 {
        self.tables.links.push(Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
        });
        self.tables.links.len() as i32 - 1
    }

    /// A request of these profiles, of one resource and scope that say nothing.
    pub(crate) fn request(self, profiles: &[Profile]) -> Vec<u8> {
        self.request_of(vec![Resources {
            scopes: vec![Scopes {
                profiles: profiles.iter().map(Message::encode_to_vec).collect(),
                ..Scopes::default()
            }],
            ..Resources::default()
        }])
    }

    pub(crate) fn request_of(self, resources: Vec<Resources>) -> Vec<u8> {
        let request = Request {
            resources,
            dictionary: Some(self.tables),
        };
        request.encode_to_vec()
    }
}
