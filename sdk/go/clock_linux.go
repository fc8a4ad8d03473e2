package konductor

import (
	"time"

	"golang.org/x/sys/unix"
)

// now is the time since the machine was started, sleep included.
func now() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
		panic("konductor: there is no CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(at.Nano())
}
