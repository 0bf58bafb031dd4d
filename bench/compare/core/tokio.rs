// The core cases that tokio has the means for: the same work as in go.go, in stackless tasks.
//
// One worker: the current-thread runtime; several: the multi-thread one, with the case in a task of its own so that it does
// not pay for the thread that waits in block_on. Its channels have one receiver and a capacity of at least 1: where go.go
// has unbuffered ones, capacity 1, which the remarks say.
#[path = "../program.rs"]
mod program;

use program::{case, keep, outcome, per, require, scaled, Case, Outcome};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, Sleep};

const CAPACITY_1: &str = "capacity 1";

fn host<F: Future<Output = Outcome> + Send + 'static>(workers: usize, run: F) -> Outcome {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build().unwrap();
    let r = runtime.block_on(async move { tokio::spawn(run).await.unwrap() });
    runtime.shutdown_background(); // tasks that never end are left
    r
}

// ---- Tasks

async fn spawn(batch: usize) -> Outcome {
    async fn spawn_batch(batch: usize) {
        let tasks: Vec<_> = (0..batch).map(|_| tokio::spawn(async {})).collect();
        for t in tasks {
            t.await.unwrap();
        }
    }
    spawn_batch(batch).await;
    let batches = scaled(1_000_000 / batch);
    let start = Instant::now();
    for _ in 0..batches {
        spawn_batch(batch).await;
    }
    outcome(per(start, batches * batch), "")
}

async fn yield2() -> Outcome {
    let n = scaled(2_000_000);
    let start = Instant::now();
    let yields = move || async move {
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
    };
    let (a, b) = (tokio::spawn(yields()), tokio::spawn(yields()));
    a.await.unwrap();
    b.await.unwrap();
    outcome(per(start, 2 * n), "")
}

fn skynet(up: Sender<usize>, number: usize, size: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            up.send(number).await.unwrap();
            return;
        }
        let (tx, mut rx) = mpsc::channel(1);
        let part = size / 10;
        for i in 0..10 {
            tokio::spawn(skynet(tx.clone(), number + i * part, part));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += rx.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    })
}

async fn skynet1m() -> Outcome {
    let size = if scaled(100) == 100 { 1_000_000 } else { 10_000 };
    let (tx, mut rx) = mpsc::channel(1);
    let mut ns = 0.0;
    for _ in 0..2 {
        // the first warms memory
        let start = Instant::now();
        tokio::spawn(skynet(tx.clone(), 0, size));
        let sum = rx.recv().await.unwrap();
        ns = per(start, 1);
        require(sum == size * (size - 1) / 2, "skynet's sum");
    }
    outcome(ns / (size as f64 * 10.0 / 9.0), &format!("{};total_ms={:.1}", CAPACITY_1, ns / 1e6))
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

async fn memory(n: usize) -> Outcome {
    const REST: Duration = Duration::from_millis(200);
    let gate = Arc::new(Notify::new());
    let mut parked = Vec::with_capacity(n);
    let before = resident_bytes();
    let start = Instant::now();
    for _ in 0..n {
        let gate = gate.clone();
        parked.push(tokio::spawn(async move { gate.notified().await }));
    }
    sleep(REST).await; // all of them park
    let creation = (start.elapsed() - REST).as_nanos() as f64 / n as f64;
    let bytes = (resident_bytes() - before) / n as f64;
    let start = Instant::now();
    gate.notify_waiters();
    for t in parked {
        t.await.unwrap();
    }
    outcome(bytes, &format!("bytes_per_task;create_ns={:.0};wake_ns={:.0}", creation, per(start, n)))
}

// ---- Channels

async fn pingpong() -> Outcome {
    let n = scaled(1_000_000);
    let (ping, mut heard) = mpsc::channel(1);
    let (answer, mut pong) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(v) = heard.recv().await {
            answer.send(v).await.unwrap();
        }
    });
    let start = Instant::now();
    for i in 0..n {
        ping.send(i).await.unwrap();
        keep(pong.recv().await);
    }
    outcome(per(start, 2 * n), "")
}

async fn stream(capacity: usize, total: usize) -> Outcome {
    let n = scaled(total);
    let (tx, mut rx) = mpsc::channel::<usize>(capacity);
    let start = Instant::now();
    tokio::spawn(async move {
        for _ in 0..n {
            tx.send(1).await.unwrap();
        }
    });
    let mut sum = 0;
    while let Some(v) = rx.recv().await {
        sum += v;
    }
    let ns = per(start, n);
    require(sum == n, "the sum of what was received");
    outcome(ns, "")
}

/// The last prime, and the messages that pass: every number passes the filters of all primes up to its smallest factor.
fn sieve_work(primes: usize) -> (usize, usize) {
    let (mut found, mut messages, mut number) = (Vec::new(), 0, 2);
    while found.len() < primes {
        let factor = found.iter().position(|p| number % p == 0);
        messages += factor.unwrap_or(found.len()) + 1;
        if factor.is_none() {
            found.push(number);
        }
        number += 1;
    }
    (found[primes - 1], messages)
}

async fn sieve2000() -> Outcome {
    let primes = scaled(2_000);
    let (last_prime, messages) = sieve_work(primes);
    let start = Instant::now();
    let (tx, mut rx) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut i = 2;
        while tx.send(i).await.is_ok() {
            i += 1;
        }
    });
    let mut prime = 0;
    for _ in 0..primes {
        prime = rx.recv().await.unwrap();
        let (tx, next) = mpsc::channel(1);
        let mut numbers = std::mem::replace(&mut rx, next);
        tokio::spawn(async move {
            while let Some(v) = numbers.recv().await {
                if v % prime != 0 && tx.send(v).await.is_err() {
                    break;
                }
            }
        });
    }
    let ns = per(start, 1);
    require(prime == last_prime, "the sieve's last prime");
    outcome(ns / messages as f64, &format!("{};total_ms={:.1}", CAPACITY_1, ns / 1e6))
}

async fn trysel_empty() -> Outcome {
    let n = scaled(50_000_000);
    let (_tx, mut rx) = mpsc::channel::<usize>(4);
    let start = Instant::now();
    for _ in 0..n {
        keep(rx.try_recv().is_ok());
    }
    outcome(per(start, n), "try_recv")
}

async fn chan_buf_1task() -> Outcome {
    let n = scaled(10_000_000);
    let (tx, mut rx) = mpsc::channel(1);
    let start = Instant::now();
    for i in 0..n {
        tx.send(i).await.unwrap();
        keep(rx.recv().await);
    }
    outcome(per(start, n), "send+recv")
}

async fn chan_create() -> Outcome {
    let n = scaled(5_000_000);
    let start = Instant::now();
    for i in 0..n {
        let (tx, mut rx) = mpsc::channel(1);
        tx.send(i).await.unwrap();
        keep(rx.recv().await);
    }
    outcome(per(start, n), "create+send+recv+drop")
}

// ---- Select

/// A channel for each of `n` tasks that send.
fn producers(n: usize, each: usize) -> Vec<Receiver<usize>> {
    let start = |_| {
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..each {
                tx.send(1).await.unwrap();
            }
        });
        rx
    };
    (0..n).map(start).collect()
}

/// Until all channels are closed.
macro_rules! receive_by_select {
    ($from:expr, $($channel:ident),+) => {{
        let mut receivers = $from.into_iter();
        $(let mut $channel: Receiver<usize> = receivers.next().unwrap();)+
        let mut sum = 0;
        loop {
            tokio::select! {
                $(Some(v) = $channel.recv() => sum += v,)+
                else => break sum,
            }
        }
    }};
}

async fn select2() -> Outcome {
    let each = scaled(1_000_000 / 2);
    let channels = producers(2, each);
    let start = Instant::now();
    let sum = receive_by_select!(channels, a, b);
    let ns = per(start, 2 * each);
    require(sum == 2 * each, "the sum of what was received");
    outcome(ns, CAPACITY_1)
}

async fn select8() -> Outcome {
    let each = scaled(500_000 / 8);
    let channels = producers(8, each);
    let start = Instant::now();
    let sum = receive_by_select!(channels, a, b, c, d, e, f, g, h);
    let ns = per(start, 8 * each);
    require(sum == 8 * each, "the sum of what was received");
    outcome(ns, CAPACITY_1)
}

// ---- Timers, locks

/// A timer is armed when it is first polled.
async fn arm(timer: &mut Pin<Box<Sleep>>) {
    tokio::select! {
        biased;
        _ = timer.as_mut() => (),
        _ = std::future::ready(()) => (),
    }
}

async fn timer_churn() -> Outcome {
    let mut pending = Vec::with_capacity(100_000);
    let mut x: u64 = 88172645463325252;
    for _ in 0..100_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let mut timer = Box::pin(sleep(Duration::from_secs(3600) + Duration::from_micros(x % 1_000_000)));
        arm(&mut timer).await;
        pending.push(timer);
    }
    let n = scaled(1_000_000);
    let start = Instant::now();
    for i in 0..n {
        let mut timer = Box::pin(sleep(Duration::from_millis(1000 + i as u64 % 1000)));
        arm(&mut timer).await;
    }
    outcome(per(start, n), "sleep+poll+drop")
}

async fn mutex_unc() -> Outcome {
    let n = scaled(50_000_000);
    let mutex = Mutex::new(0);
    let start = Instant::now();
    for _ in 0..n {
        *mutex.lock().await += 1;
    }
    outcome(per(start, n), "")
}

// ---- The list

fn cases() -> Vec<Case> {
    vec![
        case("spawn_1k", "12", |w| host(w, spawn(1_000))),
        case("spawn_100k", "12", |w| host(w, spawn(100_000))),
        case("yield2", "12", |w| host(w, yield2())),
        case("pingpong_cap1", "12", |w| host(w, pingpong())),
        case("spsc_cap1", "12", |w| host(w, stream(1, 1_000_000))),
        case("spsc_cap64", "12", |w| host(w, stream(64, 3_000_000))),
        case("spsc_cap1024", "12", |w| host(w, stream(1024, 3_000_000))),
        case("select2", "12", |w| host(w, select2())),
        case("select8", "12", |w| host(w, select8())),
        case("trysel_empty", "1", |w| host(w, trysel_empty())),
        case("chan_buf_1task", "1", |w| host(w, chan_buf_1task())),
        case("chan_create", "1", |w| host(w, chan_create())),
        case("sieve2000", "12", |w| host(w, sieve2000())),
        case("skynet1m", "12", |w| host(w, skynet1m())),
        case("timer_churn", "12", |w| host(w, timer_churn())),
        case("mutex_unc", "1", |w| host(w, mutex_unc())),
        case("mem_10k", "12", |w| host(w, memory(10_000))),
        case("mem_100k", "12", |w| host(w, memory(100_000))),
    ]
}

fn main() {
    program::main("tokio", cases());
}
