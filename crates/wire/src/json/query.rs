//! Sets one field of a message from one query parameter.

use super::{
    DynamicMessage, FieldDescriptor, Json, Kind, MessageDescriptor, ReflectMessage, Value,
};

/// Characters of a parameter's name that an error repeats.
pub(super) const NAME_SHOWN_MAX: usize = 100;

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";

/// Follows `path` from `message` to a field and sets or extends it.
pub(super) fn set(message: &mut DynamicMessage, path: &str, text: &str) -> Result<(), String> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let Some(field) = find(&message.descriptor(), name) else {
        return Ok(());
    };
    if let Some(oneof) = field.containing_oneof() {
        let taken = oneof.fields().find(|f| message.has_field(f));
        if let Some(taken) = taken.filter(|taken| *taken != field) {
            return Err(format!("{:?} is set already", taken.name()));
        }
    }
    match (rest, field.kind()) {
        (Some(rest), Kind::Message(_)) if !field.is_list() && !field.is_map() => {
            match message.get_field_mut(&field) {
                Value::Message(inner) => set(inner, rest, text),
                _ => Err("is not a message".to_owned()),
            }
        }
        (Some(_), _) => Err(format!("{name:?} has no fields")),
        (None, kind) => set_leaf(message, &field, &kind, text),
    }
}

fn set_leaf(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    kind: &Kind,
    text: &str,
) -> Result<(), String> {
    if field.is_map() {
        return Err("a map has no spelling as a parameter".to_owned());
    }
    if let Kind::Message(inner) = kind {
        match inner.full_name() {
            TIMESTAMP | DURATION if text.is_empty() || text == "null" => return Ok(()),
            TIMESTAMP | DURATION => {}
            name => return Err(format!("a {name} has no spelling as a parameter")),
        }
    }
    let value = match (message.descriptor().full_name(), kind) {
        // Their JSON is one string, which has no fields.
        (TIMESTAMP | DURATION, Kind::Int64) => text.parse().map(Value::I64).map_err(shown)?,
        (TIMESTAMP | DURATION, Kind::Int32) => text.parse().map(Value::I32).map_err(shown)?,
        _ => parse(message.descriptor(), field, leaf(kind, text)?)?,
    };
    if field.is_list() {
        let (Value::List(list), Value::List(more)) = (message.get_field_mut(field), value) else {
            return Err("is not a list".to_owned());
        };
        list.extend(more);
        return Ok(());
    }
    if message.has_field(field) {
        return Err("is given twice".to_owned());
    }
    message.set_field(field, value);
    Ok(())
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn find(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
}

/// The JSON that stands for `text`. Numbers may be strings in canonical JSON, so few kinds differ.
fn leaf(kind: &Kind, text: &str) -> Result<Json, String> {
    Ok(match kind {
        Kind::Bool => match text {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Json::Bool(true),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Json::Bool(false),
            _ => return Err("is neither true nor false".to_owned()),
        },
        Kind::Enum(_) => match text.parse::<i32>() {
            Ok(number) => Json::from(number),
            Err(_) => Json::from(text),
        },
        Kind::Message(inner) if inner.full_name() == DURATION => {
            let nanos = span_nanos(text).ok_or("is not a duration such as 1m30s")?;
            let sign = if nanos < 0 { "-" } else { "" };
            let nanos = nanos.unsigned_abs();
            Json::from(format!(
                "{sign}{}.{:09}s",
                nanos / 1_000_000_000,
                nanos % 1_000_000_000
            ))
        }
        _ => Json::from(text),
    })
}

/// Reads one field through the JSON of its message: the one parser that knows every kind.
fn parse(message: MessageDescriptor, field: &FieldDescriptor, leaf: Json) -> Result<Value, String> {
    let leaf = if field.is_list() {
        Json::Array(vec![leaf])
    } else {
        leaf
    };
    let json = Json::Object([(field.json_name().to_owned(), leaf)].into_iter().collect());
    let holder = DynamicMessage::deserialize(message, json).map_err(shown)?;
    Ok(holder.get_field(field).into_owned())
}

/// Go's spelling of a span of time: `1h15m30.918s`, `-250ms`.
fn span_nanos(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let units = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(units);
        let nanos = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * nanos;
        rest = tail;
    }
    (total < i64::MAX as f64).then_some((sign * total).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_in_go() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("15s", Some(15_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("-250ms", Some(-250_000_000)),
            ("3µs", Some(3_000)),
            ("", None),
            ("-", None),
            ("15", None),
            ("s", None),
            ("1..2s", None),
            ("1d", None),
            ("999999999999h", None),
        ] {
            assert_eq!(span_nanos(text), nanos, "{text:?}");
        }
    }
}
