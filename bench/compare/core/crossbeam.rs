// The core cases of crossbeam's channels: the same work as in go.go, each fiber a thread. The process runs on as many
// processors as there are workers. Counts are smaller where a message costs a switch of the kernel.
#[path = "../program.rs"]
mod program;

use crossbeam_channel::{bounded, select, Receiver, Select, Sender};
use program::{case, keep, outcome, per, require, scaled, Case, Outcome};
use std::thread;
use std::time::Instant;

mod processors {
    const WORDS: usize = 16; // the C library's cpu_set_t: 1024 bits
    extern "C" {
        fn sched_getaffinity(pid: i32, size: usize, mask: *mut u64) -> i32;
        fn sched_setaffinity(pid: i32, size: usize, mask: *const u64) -> i32;
    }

    /// Leaves this thread, and those that it starts, the first `n` of its processors.
    pub fn keep(n: usize) {
        let mut mask = [0u64; WORDS];
        let bytes = std::mem::size_of_val(&mask);
        // Both get a mask of exactly the size that they are told.
        unsafe { sched_getaffinity(0, bytes, mask.as_mut_ptr()) };
        let mut kept = 0;
        for i in 0..WORDS * 64 {
            let bit = 1u64 << (i % 64);
            if mask[i / 64] & bit != 0 {
                kept += 1;
                if kept > n {
                    mask[i / 64] &= !bit;
                }
            }
        }
        unsafe { sched_setaffinity(0, bytes, mask.as_ptr()) };
    }
}

// ---- Channels

fn pingpong(capacity: usize) -> Outcome {
    let n = scaled(100_000);
    let (ping, heard) = bounded(capacity);
    let (answer, pong) = bounded(capacity);
    thread::spawn(move || {
        for v in heard {
            answer.send(v).unwrap();
        }
    });
    let start = Instant::now();
    for i in 0..n {
        ping.send(i).unwrap();
        keep(pong.recv().unwrap());
    }
    outcome(per(start, 2 * n), "")
}

fn stream(producers: usize, consumers: usize, capacity: usize, total: usize) -> Outcome {
    let each = scaled(total / producers);
    let (tx, rx) = bounded::<usize>(capacity);
    let start = Instant::now();
    let receiving: Vec<_> = (0..consumers)
        .map(|_| {
            let rx = rx.clone();
            thread::spawn(move || rx.iter().sum::<usize>())
        })
        .collect();
    for _ in 0..producers {
        let tx = tx.clone();
        thread::spawn(move || {
            for _ in 0..each {
                tx.send(1).unwrap();
            }
        });
    }
    drop(tx);
    let received: usize = receiving.into_iter().map(|t| t.join().unwrap()).sum();
    let ns = per(start, each * producers);
    require(received == each * producers, "the sum of what was received");
    outcome(ns, "")
}

fn trysel_empty() -> Outcome {
    let n = scaled(50_000_000);
    let (_tx, rx) = bounded::<usize>(4);
    let start = Instant::now();
    for _ in 0..n {
        keep(rx.try_recv().is_ok());
    }
    outcome(per(start, n), "try_recv")
}

fn trysel2_empty() -> Outcome {
    let n = scaled(10_000_000);
    let (_a, from_a) = bounded::<usize>(4);
    let (_b, from_b) = bounded::<usize>(4);
    let mut received = 0;
    let start = Instant::now();
    for _ in 0..n {
        select! {
            recv(from_a) -> _ => received += 1,
            recv(from_b) -> _ => received += 1,
            default => (),
        }
    }
    let ns = per(start, n);
    require(received == 0, "nothing to receive");
    outcome(ns, "")
}

fn chan_buf_1task() -> Outcome {
    let n = scaled(10_000_000);
    let (tx, rx) = bounded(1);
    let start = Instant::now();
    for i in 0..n {
        tx.send(i).unwrap();
        keep(rx.recv().unwrap());
    }
    outcome(per(start, n), "send+recv")
}

fn chan_create() -> Outcome {
    let n = scaled(5_000_000);
    let start = Instant::now();
    for i in 0..n {
        let (tx, rx) = bounded(1);
        tx.send(i).unwrap();
        keep(rx.recv().unwrap());
    }
    outcome(per(start, n), "create+send+recv+drop")
}

// ---- Select

fn channels(n: usize) -> (Vec<Sender<usize>>, Vec<Receiver<usize>>) {
    (0..n).map(|_| bounded(0)).unzip()
}

fn receive_by_select(from: &[Receiver<usize>], n: usize) {
    let mut select = Select::new();
    for rx in from {
        select.recv(rx);
    }
    let mut sum = 0;
    for _ in 0..n {
        let ready = select.select();
        let index = ready.index();
        sum += ready.recv(&from[index]).unwrap();
    }
    require(sum == n, "the sum of what was received");
}

/// A producer for each channel.
fn select_plain(width: usize, total: usize) -> Outcome {
    let each = scaled(total / width);
    let (all, from) = channels(width);
    for tx in &all {
        let tx = tx.clone();
        thread::spawn(move || {
            for _ in 0..each {
                tx.send(1).unwrap();
            }
        });
    }
    let start = Instant::now();
    receive_by_select(&from, each * width);
    outcome(per(start, each * width), "dynamic")
}

/// One producer that sends on a random one of the channels: the consumer mostly parks on all.
fn select_one_producer(width: usize, total: usize) -> Outcome {
    let n = scaled(total);
    let (all, from) = channels(width);
    thread::spawn(move || {
        let mut x: u64 = 88172645463325252;
        for _ in 0..n {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            all[x as usize % width].send(1).unwrap();
        }
        thread::park(); // the channels stay open
    });
    let start = Instant::now();
    receive_by_select(&from, n);
    outcome(per(start, n), "dynamic")
}

// ---- The list

fn cases() -> Vec<Case> {
    let on = |name, workers, run: fn() -> Outcome| {
        case(name, workers, move |w| {
            processors::keep(w);
            run()
        })
    };
    vec![
        on("pingpong_unbuf", "12", || pingpong(0)),
        on("pingpong_cap1", "12", || pingpong(1)),
        on("stream_unbuf", "12", || stream(1, 1, 0, 200_000)),
        on("spsc_cap1", "12", || stream(1, 1, 1, 200_000)),
        on("spsc_cap64", "12", || stream(1, 1, 64, 3_000_000)),
        on("spsc_cap1024", "12", || stream(1, 1, 1024, 3_000_000)),
        on("mpmc4x4_cap64", "12", || stream(4, 4, 64, 500_000)),
        on("mpmc4x4_cap1024", "12", || stream(4, 4, 1024, 1_000_000)),
        on("mpmc64x64_cap64", "12", || stream(64, 64, 64, 256_000)),
        on("mpmc64x64_cap1024", "12", || stream(64, 64, 1024, 1_000_000)),
        on("select2", "12", || select_plain(2, 200_000)),
        on("select8", "12", || select_plain(8, 200_000)),
        on("select64", "12", || select_plain(64, 64_000)),
        on("select64_1p", "12", || select_one_producer(64, 50_000)),
        on("trysel_empty", "1", trysel_empty),
        on("trysel2_empty", "1", trysel2_empty),
        on("chan_buf_1task", "1", chan_buf_1task),
        on("chan_create", "1", chan_create),
    ]
}

fn main() {
    program::main("crossbeam", cases());
}
