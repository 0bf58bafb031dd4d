// Fork and join by rayon: the same work as in runnel.cpp.
#[path = "../program.rs"]
mod program;

use program::{case, outcome, per, require, scaled, Case, Outcome};
use std::time::Instant;

const CUT: u32 = 12;

fn alone(n: u32) -> u64 {
    if n < 2 { n as u64 } else { alone(n - 1) + alone(n - 2) }
}

fn fib(n: u32) -> u64 {
    if n < 2 {
        return n as u64;
    }
    let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
    a + b
}

fn fib_cut(n: u32) -> u64 {
    if n < CUT {
        return alone(n);
    }
    let (a, b) = rayon::join(|| fib_cut(n - 1), || fib_cut(n - 2));
    a + b
}

fn tasks(n: u32, cut: u32) -> usize {
    if n < cut { 1 } else { 1 + tasks(n - 1, cut) + tasks(n - 2, cut) }
}

fn run(workers: usize, cut: u32, fib: fn(u32) -> u64) -> Outcome {
    let rounds = scaled(if cut <= 2 { 10 } else { 200 });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
    pool.install(|| {
        require(fib(20) == 6765, "the number");
        let start = Instant::now();
        for _ in 0..rounds {
            require(fib(30) == 832040, "the number");
        }
        outcome(per(start, rounds * tasks(30, cut)), "")
    })
}

fn main() {
    let cases: Vec<Case> = vec![
        case("fib30", "12", |workers| run(workers, 2, fib)),
        case("fib30_cut12", "12", |workers| run(workers, CUT, fib_cut)),
    ];
    program::main("rayon", cases);
}
