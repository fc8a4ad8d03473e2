//go:build !linux

package konductor

import "time"

var begun = time.Now()

// now is the time since the program was started, sleep included: if the monotonic clock stops during
// sleep, the wall clock does not; if the wall clock is set back, the monotonic clock is not.
func now() time.Duration {
	at := time.Now()
	return max(at.Sub(begun), at.Round(0).Sub(begun.Round(0)))
}
