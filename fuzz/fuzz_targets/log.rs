//! A store's folder with any segments in it: it opens or says why not, and what it has can be read.
//!
//! The first byte says how the rest is made into segments: as it is, with a head in front, or as bodies of frames.
#![no_main]

use std::fs;
use std::io::ErrorKind;

use libfuzzer_sys::fuzz_target;
use mqtt_storage::{Steps, Disk, Durability, Store, StoreError, Table};

/// A segment's head as this version writes it; the salt is `SALT`.
const MAGIC: &[u8] = b"rollcall log\x01\0\0\0";
const SALT: [u8; 8] = *b"saltSALT";

fuzz_target!(|data: &[u8]| {
    let [kind, data @ ..] = data else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = data.split_at(data.len() * usize::from(kind >> 2) / 64);
    for (number, bytes) in [first, second].into_iter().enumerate() {
        let segment = match kind & 3 {
            0 => bytes.to_vec(),
            1 => [&head()[..], bytes].concat(),
            _ => {
                let frames = bytes.split(|&byte| byte == b'\n').filter(|body| !body.is_empty());
                frames.fold(head(), |segment, body| [segment, frame(body)].concat())
            }
        };
        fs::write(folder.path().join(format!("{:016}.log", number + 1)), segment).expect("space");
    }
    let disk = match Disk::open(folder.path(), Durability::Process) {
        Ok(disk) => disk,
        Err(StoreError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => panic!("{error}"),
        Err(_) => return,
    };
    let mut records = 0;
    let mut count = |disk: &Disk| {
        records = 0;
        for table in Table::ALL {
            disk.read(table, &mut |_, _| {
                records += 1;
                Ok(())
            })
            .expect("it was opened");
        }
        records
    };
    assert_eq!(count(&disk), disk.opened().records);
    // What was opened can be written to and opened again.
    let mut steps = Steps::default();
    steps.put(Table::Modules, b"a name that is not there yet", b"value");
    disk.write(&steps).expect("space");
    let there = count(&disk);
    drop(disk);
    let disk = Disk::open(folder.path(), Durability::Process).expect("it is whole");
    assert_eq!((count(&disk), disk.opened().cut), (there, 0));
});

fn head() -> Vec<u8> {
    let head = [MAGIC, &SALT[..]].concat();
    let check = crc32fast::hash(&head).to_le_bytes();
    [&head[..], &check[..]].concat()
}

fn frame(body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_le_bytes();
    let [m0, m1, m2, m3, salt @ ..] = SALT;
    let check = crc32fast::hash(&[&len[..], body].concat()) ^ u32::from_le_bytes(salt);
    [&[m0, m1, m2, m3], &len[..], &check.to_le_bytes()[..], body].concat()
}
