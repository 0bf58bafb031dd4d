// limiter_allow and limiter_deny of Go: golang.org/x/time/rate. The command line is described in ../program.hpp.
package main

import (
  "time"

  "golang.org/x/time/rate"
)

// A bucket that never runs dry: each call takes a token.
func limiterAllow() result {
  n := scaled(20000000)
  limiter := rate.NewLimiter(1e9, 1000000000)
  allowed := 0
  start := time.Now()
  for i := 0; i < n; i++ {
    if limiter.Allow() {
      allowed++
    }
  }
  r := per(start, n)
  require(allowed == n, "a token was refused")
  return r
}

// An empty one: each call is refused.
func limiterDeny() result {
  n := scaled(20000000)
  limiter := rate.NewLimiter(rate.Every(time.Hour), 1)
  limiter.Allow()
  allowed := 0
  start := time.Now()
  for i := 0; i < n; i++ {
    if limiter.Allow() {
      allowed++
    }
  }
  r := per(start, n)
  require(allowed == 0, "a token out of nothing")
  return r
}
