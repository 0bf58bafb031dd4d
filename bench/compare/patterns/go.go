// The patterns as Go writes them. The command line is described in ../program.hpp.
package main

import (
  "sync"
  "time"
)

const fibCut = 12

func fibAlone(n int) int {
  if n < 2 {
    return n
  }
  return fibAlone(n-1) + fibAlone(n-2)
}

// A goroutine for one half, and a wait for it.
func fib(n, cut int) int {
  if n < 2 {
    return n
  }
  if n < cut {
    return fibAlone(n)
  }
  var half sync.WaitGroup
  var b int
  half.Add(1)
  go func() {
    b = fib(n-2, cut)
    half.Done()
  }()
  a := fib(n-1, cut)
  half.Wait()
  return a + b
}

func fibTasks(n, cut int) int {
  if n < cut {
    return 1
  }
  return 1 + fibTasks(n-1, cut) + fibTasks(n-2, cut)
}

func fibCase(cut, full int) result {
  rounds := scaled(full)
  require(fib(20, cut) == 6765, "the number")
  start := time.Now()
  for i := 0; i < rounds; i++ {
    require(fib(30, cut) == 832040, "the number")
  }
  return per(start, rounds*fibTasks(30, cut))
}

var cases = []oneCase{
  {"fib30", "12", func() result { return fibCase(2, 10) }},
  {"fib30_cut12", "12", func() result { return fibCase(fibCut, 200) }},
  {"fanout8", "12", fanout8},
  {"pipeline3_cap64", "12", pipeline3},
  {"limiter_allow", "1", limiterAllow},
  {"limiter_deny", "1", limiterDeny},
}
