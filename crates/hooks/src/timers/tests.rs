use std::sync::atomic::Ordering;

use mqtt_codec::{Message, Properties, Qos, Topic};

use super::*;
use crate::run::Entered;
use crate::testing::{NOW, Recorder};
use crate::{Ctx, Hooks};

/// Publishes what is due.
struct Publish;

impl Due for Publish {
    fn due(&self, timer: Timer, moment: &mut dyn Moment) {
        assert!(timer.id != 13, "unlucky");
        let topic = Topic::new(timer.id.to_string()).unwrap();
        let (qos, properties) = (Qos::AtMostOnce, Properties::EMPTY);
        moment.publish(Message { topic, payload: timer.payload, qos, retain: false, properties });
    }
}

struct Rig {
    host: Arc<Recorder>,
    hooks: Arc<Hooks>,
    timers: Arc<Timers>,
}

impl Rig {
    /// What a process finds that begins with these records.
    fn with(host: Arc<Recorder>) -> Self {
        Self { host, hooks: Hooks::new(), timers: Timers::new() }
    }

    fn start(&self) -> Entered {
        let ctx = Ctx::new("m", 0, self.host.clone(), Arc::default());
        ctx.timers(&self.timers, Arc::new(Publish)).unwrap();
        let entered = self.hooks.enter(ctx);
        self.host.run_tasks();
        entered
    }

    fn schedule(&self, id: u64, after: u64) {
        let payload = Bytes::from(format!("after {after}"));
        self.timers.schedule(Timer { id, at: NOW + after, payload }, &mut self.host.moment());
    }

    /// What is published until the clock shows this.
    fn wait(&self, until: u64) -> Vec<String> {
        self.host.clock.store(NOW + until, Ordering::Relaxed);
        self.host.run_tasks();
        self.host.take().iter().map(|message| message.topic.as_str().to_owned()).collect()
    }

    fn records(&self) -> usize {
        self.host.kept("m.timers").len()
    }
}

#[test]
fn what_is_due_is_handled_in_order_and_its_record_goes() {
    let rig = Rig::with(Recorder::new());
    let _entered = rig.start();
    rig.schedule(1, 30);
    rig.schedule(2, 10);
    rig.schedule(3, 20);
    assert_eq!((rig.timers.len(), rig.records()), (3, 3));
    assert!(rig.wait(9).is_empty());
    assert_eq!(rig.wait(20), ["2", "3"]);
    assert_eq!((rig.timers.len(), rig.records()), (1, 1));
    rig.schedule(4, 25);
    assert_eq!(rig.wait(40), ["4", "1"]);
    assert_eq!(rig.records(), 0);
}

#[test]
fn the_next_process_has_what_was_not_handled() {
    let before = Rig::with(Recorder::new());
    let entered = before.start();
    before.schedule(1, 10);
    before.schedule(2, 20);
    before.schedule(3, 30);
    drop(entered);
    let after = Rig::with(before.host);
    after.host.clock.store(NOW + 20, Ordering::Relaxed);
    let _entered = after.start();
    assert_eq!(after.wait(20), ["1", "2"]);
    assert_eq!(after.wait(30), ["3"]);
}

#[test]
fn a_stop_keeps_what_is_scheduled_for_the_next_start() {
    let rig = Rig::with(Recorder::new());
    drop(rig.start());
    rig.schedule(1, 10);
    assert!(rig.wait(10).is_empty());
    let _entered = rig.start();
    assert_eq!(rig.wait(10), ["1"]);
}

#[test]
fn what_is_cancelled_or_replaced_is_not_handled() {
    let rig = Rig::with(Recorder::new());
    let _entered = rig.start();
    rig.schedule(1, 10);
    rig.schedule(2, 10);
    rig.schedule(2, 30);
    assert_eq!(rig.timers.cancel(1, &mut rig.host.moment()).map(|timer| timer.at), Some(NOW + 10));
    assert_eq!(rig.timers.cancel(1, &mut rig.host.moment()), None);
    assert!(rig.wait(29).is_empty());
    assert_eq!(rig.wait(30), ["2"]);
    assert_eq!(rig.records(), 0);
}

#[test]
fn a_handler_that_panics_is_counted_and_the_others_are_handled() {
    let rig = Rig::with(Recorder::new());
    let entered = rig.start();
    rig.schedule(13, 10);
    rig.schedule(14, 10);
    assert_eq!(rig.wait(10), ["14"]);
    assert_eq!((entered.panics(), rig.records()), (1, 0));
}

#[test]
fn many_at_once_come_in_several_moments() {
    let rig = Rig::with(Recorder::new());
    let _entered = rig.start();
    (0..3 * TOGETHER as u64).for_each(|n| rig.schedule(100 + n, 10));
    assert_eq!(rig.wait(10).len(), 3 * TOGETHER);
}

#[test]
fn they_are_listed_by_their_time_page_by_page() {
    let rig = Rig::with(Recorder::new());
    let _entered = rig.start();
    [(5, 10), (4, 10), (3, 5), (2, 20)].into_iter().for_each(|(id, after)| rig.schedule(id, after));
    let first = rig.timers.list(None, 2);
    let rest = rig.timers.list(first.last(), 9);
    let ids = |timers: &[Timer]| timers.iter().map(|timer| timer.id).collect::<Vec<_>>();
    assert_eq!((ids(&first), ids(&rest)), (vec![3, 4], vec![5, 2]));
    assert_eq!((rig.timers.get(2).unwrap().at, rig.timers.payload_bytes()), (NOW + 20, 31));
}

#[test]
fn a_record_that_is_no_timer_is_left_out() {
    let rig = Rig::with(Recorder::new());
    let _entered = rig.start();
    rig.schedule(5, 10);
    let records = Records::of_timers("m", rig.host.clone());
    records.keep(&mut rig.host.moment(), b"key", b"short");
    let ctx = Ctx::new("m", 0, rig.host, Arc::default());
    let timers = Timers::new();
    ctx.timers(&timers, Arc::new(Publish)).unwrap();
    assert_eq!(timers.list(None, 9).iter().map(|timer| timer.id).collect::<Vec<_>>(), [5]);
}
