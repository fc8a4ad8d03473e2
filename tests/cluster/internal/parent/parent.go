// Package parent ends a component together with the process that started it.
package parent

import (
	"io"
	"os"
)

// Watch ends this process when its standard input ends, if KONDUCTOR_EXIT_WITH_PARENT is set. A test
// that is killed leaves nothing behind: the kernel closes the pipe that it held.
func Watch() {
	if os.Getenv("KONDUCTOR_EXIT_WITH_PARENT") == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
