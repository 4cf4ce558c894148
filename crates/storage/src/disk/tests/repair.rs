//! What is damaged is found, and all that is whole is kept.

use super::*;
use crate::Loaded;
use crate::disk::manifest;
use crate::disk::survey::Survey;

/// A closed store of some segments, and where each of its frames is.
struct Written {
    folder: TempDir,
    all: Vec<(Steps, PathBuf, u64, u64)>,
}

fn written() -> Written {
    let folder = tempfile::tempdir().unwrap();
    let (shared, _) = open(folder.path()).unwrap();
    let mut all = Vec::new();
    for steps in some_steps(24).0.iter().map(readable) {
        shared.write(&steps).unwrap();
        let newest = files(folder.path()).pop().unwrap();
        let end = fs::metadata(&newest).unwrap().len();
        let start = match all.last() {
            Some((_, file, _, end)) if *file == newest => *end,
            _ => segment::HEAD as u64,
        };
        all.push((steps, newest, start, end));
    }
    shared.leave();
    assert_eq!(files(folder.path()).len(), 4);
    Written { folder, all }
}

/// With records that say nothing to whoever loads a store.
fn readable(steps: &Steps) -> Steps {
    let table = |table| if table == Table::Deliveries { Table::Records } else { table };
    let steps = steps.iter().map(|step| match step {
        Step::Put(of, key, value) => Step::Put(table(of), key, value),
        Step::Remove(of, key) => Step::Remove(table(of), key),
    });
    super::steps(&steps.collect::<Vec<_>>())
}

impl Written {
    /// What is to be there without the frames that were in these places.
    fn without(&self, is_lost: impl Fn(&Path, u64, u64) -> bool) -> Records {
        let mut records = Records::new();
        for (steps, file, start, end) in &self.all {
            if !is_lost(file, *start, *end) {
                apply(&mut records, steps);
            }
        }
        records
    }

    fn all(&self) -> Records {
        self.without(|_, _, _| false)
    }
}

/// Repairs a folder; the records that are there then, and what was found before.
#[track_caller]
fn repaired(folder: &Path) -> (Records, Vec<String>) {
    assert!(open(folder).is_err(), "it does not start");
    let survey = Survey::of(folder).unwrap();
    assert!(!survey.is_whole());
    let findings: Vec<_> = survey.findings().iter().map(ToString::to_string).collect();
    let done = survey.repair("damaged").unwrap();
    assert_eq!(fs::read_to_string(done.beside.join("report.txt")).unwrap().lines().collect::<Vec<_>>(), findings);
    let survey = Survey::of(folder).unwrap();
    assert_eq!((survey.findings(), survey.unreadable().len()), (&[][..], done.unreadable.len()));
    drop(survey);
    let (shared, _) = open(folder).unwrap();
    let mut records = records(&shared);
    // The repair has looked at it as the broker does, which made it say its schema.
    records.remove(&(Table::Meta, b"schema".to_vec()));
    (records, findings)
}

#[test]
fn nothing_is_wrong_with_a_store_that_was_written_well() {
    let written = written();
    for torn in [0, 5] {
        let newest = files(written.folder.path()).pop().unwrap();
        let len = fs::metadata(&newest).unwrap().len();
        File::options().write(true).open(&newest).unwrap().set_len(len + torn).unwrap();
        let survey = Survey::of(written.folder.path()).unwrap();
        assert!(survey.is_whole(), "{:?}", survey.findings());
        assert_eq!((survey.records(), survey.segments()), (written.all().len() as u64, 4));
    }
    assert_eq!(records(&open(written.folder.path()).unwrap().0), written.all());
}

#[test]
fn a_flipped_byte_costs_no_more_than_the_batch_it_was_in() {
    let written = written();
    let names = files(written.folder.path()).into_iter().chain([manifest::path(written.folder.path())]);
    for original in names {
        let bytes = fs::read(&original).unwrap();
        for at in (0..bytes.len()).step_by(11) {
            let copy = copy(written.folder.path());
            let path = copy.path().join(original.file_name().unwrap());
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let (kept, findings) = repaired(copy.path());
            let is_lost = |file: &Path, start, end| *file == *original && (start..end).contains(&(at as u64));
            assert_eq!(kept, written.without(is_lost), "byte {at} of {path:?}: {findings:?}");
            assert_eq!(findings.len(), 1, "{findings:?}");
            // What was there is there still.
            let name = original.file_name().unwrap();
            assert_eq!(fs::read(copy.path().join("damaged").join(name)).unwrap(), bytes);
        }
    }
}

#[test]
fn missing_segments_cost_what_was_in_them() {
    let written = written();
    for missing in files(written.folder.path()) {
        let copy = copy(written.folder.path());
        fs::remove_file(copy.path().join(missing.file_name().unwrap())).unwrap();
        let (kept, findings) = repaired(copy.path());
        assert_eq!(kept, written.without(|file, _, _| file == missing), "{findings:?}");
    }
}

#[test]
fn exchanged_segments_get_their_places_back() {
    let written = written();
    let all = files(written.folder.path());
    let in_copy = |copy: &TempDir, at: usize| copy.path().join(all[at].file_name().unwrap());
    // Round: each is in the place of the next one.
    let round = copy(written.folder.path());
    for (at, path) in all.iter().enumerate() {
        fs::copy(path, in_copy(&round, (at + 1) % 4)).unwrap();
    }
    let (kept, findings) = repaired(round.path());
    assert_eq!((kept, findings.len()), (written.all(), 4), "{findings:?}");
    // An earlier repair was ended while it did that.
    let halfway = copy(written.folder.path());
    fs::rename(in_copy(&halfway, 1), halfway.path().join("0000000000000002.moved")).unwrap();
    fs::rename(in_copy(&halfway, 2), halfway.path().join("0000000000000003.moved")).unwrap();
    assert_eq!(repaired(halfway.path()).0, written.all());
    // A backup of another store was put in one's place.
    let strange = copy(written.folder.path());
    let other = self::written();
    fs::copy(&files(other.folder.path())[2], in_copy(&strange, 2)).unwrap();
    let (kept, findings) = repaired(strange.path());
    assert_eq!((kept, findings.len()), (written.without(|file, _, _| file == all[2]), 2), "{findings:?}");
}

#[test]
fn without_a_manifest_frames_are_found_by_what_they_are() {
    let written = written();
    let copy = copy(written.folder.path());
    fs::remove_file(manifest::path(copy.path())).unwrap();
    let first = files(copy.path()).swap_remove(1);
    let mut bytes = fs::read(&first).unwrap();
    bytes[20] ^= 1;
    bytes[..4].fill(7);
    fs::write(&first, bytes).unwrap();
    assert_eq!(repaired(copy.path()).0, written.all());
}

#[test]
fn a_folder_in_use_or_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Survey::of(folder.path()), Err(StoreError::Foreign(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let (shared, _) = open(folder.path()).unwrap();
    assert!(matches!(Survey::of(folder.path()), Err(StoreError::InUse)));
    drop(shared);
    let survey = Survey::of(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::InUse)), "nor does a broker start meanwhile");
    drop(survey);
}

#[test]
fn records_that_cannot_be_read_are_told_and_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), Durability::Process).unwrap();
    Loaded::read(&disk).unwrap();
    disk.write(&steps(&[
        Step::Put(Table::Retained, b"a/topic", b"\x01\x02"),
        Step::Put(Table::Modules, b"greeter", b"on"),
    ]))
    .unwrap();
    drop(disk);
    let survey = Survey::of(folder.path()).unwrap();
    assert!(survey.findings().is_empty() && !survey.is_whole());
    assert!(survey.unreadable()[0].to_string().contains("table retained, key \"a/topic\""));
    let done = survey.repair("damaged").unwrap();
    assert_eq!((done.unreadable.len(), done.records), (1, 2));
    let text = fs::read_to_string(done.beside.join("records.txt")).unwrap();
    assert!(text.contains("key 612f746f706963\n  value 0102\n"), "{text}");
    assert!(Survey::of(folder.path()).unwrap().is_whole());
    let disk = Disk::open(folder.path(), Durability::Process).unwrap();
    assert_eq!(Loaded::read(&disk).unwrap().modules["greeter"], b"on");
}

#[test]
fn a_number_out_of_the_way_makes_no_place_for_all_between() {
    let written = written();
    let first = files(written.folder.path()).swap_remove(0);
    let far = copy(written.folder.path());
    fs::copy(&first, segment::path(far.path(), u32::MAX)).unwrap();
    let (kept, findings) = repaired(far.path());
    assert_eq!((kept, findings.len()), (written.all(), 1), "{findings:?}");
    fs::remove_file(manifest::path(far.path())).unwrap();
    fs::copy(&first, segment::path(far.path(), u32::MAX)).unwrap();
    let findings = Survey::of(far.path()).unwrap().findings().to_vec();
    assert_eq!(findings.iter().map(|found| &found.what).collect::<Vec<_>>(), [&Damage::Missing, &Damage::Strange]);
}
