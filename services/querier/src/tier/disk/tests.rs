use super::*;

const TAKEN: u64 = 2 * PAGE_BYTES;

fn name(number: u64, tenant: &str) -> Name {
    let tenant = TenantId::parse(tenant).expect("valid");
    Name::new(&tenant, BlockId::new(number, 7), &(100..100 + 5_000))
}

/// A range of its own for every number; its file takes [`TAKEN`].
fn range(number: u64) -> Bytes {
    let byte = |at: u64| (at * 31 + number * 7) as u8;
    (0..5_000).map(byte).collect::<Vec<u8>>().into()
}

async fn keep(disk: &Disk, numbers: Range<u64>) {
    for number in numbers {
        let (name, bytes) = (name(number, "a"), range(number));
        let written = disk.write(&name, &bytes, disk.age()).await;
        written.expect("written");
    }
}

/// The numbers of ranges that are there, each of which is right.
async fn held(disk: &Disk, numbers: Range<u64>) -> Vec<u64> {
    let mut held = Vec::new();
    for number in numbers {
        if let Some(bytes) = disk.read(&name(number, "a"), 1_000 + number as i64).await {
            assert_eq!(bytes, range(number));
            held.push(number);
        }
    }
    held
}

/// What is in the folder: bytes as the disk gives them to files.
fn on_disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("listed");
    let len = |file: io::Result<fs::DirEntry>| file.and_then(|f| f.metadata()).map(|m| m.len());
    files
        .map(|f| len(f).expect("there").next_multiple_of(PAGE_BYTES))
        .sum()
}

#[test]
fn names_are_read_back_as_they_are_written() {
    let tenant = TenantId::parse("a-b_c.d-0-9").expect("valid");
    let name = Name::new(&tenant, BlockId::new(8, 0xabc_def), &(0..u64::MAX));
    assert_eq!(Name::parse(&name.to_string()), Some(name.clone()));
    let text = name.to_string();
    for other in [
        format!("{text}/"),
        text.replace("-0-", "-00-"),
        text.to_lowercase(),
        text[1..].to_owned(),
        "lost+found".to_owned(),
    ] {
        assert_eq!(Name::parse(&other), None, "{other}");
    }
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_goes_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("made");
    let room = SHARE * TAKEN;
    let disk = Disk::open(folder.path(), room).expect("opened");
    keep(&disk, 0..8).await;
    assert_eq!(held(&disk, 0..1).await, [0]);
    for number in 8..11 {
        keep(&disk, number..number + 1).await;
        assert!(on_disk(folder.path()) <= room && disk.bytes() <= room);
    }
    assert_eq!(held(&disk, 4..11).await, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(held(&disk, 0..1).await, [0]);
    assert!(held(&disk, 1..4).await.is_empty());
    // Used in this order.
    for number in [7, 4, 0, 10, 9, 8, 6, 5] {
        let now = 10_000_000_000 * (20 - number as i64);
        let used = if number > 0 { now } else { 135_000_000_000 };
        disk.read(&name(number, "a"), used).await.expect("there");
    }
    drop(disk);
    // With less room than before.
    let disk = Disk::open(folder.path(), room - 5 * TAKEN).expect("opened");
    assert_eq!(disk.bytes(), 3 * TAKEN);
    assert_eq!(on_disk(folder.path()), 3 * TAKEN);
    let mut left = held(&disk, 0..11).await;
    left.sort_unstable();
    assert_eq!(left, [4, 5, 6]);
}

#[tokio::test]
async fn damaged_cut_and_exchanged_files_are_not_there() {
    let folder = tempfile::tempdir().expect("made");
    let disk = Disk::open(folder.path(), 1 << 20).expect("opened");
    let path = |number| folder.path().join(name(number, "a").to_string());
    for at in [0, 4_999, 5_000, 5_003] {
        keep(&disk, 0..1).await;
        let mut bytes = fs::read(path(0)).expect("read");
        bytes[at] ^= 16;
        fs::write(path(0), bytes).expect("written");
        assert!(held(&disk, 0..1).await.is_empty(), "byte {at}");
        assert!(!path(0).exists());
        assert_eq!(disk.bytes(), 0);
    }
    keep(&disk, 0..4).await;
    let bytes = fs::read(path(0)).expect("read");
    fs::write(path(0), &bytes[..4_000]).expect("written");
    fs::rename(path(1), path(2)).expect("renamed");
    assert_eq!(held(&disk, 0..4).await, [3]);
    assert_eq!(disk.bytes(), TAKEN);
    // One tenant's range is not another's.
    assert_eq!(disk.read(&name(3, "b"), 0).await, None);
    let stolen = folder.path().join(name(3, "b").to_string());
    fs::copy(path(3), stolen).expect("copied");
    // What a process left behind that was killed.
    fs::write(path(4), &bytes[..10]).expect("written");
    fs::write(folder.path().join(format!("{}~", name(5, "a"))), b"half").expect("written");
    fs::write(folder.path().join("README"), b"not ours").expect("written");
    let disk = Disk::open(folder.path(), 1 << 20).expect("opened");
    assert_eq!(disk.bytes(), 2 * TAKEN);
    assert_eq!(disk.read(&name(3, "b"), 0).await, None);
    assert_eq!(held(&disk, 0..6).await, [3]);
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
}

#[tokio::test]
async fn of_a_block_that_is_forgotten_no_file_stays_nor_comes_late() {
    let folder = tempfile::tempdir().expect("made");
    let disk = Disk::open(folder.path(), 1 << 20).expect("opened");
    let tenants = ["a", "b.new"].map(|tenant| TenantId::parse(tenant).expect("valid"));
    let write = async |tenant: &str, number: u64, age: Age| {
        let written = disk.write(&name(number, tenant), &range(number), age).await;
        written.expect("written");
    };
    let read_before = disk.age();
    for (tenant, number) in [("a", 1), ("a", 2), ("b.new", 1)] {
        write(tenant, number, read_before).await;
    }
    disk.forget(&tenants[0], BlockId::new(1, 7));
    assert_eq!(held(&disk, 1..3).await, [2]);
    assert!(!folder.path().join(name(1, "a").to_string()).exists());
    assert_eq!(disk.bytes(), 2 * TAKEN);
    write("a", 1, read_before).await;
    assert_eq!(held(&disk, 1..3).await, [2]);
    write("a", 1, disk.age()).await;
    assert_eq!(held(&disk, 1..3).await, [1, 2]);
    // Whatever a tenant is called, its files are whole.
    drop(disk);
    let disk = Disk::open(folder.path(), 1 << 20).expect("opened");
    assert_eq!(disk.bytes(), 3 * TAKEN);
    let other = disk.read(&name(1, "b.new"), 0).await;
    assert_eq!(other, Some(range(1)));
}

#[tokio::test]
async fn one_range_does_not_push_all_others_out() {
    let folder = tempfile::tempdir().expect("made");
    let disk = Disk::open(folder.path(), SHARE * TAKEN - 1).expect("opened");
    keep(&disk, 0..1).await;
    assert_eq!((disk.bytes(), held(&disk, 0..1).await), (0, vec![]));
}
