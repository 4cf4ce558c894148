//! Logs that are not as they were written.

use super::*;

/// A log of two segments and the records after each frame; `ends` are the file and the length it had then.
struct Written {
    folder: TempDir,
    all: Vec<Steps>,
    states: Vec<Records>,
    ends: Vec<(PathBuf, u64)>,
}

fn written() -> Written {
    let folder = tempfile::tempdir().unwrap();
    let (all, states) = some_steps(12);
    let (shared, _) = open(folder.path()).unwrap();
    let newest = || files(folder.path()).pop().unwrap();
    let mut ends = vec![(newest(), segment::HEAD as u64)];
    for steps in &all {
        shared.write(steps).unwrap();
        ends.push((newest(), fs::metadata(newest()).unwrap().len()));
    }
    assert_eq!(files(folder.path()).len(), 2);
    Written { folder, all, states, ends }
}

fn damaged(folder: &Path) -> (PathBuf, u64) {
    match open(folder) {
        Err(StoreError::Damaged { file, offset, .. }) => (file.file_name().unwrap().into(), offset),
        other => panic!("{:?}", other.map(|(_, opened)| opened)),
    }
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let Written { folder, all, states, ends } = written();
    let newest = files(folder.path()).pop().unwrap();
    let len = fs::metadata(&newest).unwrap().len();
    for (cut, fill) in (0..len).flat_map(|cut| [(cut, None), (cut, Some(0)), (cut, Some(0x55))]) {
        let copy = copy(folder.path());
        let path = copy.path().join(newest.file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        match fill {
            None => bytes.truncate(cut as usize),
            // The file is as long as it was to be, but not all of it has come.
            Some(byte) if cut >= segment::HEAD as u64 => bytes[cut as usize..].fill(byte),
            Some(_) => continue,
        }
        let torn = bytes.len() as u64;
        fs::write(&path, bytes).unwrap();
        let is_there = |(file, end): &(PathBuf, u64)| *file != newest || *end <= cut;
        let there = ends.iter().filter(|end| is_there(end)).count() - 1;

        let (shared, opened) = open(copy.path()).unwrap();
        assert_eq!(records(&shared), states[there], "cut at {cut}");
        let (file, end) = &ends[there];
        let end = if *file == newest { *end } else { segment::HEAD as u64 };
        assert_eq!(opened.cut, if cut < segment::HEAD as u64 { 0 } else { torn - end });
        // It goes on from there.
        for steps in &all[there..] {
            shared.write(steps).unwrap();
        }
        drop(shared);
        let (shared, opened) = open(copy.path()).unwrap();
        assert_eq!((records(&shared), opened.cut), (states.last().unwrap().clone(), 0));
    }
}

#[test]
fn a_flipped_byte_is_found_or_in_the_tail() {
    let Written { folder, states, ends, .. } = written();
    let all = files(folder.path());
    let (file, last_but_one) = &ends[ends.len() - 2];
    assert_eq!(file, &all[1], "the newest has several");
    for (number, original) in all.iter().enumerate() {
        let bytes = fs::read(original).unwrap();
        for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x01), (at, 0x80), (at, 0xFF)]) {
            let copy = copy(folder.path());
            let path = copy.path().join(original.file_name().unwrap());
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            fs::write(&path, bytes).unwrap();
            match open(copy.path()) {
                Ok((shared, opened)) => {
                    assert!(number + 1 == all.len() && at as u64 >= *last_but_one && opened.cut > 0, "at {at}");
                    assert_eq!(records(&shared), states[states.len() - 2]);
                }
                Err(StoreError::Foreign(_)) => assert!(at < 12),
                Err(StoreError::Damaged { file, offset, .. }) => {
                    assert!(file == path && offset <= at as u64, "{offset} at {at}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_tail_in_an_older_segment_is_damage() {
    let Written { folder, ends, .. } = written();
    let [oldest, _] = &files(folder.path())[..] else { panic!("two") };
    let end = |at: usize| ends.iter().filter(|(file, _)| file == oldest).nth_back(at).unwrap().1;
    File::options().write(true).open(oldest).unwrap().set_len(end(0) - 1).unwrap();
    assert_eq!(damaged(folder.path()), (oldest.file_name().unwrap().into(), end(1)));
    fs::write(oldest, b"").unwrap();
    assert_eq!(damaged(folder.path()).1, 0);
}

/// After the system ended, what it had not written may be missing anywhere.
#[test]
fn what_the_system_did_not_write_is_put_aside() {
    let Written { folder, states, ends, .. } = written();
    let all = files(folder.path());
    for (number, original) in all.iter().enumerate() {
        let len = fs::metadata(original).unwrap().len() as usize;
        for hole in [0].into_iter().chain((segment::HEAD..len).step_by(7)) {
            let copy = copy(folder.path());
            let path = copy.path().join(original.file_name().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            let end = (hole + 40).min(bytes.len());
            match hole {
                0 => bytes[..end].fill(0),
                _ => bytes[hole..end].iter_mut().for_each(|byte| *byte = !*byte),
            }
            fs::write(&path, &bytes).unwrap();
            fs::write(copy.path().join("lock"), "another-boot process\n").unwrap();

            let (shared, opened) = open(copy.path()).unwrap();
            let is_whole = |(file, end): &&(PathBuf, u64)| {
                let place = all.iter().position(|path| path == file).unwrap();
                place < number || place == number && *end <= hole as u64
            };
            let there = ends.iter().filter(is_whole).count().saturating_sub(1);
            assert_eq!(records(&shared), states[there], "hole at {hole} of segment {number}");
            assert!(opened.cut > 0);
            drop(shared);
            // Nothing of it comes back.
            let (shared, opened) = open(copy.path()).unwrap();
            assert_eq!((records(&shared), opened.cut), (states[there].clone(), 0));
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let Written { folder, all, .. } = written();
    let (shared, _) = open(folder.path()).unwrap();
    for steps in &all {
        shared.write(steps).unwrap();
    }
    drop(shared);
    let middle = files(folder.path()).swap_remove(1);
    fs::remove_file(&middle).unwrap();
    assert_eq!(damaged(folder.path()), (middle.file_name().unwrap().into(), 0));
}

#[test]
fn whole_steps_that_this_version_does_not_know_are_not_called_damage() {
    let Written { folder, states, .. } = written();
    let (shared, _) = open(folder.path()).unwrap();
    for body in [&b"\x7F"[..], b"\x80", b"\x81\x01", b"\x01\xFF\xFF\xFF\xFF\xFF\xFF", b"\x81\x01\x05a1234"] {
        let copy = copy(folder.path());
        let path = files(copy.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() as u64;
        bytes.extend_from_slice(Frame::with_body(body).seal(shared.log.lock().salt));
        fs::write(&path, &bytes).unwrap();
        match open(copy.path()) {
            Err(StoreError::Later { file, offset }) => assert_eq!((&file, offset), (&path, at)),
            other => panic!("{:?}", other.map(|(_, opened)| opened)),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is cut off");
    }
    assert_eq!(records(&shared), *states.last().unwrap());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = segment::path(folder.path(), 1);
    for bytes in [&b"x"[..], b"rollcall lok", &[1; 100]] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::Foreign(_))));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let (mut head, _) = segment::new_head();
    head[12] = 2;
    let check = crc32fast::hash(&head[..24]).to_le_bytes();
    head[24..].copy_from_slice(&check);
    fs::write(&path, head).unwrap();
    let error = open(folder.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("log 2"), "{error}");
}

#[test]
fn the_last_number_is_the_last() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(segment::path(folder.path(), u32::MAX), b"").unwrap();
    let (shared, _) = open(folder.path()).unwrap();
    let (all, states) = some_steps(20);
    let written = all.iter().take_while(|steps| shared.write(steps).is_ok()).count();
    assert!(written < all.len());
    assert_eq!(records(&shared), states[written]);
}
