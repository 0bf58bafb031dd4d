// The cases of deque_cases.hpp for crossbeam-deque 0.8. For the program of the peer: mod deque_crossbeam.
use super::program::{case, outcome, per, require, scaled, Case, Outcome};
use crossbeam_deque::{Steal, Worker};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

fn own(_: usize) -> Outcome {
    let n = scaled(50_000_000);
    let d = Worker::new_lifo();
    for i in 0..4 {
        d.push(i);
    }
    let mut sum = 0;
    let start = Instant::now();
    for i in 0..n {
        d.push(i);
        sum += d.pop().unwrap_or(0);
    }
    let ns = per(start, n);
    require(sum == n * (n - 1) / 2, "the newest each time");
    outcome(ns, "")
}

fn stolen(_: usize) -> Outcome {
    let n = scaled(20_000_000);
    let d = Worker::new_lifo();
    let thief = d.stealer();
    let mut sum = 0;
    let start = Instant::now();
    for i in 0..n {
        d.push(i);
        if let Steal::Success(v) = thief.steal() {
            sum += v;
        }
    }
    let ns = per(start, n);
    require(sum == n * (n - 1) / 2, "each once");
    outcome(ns, "")
}

fn contended(_: usize) -> Outcome {
    let n = scaled(10_000_000);
    let left = AtomicUsize::new(n);
    let d = Worker::new_lifo();
    let thief = d.stealer();
    let start = Instant::now();
    let sum = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            crate::on_processor(1);
            let mut mine = 0;
            while left.load(Relaxed) != 0 {
                if let Steal::Success(v) = thief.steal() {
                    mine += v;
                    left.fetch_sub(1, Relaxed);
                }
            }
            mine
        });
        crate::on_processor(0);
        let mut mine = 0;
        let mut pop = || match d.pop() {
            Some(v) => {
                mine += v;
                left.fetch_sub(1, Relaxed);
                true
            }
            None => false,
        };
        for i in 0..n {
            d.push(i);
            if i % 2 == 1 {
                pop();
            }
        }
        while pop() {}
        mine + other.join().unwrap()
    });
    let ns = per(start, n);
    require(sum == n * (n - 1) / 2, "each once");
    outcome(ns, "")
}

pub fn cases() -> Vec<Case> {
    vec![case("deque_own", "1", own), case("deque_stolen", "1", stolen), case("deque_contended", "2", contended)]
}
