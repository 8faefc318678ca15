//! Speed of decoding a real recording.
//!
//! `cargo bench -p cairn-jfr`; bytes are plain bytes.

fn main() {
    divan::main();
}
