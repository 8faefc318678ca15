//! What a profile is called and what its columns are, told from the kinds that OpenTelemetry's
//! producers send.

/// A kind and a unit.
pub(crate) type Typed = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) name: String,
    pub(crate) types: Vec<Typed>,
    pub(crate) period: Typed,
    /// What every value is multiplied by.
    pub(crate) factor: i64,
}

const NANOSECONDS: &str = "nanoseconds";

/// Names a profile. A count of samples that were taken every so many nanoseconds becomes the time
/// that they stand for.
pub(crate) fn naming(types: Vec<Typed>, period_type: Typed, period: i64) -> Naming {
    let clean = |(kind, unit): Typed| (clean(&kind), clean(&unit));
    let mut types: Vec<Typed> = types.into_iter().map(clean).collect();
    if types.is_empty() {
        types.push(Typed::default());
    }
    for (kind, _) in &mut types {
        if kind.is_empty() {
            *kind = "unknown".to_owned();
        }
    }
    let period_type = clean(period_type);
    let sampled = match (period_type.0.as_str(), period_type.1.as_str()) {
        ("cpu", NANOSECONDS) => Some("process_cpu"),
        ("wall", NANOSECONDS) => Some("wall"),
        _ => None,
    };
    let counts_samples = types[0].0 == "samples" && types[0].1 == "count";
    let mut factor = 1;
    let name = match (sampled, types[0].0.as_str()) {
        (Some(name), _) if counts_samples => {
            if types.len() == 1 && period > 0 {
                types[0] = period_type.clone();
                factor = period;
            }
            name
        }
        (_, "off_cpu") if types[0].1 == NANOSECONDS => "off_cpu",
        (_, kind) if kind.starts_with("memory.heap") || period_type.0 == "memory.heap" => "memory",
        (_, kind) if period_type.0.is_empty() => kind,
        _ => &period_type.0,
    };
    Naming {
        name: name.to_owned(),
        types,
        period: period_type,
        factor,
    }
}

/// Without the characters that profile types and selectors are taken apart at.
fn clean(text: &str) -> String {
    let unsafe_at = |char: char| char == ':' || char == '{' || char.is_whitespace();
    text.replace(unsafe_at, "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_periods_tell_the_name() {
        for row in [
            "samples/count cpu/nanoseconds 5 process_cpu cpu/nanoseconds 5",
            "samples/count cpu/nanoseconds 0 process_cpu samples/count 1",
            "samples/count wall/nanoseconds 7 wall wall/nanoseconds 7",
            "samples/count / 7 samples samples/count 1",
            "off_cpu/nanoseconds / 0 off_cpu off_cpu/nanoseconds 1",
            "off_cpu/nanoseconds cpu/nanoseconds 9 off_cpu off_cpu/nanoseconds 1",
            "memory.heap.bytes/bytes memory.heap/count 1 memory memory.heap.bytes/bytes 1",
            "memory.heap.objects/count / 0 memory memory.heap.objects/count 1",
            "events/count probe\u{a0}x/count 1 probe_x events/count 1",
            "a:b{c\t/y\u{a0}z / 0 a_b_c_ a_b_c_/y_z 1",
            "/ / 0 unknown unknown/ 1",
            "cpu/nanoseconds cpu/nanoseconds 3 cpu cpu/nanoseconds 1",
        ] {
            let parts: Vec<&str> = row.split(' ').collect();
            let [kind, period_type, period, name, expected, factor] = parts[..] else {
                panic!("{row}");
            };
            let number = |text: &str| text.parse::<i64>().expect("a number");
            let pair = |text: &str| {
                let (kind, unit) = text.split_once('/').expect("two parts");
                (kind.to_owned(), unit.to_owned())
            };
            let naming = naming(vec![pair(kind)], pair(period_type), number(period));
            assert_eq!(naming.name, name, "{row}");
            assert_eq!(naming.types, [pair(expected)], "{row}");
            assert_eq!(naming.factor, number(factor), "{row}");
        }
    }

    #[test]
    fn several_columns_stay_as_they_are() {
        let pair = |kind: &str, unit: &str| (kind.to_owned(), unit.to_owned());
        let types = vec![pair("samples", "count"), pair("cpu", NANOSECONDS)];
        let naming = naming(types.clone(), pair("cpu", NANOSECONDS), 10);
        assert_eq!((&*naming.name, naming.factor), ("process_cpu", 1));
        assert_eq!(naming.types, types);
    }
}
