// The cases of Go's locks. The command line is described in ../program.hpp.
package main

import (
  "context"
  "runtime"
  "sync"
  "time"

  "golang.org/x/sync/semaphore"
)

func together(tasks int, body func(k int)) {
  var all sync.WaitGroup
  all.Add(tasks)
  for i := 0; i < tasks; i++ {
    go func(k int) {
      body(k)
      all.Done()
    }(i)
  }
  all.Wait()
}

func contended(tasks, full int) result {
  each := scaled(full / tasks)
  var mutex sync.Mutex
  count := 0
  start := time.Now()
  together(tasks, func(int) {
    for i := 0; i < each; i++ {
      mutex.Lock()
      count++
      mutex.Unlock()
    }
  })
  require(count == tasks*each, "the count")
  return per(start, count)
}

func rwread() result {
  n := scaled(5000000)
  var mutex sync.RWMutex
  start := time.Now()
  together(runtime.GOMAXPROCS(0), func(int) {
    for i := 0; i < n; i++ {
      mutex.RLock()
      mutex.RUnlock()
    }
  })
  r := per(start, n)
  r.remarks = "wall time per operation of one task"
  return r
}

func semUnc() result {
  n := scaled(20000000)
  s := semaphore.NewWeighted(10)
  ctx := context.Background()
  start := time.Now()
  for i := 0; i < n; i++ {
    s.Acquire(ctx, 1)
    s.Release(1)
  }
  return per(start, n)
}

func condPingpong() result {
  n := scaled(500000)
  var mutex sync.Mutex
  changed := sync.NewCond(&mutex)
  turn := 0
  start := time.Now()
  together(2, func(k int) {
    mutex.Lock()
    for i := 0; i < n; i++ {
      for turn != k {
        changed.Wait()
      }
      turn = 1 - k
      changed.Signal()
    }
    mutex.Unlock()
  })
  return per(start, 2*n)
}

var cases = []oneCase{
  {"mutex_c2", "12", func() result { return contended(2, 8000000) }},
  {"mutex_c64", "12", func() result { return contended(64, 3200000) }},
  {"rwread", "12", rwread},
  {"rwread_one_word", "12", rwread},
  {"sem_unc", "1", semUnc},
  {"cond_pingpong", "12", condPingpong},
}
