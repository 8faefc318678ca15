//! Archives of source files, and what source maps carry of them, made into one file of which each text
//! is read alone. Pure over bytes.
//!
//! What is made: the texts, each compressed with zstd, then a table of them as compressed JSON, then
//! where the table begins and ends. Names are looked up, never opened: `..` leads nowhere.

use std::io::Read;

use serde::{Deserialize, Serialize};

/// The version of what is made; a new one never reads an old file.
pub(crate) const VERSION: u32 = 1;

/// Bytes at the end of what is made: offset and length of the table, and the magic.
pub(crate) const END_BYTES: u64 = 8 + 8 + 8;
const MAGIC: [u8; 8] = *b"cairntxt";
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// At which place a tar archive says what it is.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// A frame of zstd that needs more memory than 128 MiB to be read is refused.
const WINDOW_LOG_MAX: u32 = 27;

/// What an archive may hold at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the archive, decompressed.
    pub(crate) bytes_max: u64,
    /// Bytes of one file; larger ones are left out.
    pub(crate) file_bytes_max: u64,
    pub(crate) files_max: usize,
    /// Bytes of one name; files with longer ones are left out.
    pub(crate) name_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 4 << 30,
            file_bytes_max: 16 << 20,
            files_max: 200_000,
            name_bytes_max: 4096,
        }
    }
}

/// Bytes of a table, decompressed: that of as many files as are allowed, with long names.
const TABLE_BYTES_MAX: u64 = 128 << 20;

/// Where a text is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) packed: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read the archive: {0}")]
    Archive(#[from] std::io::Error),
    #[error("the archive has more than {0} bytes when it is decompressed")]
    Large(u64),
    #[error("the archive has more than {0} files")]
    Many(usize),
    #[error("the archive has no files")]
    Empty,
    #[error("the table of texts is damaged")]
    Damaged,
    #[error(transparent)]
    SourceMap(#[from] cairn_symbols::Error),
}

/// Whether this is an archive of sources, rather than an ELF file.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    let (at, magic) = TAR_MAGIC;
    bytes.starts_with(&ZSTD_MAGIC) || bytes.get(at..at + magic.len()) == Some(magic)
}

/// Makes one file of an archive. Of a name that comes twice the last text counts, as in the archive.
pub(crate) fn convert(archive: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let plain: Box<dyn Read + '_> = match archive.starts_with(&ZSTD_MAGIC) {
        true => {
            let mut decoder = zstd::Decoder::with_buffer(archive)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        false => Box::new(archive),
    };
    let mut texts = Texts::default();
    let mut archive = tar::Archive::new(plain.take(limits.bytes_max + 1));
    let mut seen = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        seen += 1;
        if seen > limits.files_max {
            return Err(Error::Many(limits.files_max));
        }
        let end = entry.raw_file_position().saturating_add(entry.size());
        if end > limits.bytes_max {
            return Err(Error::Large(limits.bytes_max));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let fits = name.len() <= limits.name_bytes_max && entry.size() <= limits.file_bytes_max;
        if !entry.header().entry_type().is_file() || !fits {
            continue;
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text)?;
        texts.add(&name, &text)?;
    }
    match texts.list.is_empty() {
        true => Err(Error::Empty),
        false => texts.finish(),
    }
}

/// Makes one file of the sources that a source map carries, which may be none.
pub(crate) fn of_source_map(map: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let mut texts = Texts::default();
    let bounds = cairn_symbols::Limits::default();
    cairn_symbols::source_map_texts(map, &bounds, |name, text| {
        let is_small = text.len() as u64 <= limits.file_bytes_max;
        if !is_small || name.len() > limits.name_bytes_max {
            return Ok(());
        }
        if texts.list.len() == limits.files_max {
            return Err(Error::Many(limits.files_max));
        }
        texts.add(name, text)
    })?;
    texts.finish()
}

/// A file in the making.
#[derive(Default)]
struct Texts {
    list: Vec<Text>,
    out: Vec<u8>,
}

impl Texts {
    fn add(&mut self, name: &str, text: &[u8]) -> Result<(), Error> {
        let packed = zstd::bulk::compress(text, 3)?;
        self.list.push(Text {
            name: normal(name),
            offset: self.out.len() as u64,
            packed: packed.len() as u64,
            bytes: text.len() as u64,
        });
        self.out.extend_from_slice(&packed);
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Error> {
        let Self {
            list: mut texts,
            mut out,
        } = self;
        // The last of a name first, so that it is the one that stays.
        texts.reverse();
        texts.sort_by(|a, b| a.name.cmp(&b.name));
        texts.dedup_by(|a, b| a.name == b.name);
        let table = serde_json::to_vec(&texts).map_err(std::io::Error::from)?;
        let table = zstd::bulk::compress(&table, 3)?;
        let offset = out.len() as u64;
        out.extend_from_slice(&table);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(table.len() as u64).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        Ok(out)
    }
}

/// Where the table is, by the last [`END_BYTES`] of a file of this size.
pub(crate) fn table_range(end: &[u8], size: u64) -> Result<std::ops::Range<u64>, Error> {
    let word = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(end.get(at..at + 8)?.try_into().ok()?))
    };
    let (offset, length) = (word(0), word(8));
    let (Some(offset), Some(length)) = (offset, length) else {
        return Err(Error::Damaged);
    };
    let is_whole = offset
        .checked_add(length)
        .and_then(|end| end.checked_add(END_BYTES))
        == Some(size);
    match is_whole && end.get(16..) == Some(MAGIC.as_slice()) {
        true => Ok(offset..offset + length),
        false => Err(Error::Damaged),
    }
}

pub(crate) fn read_table(packed: &[u8]) -> Result<Vec<Text>, Error> {
    let decoder = zstd::Decoder::with_buffer(packed)?;
    let mut table = Vec::new();
    decoder.take(TABLE_BYTES_MAX).read_to_end(&mut table)?;
    serde_json::from_slice(&table).map_err(|_| Error::Damaged)
}

pub(crate) fn read_text(text: &Text, packed: &[u8]) -> Result<String, Error> {
    let bytes = usize::try_from(text.bytes).map_err(|_| Error::Damaged)?;
    if text.bytes > Limits::default().file_bytes_max {
        return Err(Error::Damaged);
    }
    let plain = zstd::bulk::decompress(packed, bytes)?;
    // Sources in another encoding are shown as far as they can be.
    Ok(match String::from_utf8(plain) {
        Ok(text) => text,
        Err(other) => String::from_utf8_lossy(other.as_bytes()).into_owned(),
    })
}

/// The text that a symbol's file name means: the one of this name, else the one whose name is the
/// longest end of it, else the only one whose name it is the end of.
pub(crate) fn find<'a>(texts: &'a [Text], file: &str) -> Option<&'a Text> {
    let file = normal(file);
    if let Ok(at) = texts.binary_search_by(|text| text.name.as_str().cmp(&file)) {
        return Some(&texts[at]);
    }
    let mut rest = file.as_str();
    while let Some((_, shorter)) = rest.split_once('/') {
        if let Ok(at) = texts.binary_search_by(|text| text.name.as_str().cmp(shorter)) {
            return Some(&texts[at]);
        }
        rest = shorter;
    }
    let ends = |text: &&Text| {
        let before = text.name.strip_suffix(&file);
        before.is_some_and(|before| before.ends_with('/'))
    };
    let mut longer = texts.iter().filter(ends);
    let first = longer.next()?;
    longer.next().is_none().then_some(first)
}

/// A path without what says nothing: `.`, `..` after a folder, slashes in front and in a row.
fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            // As it is, also where a library would refuse it.
            header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *text).expect("in memory");
        }
        builder.into_inner().expect("in memory")
    }

    fn table(made: &[u8]) -> Vec<Text> {
        let size = made.len() as u64;
        let range = table_range(&made[made.len() - END_BYTES as usize..], size).expect("whole");
        read_table(&made[range.start as usize..range.end as usize]).expect("a table")
    }

    fn text(made: &[u8], file: &str) -> Option<String> {
        let table = table(made);
        let text = find(&table, file)?;
        let packed = &made[text.offset as usize..][..text.packed as usize];
        Some(read_text(text, packed).expect("a text"))
    }

    #[test]
    fn texts_are_found_by_the_names_that_symbols_have() {
        let plain = archive(&[
            ("/src/app/main.c", b"old"),
            ("lib/util.c", b"util"),
            ("other/util.c", b"other"),
            ("./src/app/main.c", b"main"),
            ("../../etc/passwd", b"a text like any other"),
            ("latin.c", b"caf\xe9"),
        ]);
        let packed = zstd::encode_all(&plain[..], 3).expect("in memory");
        for archive in [plain, packed] {
            assert!(is_archive(&archive));
            let made = convert(&archive, &Limits::default()).expect("an archive");
            for (file, expected) in [
                ("/src/app/main.c", Some("main")),
                ("src/app/../app/main.c", Some("main")),
                ("/build/lib/util.c", Some("util")),
                ("/build/other/util.c", Some("other")),
                ("main.c", Some("main")),
                ("util.c", None),
                ("/nowhere/x.c", None),
                ("", None),
                ("../../../../etc/passwd", Some("a text like any other")),
                ("latin.c", Some("caf\u{fffd}")),
            ] {
                assert_eq!(text(&made, file).as_deref(), expected, "{file}");
            }
        }
    }

    #[test]
    fn what_an_archive_may_hold_is_bounded() {
        let limits = Limits {
            bytes_max: 8 << 10,
            file_bytes_max: 100,
            files_max: 3,
            name_bytes_max: 5,
        };
        let large = [0; 101];
        let made = convert(
            &archive(&[("a", b"x"), ("large", &large), ("long/name", b"x")]),
            &limits,
        );
        let names: Vec<_> = table(&made.expect("some are left out"))
            .into_iter()
            .map(|text| text.name)
            .collect();
        assert_eq!(names, ["a"]);
        let many = archive(&[("a", b""), ("b", b""), ("c", b""), ("d", b"")]);
        let error = convert(&many, &limits).expect_err("too many");
        assert_eq!(error.to_string(), "the archive has more than 3 files");
        // Little that becomes much.
        let bomb = zstd::encode_all(&archive(&[("a", &vec![0; 1 << 20])])[..], 3);
        let bomb = bomb.expect("in memory");
        assert!(bomb.len() < 1000);
        let error = convert(&bomb, &limits).expect_err("too large");
        assert!(
            error.to_string().contains("more than 8192 bytes"),
            "{error}"
        );
        let none = convert(&archive(&[]), &limits).expect_err("empty");
        assert_eq!(none.to_string(), "the archive has no files");
        let cut = &archive(&[("a", b"some text")])[..515];
        convert(cut, &Limits::default()).expect_err("it is cut off");
    }

    #[test]
    fn damage_is_told_and_never_a_panic() {
        let good = convert(
            &archive(&[("a", b"text"), ("b", b"other")]),
            &Limits::default(),
        );
        let good = good.expect("an archive");
        let ends = END_BYTES as usize;
        for at in 0..good.len() {
            let mut made = good.clone();
            made[at] ^= 0x55;
            let size = made.len() as u64;
            let Ok(range) = table_range(&made[made.len() - ends..], size) else {
                continue;
            };
            let range = range.start as usize..range.end as usize;
            for text in read_table(&made[range]).into_iter().flatten() {
                let start = usize::try_from(text.offset).unwrap_or(usize::MAX);
                let packed = made.get(start..).unwrap_or_default();
                let length = usize::try_from(text.packed).unwrap_or(usize::MAX);
                drop(read_text(&text, packed.get(..length).unwrap_or_default()));
            }
        }
        table_range(&[], 0).expect_err("nothing");
    }
}
