// The locks of tokio: the same work as in go.go, in stackless tasks. Runtimes as in ../core/tokio.rs. There is no condition
// variable.
#[path = "../program.rs"]
mod program;

use program::{case, keep, outcome, per, require, scaled, Case, Outcome};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, RwLock, Semaphore};

fn host<F: Future<Output = Outcome> + Send + 'static>(workers: usize, run: F) -> Outcome {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async move { tokio::spawn(run).await.unwrap() })
}

async fn contended(tasks: usize, full: usize) -> Outcome {
    let each = scaled(full / tasks);
    let count = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            let count = count.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    *count.lock().await += 1;
                }
            })
        })
        .collect();
    for t in all {
        t.await.unwrap();
    }
    require(*count.lock().await == tasks * each, "the count");
    outcome(per(start, tasks * each), "")
}

async fn rwread(workers: usize) -> Outcome {
    let n = scaled(2_000_000);
    let lock = Arc::new(RwLock::new(0u64));
    let start = Instant::now();
    let all: Vec<_> = (0..workers)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move {
                for _ in 0..n {
                    keep(*lock.read().await);
                }
            })
        })
        .collect();
    for t in all {
        t.await.unwrap();
    }
    outcome(per(start, n), "wall time per operation of one task")
}

async fn sem_unc() -> Outcome {
    let n = scaled(20_000_000);
    let semaphore = Semaphore::new(10);
    let start = Instant::now();
    for _ in 0..n {
        drop(semaphore.acquire().await.unwrap());
    }
    outcome(per(start, n), "")
}

fn cases() -> Vec<Case> {
    vec![
        case("mutex_c2", "12", |w| host(w, contended(2, 4_000_000))),
        case("mutex_c64", "12", |w| host(w, contended(64, 1_280_000))),
        case("rwread", "12", |w| host(w, rwread(w))),
        case("rwread_one_word", "12", |w| host(w, rwread(w))),
        case("sem_unc", "1", |w| host(w, sem_unc())),
    ]
}

fn main() {
    program::main("tokio", cases());
}
