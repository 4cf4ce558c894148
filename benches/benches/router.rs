//! What a match, a fan-out, coming and going, and a search for retained messages cost.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mqtt_codec::{Filter, Topic};
use mqtt_router::{Attendance, Cursor, Matches, Options, Progress, Retained, Router};

/// Topics made before they are timed, as few as a publisher's socket may have brought: their texts are in the cache.
const TOPICS: usize = 256;
/// Vehicles that are published to again and again, in the router that is hot.
const HOT: usize = 64;

/// A fleet: vehicles in depots of regions, each with some readings.
struct Vehicle(usize);

impl Vehicle {
    fn path(&self) -> String {
        let Self(number) = self;
        format!("fleet/region-{:02}/depot-{:03}/vehicle-{number:07}", number % 16, number / 16 % 200)
    }

    fn topic(&self, reading: usize) -> Topic {
        let reading = ["position", "engine/temperature", "battery/charge", "door"][reading % 4];
        topic(format!("{}/{reading}", self.path()))
    }
}

fn topic(text: String) -> Topic {
    Topic::new(text).expect("a topic")
}

fn filter(text: String) -> Filter {
    Filter::new(text).expect("a filter")
}

/// Four of five filters are exact, the fifth is one of five wildcard shapes.
fn fleet_filter(number: usize) -> Filter {
    let vehicle = Vehicle(number / 5);
    let path = vehicle.path();
    match number % 5 {
        0..4 => filter(vehicle.topic(number % 5).to_string()),
        _ => {
            let Vehicle(number) = vehicle;
            filter(match number % 5 {
                0 => format!("{path}/#"),
                1 => format!("{path}/+"),
                2 => format!("{path}/+/temperature"),
                3 => format!("fleet/+/+/vehicle-{number:07}/position"),
                _ => format!("fleet/+/+/vehicle-{number:07}/#"),
            })
        }
    }
}

fn fleet(filters: usize) -> Router<u64> {
    let router = Router::new();
    for number in 0..filters {
        router.subscribe(&fleet_filter(number), number as u64, Options::default());
    }
    router
}

/// Numbers in no order, always the same.
fn random() -> impl Iterator<Item = usize> {
    let mut state = 1_usize;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
}

/// A match and a walk over whom it found. The key is a number, so nothing of a subscriber's own memory is touched.
///
/// *cold*: topics all over the fleet, each as likely as the other; a million filters are more than any cache holds, so
/// each one found has to come from memory. *hot*: the same with few vehicles, wherever they are. Both find 1.6
/// subscribers on average. *unsubscribed*: vehicles that nobody subscribed to.
fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/match");
    for filters in [1_000, 100_000, 1_000_000] {
        let router = fleet(filters);
        let vehicles = filters / 5;
        let stride = vehicles / HOT;
        let ways: [(_, &dyn Fn(usize) -> usize); 3] = [
            ("cold", &|random| random % vehicles),
            ("hot", &|random| random % HOT * stride),
            ("unsubscribed", &|random| vehicles + random % vehicles),
        ];
        for (name, vehicle) in ways {
            let mut random = random();
            let mut found = Matches::default();
            group.bench_function(BenchmarkId::new(name, filters), |bencher| {
                bencher.iter_custom(|matches| {
                    let mut took = Duration::ZERO;
                    let mut left = matches as usize;
                    while left > 0 {
                        let some = left.min(TOPICS);
                        let topics: Vec<_> = random
                            .by_ref()
                            .map(|random| Vehicle(vehicle(random / 4)).topic(random))
                            .take(some)
                            .collect();
                        let start = Instant::now();
                        for topic in &topics {
                            router.matches(topic, None, &mut found);
                            black_box(found.iter().map(|one| *one.key).sum::<u64>());
                        }
                        took += start.elapsed();
                        left -= some;
                    }
                    took
                });
            });
        }
    }
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/fan-out");
    let all = filter("all".to_owned());
    let published = topic("all".to_owned());
    let mut found = Matches::default();
    for overlapping in [0, 1, 1000] {
        let router = Router::new();
        for key in 0..1000_u64 {
            router.subscribe(&all, key, Options::default());
        }
        for key in 0..overlapping {
            router.subscribe(&filter("+".to_owned()), key, Options::default());
        }
        group.bench_function(BenchmarkId::new("1000, overlapping", overlapping), |bencher| {
            bencher.iter(|| {
                // Else it would be there already.
                found.clear();
                router.matches(&published, None, &mut found);
                found.iter().map(|one| *one.key).sum::<u64>()
            });
        });
    }
    group.finish();
}

/// What one client can bring about with filters that are all of different shapes: the bits of a counter say which of twelve
/// levels are `a` and which are `+`.
fn many_shapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/4,095 shapes");
    let router = Router::new();
    for (key, last) in [(0, ""), (1, "/a")] {
        for bits in 1..1_usize << 12 {
            let levels: Vec<_> = (0..12).map(|level| if bits >> level & 1 == 1 { "a" } else { "+" }).collect();
            router.subscribe(&filter(levels.join("/") + last), key, Options::default());
        }
        if last.is_empty() {
            let mut found = Matches::default();
            for (name, word) in [("none matches", "b"), ("all match", "a")] {
                let topic = topic([word; 12].join("/"));
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        found.clear();
                        router.matches(&topic, None, &mut found);
                        found.iter().count()
                    });
                });
            }
        }
    }
    let mut found = Matches::default();
    let topic = topic(["a"; 12].join("/") + "/b");
    group.bench_function("each misses by its last level", |bencher| {
        bencher.iter(|| {
            found.clear();
            router.matches(&topic, None, &mut found);
            found.iter().count()
        });
    });
    group.finish();
}

/// A message to a group with absent members, and one of its members that goes and comes.
fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/group");
    let (shared, published) = (filter("$share/group/a".to_owned()), topic("a".to_owned()));
    for absent in [0, 20_000] {
        let router = Router::new();
        for key in 0..absent + 10 {
            router.subscribe(&shared, key, Options::default());
            if key >= 10 {
                router.set_attendance(&key, Attendance::Absent);
            }
        }
        let mut found = Matches::default();
        group.bench_function(BenchmarkId::new("first of 10, absent", absent), |bencher| {
            bencher.iter(|| {
                router.matches(&published, None, &mut found);
                found.groups().next().and_then(|group| group.present().next()).map(|member| *member.key())
            });
        });
        group.bench_function(BenchmarkId::new("goes and comes, absent", absent), |bencher| {
            bencher.iter(|| {
                router.set_attendance(&0, Attendance::Absent);
                router.set_attendance(&0, Attendance::Present);
            });
        });
    }
    group.finish();
}

fn coming_and_going(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/subscribe+unsubscribe");
    let router = fleet(100_000);
    let big = filter("big/#".to_owned());
    for key in 0..100_000 {
        router.subscribe(&big, key, Options::default());
    }
    let filters = [
        ("exact", filter("fleet/new".to_owned())),
        ("wildcard", filter("fleet/+/+/vehicle-x/#".to_owned())),
        ("new shape", filter("+/+/fleet/+/x".to_owned())),
        ("among 100,000", big),
        ("shared", filter("$share/group/fleet/new".to_owned())),
    ];
    for (name, filter) in filters {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                router.subscribe(&filter, u64::MAX, Options::default());
                router.unsubscribe(&filter, &u64::MAX)
            });
        });
    }
    group.finish();
}

fn retained(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router/retained");
    let retained = Retained::new(1_000_000);
    for number in 0..400_000 {
        retained.insert(&Vehicle(number / 4).topic(number), number as u64).expect("room for it");
    }
    let path = Vehicle(4711).path();
    let filters = [
        ("exact", format!("{path}/door")),
        ("one vehicle", format!("{path}/#")),
        ("one reading of a depot", "fleet/region-03/depot-007/+/battery/charge".to_owned()),
        ("one vehicle of any depot", "fleet/+/+/vehicle-0004711/position".to_owned()),
        ("nothing", "fleet/region-03/+/+/nothing".to_owned()),
        ("all 400,000", "#".to_owned()),
    ];
    for (name, text) in filters {
        let filter = filter(text);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                Vec::new,
                |found| retained.matching(black_box(&filter), found),
                BatchSize::SmallInput,
            );
        });
    }
    let all = filter("#".to_owned());
    group.bench_function("256 of all", |bencher| {
        bencher.iter_batched_ref(
            || {
                let (mut cursor, mut found) = (Cursor::default(), Vec::new());
                assert_eq!(retained.next_slice(&all, &mut cursor, 100_000, &mut found), Progress::More);
                (cursor, Vec::new())
            },
            |(cursor, found)| retained.next_slice(black_box(&all), cursor, 256, found),
            BatchSize::SmallInput,
        );
    });
    let replaced = Vehicle(4711).topic(0);
    group.bench_function("replace", |bencher| bencher.iter(|| retained.insert(&replaced, 1)));
    let new = topic("fleet/new".to_owned());
    group.bench_function("insert+remove", |bencher| {
        bencher.iter(|| {
            retained.insert(&new, 1).expect("room for it");
            retained.remove(&new)
        });
    });
    group.finish();
}

criterion_group!(benches, matching, fan_out, many_shapes, groups, coming_and_going, retained);
criterion_main!(benches);
