use super::*;

/// As mosquitto 2.0.11 wrote it when it was stopped.
const V6: &[u8] = include_bytes!("../../tests/files/mosquitto-v6.db");

fn texts(database: &Database, client: &str) -> Vec<(String, Step)> {
    let session = database.sessions.iter().find(|session| session.client_id == client).unwrap();
    let text = |owed: &Owed| String::from_utf8(database.messages[owed.message].payload.0.clone()).unwrap();
    session.owed.iter().map(|owed| (text(owed), owed.step)).collect()
}

#[test]
fn a_file_of_the_real_program_has_what_was_given_to_it() {
    let database = Database::read(V6).unwrap();
    assert_eq!(database.version, 6);
    let mut retained: Vec<_> = database.retained.iter().map(|&at| database.messages[at].clone()).collect();
    retained.sort_by(|one, other| one.topic.cmp(&other.topic));
    let [one, two] = &retained[..] else { panic!("{retained:?}") };
    assert_eq!((&*one.topic, &*one.payload.0, one.qos, one.expires_at), ("kept/one", &b"first"[..], 1, None));
    assert_eq!((&*two.topic, &*two.payload.0, two.qos), ("kept/two", &b"second"[..], 2));
    assert_eq!(two.content_type.as_deref(), Some("text/plain"));
    assert_eq!(two.user_properties, [("k".to_owned(), "v".to_owned())]);
    assert!(two.expires_at > Some(1_700_000_000_000));
    let queued = |texts: &[&str]| texts.iter().map(|text| ((*text).to_owned(), Step::Queued)).collect::<Vec<_>>();
    assert_eq!(texts(&database, "old"), queued(&["m1", "m2", "m3", "m4"]));
    assert_eq!(texts(&database, "new"), queued(&["m1", "m2", "m3", "m4"]));
    let half = [("pending", Step::Arrived(9)), ("o1", Step::Sent(1)), ("o2", Step::Sent(2))];
    assert_eq!(texts(&database, "half"), half.map(|(text, step)| (text.to_owned(), step)));
    let session = |id: &str| database.sessions.iter().find(|session| session.client_id == id).unwrap();
    assert_eq!(session("old").expiry_interval, u32::MAX);
    assert_eq!(session("new").expiry_interval, 4_000_000_000);
    assert!(session("new").expires_at > 1_700_000_000);
    let filters: Vec<_> = session("old").subscriptions.iter().map(|one| (&*one.filter, one.qos)).collect();
    assert_eq!(filters, [("queue/#", 2), ("x/+", 2)]);
    assert_eq!(session("new").subscriptions[0].id, 7);
    assert!(session("new").owed.iter().all(|owed| owed.subscription_id == 7));
}

/// The same as version 5 has it: sessions without a port, a user name and padding.
fn as_version_5() -> Vec<u8> {
    let mut made = V6[..23].to_vec();
    made[22] = 5;
    let mut rest = &V6[23..];
    while !rest.is_empty() {
        let (head, after) = rest.split_at(8);
        let len = u32::from_be_bytes(head[4..].try_into().unwrap()) as usize;
        let (body, after) = after.split_at(len);
        let mut body = body.to_vec();
        if head[3] == 6 {
            body.drain(16..24);
        }
        made.extend_from_slice(&head[..4]);
        made.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        made.extend(body);
        rest = after;
    }
    made
}

#[test]
fn version_5_has_the_same_in_it() {
    let old = Database::read(&as_version_5()).unwrap();
    let new = Database::read(V6).unwrap();
    assert_eq!(old, Database { version: 5, ..new });
}

#[test]
fn whatever_is_cut_or_changed_is_read_or_is_an_error_and_nothing_else() {
    for file in [V6.to_vec(), as_version_5()] {
        for len in 0..file.len() {
            // Between two chunks it is a file with less in it.
            let _ = Database::read(&file[..len]);
        }
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut file = file.clone();
                file[at] ^= flip;
                fuzz(&file);
            }
        }
    }
}

#[test]
fn what_is_no_file_of_a_version_that_is_read_says_so() {
    assert_eq!(Database::read(b""), Err(WrongDatabase::Foreign));
    assert_eq!(Database::read(b"something else, and more of it"), Err(WrongDatabase::Foreign));
    let mut old = V6.to_vec();
    old[22] = 4;
    assert_eq!(Database::read(&old), Err(WrongDatabase::Version(4)));
    let mut huge = V6[..23].to_vec();
    huge.extend([0, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
    let Err(WrongDatabase::Malformed { offset: 31, why }) = Database::read(&huge) else { panic!() };
    assert_eq!(why, "it ends too early");
}
