//! Segments that are missing, exchanged or too short, and the moments at which a process may end.

use std::os::unix::fs::symlink;

use super::*;
use crate::disk::manifest;

/// Closed in order, with so many segments.
fn closed(segments: usize) -> (TempDir, Records) {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = open(folder.path()).unwrap();
    let mut state = Records::new();
    for n in 0.. {
        if files(folder.path()).len() == segments && shared.log.lock().segments.back().unwrap().frames > 2 {
            break;
        }
        let put = steps(&[Step::Put(Table::Retained, &[n], &[n; 60])]);
        shared.write(&put).unwrap();
        apply(&mut state, &put);
    }
    shared.leave();
    (folder, state)
}

#[track_caller]
fn check_damage(folder: &Path, name: &Path, offset: u64, what: &Damage) {
    match open(folder) {
        Err(ref error @ StoreError::Damaged { ref file, offset: at, what: ref found }) => {
            assert_eq!((file.file_name(), at, found), (name.file_name(), offset, what));
            let text = error.to_string();
            assert!(text.contains("store repair") && text.contains(folder.to_str().unwrap()), "{text}");
        }
        other => panic!("{:?}", other.map(|(_, opened)| opened)),
    }
}

#[test]
fn a_segment_that_is_missing_is_noticed_wherever_it_was() {
    let (folder, _) = closed(4);
    for missing in files(folder.path()) {
        let copy = copy(folder.path());
        fs::remove_file(copy.path().join(missing.file_name().unwrap())).unwrap();
        check_damage(copy.path(), &missing, 0, &Damage::Missing);
    }
}

#[test]
fn segments_that_were_exchanged_or_replaced_are_noticed() {
    let (folder, _) = closed(4);
    let all = files(folder.path());
    let (one, other) = (all[1].file_name().unwrap(), all[2].file_name().unwrap());
    let exchanged = copy(folder.path());
    fs::copy(&all[1], exchanged.path().join(other)).unwrap();
    fs::copy(&all[2], exchanged.path().join(one)).unwrap();
    check_damage(exchanged.path(), &all[1], 0, &Damage::Exchanged(other.to_str().unwrap().to_owned()));
    let (another, _) = closed(4);
    let replaced = copy(folder.path());
    fs::copy(another.path().join(one), replaced.path().join(one)).unwrap();
    check_damage(replaced.path(), &all[1], 0, &Damage::Strange);
}

#[test]
fn what_was_there_when_the_store_was_closed_must_be_there() {
    let (folder, _) = closed(2);
    let newest = files(folder.path()).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let frame = (frame::HEAD + 1 + 1 + 1 + 1 + 60) as u64;
    let last = bytes.len() as u64 - frame;
    let path = |copy: &TempDir| copy.path().join(newest.file_name().unwrap());
    for (len, at) in [(last, last), (last + 1, last), (last - frame, last - frame)] {
        let copy = copy(folder.path());
        fs::write(path(&copy), &bytes[..len as usize]).unwrap();
        check_damage(copy.path(), &newest, at, &Damage::Short(bytes.len() as u64 - at));
    }
    let copy = copy(folder.path());
    let mut flipped = bytes;
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(path(&copy), flipped).unwrap();
    check_damage(copy.path(), &newest, last, &Damage::Frame { table: Some("retained") });
}

#[test]
fn a_folder_without_a_manifest_is_taken_over_once() {
    let (folder, state) = closed(3);
    let manifest = manifest::path(folder.path());
    let written = fs::read(&manifest).unwrap();
    // As an earlier version leaves it; also with the list of a later one that was there before.
    for stale in [None, Some(&written[..written.len() - 20]), Some(b"rollcall store 1\n")] {
        let copy = copy(folder.path());
        fs::write(copy.path().join("lock"), "this-boot power\n").unwrap();
        match stale {
            Some(bytes) => fs::write(manifest::path(copy.path()), bytes).unwrap(),
            None => fs::remove_file(manifest::path(copy.path())).unwrap(),
        }
        for _ in 0..2 {
            assert_eq!(records(&open(copy.path()).unwrap().0), state);
        }
        fs::remove_file(manifest::path(copy.path())).unwrap();
        check_damage(copy.path(), &manifest, 0, &Damage::Missing);
    }
}

#[test]
fn a_damaged_manifest_is_told() {
    let (folder, _) = closed(3);
    let manifest = manifest::path(folder.path());
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[30] ^= 1;
    fs::write(&manifest, &bytes).unwrap();
    let last_line = bytes.len() - "check 00000000\n".len();
    check_damage(folder.path(), &manifest, last_line as u64, &Damage::Manifest);
}

/// Each state that a process which is killed can leave is one that the next opens.
#[test]
fn every_moment_at_which_segments_come_and_go_can_be_started_from() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = open(folder.path()).unwrap();
    let mut compactor = Compactor::default();
    let mut state = Records::new();
    let check = |state: &Records| {
        let copy = copy(folder.path());
        fs::write(copy.path().join("manifest.new"), "half of it").unwrap();
        assert_eq!(records(&open(copy.path()).unwrap().0), *state);
    };
    for n in 0..60_u8 {
        let put = steps(&[Step::Put(Table::Retained, &[n % 7], &[n; 60])]);
        shared.write(&put).unwrap();
        apply(&mut state, &put);
        check(&state);
        if n % 5 == 0 {
            while compactor.step(&shared.log).unwrap() == Progress::Working {
                check(&state);
                // What has gone is gone, with or without what is left of it, once the manifest is written.
                let gone = segment::gone(folder.path()).unwrap();
                assert!(gone.is_empty() || shared.log.lock().is_manifest_due);
            }
        }
    }
    assert!(segment::numbers(folder.path()).unwrap()[0] > 1);
}

#[test]
fn the_lock_is_not_lost_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = open(folder.path()).unwrap();
    fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::InUse)));
    drop(shared);
    open(folder.path()).unwrap();
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    for name in ["lock", "manifest.new", "0000000000000001.log"] {
        let store = tempfile::tempdir().unwrap();
        fs::write(&precious, "mine").unwrap();
        symlink(&precious, store.path().join(name)).unwrap();
        let opened = open(store.path()).map(drop);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "mine", "{name}");
        if name == "lock" {
            assert!(opened.unwrap_err().to_string().contains("symbolic link"));
        }
    }
}
