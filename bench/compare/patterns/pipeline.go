// fanout8 and pipeline3_cap64 of Go. The command line is described in ../program.hpp.
package main

import (
  "sync"
  "time"
)

// About 85 ns.
func someWork(x uint64) uint64 {
  for i := 0; i < 64; i++ {
    x = x*6364136223846793005 + 1442695040888963407
  }
  return x
}

// 8 workers between a source and a sink; per item.
func fanout8() result {
  n := scaled(1000000)
  jobs := make(chan uint64, 64)
  results := make(chan uint64, 64)
  var workers sync.WaitGroup
  workers.Add(8)
  start := time.Now()
  for i := 0; i < 8; i++ {
    go func() {
      for j := range jobs {
        results <- someWork(j)
      }
      workers.Done()
    }()
  }
  go func() {
    for i := 0; i < n; i++ {
      jobs <- uint64(i)
    }
    close(jobs)
  }()
  go func() { workers.Wait(); close(results) }()
  var sum uint64
  for v := range results {
    sum += v
  }
  sink = int(sum)
  return per(start, n)
}

// A source, three stages and a sink over channels of 64; per item.
func pipeline3() result {
  n := scaled(1000000)
  stage := func(in chan int) chan int {
    out := make(chan int, 64)
    go func() {
      for v := range in {
        out <- v + 1
      }
      close(out)
    }()
    return out
  }
  source := make(chan int, 64)
  start := time.Now()
  go func() {
    for i := 0; i < n; i++ {
      source <- i
    }
    close(source)
  }()
  sum := 0
  for v := range stage(stage(stage(source))) {
    sum += v
  }
  require(sum == n*(n-1)/2+3*n, "the pipeline's sum")
  return per(start, n)
}
