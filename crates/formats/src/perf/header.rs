//! The line that begins a sample: who was running when.

use crate::text::digits;

/// `comm pid/tid [cpu] seconds.micros: period event: rest`; of these, the comm may have spaces,
/// and the second id, the cpu and the period may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) comm: &'a [u8],
    /// Of a single id it is not said whose it is; what `perf` prints unasked is the thread's.
    pub(super) pid: Option<u32>,
    pub(super) tid: Option<u32>,
    /// In nanoseconds.
    pub(super) time: i64,
    pub(super) period: Option<u64>,
    pub(super) event: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        // The time tells where the fields begin; a comm may look like some of the others.
        let mut at = 0;
        loop {
            let (start, word) = word(text, at)?;
            at = start + word.len();
            let Some(time) = word.strip_suffix(b":").and_then(seconds) else {
                continue;
            };
            if let Some((comm, pid, tid)) = who(&text[..start]) {
                return Self::what(text, at).map(|(period, event, rest)| Self {
                    comm,
                    pid,
                    tid,
                    time,
                    period,
                    event,
                    rest,
                });
            }
        }
    }

    /// The fields behind the time.
    fn what(text: &'a [u8], at: usize) -> Option<(Option<u64>, &'a [u8], &'a [u8])> {
        let (mut start, mut name) = word(text, at)?;
        let period = digits(name);
        if period.is_some() {
            (start, name) = word(text, start + name.len())?;
        }
        let rest = text[start + name.len()..].trim_ascii();
        let event = name.strip_suffix(b":")?;
        (!event.is_empty()).then_some((period, event, rest))
    }

    /// Whether the period is time on the processor, in nanoseconds.
    pub(super) fn is_clock(&self) -> bool {
        let name = self.event.split(|byte| *byte == b':').next();
        matches!(name, Some(b"cpu-clock" | b"task-clock"))
    }
}

/// Whether a line begins a sample.
pub(crate) fn is_header(line: &[u8]) -> bool {
    Header::parse(line.trim_ascii()).is_some()
}

/// The fields before the time.
fn who(text: &[u8]) -> Option<(&[u8], Option<u32>, Option<u32>)> {
    let (mut rest, mut last) = last_word(text)?;
    let is_cpu = last
        .strip_prefix(b"[")
        .and_then(|cpu| cpu.strip_suffix(b"]"))
        .is_some_and(|cpu| digits(cpu).is_some());
    if is_cpu {
        (rest, last) = last_word(rest)?;
    }
    let id = |word| u32::try_from(digits(word)?).ok();
    let slash = last.iter().position(|byte| *byte == b'/');
    let (pid, tid) = match slash {
        Some(slash) => (Some(id(&last[..slash])?), id(&last[slash + 1..])?),
        None => (None, id(last)?),
    };
    let comm = rest.trim_ascii();
    (!comm.is_empty()).then_some((comm, pid, Some(tid)))
}

/// `seconds.fraction` in nanoseconds.
fn seconds(word: &[u8]) -> Option<i64> {
    let dot = word.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = (digits(&word[..dot])?, &word[dot + 1..]);
    let missing = 9_usize.checked_sub(fraction.len())?;
    let nanos = digits(fraction)? * 10_u64.pow(missing as u32);
    let sum = whole.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    i64::try_from(sum).ok()
}

/// The next word from a position on, and where it begins.
fn word(text: &[u8], at: usize) -> Option<(usize, &[u8])> {
    let skipped = text[at..].iter().position(|byte| !is_space(byte))?;
    let start = at + skipped;
    let rest = &text[start..];
    let len = rest.iter().position(is_space).unwrap_or(rest.len());
    Some((start, &rest[..len]))
}

/// The last word, and what is before it.
fn last_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_end();
    let start = text.iter().rposition(is_space)? + 1;
    Some((&text[..start], &text[start..]))
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header<'_> {
        Header::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn headers_are_told_by_their_time() {
        let plain = header("cpp_pie 25492  4007.204038:    5025125 cpu-clock: ");
        let expected = Header {
            comm: b"cpp_pie",
            pid: None,
            tid: Some(25_492),
            time: 4_007_204_038_000,
            period: Some(5_025_125),
            event: b"cpu-clock",
            rest: b"",
        };
        assert_eq!(plain, expected);
        assert!(plain.is_clock());
        let full = header("Web Content 12 7/8 [003] 1.000000001: cycles:ppp:  ffff do_it+0x1 (k)");
        assert_eq!(full.comm, b"Web Content 12");
        assert_eq!((full.pid, full.tid), (Some(7), Some(8)));
        assert_eq!((full.time, full.period), (1_000_000_001, None));
        assert_eq!(full.event, b"cycles:ppp");
        assert_eq!(full.rest, b"ffff do_it+0x1 (k)");
        assert!(!full.is_clock());
        let odd = header("1.5: x 7 2.5: 3 task-clock:u: ");
        assert_eq!((odd.comm, odd.time), (&b"1.5: x"[..], 2_500_000_000));
        assert!(odd.is_clock());
    }

    #[test]
    fn what_lacks_a_field_is_no_header() {
        for bad in [
            "",
            "comm",
            "comm 1 2.5:",
            "comm 1 2.5: 7",
            "comm 1 2.5: 7 event",
            "comm 1 2.5: :",
            "comm 2.5: 7 event:",
            "1 2.5: 7 event:",
            "comm x 2.5: 7 event:",
            "comm 1 25: 7 event:",
            "comm 1 2.: 7 event:",
            "comm 1 2.1234567890: 7 event:",
            "comm 99999999999 2.5: 7 event:",
            "comm 1 99999999999.5: 7 event:",
            "1e30 main+0x1 (/bin/x)",
        ] {
            assert_eq!(Header::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
