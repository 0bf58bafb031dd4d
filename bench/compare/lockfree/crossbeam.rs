// The cases of crossbeam's queues and its deque: ArrayQueue (bounded), SegQueue (without a bound); see queue_cases.hpp.
mod deque_crossbeam;
#[path = "../program.rs"]
mod program;

use crossbeam_queue::{ArrayQueue, SegQueue};
use program::{case, keep, outcome, per, require, scaled, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

const CAPACITY: usize = 1024;

trait Queue: Sync {
    fn with(capacity: usize) -> Self;
    fn put(&self, v: u64) -> bool;
    fn take(&self) -> Option<u64>;
    const REMARK: &'static str;
}

impl Queue for ArrayQueue<u64> {
    fn with(capacity: usize) -> Self {
        ArrayQueue::new(capacity)
    }
    fn put(&self, v: u64) -> bool {
        self.push(v).is_ok()
    }
    fn take(&self) -> Option<u64> {
        self.pop()
    }
    const REMARK: &'static str = "";
}

impl Queue for SegQueue<u64> {
    fn with(_: usize) -> Self {
        SegQueue::new()
    }
    fn put(&self, v: u64) -> bool {
        self.push(v);
        true
    }
    fn take(&self) -> Option<u64> {
        self.pop()
    }
    const REMARK: &'static str = "many consumers";
}

fn until(mut attempt: impl FnMut() -> bool) {
    let mut n = 1u32;
    while !attempt() {
        if n % 16 == 0 {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        n += 1;
    }
}

extern "C" {
    fn sched_getaffinity(pid: i32, bytes: usize, set: *mut u64) -> i32;
    fn sched_setaffinity(pid: i32, bytes: usize, set: *const u64) -> i32;
}

/// As in families.hpp: keeps the calling thread on the i-th of the processors, counted round.
pub fn on_processor(i: usize) {
    let mut all = [0u64; 16];
    require(unsafe { sched_getaffinity(0, 128, all.as_mut_ptr()) } >= 0, "the processors that there are");
    let there: Vec<usize> = (0..1024).filter(|at| all[at / 64] >> (at % 64) & 1 == 1).collect();
    let at = there[i % there.len()];
    let mut one = [0u64; 16];
    one[at / 64] = 1 << (at % 64);
    require(unsafe { sched_setaffinity(0, 128, one.as_ptr()) } == 0, "a processor");
}

fn together(n: usize, f: impl Fn(usize) + Sync) {
    let part = |i| {
        on_processor(i);
        f(i);
    };
    thread::scope(|s| {
        for i in 1..n {
            let part = &part;
            s.spawn(move || part(i));
        }
        part(0);
    });
}

fn pairs<Q: Queue>(workers: usize) -> Outcome {
    let each = scaled(20_000_000) / workers;
    let q = Q::with(CAPACITY);
    let start = Instant::now();
    together(workers, |_| {
        for i in 0..each {
            until(|| q.put(i as u64));
            until(|| match q.take() {
                Some(v) => {
                    keep(v);
                    true
                }
                None => false,
            });
        }
    });
    outcome(per(start, each * workers), Q::REMARK)
}

fn stream<Q: Queue>(producers: usize, consumers: usize) -> Outcome {
    let total = scaled(8_000_000) / producers * producers;
    let q = Q::with(CAPACITY);
    let sum = AtomicU64::new(0);
    let start = Instant::now();
    together(producers + consumers, |who| {
        if who < producers {
            for i in (who..total).step_by(producers) {
                until(|| q.put(i as u64));
            }
            return;
        }
        let share = total / consumers + if who == producers { total % consumers } else { 0 };
        let mut mine = 0u64;
        for _ in 0..share {
            until(|| match q.take() {
                Some(v) => {
                    mine += v;
                    true
                }
                None => false,
            });
        }
        sum.fetch_add(mine, Ordering::Relaxed);
    });
    let ns = per(start, total);
    require(sum.load(Ordering::Relaxed) == (total as u64) * (total as u64 - 1) / 2, "each element once");
    outcome(ns, Q::REMARK)
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

fn bytes<Q: Queue>() -> Outcome {
    let n = scaled(1_000_000);
    let before = resident_bytes();
    let q = Q::with(n);
    for i in 0..n {
        require(q.put(i as u64), "room");
    }
    outcome((resident_bytes() - before) / n as f64, &format!("bytes {}", Q::REMARK))
}

fn main() {
    type Array = ArrayQueue<u64>;
    type Seg = SegQueue<u64>;
    let mut cases = vec![
        case("mpmc_pairs", "128", pairs::<Array>),
        case("mpmc_1x1", "2", |_| stream::<Array>(1, 1)),
        case("mpmc_4x4", "8", |_| stream::<Array>(4, 4)),
        case("mem_mpmc", "1", |_| bytes::<Array>()),
        case("mpsc_pairs", "1", pairs::<Seg>),
        case("mpsc_1x1", "2", |_| stream::<Seg>(1, 1)),
        case("mpsc_7x1", "8", |_| stream::<Seg>(7, 1)),
        case("mem_mpsc", "1", |_| bytes::<Seg>()),
    ];
    cases.extend(deque_crossbeam::cases());
    program::main("crossbeam", cases);
}
