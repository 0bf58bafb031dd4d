// What program.hpp is for the peers in C++: the command line that bench/run expects, for Go. A scenario's go.go has the cases.
package main

import (
  "fmt"
  "os"
  "runtime"
  "strconv"
  "strings"
  "time"
)

type result struct {
  value   float64 // nanoseconds per operation, or what the remarks say
  remarks string
}

type oneCase struct {
  name    string
  workers string // one digit each
  run     func() result
}

var divisor = 1
var sink int

// How often to repeat: full in a measurement, less in a quick run.
func scaled(full int) int {
  if n := full / divisor; n > 1 {
    return n
  }
  return 1
}

func per(start time.Time, operations int) result {
  return result{float64(time.Since(start).Nanoseconds()) / float64(operations), ""}
}

func require(holds bool, what string) {
  if !holds {
    fmt.Fprintln(os.Stderr, "wrong result:", what)
    os.Exit(3)
  }
}

func main() {
  if len(os.Args) == 2 && os.Args[1] == "list" {
    for _, c := range cases {
      fmt.Println(c.name, c.workers)
    }
    return
  }
  if len(os.Args) < 3 {
    fmt.Fprintln(os.Stderr, "usage:", os.Args[0], "list | CASE WORKERS [DIVISOR]")
    os.Exit(2)
  }
  workers, _ := strconv.Atoi(os.Args[2])
  if len(os.Args) > 3 {
    divisor, _ = strconv.Atoi(os.Args[3])
  }
  runtime.GOMAXPROCS(workers)
  for _, c := range cases {
    if c.name == os.Args[1] {
      r := c.run()
      peer := strings.Join(strings.Split(runtime.Version(), ".")[:2], ".")
      fmt.Printf("%s\t%s\t%d\t%.3f\t%s\n", peer, c.name, workers, r.value, r.remarks)
      return
    }
  }
  os.Exit(2)
}
