//! The messages of the newest layout: names and numbers of their fields. Names of 1.8 that later
//! releases changed are here too.

#[derive(Debug)]
pub(super) struct Schema {
    fields: &'static [(&'static str, Entry)],
    /// Names that only older releases have, and which those are.
    old: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Message(&'static Schema),
    Text,
    /// Any whole number.
    Int,
    Fixed,
    Double,
    Bool,
    Bytes,
    /// An id of so many bytes.
    Id(usize),
}

/// A field, or a member of one that is a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) is_list: bool,
}

pub(super) enum Found {
    Field(Entry),
    Old(&'static str),
    Unknown,
}

impl Schema {
    /// Looks a name up, in `lowerCamelCase` or as it stands in the protocol.
    pub(super) fn find(&self, name: &str) -> Found {
        let has = |candidate: &str| is_same(candidate, name);
        if let Some((_, entry)) = self.fields.iter().find(|(field, _)| has(field)) {
            return Found::Field(*entry);
        }
        let old = self.old.iter().find(|(field, _)| has(field));
        old.map_or(Found::Unknown, |(_, release)| Found::Old(release))
    }
}

impl Entry {
    pub(super) fn member(self) -> Self {
        Self {
            is_list: false,
            ..self
        }
    }
}

/// Whether a name is this one in `lowerCamelCase`, or with underscores.
fn is_same(camel: &str, name: &str) -> bool {
    if camel == name {
        return true;
    }
    let mut name = name.bytes();
    for byte in camel.bytes() {
        if byte.is_ascii_uppercase() && name.next() != Some(b'_') {
            return false;
        }
        if name.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    name.next().is_none()
}

const fn one(number: u32, kind: Kind) -> Entry {
    Entry {
        number,
        kind,
        is_list: false,
    }
}

const fn list(number: u32, kind: Kind) -> Entry {
    Entry {
        number,
        kind,
        is_list: true,
    }
}

use Kind::{Bool, Bytes, Double, Fixed, Id, Int, Message, Text};

pub(super) static REQUEST: Schema = Schema {
    fields: &[
        ("resourceProfiles", list(1, Message(&RESOURCE_PROFILES))),
        ("dictionary", one(2, Message(&DICTIONARY))),
    ],
    old: &[("stringTable", "1.6")],
};

static RESOURCE_PROFILES: Schema = Schema {
    fields: &[
        ("resource", one(1, Message(&RESOURCE))),
        ("scopeProfiles", list(2, Message(&SCOPE_PROFILES))),
        ("schemaUrl", one(3, Text)),
    ],
    old: &[],
};

static RESOURCE: Schema = Schema {
    fields: &[
        ("attributes", list(1, Message(&KEY_VALUE))),
        ("droppedAttributesCount", one(2, Int)),
    ],
    old: &[],
};

static SCOPE_PROFILES: Schema = Schema {
    fields: &[
        ("scope", one(1, Message(&SCOPE))),
        ("profiles", list(2, Message(&PROFILE))),
        ("schemaUrl", one(3, Text)),
    ],
    old: &[],
};

static SCOPE: Schema = Schema {
    fields: &[
        ("name", one(1, Text)),
        ("version", one(2, Text)),
        ("attributes", list(3, Message(&KEY_VALUE))),
        ("droppedAttributesCount", one(4, Int)),
    ],
    old: &[],
};

static PROFILE: Schema = Schema {
    fields: &[
        ("sampleType", one(1, Message(&VALUE_TYPE))),
        ("samples", list(2, Message(&SAMPLE))),
        ("sample", list(2, Message(&SAMPLE))),
        ("timeUnixNano", one(3, Fixed)),
        ("durationNano", one(4, Int)),
        ("periodType", one(5, Message(&VALUE_TYPE))),
        ("period", one(6, Int)),
        ("profileId", one(7, Id(16))),
        ("droppedAttributesCount", one(8, Int)),
        ("originalPayloadFormat", one(9, Text)),
        ("originalPayload", one(10, Bytes)),
        ("attributeIndices", list(11, Int)),
    ],
    old: &[("locationIndices", "1.7"), ("stringTable", "1.5")],
};

static VALUE_TYPE: Schema = Schema {
    fields: &[("typeStrindex", one(1, Int)), ("unitStrindex", one(2, Int))],
    old: &[],
};

static SAMPLE: Schema = Schema {
    fields: &[
        ("stackIndex", one(1, Int)),
        ("attributeIndices", list(2, Int)),
        ("linkIndex", one(3, Int)),
        ("values", list(4, Int)),
        ("timestampsUnixNano", list(5, Fixed)),
    ],
    old: &[("locationsStartIndex", "1.7"), ("locationsLength", "1.7")],
};

static DICTIONARY: Schema = Schema {
    fields: &[
        ("mappingTable", list(1, Message(&MAPPING))),
        ("locationTable", list(2, Message(&LOCATION))),
        ("functionTable", list(3, Message(&FUNCTION))),
        ("linkTable", list(4, Message(&LINK))),
        ("stringTable", list(5, Text)),
        ("attributeTable", list(6, Message(&ATTRIBUTE))),
        ("stackTable", list(7, Message(&STACK))),
    ],
    old: &[("attributeUnits", "1.7")],
};

static MAPPING: Schema = Schema {
    fields: &[
        ("memoryStart", one(1, Int)),
        ("memoryLimit", one(2, Int)),
        ("fileOffset", one(3, Int)),
        ("filenameStrindex", one(4, Int)),
        ("attributeIndices", list(5, Int)),
    ],
    old: &[],
};

static LOCATION: Schema = Schema {
    fields: &[
        ("mappingIndex", one(1, Int)),
        ("address", one(2, Int)),
        ("lines", list(3, Message(&LINE))),
        ("line", list(3, Message(&LINE))),
        ("attributeIndices", list(4, Int)),
    ],
    old: &[],
};

static LINE: Schema = Schema {
    fields: &[
        ("functionIndex", one(1, Int)),
        ("line", one(2, Int)),
        ("column", one(3, Int)),
    ],
    old: &[],
};

static FUNCTION: Schema = Schema {
    fields: &[
        ("nameStrindex", one(1, Int)),
        ("systemNameStrindex", one(2, Int)),
        ("filenameStrindex", one(3, Int)),
        ("startLine", one(4, Int)),
    ],
    old: &[],
};

static LINK: Schema = Schema {
    fields: &[("traceId", one(1, Id(16))), ("spanId", one(2, Id(8)))],
    old: &[],
};

static STACK: Schema = Schema {
    fields: &[("locationIndices", list(1, Int))],
    old: &[],
};

static ATTRIBUTE: Schema = Schema {
    fields: &[
        ("keyStrindex", one(1, Int)),
        ("value", one(2, Message(&ANY_VALUE))),
        ("unitStrindex", one(3, Int)),
    ],
    old: &[],
};

static KEY_VALUE: Schema = Schema {
    fields: &[
        ("key", one(1, Text)),
        ("value", one(2, Message(&ANY_VALUE))),
        ("keyStrindex", one(3, Int)),
    ],
    old: &[],
};

static ANY_VALUE: Schema = Schema {
    fields: &[
        ("stringValue", one(1, Text)),
        ("boolValue", one(2, Bool)),
        ("intValue", one(3, Int)),
        ("doubleValue", one(4, Double)),
        ("arrayValue", one(5, Message(&VALUES))),
        ("kvlistValue", one(6, Message(&PAIRS))),
        ("bytesValue", one(7, Bytes)),
        ("stringValueStrindex", one(8, Int)),
    ],
    old: &[],
};

static VALUES: Schema = Schema {
    fields: &[("values", list(1, Message(&ANY_VALUE)))],
    old: &[],
};

static PAIRS: Schema = Schema {
    fields: &[("values", list(1, Message(&KEY_VALUE)))],
    old: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_two_spellings() {
        for name in ["timeUnixNano", "time_unix_nano"] {
            assert!(is_same("timeUnixNano", name), "{name}");
        }
        for name in [
            "timeunixnano",
            "time_unix_nan",
            "time_unix_nano_",
            "Time_unix_nano",
            "",
        ] {
            assert!(!is_same("timeUnixNano", name), "{name}");
        }
    }
}
