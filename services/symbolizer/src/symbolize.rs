//! Addresses to the wire's frames. Which files there are is decided before.

use cairn_model::Addressing;
use cairn_symbols::{Frames, Miss};
use cairn_wire::cairn::symbols::v1::{Frame, Symbols};

use crate::cache::Absence;
use crate::files::Build;

/// What is known of each address, in their order.
pub(crate) fn symbolize(build: &Build, addressing: Addressing, addresses: &[u64]) -> Vec<Symbols> {
    addresses
        .iter()
        .map(|&address| match frames(build, addressing, address) {
            Ok(frames) => Symbols {
                frames: frames.map(wire_frame).collect(),
                reason: String::new(),
            },
            Err(reason) => Symbols {
                frames: Vec::new(),
                reason,
            },
        })
        .collect()
}

fn frames(build: &Build, addressing: Addressing, address: u64) -> Result<Frames<'_>, String> {
    // Where code lies in the executable, a separate debug file often no longer says.
    let by_place = [&build.executable, &build.debuginfo];
    let mut virtual_address = Err(Miss::NoSegment);
    for file in by_place.into_iter().flatten() {
        virtual_address = virtual_address.or_else(|_| file.virtual_address(addressing, address));
    }
    let mut found = Err(Miss::NoFunction);
    let by_names = [&build.debuginfo, &build.executable];
    if let Ok(address) = virtual_address {
        for file in by_names.into_iter().flatten() {
            found = found.or_else(|_| file.lookup(Addressing::Virtual, address));
        }
    }
    found.map_err(|miss| match (&build.debuginfo, &build.executable) {
        (Err(Absence::NoFile), Err(absence)) | (Err(absence), Err(_)) => absence.to_string(),
        (Ok(debuginfo), Err(_)) if virtual_address.is_err() && !debuginfo.has_segments() => {
            "the debug file does not say where code lies in the executable: upload that too"
                .to_owned()
        }
        _ => virtual_address.err().unwrap_or(miss).to_string(),
    })
}

fn wire_frame(frame: cairn_symbols::Frame<'_>) -> Frame {
    let cairn_symbols::Frame {
        function,
        system_name,
        file,
        start_line,
        line,
        inlined,
    } = frame;
    Frame {
        function: function.to_owned(),
        system_name: system_name.to_owned(),
        file: file.to_owned(),
        start_line: i64::from(start_line),
        line: i64::from(line),
        column: 0,
        inlined,
    }
}
