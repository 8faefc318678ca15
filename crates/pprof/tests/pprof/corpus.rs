//! Every real profile decodes to what the oracle says and survives a round trip.

use cairn_pprof::{canonical, encode, encode_gzip};

use crate::{decode, oracle};

#[test]
fn every_profile_means_what_the_oracle_says() {
    let mut linked = 0;
    for pprof in cairn_testkit::corpus::pprofs() {
        let name = &pprof.name;
        let plain = oracle::inflate(&pprof.bytes);
        let ours = decode(&pprof.bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let theirs = oracle::decode(&plain).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(ours.plain_bytes, plain.len(), "{name}");
        assert_eq!(
            (ours.truncated_stacks, ours.replaced_strings),
            (0, 0),
            "{name}"
        );
        let ours = ours.profile;
        assert!(
            canonical(&ours) == canonical(&theirs),
            "{name}: rows differ"
        );
        assert_eq!(ours.samples.len(), theirs.samples.len(), "{name}");
        assert_eq!(ours.samples.values, theirs.samples.values, "{name}");
        assert_eq!(
            (
                ours.time,
                ours.duration,
                ours.period,
                &ours.types,
                ours.period_type
            ),
            (
                theirs.time,
                theirs.duration,
                theirs.period,
                &theirs.types,
                theirs.period_type
            ),
            "{name}"
        );
        linked += ours.tables.links.len();
    }
    assert_eq!(linked, 0, "the corpus holds no trace ids");
}

#[test]
fn every_profile_survives_a_round_trip() {
    for pprof in cairn_testkit::corpus::pprofs() {
        let once = decode(&pprof.bytes).expect("checked above").profile;
        let twice = decode(&encode(&once))
            .expect("we encode valid profiles")
            .profile;
        assert!(canonical(&once) == canonical(&twice), "{}", pprof.name);
        let tables = (&once.tables, &twice.tables);
        assert_eq!(tables.0.locations, tables.1.locations, "{}", pprof.name);
        assert_eq!(tables.0.mappings, tables.1.mappings, "{}", pprof.name);
        assert_eq!(decode(&encode_gzip(&twice)).expect("valid").profile, twice);
    }
}
