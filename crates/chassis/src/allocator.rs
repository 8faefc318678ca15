//! Who hands out this process' memory: jemalloc, which can tell who holds how much of it. What is
//! made of that is `self_profile`'s.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Ready to note one allocation in about 512 KiB, once it is told to begin. A thread of its own
/// gives memory back also while the others are idle.
#[expect(
    unsafe_code,
    reason = "jemalloc reads its settings before `main`, from the variable of this name and type"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 69] =
    b"prof:true,prof_active:false,lg_prof_sample:19,background_thread:true\0";
