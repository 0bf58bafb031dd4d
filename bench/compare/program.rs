// What program.hpp is for the peers in C++: the command line that bench/run expects, for those in Rust.
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

pub struct Outcome {
    pub value: f64, // nanoseconds per operation, or what the remarks say
    pub remarks: String,
}

pub struct Case {
    name: &'static str,
    workers: &'static str, // one digit each
    run: Box<dyn Fn(usize) -> Outcome>,
}

/// A case, from what runs it with that many workers.
pub fn case(name: &'static str, workers: &'static str, run: impl Fn(usize) -> Outcome + 'static) -> Case {
    Case { name, workers, run: Box::new(run) }
}

static DIVISOR: AtomicUsize = AtomicUsize::new(1);

/// How often to repeat: `full` in a measurement, less in a quick run.
pub fn scaled(full: usize) -> usize {
    (full / DIVISOR.load(Relaxed)).max(1)
}

pub fn per(start: Instant, operations: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / operations as f64
}

pub fn outcome(value: f64, remarks: &str) -> Outcome {
    Outcome { value, remarks: remarks.to_string() }
}

/// The compiler must take it that v is looked at.
#[allow(dead_code)]
pub fn keep<T>(v: T) {
    // Reads nothing; but as far as the compiler knows, it may.
    unsafe { std::arch::asm!("/* {0} */", in(reg) &v, options(nostack, preserves_flags)) };
}

/// A wrong result is worse than none.
pub fn require(holds: bool, what: &str) {
    if !holds {
        eprintln!("wrong result: {}", what);
        std::process::exit(3);
    }
}

pub fn main(peer: &str, cases: Vec<Case>) {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() == 2 && arguments[1] == "list" {
        for c in &cases {
            println!("{} {}", c.name, c.workers);
        }
        return;
    }
    if arguments.len() >= 3 {
        let workers = usize::from_str(&arguments[2]).unwrap();
        if arguments.len() >= 4 {
            DIVISOR.store(usize::from_str(&arguments[3]).unwrap().max(1), Relaxed);
        }
        if let Some(c) = cases.iter().find(|c| c.name == arguments[1]) {
            let r = (c.run)(workers);
            println!("{}\t{}\t{}\t{:.3}\t{}", peer, c.name, workers, r.value, r.remarks);
            std::process::exit(0); // whatever threads are left
        }
    }
    eprintln!("usage: {} list | CASE WORKERS [DIVISOR]", arguments[0]);
    std::process::exit(2);
}
