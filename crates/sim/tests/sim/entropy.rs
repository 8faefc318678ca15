//! The operating system's random numbers, replaced by ones that follow from the seed.
//!
//! Libraries take them for the order of hash maps and of tasks that are ready at once, behind every
//! seam that services have. Only threads that ask for it get numbers from a seed.
#![expect(
    unsafe_code,
    reason = "the C library's function is replaced, which the linker cannot check"
)]

use std::cell::RefCell;
use std::io::Read as _;

use cairn_testkit::generator::Rng;

thread_local! {
    static SEEDED: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// From here on this thread gets the same numbers in every run with this seed.
pub(crate) fn seed(seed: u64) {
    SEEDED.set(Some(Rng::new(seed)));
}

/// What the C library offers under this name, as the standard library calls it.
///
/// # Safety
///
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller promises it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    let seeded = SEEDED.with_borrow_mut(|rng| match rng {
        Some(rng) => {
            let chunks = bytes.chunks_mut(8);
            chunks
                .for_each(|chunk| chunk.copy_from_slice(&rng.next().to_le_bytes()[..chunk.len()]));
            true
        }
        None => false,
    });
    if seeded || real(bytes).is_ok() {
        length.cast_signed()
    } else {
        -1
    }
}

fn real(bytes: &mut [u8]) -> std::io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}
