//go:build !linux

package konductor

import "time"

var begun = time.Now()

// now is the time since the program was started, sleep included: where the monotonic clock stands
// still during sleep, the wall clock does not, and where that is set back, the other goes on.
func now() time.Duration {
	at := time.Now()
	return max(at.Sub(begun), at.Round(0).Sub(begun.Round(0)))
}
