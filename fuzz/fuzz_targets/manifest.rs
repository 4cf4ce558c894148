//! A store's folder with any manifest in it: it opens or says why not, and can be looked at and repaired.
//!
//! The first byte says how the rest is made into a manifest: as it is, or with a checksum behind it.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use mqtt_storage::{Steps, Disk, Durability, Store, Survey, Table};

fuzz_target!(|data: &[u8]| {
    let [kind, data @ ..] = data else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::open(folder.path(), Durability::Process).expect("a new one");
    let mut steps = Steps::default();
    steps.put(Table::Records, b"key", b"value");
    disk.write(&steps).expect("space");
    drop(disk);
    let path = folder.path().join("manifest");
    let manifest = match kind & 1 {
        0 => data.to_vec(),
        _ => {
            let check = format!("check {:08x}\n", crc32fast::hash(data));
            [data, check.as_bytes()].concat()
        }
    };
    fs::write(&path, manifest).expect("space");
    let is_opened = Disk::open(folder.path(), Durability::Process).is_ok();
    // Of a later version.
    let Ok(survey) = Survey::of(folder.path()) else {
        assert!(!is_opened);
        return;
    };
    assert_eq!(survey.is_whole(), is_opened, "{:?}", survey.findings());
    survey.repair("damaged").expect("space");
    let disk = Disk::open(folder.path(), Durability::Process).expect("it is repaired");
    let mut records = 0;
    disk.read(Table::Records, &mut |_, _| {
        records += 1;
        Ok(())
    })
    .expect("it was opened");
    // One that is whole may say of the segment that it is another.
    assert!(records == 1 || records == 0 && kind & 1 == 1);
});
